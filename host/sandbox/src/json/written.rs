//! What is put into a document, as its text.

use super::{
    JsonEditError, Pointer,
    scan::{self, Scanner, check_encoding},
    text,
    tree::write_key,
};
use crate::contract::Value;

/// A value that can be written.
pub(super) enum Written<'a> {
    Plain(&'a Value),
    /// Without the space around it.
    Json(&'a [u8]),
}

impl<'a> Written<'a> {
    pub(super) fn check(value: &'a Value, depth_max: usize) -> Result<Self, JsonEditError> {
        match value {
            Value::Number(number) if !number.is_finite() => Err(JsonEditError::Number),
            Value::Json(json) => {
                let json = json.as_bytes();
                let range = whole_value(json, depth_max);
                let range = range.map_err(|found| JsonEditError::Value(found.locate(json)))?;
                Ok(Self::Json(&json[range]))
            }
            value => Ok(Self::Plain(value)),
        }
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Json(json) => out.extend_from_slice(json),
            Self::Plain(Value::Null) => out.extend_from_slice(b"null"),
            Self::Plain(Value::Boolean(true)) => out.extend_from_slice(b"true"),
            Self::Plain(Value::Boolean(false)) => out.extend_from_slice(b"false"),
            Self::Plain(Value::Number(number)) => text::write_number(out, *number),
            Self::Plain(Value::Text(string)) => text::write_string(out, string),
            Self::Plain(Value::Json(json)) => out.extend_from_slice(json.as_bytes()),
        }
    }
}

fn whole_value(json: &[u8], depth_max: usize) -> Result<std::ops::Range<usize>, Box<scan::Found>> {
    check_encoding(json)?;
    let mut scanner = Scanner::new(json, 0, depth_max);
    scanner.space();
    let start = scanner.at;
    scanner.value(0)?;
    let end = scanner.at;
    scanner.end()?;
    Ok(start..end)
}

/// Writes a value, in new objects, one a token.
pub(super) fn wrap(tokens: &[Box<str>], value: Written<'_>, out: &mut Vec<u8>) {
    for token in tokens {
        out.push(b'{');
        write_key(out, token);
    }
    value.write(out);
    out.resize(out.len() + tokens.len(), b'}');
}

/// Of a member that is kept as text.
const READY_BYTES_MAX: usize = 256;

/// A key and a value, as they stand in an object.
#[derive(Debug)]
pub(crate) struct ReadyMember {
    pub(super) text: Box<[u8]>,
    /// So many bytes of it are before the value.
    pub(super) key: usize,
}

impl ReadyMember {
    /// What setting this value adds to a document, where the pointer leads to one of its members
    /// and the value is short and fits each document.
    pub(crate) fn of(pointer: &Pointer, value: &Value) -> Option<Self> {
        let ([token], false) = (pointer.tokens.as_deref()?, matches!(value, Value::Json(_))) else {
            return None;
        };
        let value = Written::check(value, 0).ok()?;
        let mut text = Vec::new();
        write_key(&mut text, token);
        let key = text.len();
        value.write(&mut text);
        let is_short = text.len() <= READY_BYTES_MAX;
        is_short.then(|| Self {
            text: text.into(),
            key,
        })
    }
}
