//! A request that does not fit, and how the client is told.

use tollgate_sdk::prelude::*;
use tollgate_settings::words;

/// One field, what was expected of it, and what was found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Misfit {
    pub(crate) pointer: String,
    pub(crate) expected: String,
    pub(crate) found: String,
}

impl Misfit {
    pub(crate) const CODE: &'static str = "invalid_field";

    pub(crate) fn new(
        pointer: impl Into<String>,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> Self {
        Self {
            pointer: pointer.into(),
            expected: expected.into(),
            found: found.into(),
        }
    }

    pub(crate) fn into_verdict(self) -> Verdict {
        let Self {
            pointer,
            expected,
            found,
        } = self;
        let message = format!("schema-guard: {pointer}: expected {expected}, found {found}.");
        Verdict::refuse(400, Self::CODE, message)
    }
}

/// What a client sent, short enough and plain enough to be sent back.
pub(crate) fn shown(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Boolean(truth) => truth.to_string(),
        Value::Number(number) => number.to_string(),
        Value::Text(text) => quoted(text),
        Value::Json(text) if text.starts_with('[') => "a list".to_owned(),
        Value::Json(text) if text.starts_with('{') => "an object".to_owned(),
        Value::Json(text) => words::shown(text),
    }
}

/// As [`shown`].
pub(crate) fn shown_json(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::Array(_) => "a list".to_owned(),
        serde_json::Value::Object(_) => "an object".to_owned(),
        serde_json::Value::String(text) => quoted(text),
        scalar => words::shown(&scalar.to_string()),
    }
}

pub(crate) fn quoted(text: &str) -> String {
    format!("`{}`", words::shown(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_sent_is_shown_short_and_plain() {
        assert_eq!(shown(&Value::from("a\u{1b}[2Jb\0")), "`a\\u{1b}[2Jb\\u{0}`");
        assert!(shown(&Value::from("é".repeat(64 * 1024))).len() < 80);
        assert_eq!(shown(&Value::from(0.5)), "0.5");
        assert_eq!(shown(&Value::from(u64::MAX)), u64::MAX.to_string());
        assert!(shown(&Value::Json("9".repeat(100_000))).len() < 80);
        assert_eq!(shown(&Value::Json("[1]".to_owned())), "a list");
        assert_eq!(shown_json(&serde_json::json!({ "a": 1 })), "an object");
    }
}
