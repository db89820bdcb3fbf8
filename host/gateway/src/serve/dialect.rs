//! What a client speaks, and what an error looks like in it.
//!
//! Told by the path, unless the route says it: every dialect has paths of its own. It is
//! only asked for when something went wrong or a stream ends, so it costs nothing else.
//!
//! Sources: OpenAI's and Anthropic's API references, the [Open Inference Protocol] and
//! KServe's V1, Seldon's external prediction API.
//!
//! [Open Inference Protocol]: https://github.com/kserve/open-inference-protocol

use bytes::Bytes;
use http::StatusCode;
use serde_json::json;
use tollgate_config::Dialect;

use super::errors::ServeError;

/// By the path of a request, whatever stands in front of the API's own part.
pub(super) fn of_path(path: &str) -> Dialect {
    let has = |segments: &str| {
        path.match_indices(segments).any(|(at, _)| {
            let rest = &path[at + segments.len()..];
            rest.is_empty() || rest.starts_with('/')
        })
    };
    let is_verb = path.ends_with(":predict") || path.ends_with(":explain");
    if has("/v1/messages") {
        Dialect::Anthropic
    } else if has("/v2/models") || has("/v2/health") || is_verb {
        Dialect::OpenInference
    } else if has("/api/v1.0") || has("/api/v0.1") {
        Dialect::Seldon
    } else {
        Dialect::OpenAi
    }
}

/// Its name in the contract.
pub(super) fn name(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::OpenAi => "openai",
        Dialect::Anthropic => "anthropic",
        Dialect::OpenInference => "open-inference",
        Dialect::Seldon => "seldon",
        Dialect::Opaque => "opaque",
    }
}

/// The error object. Where the dialect has no place for the stable code, it stands beside
/// the message as `code`: clients pass over what they do not know.
pub(super) fn object(dialect: Dialect, error: &ServeError) -> Bytes {
    let (status, code, message) = (error.status(), error.code(), error.to_string());
    let object = match dialect {
        Dialect::OpenAi | Dialect::Opaque => json!({ "error": {
            "message": message,
            "type": openai_type(status),
            "param": null,
            "code": code,
        } }),
        Dialect::Anthropic => json!({ "type": "error", "error": {
            "type": anthropic_type(status),
            "message": message,
            "code": code,
        } }),
        Dialect::OpenInference => json!({ "error": message, "code": code }),
        Dialect::Seldon => json!({ "status": {
            "code": status.as_u16(),
            "info": message,
            "reason": code,
            "status": "FAILURE",
        } }),
    };
    Bytes::from(object.to_string())
}

/// What a client is told in a stream that ends with an error.
pub(super) fn farewell(dialect: Dialect, error: &ServeError) -> Bytes {
    let start: &[u8] = match dialect {
        Dialect::Anthropic => b"event: error\ndata: ",
        _ => b"data: ",
    };
    [start, &object(dialect, error), b"\n\n"].concat().into()
}

/// Whether its streams end with `[DONE]`. Nothing is known of an opaque one: what was
/// there stays.
pub(super) fn ends_with_done(dialect: Dialect) -> bool {
    matches!(dialect, Dialect::OpenAi | Dialect::Opaque)
}

fn openai_type(status: StatusCode) -> &'static str {
    match status.as_u16() {
        401 => "authentication_error",
        403 => "permission_error",
        429 => "rate_limit_error",
        400..=499 => "invalid_request_error",
        _ => "server_error",
    }
}

fn anthropic_type(status: StatusCode) -> &'static str {
    match status.as_u16() {
        401 => "authentication_error",
        402 => "billing_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        400..=499 => "invalid_request_error",
        503 | 529 => "overloaded_error",
        504 => "timeout_error",
        _ => "api_error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_tells_what_its_client_speaks() {
        for (path, dialect) in [
            ("/v1/chat/completions", Dialect::OpenAi),
            ("/v1/models", Dialect::OpenAi),
            ("/v1/models/gpt", Dialect::OpenAi),
            ("/v1/messages", Dialect::Anthropic),
            ("/team/v1/messages/count_tokens", Dialect::Anthropic),
            ("/v1/messages-of-mine", Dialect::OpenAi),
            ("/v1/models/iris:predict", Dialect::OpenInference),
            ("/v2/models/iris/infer", Dialect::OpenInference),
            ("/kserve/v2/health/ready", Dialect::OpenInference),
            ("/v2/modelsx", Dialect::OpenAi),
            ("/seldon/ns/iris/api/v1.0/predictions", Dialect::Seldon),
            ("/", Dialect::OpenAi),
        ] {
            assert_eq!(of_path(path), dialect, "{path}");
        }
    }

    #[test]
    fn an_error_has_the_shape_that_its_client_reads() {
        let error = ServeError::ModelUnknown("a \"model\"".into());
        let text = |dialect| String::from_utf8(object(dialect, &error).to_vec()).unwrap();
        assert_eq!(
            text(Dialect::OpenAi),
            r#"{"error":{"message":"the model `a \"model\"` does not exist","type":"invalid_request_error","param":null,"code":"model_not_found"}}"#
        );
        assert_eq!(
            text(Dialect::Anthropic),
            r#"{"type":"error","error":{"type":"not_found_error","message":"the model `a \"model\"` does not exist","code":"model_not_found"}}"#
        );
        assert_eq!(
            text(Dialect::OpenInference),
            r#"{"error":"the model `a \"model\"` does not exist","code":"model_not_found"}"#
        );
        assert_eq!(
            text(Dialect::Seldon),
            r#"{"status":{"code":404,"info":"the model `a \"model\"` does not exist","reason":"model_not_found","status":"FAILURE"}}"#
        );
    }

    #[test]
    fn an_anthropic_stream_ends_with_an_event_of_the_name_error() {
        let told = farewell(Dialect::Anthropic, &ServeError::StreamBroken);
        let start = b"event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"api_error\"";
        assert!(told.starts_with(start));
        assert!(told.ends_with(b"}\n\n"));
    }
}
