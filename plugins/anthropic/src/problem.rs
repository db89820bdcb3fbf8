//! Errors in both shapes, by one table.

use serde_json::Value;

use crate::fields::object;

/// An error that somebody is told of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    kind: Kind,
    message: String,
    param: Option<String>,
    /// What an OpenAI upstream calls it, if it does.
    code: Option<String>,
}

/// What went wrong, as Anthropic tells it apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    InvalidRequest,
    Authentication,
    Billing,
    Permission,
    NotFound,
    TooLarge,
    RateLimit,
    Timeout,
    Api,
    Overloaded,
}

struct Row {
    kind: Kind,
    status: u16,
    anthropic: &'static str,
    openai: &'static str,
    /// Tells apart what is of one type to OpenAI.
    code: Option<&'static str>,
}

const fn row(
    kind: Kind,
    status: u16,
    anthropic: &'static str,
    openai: &'static str,
    code: Option<&'static str>,
) -> Row {
    Row {
        kind,
        status,
        anthropic,
        openai,
        code,
    }
}

/// Where two rows would do, the first one counts.
const TABLE: [Row; 10] = [
    row(
        Kind::InvalidRequest,
        400,
        "invalid_request_error",
        "invalid_request_error",
        None,
    ),
    row(
        Kind::Authentication,
        401,
        "authentication_error",
        "authentication_error",
        Some("invalid_api_key"),
    ),
    row(
        Kind::Billing,
        402,
        "billing_error",
        "insufficient_quota",
        Some("insufficient_quota"),
    ),
    row(
        Kind::Permission,
        403,
        "permission_error",
        "permission_error",
        Some("permission_denied"),
    ),
    row(
        Kind::NotFound,
        404,
        "not_found_error",
        "invalid_request_error",
        Some("model_not_found"),
    ),
    row(
        Kind::TooLarge,
        413,
        "request_too_large",
        "invalid_request_error",
        Some("request_too_large"),
    ),
    row(
        Kind::RateLimit,
        429,
        "rate_limit_error",
        "rate_limit_error",
        Some("rate_limit_exceeded"),
    ),
    row(
        Kind::Timeout,
        504,
        "timeout_error",
        "timeout_error",
        Some("timeout"),
    ),
    row(Kind::Api, 500, "api_error", "server_error", None),
    row(
        Kind::Overloaded,
        529,
        "overloaded_error",
        "server_error",
        Some("overloaded"),
    ),
];

impl Kind {
    fn row(self) -> &'static Row {
        let found = TABLE.iter().find(|row| row.kind == self);
        found.unwrap_or(&TABLE[0])
    }

    fn of_status(status: u16) -> Self {
        let found = TABLE.iter().find(|row| row.status == status);
        match (found, status) {
            (Some(row), _) => row.kind,
            (None, 408) => Self::Timeout,
            (None, 503) => Self::Overloaded,
            (None, 400..=499) => Self::InvalidRequest,
            (None, _) => Self::Api,
        }
    }
}

impl Problem {
    pub(crate) fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            param: None,
            code: None,
        }
    }

    /// Of an upstream that said nothing that can be read.
    pub(crate) fn of_status(status: u16) -> Self {
        Self::new(
            Kind::of_status(status),
            format!("The upstream answered with status {status}."),
        )
    }

    /// Reads `{"type":"error","error":{…}}`; `None` if it is none.
    pub(crate) fn of_anthropic(body: &Value, status: u16) -> Option<Self> {
        let error = body.get("error")?;
        let said = error.get("type").and_then(Value::as_str);
        let row = TABLE.iter().find(|row| said == Some(row.anthropic));
        Some(Self::new(
            row.map_or_else(|| Kind::of_status(status), |row| row.kind),
            error.get("message")?.as_str()?,
        ))
    }

    /// Reads `{"error":{…}}`, and what some servers have instead: an `error` that is a
    /// text, or no `error` around it all.
    pub(crate) fn of_openai(body: &Value, status: u16) -> Option<Self> {
        let error = body.get("error").unwrap_or(body);
        let text = |name: &str| error.get(name).and_then(Value::as_str);
        let message = error.as_str().or_else(|| text("message"))?;
        let (said, code) = (text("type"), text("code"));
        let by_code = || {
            let row = TABLE
                .iter()
                .find(|row| row.code.is_some() && code == row.code);
            row.or_else(|| TABLE.iter().find(|row| code == Some(row.anthropic)))
        };
        let by_type = || TABLE.iter().find(|row| said == Some(row.openai));
        // Servers say these of much that a status tells apart.
        let is_vague =
            matches!(said, Some("invalid_request_error" | "server_error")) && status != 0;
        let row = by_code().or_else(|| if is_vague { None } else { by_type() });
        Some(Self {
            kind: row.map_or_else(|| Kind::of_status(status), |row| row.kind),
            message: message.to_owned(),
            param: text("param").map(str::to_owned),
            code: code.map(str::to_owned),
        })
    }

    pub(crate) fn to_anthropic(&self) -> Value {
        let error = object([
            ("type", self.kind.row().anthropic.into()),
            ("message", self.message.as_str().into()),
        ]);
        object([("type", "error".into()), ("error", error)])
    }

    pub(crate) fn to_openai(&self) -> Value {
        let row = self.kind.row();
        let error = object([
            ("message", self.message.as_str().into()),
            ("type", row.openai.into()),
            ("param", self.param.as_deref().into()),
            ("code", self.code.as_deref().or(row.code).into()),
        ]);
        object([("error", error)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_kind_of_error_comes_back_from_the_other_shape() {
        for row in &TABLE {
            let problem = Problem::new(row.kind, "no");
            let there = Problem::of_openai(&problem.to_openai(), row.status).unwrap();
            assert_eq!(there.to_anthropic(), problem.to_anthropic());
            let here = Problem::of_anthropic(&problem.to_anthropic(), 0).unwrap();
            assert_eq!(here, problem);
        }
    }

    #[test]
    fn an_error_of_no_known_type_is_told_by_its_status() {
        for (status, kind) in [
            (400, "invalid_request_error"),
            (404, "not_found_error"),
            (422, "invalid_request_error"),
            (429, "rate_limit_error"),
            (500, "api_error"),
            (502, "api_error"),
            (503, "overloaded_error"),
        ] {
            for body in [
                json!({ "error": { "message": "no", "type": "BadRequestError", "code": 1 } }),
                json!({ "error": "no" }),
                json!({ "object": "error", "message": "no" }),
            ] {
                let problem = Problem::of_openai(&body, status).unwrap().to_anthropic();
                assert_eq!(problem["error"]["type"], kind, "{status} {body}");
            }
        }
    }

    #[test]
    fn a_server_error_is_told_by_its_status_and_by_itself_in_a_stream() {
        let body = json!({ "error": { "message": "no", "type": "server_error" } });
        for (status, kind) in [
            (503, "overloaded_error"),
            (504, "timeout_error"),
            (500, "api_error"),
            (0, "api_error"),
        ] {
            let problem = Problem::of_openai(&body, status).unwrap().to_anthropic();
            assert_eq!(problem["error"]["type"], kind, "{status}");
        }
    }

    #[test]
    fn a_wrong_key_of_openai_is_a_matter_of_authentication() {
        let body = json!({ "error": { "message": "no", "type": "invalid_request_error", "param": null, "code": "invalid_api_key" } });
        let problem = Problem::of_openai(&body, 401).unwrap();
        assert_eq!(
            problem.to_anthropic()["error"]["type"],
            "authentication_error"
        );
        assert_eq!(problem.to_openai()["error"]["code"], "invalid_api_key");
    }

    #[test]
    fn what_is_no_error_is_not_read_as_one() {
        for body in [json!(null), json!([]), json!({}), json!({ "error": {} })] {
            assert_eq!(Problem::of_anthropic(&body, 500), None, "{body}");
            assert_eq!(Problem::of_openai(&body, 500), None, "{body}");
        }
    }
}
