//! Names in the settings.

use schemars::JsonSchema;
use serde::Deserialize;

/// Of a limit. It is shown to clients, so it is plain.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
pub(crate) struct Name(#[schemars(regex(pattern = r"^[A-Za-z0-9_.-]{1,64}$"))] String);

/// What requests count by: `caller`, `tier`, `model`, `route` or another fact.
#[derive(Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
pub(crate) struct Fact(#[schemars(length(min = 1, max = 64))] String);

impl Name {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl Fact {
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

impl TryFrom<String> for Fact {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if (1..=64).contains(&text.len()) {
            Ok(Self(text))
        } else {
            Err(
                "expected `caller`, `tier`, `model`, `route` or the name of another fact, of 1 to 64 bytes",
            )
        }
    }
}
