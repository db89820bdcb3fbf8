//! The words of a rule: model patterns, JSON pointers and header names, checked as they
//! are read.

use schemars::JsonSchema;
use serde::Deserialize;
use tollgate_sdk::{is_framing_header, pointer};

/// A model name, in which `*` stands for any run of characters.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
pub struct Pattern(String);

impl Pattern {
    pub(crate) fn matches(&self, name: &str) -> bool {
        let Some((start, rest)) = self.0.split_once('*') else {
            return self.0 == name;
        };
        let Some(mut name) = name.strip_prefix(start) else {
            return false;
        };
        let (middle, end) = rest.rsplit_once('*').unwrap_or(("", rest));
        for part in middle.split('*').filter(|part| !part.is_empty()) {
            match name.find(part) {
                Some(at) => name = &name[at + part.len()..],
                None => return false,
            }
        }
        name.ends_with(end)
    }

    /// A name that matches.
    pub(crate) fn example(&self) -> String {
        self.0.replace('*', "x")
    }
}

impl TryFrom<String> for Pattern {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if text.is_empty() || text.len() > 256 {
            return Err(
                "expected a model name of 1 to 256 bytes, in which `*` stands for anything",
            );
        }
        Ok(Self(text))
    }
}

/// A JSON pointer (RFC 6901) to a field.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
pub struct Pointer(String);

impl Pointer {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// As one name in another pointer.
    pub(crate) fn as_token(&self) -> String {
        self.0.replace('~', "~0").replace('/', "~1")
    }

    /// Whether one leads through the other.
    pub(crate) fn overlaps(&self, other: &Self) -> bool {
        let covers = |outer: &str, inner: &str| {
            inner
                .strip_prefix(outer)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        covers(&self.0, &other.0) || covers(&other.0, &self.0)
    }

    /// The containers on the way, from the outside in, each with the name of what is next
    /// in it. Without the document itself.
    pub(crate) fn containers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.match_indices('/').skip(1).map(|(at, _)| {
            let next = &self.0[at + 1..];
            (
                &self.0[..at],
                next.split_once('/').map_or(next, |(next, _)| next),
            )
        })
    }
}

impl TryFrom<String> for Pointer {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if !text.starts_with('/') || pointer::tokens(&text).is_err() {
            return Err("expected a JSON pointer to a field, such as `/temperature`");
        }
        Ok(Self(text))
    }
}

/// The name of a header that a policy may write.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
pub struct HeaderName(String);

impl HeaderName {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for HeaderName {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let is_token =
            |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if text.is_empty() || text.len() > 256 || !text.bytes().all(is_token) {
            return Err("expected the name of a header".to_owned());
        }
        let name = text.to_ascii_lowercase();
        if is_framing_header(&name) {
            return Err(format!(
                "the header `{name}` is written by the gateway alone"
            ));
        }
        Ok(Self(name))
    }
}

/// The value of a header.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
pub struct HeaderValue(String);

impl HeaderValue {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for HeaderValue {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if text.len() > 8192 || text.contains(|letter: char| letter.is_control() && letter != '\t')
        {
            return Err("expected the value of a header, without control characters");
        }
        Ok(Self(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, name: &str) -> bool {
        Pattern::try_from(pattern.to_owned()).unwrap().matches(name)
    }

    #[test]
    fn a_star_stands_for_any_run_of_characters() {
        assert!(matches("llama-3", "llama-3"));
        assert!(!matches("llama-3", "llama-3.1"));
        assert!(matches("llama-*", "llama-"));
        assert!(matches("*", ""));
        assert!(matches("*-mini", "gpt-4o-mini"));
        assert!(!matches("*-mini", "gpt-4o-mini-high"));
        assert!(matches("gpt-*-mini-*", "gpt-4o-mini-mini-2024"));
        assert!(!matches("a*b*c", "acb"));
        assert!(matches("a**c", "abc"));
        assert!(!matches("ab*ba", "aba"));
        assert!(!matches("GPT*", "gpt-4"));
    }

    #[test]
    fn the_containers_of_a_pointer_come_from_the_outside_in() {
        let pointer = Pointer::try_from("/a/0/b".to_owned()).unwrap();
        assert_eq!(
            pointer.containers().collect::<Vec<_>>(),
            [("/a", "0"), ("/a/0", "b")]
        );
        assert_eq!(
            Pointer::try_from("/a".to_owned())
                .unwrap()
                .containers()
                .count(),
            0
        );
    }
}
