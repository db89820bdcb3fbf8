//! What there is of a request.

use tollgate_sdk::Value;

/// What is looked at of a text: as much as a fact can have. A field may be as long as a
/// body, and comparing that with every pattern would be the end of a plugin.
const TEXT_MAX: usize = 1024;

/// The value of a subject.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Found {
    /// It is not there.
    Nothing,
    Text(String),
    Number(f64),
    Flag(bool),
    /// It is there and equals nothing: a list, an object, bytes that are no text, or a text
    /// of more than 1 KiB.
    Other,
}

impl Found {
    pub(crate) fn text(text: Option<String>) -> Self {
        match text {
            Some(text) if text.len() <= TEXT_MAX => Self::Text(text),
            Some(_) => Self::Other,
            None => Self::Nothing,
        }
    }

    pub(crate) fn bytes(bytes: Option<Vec<u8>>) -> Self {
        let Some(bytes) = bytes else {
            return Self::Nothing;
        };
        match String::from_utf8(bytes) {
            Ok(text) => Self::text(Some(text)),
            Err(_) => Self::Other,
        }
    }

    pub(crate) fn field(value: Option<Value>) -> Self {
        match value {
            None | Some(Value::Null) => Self::Nothing,
            Some(Value::Boolean(flag)) => Self::Flag(flag),
            Some(Value::Number(number)) => Self::Number(number),
            Some(Value::Text(text)) => Self::text(Some(text)),
            // A number that no float holds to the last digit comes as its text.
            Some(Value::Json(text)) if text.len() <= TEXT_MAX => match text.as_bytes() {
                [b'-' | b'0'..=b'9', ..] => text.parse().map_or(Self::Other, Self::Number),
                _ => Self::Other,
            },
            Some(Value::Json(_)) => Self::Other,
        }
    }

    /// What a caller or a session goes by: a text that is not empty, or a number.
    pub(crate) fn key(&self) -> Option<String> {
        match self {
            Self::Text(text) if !text.is_empty() => Some(text.clone()),
            Self::Number(number) => Some(number.to_string()),
            _ => None,
        }
    }
}
