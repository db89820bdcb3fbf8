//! Names that clients are shown.

use std::fmt;

use schemars::JsonSchema;
use serde::Deserialize;

/// A plain name: 1 to 64 letters, digits, `-`, `_` or `.`, all of ASCII.
///
/// It can be shown to clients and written into headers, labels and keys as it is.
///
/// ```
/// use tollgate_settings::Name;
///
/// let name: Name = "team-a.v2".parse().unwrap();
/// assert_eq!(name.as_str(), "team-a.v2");
/// assert!("team a".parse::<Name>().is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(description = "A plain name: 1 to 64 letters, digits, `-`, `_` or `.`.")]
pub struct Name(Box<str>);

impl Name {
    /// As it is written.
    ///
    /// ```
    /// assert_eq!("a".parse::<tollgate_settings::Name>().unwrap().as_str(), "a");
    /// ```
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Why a text is no [`Name`].
///
/// ```
/// let error = "a b".parse::<tollgate_settings::Name>().unwrap_err();
/// assert_eq!(error.to_string(), "expected 1 to 64 letters, digits, `-`, `_` or `.`");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadName;

impl std::error::Error for BadName {}

impl fmt::Display for BadName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("expected 1 to 64 letters, digits, `-`, `_` or `.`")
    }
}

impl TryFrom<String> for Name {
    type Error = BadName;

    fn try_from(text: String) -> Result<Self, BadName> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
        if (1..=64).contains(&text.len()) && text.bytes().all(is_plain) {
            Ok(Self(text.into_boxed_str()))
        } else {
            Err(BadName)
        }
    }
}

impl std::str::FromStr for Name {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        text.to_owned().try_into()
    }
}

impl fmt::Display for Name {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}
