//! Texts and globs.

use schemars::JsonSchema;
use serde::Deserialize;

/// A text, or a glob in which each `*` stands for any text, also none.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String")]
pub(crate) struct Pattern {
    text: String,
    /// What stands between the stars.
    parts: Vec<String>,
}

impl Pattern {
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// Without a star.
    pub(crate) fn is_exact(&self) -> bool {
        self.parts.len() == 1
    }

    /// A text that the pattern has.
    pub(crate) fn example(&self) -> String {
        self.parts.join("x")
    }

    /// In a time that grows with the length of the text alone.
    pub(crate) fn has(&self, text: &str) -> bool {
        let [first, middle @ .., last] = self.parts.as_slice() else {
            return self.text == text;
        };
        let inner = text
            .strip_prefix(first.as_str())
            .and_then(|rest| rest.strip_suffix(last.as_str()));
        let Some(mut rest) = inner else {
            return false;
        };
        middle.iter().all(|part| match rest.find(part.as_str()) {
            Some(at) => {
                rest = &rest[at + part.len()..];
                true
            }
            None => false,
        })
    }

    /// Whether it has all that the other one has. A star in the other's text is a letter
    /// that no part has, so nothing but a star can have it: as for any text in its place.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        self.has(&other.text)
    }

    /// Whether no text is in both, as far as that is plain to see.
    pub(crate) fn is_apart_from(&self, other: &Self) -> bool {
        match (self.is_exact(), other.is_exact()) {
            (true, _) => !other.has(&self.text),
            (_, true) => !self.has(&other.text),
            (false, false) => false,
        }
    }
}

impl TryFrom<String> for Pattern {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if (1..=256).contains(&text.len()) {
            let parts = text.split('*').map(str::to_owned).collect();
            Ok(Self { text, parts })
        } else {
            Err("expected a text of 1 to 256 bytes, `*` for any text")
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pattern(text: &str) -> Pattern {
        Pattern::try_from(text.to_owned()).unwrap()
    }

    #[test]
    fn a_star_stands_for_any_text_and_nothing_else_is_special() {
        let those_that_do = [
            ("llama-3", "llama-3"),
            ("gpt-*", "gpt-"),
            ("gpt-*", "gpt-4o"),
            ("*", ""),
            ("**", "a/b"),
            ("*-mini", "o-mini-mini"),
            ("a*b*c", "a-b-b-c"),
            ("a**c", "abc"),
            ("é*", "ée"),
            ("m.[x]?", "m.[x]?"),
        ];
        for (text, model) in those_that_do {
            assert!(pattern(text).has(model), "{text} {model}");
        }
        let those_that_do_not = [
            ("llama-3", "llama-31"),
            ("llama-3", "Llama-3"),
            ("gpt-*", "xgpt-4"),
            ("*-mini", "a-mini-x"),
            ("a*b*c", "a-c-b"),
            ("a*a", "a"),
            ("m.x", "m-x"),
        ];
        for (text, model) in those_that_do_not {
            assert!(!pattern(text).has(model), "{text} {model}");
        }
    }

    #[test]
    fn no_text_and_a_text_too_long_are_refused() {
        assert!(Pattern::try_from(String::new()).is_err());
        assert!(Pattern::try_from("x".repeat(257)).is_err());
    }

    #[test]
    fn a_pattern_covers_those_that_have_less() {
        for (wide, narrow) in [
            ("*", "a"),
            ("*", "*"),
            ("a*", "ab*"),
            ("a*c", "a*b*c"),
            ("a*", "a"),
            ("*b*", "ab"),
        ] {
            assert!(pattern(wide).covers(&pattern(narrow)), "{wide} {narrow}");
        }
        for (wide, narrow) in [("a", "a*"), ("ab*", "a*"), ("a*c", "a*"), ("a*b", "*ab*")] {
            assert!(!pattern(wide).covers(&pattern(narrow)), "{wide} {narrow}");
        }
    }

    proptest! {
        #[test]
        fn what_a_covered_pattern_has_the_covering_one_has(
            wide in "[ab*]{1,5}", narrow in "[ab*]{1,5}", text in "[ab]{0,6}",
        ) {
            let (wide, narrow) = (pattern(&wide), pattern(&narrow));
            if wide.covers(&narrow) && narrow.has(&text) {
                prop_assert!(wide.has(&text));
            }
            if wide.is_apart_from(&narrow) {
                prop_assert!(!(wide.has(&text) && narrow.has(&text)));
            }
            prop_assert!(wide.has(&wide.example()));
        }
    }
}
