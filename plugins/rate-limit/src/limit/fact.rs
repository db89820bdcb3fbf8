//! Names of facts.

use schemars::JsonSchema;
use serde::Deserialize;

/// What requests count by: `caller`, `tier`, `model`, `route` or another fact.
#[derive(Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
pub(crate) struct Fact(#[schemars(length(min = 1, max = 64))] String);

impl Fact {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
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
