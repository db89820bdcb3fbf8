//! Names and values of headers that the gateway lets a policy write.

use std::fmt;

use schemars::JsonSchema;
use serde::Deserialize;

/// The name of a header, in any case.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
pub(crate) struct HeaderName(String);

/// The value of a header: text without line breaks.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
pub(crate) struct HeaderValue(String);

/// Written by the gateway alone; a decision that names one is refused as a whole.
const OWN: [&str; 10] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];
const NAME_MAX: usize = 256;
const VALUE_MAX: usize = 16 << 10;

impl HeaderName {
    /// In lower case.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl HeaderValue {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for HeaderName {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let is_token =
            |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        let name = text.to_ascii_lowercase();
        if name.is_empty() || name.len() > NAME_MAX || !name.bytes().all(is_token) {
            return Err(format!("{text:?} is no name of a header"));
        }
        if OWN.contains(&name.as_str()) || name.starts_with("proxy-") {
            return Err(format!(
                "the header `{name}` is written by the gateway alone"
            ));
        }
        Ok(Self(name))
    }
}

impl TryFrom<String> for HeaderValue {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if text.len() > VALUE_MAX {
            return Err("a header's value is at most 16 KiB long");
        }
        if text
            .chars()
            .any(|letter| letter.is_ascii_control() && letter != '\t')
        {
            return Err("a header's value has no line breaks or other control characters");
        }
        Ok(Self(text))
    }
}

impl fmt::Display for HeaderName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_headers_that_a_policy_may_write_are_taken() {
        let name = |text: &str| HeaderName::try_from(text.to_owned());
        assert_eq!(name("X-Team").unwrap().as_str(), "x-team");
        for text in [
            "",
            "a b",
            "x:",
            "é",
            "Content-Length",
            "Host",
            "proxy-authorization",
        ] {
            assert!(name(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_value_that_would_split_a_header_is_refused() {
        let value = |text: &str| HeaderValue::try_from(text.to_owned());
        assert!(value("a\tb é").is_ok());
        for text in ["a\r\nb", "a\nb", "a\0"] {
            assert!(value(text).is_err(), "{text:?}");
        }
    }
}
