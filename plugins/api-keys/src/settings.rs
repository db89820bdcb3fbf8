//! The settings as the policy uses them.

use std::str::FromStr;

use schemars::JsonSchema;
use serde::Deserialize;
use tollgate_sdk::is_framing_header;

use crate::{keys::Keys, written::Written};

/// Who may call, with all keys in one order.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(from = "Written")]
#[schemars(with = "Written")]
pub struct Settings {
    pub(crate) keys: Keys,
    pub(crate) header: Carrier,
    pub(crate) strip: bool,
}

impl From<Written> for Settings {
    fn from(written: Written) -> Self {
        Self {
            keys: Keys::of(written.keys, written.callers),
            header: written.header,
            strip: written.strip,
        }
    }
}

impl Settings {
    pub(crate) fn check(&self) -> Result<(), Vec<String>> {
        match self.keys.mistakes() {
            mistakes if mistakes.is_empty() => Ok(()),
            mistakes => Err(mistakes),
        }
    }
}

/// Where the key is.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) enum Carrier {
    /// `authorization: Bearer KEY`
    #[default]
    Bearer,
    /// A header with nothing but the key in it; its name in lower case.
    Header(String),
}

impl Carrier {
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Bearer => "authorization",
            Self::Header(name) => name,
        }
    }

    pub(crate) fn how_to(&self) -> String {
        match self {
            Self::Bearer => "Send an API key in the header `authorization: Bearer KEY`.".to_owned(),
            Self::Header(name) => format!("Send an API key in the header `{name}: KEY`."),
        }
    }
}

impl FromStr for Carrier {
    type Err = &'static str;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let is_token =
            |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if name.is_empty()
            || name.len() > 64
            || !name.bytes().all(is_token)
            || is_framing_header(name)
        {
            return Err("expected the name of a header");
        }
        Ok(match name.to_ascii_lowercase() {
            name if name == "authorization" => Self::Bearer,
            name => Self::Header(name),
        })
    }
}

impl<'de> Deserialize<'de> for Carrier {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}
