//! Errors in the shape of each protocol.

use serde_json::value::RawValue;
use tollgate_sdk::{Answer, Verdict};

use crate::{
    at::At,
    fault::Fault,
    json::{Fields, Object, unquoted},
    settings::Protocol,
};

/// An error that somebody is told of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    status: u16,
    message: String,
    /// What an OpenAI upstream calls it, or this policy.
    code: Option<String>,
    /// What an OpenAI upstream calls its kind.
    kind: Option<String>,
}

/// Of a message that an upstream wrote.
const MESSAGE_MAX: usize = 4096;

impl Problem {
    pub(crate) fn new(status: u16, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
            code: None,
            kind: None,
        }
    }

    fn coded(mut self, code: &str) -> Self {
        self.code = Some(code.to_owned());
        self
    }

    /// The request cannot be translated.
    pub(crate) fn request(fault: &Fault) -> Self {
        let code = match fault.is_unsupported {
            true => "unsupported_field",
            false => "invalid_request",
        };
        let message = format!("This request cannot be translated: {}.", fault.message);
        Self::new(400, message).coded(code)
    }

    /// The request is none that is served.
    pub(crate) fn endpoint(client: Protocol) -> Self {
        let message = format!(
            "Behind this model there is no such endpoint of {}.",
            client.name()
        );
        Self::new(404, message).coded("unsupported_endpoint")
    }

    /// The request holds tensors in binary, or is compressed.
    pub(crate) fn binary() -> Self {
        let message = "Binary tensors (`inference-header-content-length`) cannot be translated: expected tensors as JSON.";
        Self::new(415, message).coded("binary_tensors")
    }

    pub(crate) fn encoded() -> Self {
        Self::new(415, "A compressed body cannot be translated.").coded("unsupported_encoding")
    }

    /// No path can name the model.
    pub(crate) fn model() -> Self {
        let message = "The model's name cannot stand in a path: expected one without `/`.";
        Self::new(400, message).coded("invalid_model_name")
    }

    /// The upstream's answer cannot be translated, or shows that the request could not be.
    pub(crate) fn answer(fault: &Fault) -> Self {
        if fault.is_unsupported {
            return Self::request(fault);
        }
        let message = format!(
            "The upstream's answer cannot be translated: {}.",
            fault.message
        );
        Self::new(502, message).coded("answer_unreadable")
    }

    /// Of an upstream that said nothing that can be read.
    fn of_status(status: u16) -> Self {
        Self::new(
            status,
            format!("The upstream answered with status {status}."),
        )
    }

    /// What an upstream that answered with this status said.
    pub(crate) fn said(upstream: Protocol, body: Option<&str>, status: u16) -> Self {
        let said = body.and_then(|body| Self::read(upstream, body, status));
        said.unwrap_or_else(|| Self::of_status(status))
    }

    /// Reads an error; `None` if it is none.
    pub(crate) fn read(upstream: Protocol, body: &str, status: u16) -> Option<Self> {
        let mut fields = Fields::of(body, At::Root).ok()?;
        let mut problem = match upstream {
            Protocol::OpenInference => Self::new(status, of_v2(&mut fields)?),
            Protocol::OpenAi => {
                let error = fields.take("error")?;
                match unquoted(error.get()) {
                    Some(message) => Self::new(status, message),
                    None => {
                        let mut error = Fields::of(error, At::Root).ok()?;
                        let mut problem = Self::new(status, error.text("message").ok()??);
                        problem.code = error.text("code").ok().flatten();
                        problem.kind = error.text("type").ok().flatten();
                        problem
                    }
                }
            }
            Protocol::Seldon => {
                let mut said = fields.object("status").ok()??;
                let info = said.text("info").ok().flatten();
                let info = info.filter(|info| !info.is_empty());
                let reason = || said.text("reason").ok().flatten();
                Self::new(status, info.or_else(reason)?)
            }
        };
        let end = problem.message.floor_char_boundary(MESSAGE_MAX);
        problem.message.truncate(end);
        Some(problem)
    }

    /// The error as JSON.
    pub(crate) fn written(&self, client: Protocol) -> String {
        let mut out = Object::default();
        match client {
            Protocol::OpenInference => out.put("error", &self.message),
            Protocol::OpenAi => {
                let (kind, code) = self.openai();
                let mut error = Object::default();
                error.put("message", &self.message);
                error.put("type", self.kind.as_deref().unwrap_or(kind));
                error.raw("param", "null");
                error.put("code", &self.code.as_deref().or(code));
                out.raw("error", &error.into_text());
            }
            Protocol::Seldon => {
                let mut status = Object::default();
                status.put("code", &self.status);
                status.put("info", &self.message);
                let reason = self.code.as_deref().unwrap_or("UPSTREAM_ERROR");
                status.put("reason", &reason.to_ascii_uppercase());
                status.put("status", "FAILURE");
                out.raw("status", &status.into_text());
            }
        }
        out.into_text()
    }

    /// Type and code, by the status.
    fn openai(&self) -> (&'static str, Option<&'static str>) {
        match self.status {
            401 => ("authentication_error", Some("invalid_api_key")),
            403 => ("permission_error", Some("permission_denied")),
            404 => ("invalid_request_error", Some("model_not_found")),
            408 | 504 => ("timeout_error", Some("timeout")),
            413 => ("invalid_request_error", Some("request_too_large")),
            // The protocol has it for a generation that failed.
            424 => ("server_error", None),
            429 => ("rate_limit_error", Some("rate_limit_exceeded")),
            400..=499 => ("invalid_request_error", None),
            503 => ("server_error", Some("overloaded")),
            _ => ("server_error", None),
        }
    }

    /// The gateway writes refusals in OpenAI's shape alone, so others are answers.
    pub(crate) fn verdict(&self, client: Protocol) -> Verdict {
        match client {
            Protocol::OpenAi => {
                let code = self.code.as_deref().unwrap_or("invalid_request");
                Verdict::refuse(self.status, code, self.message.as_str())
            }
            Protocol::OpenInference | Protocol::Seldon => {
                let answer = Answer::new(self.status).header("content-type", "application/json");
                Verdict::reply(answer.body(self.written(client)))
            }
        }
    }
}

/// `{"error": …}`, and what servers made with FastAPI have instead: `{"detail": …}`.
fn of_v2(fields: &mut Fields) -> Option<String> {
    let error = fields.take("error").or_else(|| fields.take("detail"))?;
    let text = |value: &RawValue| unquoted(value.get());
    if let Some(message) = text(error) {
        return Some(message);
    }
    let list: Vec<&RawValue> = serde_json::from_str(error.get()).ok()?;
    let first = list.first()?;
    let mut first = Fields::of(*first, At::Root).ok()?;
    let message = first.text("msg").ok()??;
    let place: Option<Vec<&RawValue>> = first.list("loc").ok().flatten();
    let place = place.unwrap_or_default().into_iter();
    let place: Vec<String> = place
        .map(|step| text(step).unwrap_or_else(|| step.get().to_owned()))
        .collect();
    match place.is_empty() {
        true => Some(message),
        false => Some(format!("{}: {message}", place.join("."))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn read(upstream: Protocol, body: &Value) -> Option<Problem> {
        Problem::read(upstream, &body.to_string(), 400)
    }

    fn written(problem: &Problem, client: Protocol) -> Value {
        serde_json::from_str(&problem.written(client)).unwrap()
    }

    #[test]
    fn an_error_of_each_protocol_is_read_and_written_in_each_other() {
        for (upstream, body) in [
            (
                Protocol::OpenInference,
                json!({ "error": "no such tensor" }),
            ),
            (
                Protocol::OpenAi,
                json!({ "error": { "message": "no such tensor", "type": "invalid_request_error", "param": null, "code": null } }),
            ),
            (
                Protocol::Seldon,
                json!({ "status": { "code": 400, "info": "no such tensor", "reason": "UPSTREAM_ERROR", "status": "FAILURE" } }),
            ),
        ] {
            let problem = read(upstream, &body).unwrap();
            assert_eq!(written(&problem, upstream), body);
            assert_eq!(
                written(&problem, Protocol::OpenInference),
                json!({ "error": "no such tensor" })
            );
        }
    }

    #[test]
    fn what_servers_say_instead_is_read_too() {
        let detail = json!({ "detail": [{ "loc": ["body", "inputs", 0], "msg": "field required", "type": "x" }] });
        let problem = read(Protocol::OpenInference, &detail).unwrap();
        assert_eq!(problem.message, "body.inputs.0: field required");
        let detail = json!({ "detail": "Not Found" });
        assert_eq!(
            read(Protocol::OpenInference, &detail).unwrap().message,
            "Not Found"
        );
        // Seldon's microservices have numbers where the protocol has names.
        let status = json!({ "status": { "status": 1, "info": "bad data", "code": -1, "reason": "MICROSERVICE_BAD_DATA" } });
        assert_eq!(read(Protocol::Seldon, &status).unwrap().message, "bad data");
    }

    #[test]
    fn what_is_no_error_is_not_read_as_one_and_a_long_one_is_cut() {
        for body in [
            json!(null),
            json!([]),
            json!({}),
            json!({ "error": {} }),
            json!({ "detail": [1] }),
        ] {
            for upstream in [Protocol::OpenInference, Protocol::OpenAi, Protocol::Seldon] {
                assert_eq!(read(upstream, &body), None, "{body}");
            }
        }
        let long = json!({ "error": "é".repeat(MESSAGE_MAX) });
        let problem = read(Protocol::OpenInference, &long).unwrap();
        assert_eq!(problem.message.len(), MESSAGE_MAX);
    }
}
