//! Names in the settings.

use schemars::JsonSchema;
use serde::Deserialize;
use tollgate_sdk::is_framing_header;

/// Of a rule, an arm or a version: it goes into logs, metrics and errors, so it is plain.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
pub(crate) struct Name(#[schemars(regex(pattern = r"^[A-Za-z0-9_.-]{1,64}$"))] String);

/// Of a model or an upstream, as the configuration has them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
pub(crate) struct Destination(#[schemars(length(min = 1, max = 128))] String);

/// Of a header, in lower case.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
pub(crate) struct Header(#[schemars(length(min = 1, max = 64))] String);

/// Of a fact.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
pub(crate) struct Fact(#[schemars(length(min = 1, max = 64))] String);

/// A JSON pointer (RFC 6901).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
pub(crate) struct Pointer(#[schemars(regex(pattern = "^/"), length(max = 256))] String);

/// A country by its two letters (ISO 3166-1), in upper case.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
pub(crate) struct Country(#[schemars(regex(pattern = "^[A-Za-z][A-Za-z0-9]$"))] String);

impl Name {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl Destination {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl Header {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl Fact {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl Pointer {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl Country {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Name {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
        if (1..=64).contains(&text.len()) && text.bytes().all(is_plain) {
            Ok(Self(text))
        } else {
            Err("expected 1 to 64 letters, digits, `-`, `_` or `.`")
        }
    }
}

impl TryFrom<String> for Destination {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let is_name = (1..=128).contains(&text.len())
            && text.trim() == text
            && !text.contains(char::is_control);
        if is_name {
            Ok(Self(text))
        } else {
            Err("expected a name of the configuration, of 1 to 128 bytes")
        }
    }
}

impl TryFrom<String> for Header {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let is_token =
            |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        let is_name = (1..=64).contains(&text.len()) && text.bytes().all(is_token);
        if is_name && !is_framing_header(&text) {
            Ok(Self(text.to_ascii_lowercase()))
        } else {
            Err("expected the name of a header, of 1 to 64 bytes")
        }
    }
}

impl TryFrom<String> for Fact {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if (1..=64).contains(&text.len()) && !text.contains(char::is_control) {
            Ok(Self(text))
        } else {
            Err("expected the name of a fact, of 1 to 64 bytes")
        }
    }
}

impl TryFrom<String> for Pointer {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if text.starts_with('/') && text.len() <= 256 {
            Ok(Self(text))
        } else {
            Err("expected a JSON pointer such as `/metadata/plan`, of up to 256 bytes")
        }
    }
}

impl TryFrom<String> for Country {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        match text.as_bytes() {
            [first, second] if first.is_ascii_alphabetic() && second.is_ascii_alphanumeric() => {
                Ok(Self(text.to_ascii_uppercase()))
            }
            _ => Err("expected the two letters of a country, such as `DE`"),
        }
    }
}
