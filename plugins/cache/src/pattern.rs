//! Names of models, and globs.

use schemars::JsonSchema;
use serde::Deserialize;

/// A name, or a glob in which each `*` stands for any text, also none.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
pub(crate) struct Pattern(#[schemars(length(min = 1, max = 256))] String);

impl Pattern {
    /// A name that the pattern has.
    pub(crate) fn example(&self) -> String {
        self.0.replace('*', "x")
    }

    /// At a mismatch it goes back to the last `*` alone, so the time is bounded by the
    /// product of the lengths, whatever the client sends.
    pub(crate) fn has(&self, name: &str) -> bool {
        let (pattern, name) = (self.0.as_bytes(), name.as_bytes());
        let (mut at, mut in_name) = (0, 0);
        let mut last_star = None;
        while in_name < name.len() {
            if pattern.get(at) == Some(&b'*') {
                last_star = Some((at, in_name));
                at += 1;
            } else if pattern.get(at) == Some(&name[in_name]) {
                at += 1;
                in_name += 1;
            } else if let Some((star, taken)) = last_star {
                at = star + 1;
                in_name = taken + 1;
                last_star = Some((star, in_name));
            } else {
                return false;
            }
        }
        pattern[at..].iter().all(|byte| *byte == b'*')
    }
}

impl TryFrom<String> for Pattern {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if (1..=256).contains(&text.len()) {
            Ok(Self(text))
        } else {
            Err("expected a name of 1 to 256 bytes, `*` for any text")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn has(pattern: &str, model: &str) -> bool {
        Pattern::try_from(pattern.to_owned()).unwrap().has(model)
    }

    #[test]
    fn a_star_stands_for_any_text_and_nothing_else_is_special() {
        let those_that_do = [
            ("llama-3", "llama-3"),
            ("gpt-*", "gpt-"),
            ("gpt-*", "gpt-4o"),
            ("*", ""),
            ("*", "a/b"),
            ("*-mini", "o-mini-mini"),
            ("a*b*c", "a-b-b-c"),
            ("a**c", "abc"),
            ("é*", "ée"),
            ("m.[x]?", "m.[x]?"),
        ];
        for (pattern, model) in those_that_do {
            assert!(has(pattern, model), "{pattern} {model}");
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
        for (pattern, model) in those_that_do_not {
            assert!(!has(pattern, model), "{pattern} {model}");
        }
    }

    #[test]
    fn a_pattern_made_to_backtrack_ends() {
        let pattern = "*a".repeat(100) + "*b";
        assert!(!has(&pattern, &"a".repeat(20_000)));
    }
}
