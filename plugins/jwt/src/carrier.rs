//! Where the token is, and what of a header's value is one.

use std::str::FromStr;

use serde::Deserialize;
use tollgate_sdk::is_framing_header;

use crate::refused::Refused;

/// Where the token is.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) enum Carrier {
    /// `authorization: Bearer TOKEN`
    #[default]
    Bearer,
    /// A header with nothing but the token in it; its name in lower case.
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
            Self::Bearer => "Send a token in the header `authorization: Bearer TOKEN`.".to_owned(),
            Self::Header(name) => format!("Send a token in the header `{name}: TOKEN`."),
        }
    }

    /// Whether it can be a token is not looked at.
    pub(crate) fn token<'a>(&self, value: Option<&'a [u8]>) -> Result<&'a [u8], Refused> {
        let value = value.unwrap_or_default();
        let token = match self {
            Self::Bearer if value.is_empty() => value,
            Self::Bearer => after_bearer(value).ok_or(Refused::Malformed)?,
            Self::Header(_) => value,
        };
        if token.is_empty() {
            return Err(Refused::Missing);
        }
        Ok(token)
    }
}

/// RFC 9110: the scheme in any case, at least one space, the credentials.
fn after_bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, rest) = value.split_at_checked(6)?;
    let spaces = rest.iter().take_while(|byte| **byte == b' ').count();
    let is_bearer = scheme.eq_ignore_ascii_case(b"bearer") && (spaces > 0 || rest.is_empty());
    is_bearer.then(|| &rest[spaces..])
}

impl FromStr for Carrier {
    type Err = &'static str;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let is_token =
            |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        let is_name = (1..=64).contains(&name.len()) && name.bytes().all(is_token);
        if !is_name || is_framing_header(name) {
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
