//! Text with places for variables, as the settings write it.
//!
//! `{{name}}` is a place; spaces around the name do not count. `{{{{` is the text `{{`.
//! Anything else is text, single braces and `}}` among it.

use std::fmt;

use schemars::JsonSchema;
use serde::Deserialize;

/// The longest text of one message.
const BYTES_MAX: usize = 256 << 10;

/// Text in which `{{name}}` stands for the variable `name`, and `{{{{` for `{{`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String")]
pub(crate) struct Text {
    pieces: Vec<Piece>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Piece {
    Text(String),
    /// The name of a variable.
    Place(String),
}

impl Text {
    pub(crate) fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    pub(crate) fn places(&self) -> impl Iterator<Item = &str> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Text(_) => None,
            Piece::Place(name) => Some(name.as_str()),
        })
    }
}

/// Letters, digits and `_`, no digit first.
pub(crate) fn is_name(text: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    (1..=64).contains(&text.len())
        && text.bytes().all(is_letter)
        && !text.starts_with(|first: char| first.is_ascii_digit())
}

/// Why a text is none.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum BadText {
    TooLong(usize),
    /// What follows the braces, in part.
    Place(String),
}

impl fmt::Display for BadText {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong(bytes) => {
                write!(
                    out,
                    "expected a text of at most {BYTES_MAX} bytes, found {bytes}"
                )
            }
            Self::Place(text) => write!(
                out,
                "expected the name of a variable and `}}}}` after `{{{{`, found `{text}`; \
                 the text `{{{{` itself is written `{{{{{{{{`"
            ),
        }
    }
}

impl TryFrom<String> for Text {
    type Error = BadText;

    fn try_from(text: String) -> Result<Self, BadText> {
        if text.len() > BYTES_MAX {
            return Err(BadText::TooLong(text.len()));
        }
        let mut pieces = Vec::new();
        let mut plain = String::new();
        let mut rest = text.as_str();
        while let Some((before, after)) = rest.split_once("{{") {
            plain.push_str(before);
            if let Some(after) = after.strip_prefix("{{") {
                plain.push_str("{{");
                rest = after;
                continue;
            }
            let (name, after) = place(after).ok_or_else(|| {
                let shown = after.chars().take(24).collect();
                BadText::Place(shown)
            })?;
            if !plain.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut plain)));
            }
            pieces.push(Piece::Place(name.to_owned()));
            rest = after;
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            pieces.push(Piece::Text(plain));
        }
        Ok(Self { pieces })
    }
}

/// The name of a place, and what comes after it.
fn place(text: &str) -> Option<(&str, &str)> {
    let (name, after) = text.split_once("}}")?;
    let name = name.trim_matches(' ');
    is_name(name).then_some((name, after))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parsed(text: &str) -> Result<Vec<Piece>, BadText> {
        Text::try_from(text.to_owned()).map(|text| text.pieces)
    }

    fn text(text: &str) -> Piece {
        Piece::Text(text.to_owned())
    }

    fn place(name: &str) -> Piece {
        Piece::Place(name.to_owned())
    }

    #[test]
    fn two_braces_make_a_place_four_are_two_and_others_are_text() {
        for (written, expected) in [
            ("", vec![]),
            ("plain", vec![text("plain")]),
            ("{{a}}", vec![place("a")]),
            (
                "Hi {{ name }}!",
                vec![text("Hi "), place("name"), text("!")],
            ),
            ("{{a}}{{b}}", vec![place("a"), place("b")]),
            ("{{{{a}}", vec![text("{{a}}")]),
            ("{{{{{{a}}", vec![text("{{"), place("a")]),
            (
                r#"{"a":{"b":{{b}}}}"#,
                vec![text(r#"{"a":{"b":"#), place("b"), text("}}")],
            ),
            ("a } b { c }} d", vec![text("a } b { c }} d")]),
            ("é{{é}}", vec![]),
        ] {
            match parsed(written) {
                Ok(pieces) => assert_eq!(pieces, expected, "{written}"),
                Err(_) => assert_eq!(written, "é{{é}}"),
            }
        }
    }

    #[test]
    fn what_only_looks_like_a_place_is_refused() {
        for written in [
            "{{", "{{}}", "{{a", "{{a}", "{{a b}}", "{{1a}}", "{{{a}}", "{{a-b}}", "{{\ta}}",
            "{{a\n}}",
        ] {
            let error = parsed(written).unwrap_err().to_string();
            assert!(error.starts_with("expected the name of a variable and `}}` after `{{`"));
            assert!(error.ends_with("`{{` itself is written `{{{{`"), "{error}");
        }
        let long = "x".repeat(BYTES_MAX + 1);
        assert_eq!(parsed(&long), Err(BadText::TooLong(BYTES_MAX + 1)));
    }

    proptest! {
        #[test]
        fn any_text_can_be_written_with_its_braces_doubled(plain in "(?s)[{}a]{0,12}.{0,12}") {
            let pieces = parsed(&plain.replace("{{", "{{{{")).unwrap();
            let read: String = pieces
                .iter()
                .map(|piece| match piece {
                    Piece::Text(text) => text.as_str(),
                    Piece::Place(name) => panic!("a place {name}"),
                })
                .collect();
            prop_assert_eq!(read, plain);
        }

        #[test]
        fn any_text_is_read_or_refused(written in "(?s)[{} ab]{0,20}") {
            let _ = parsed(&written);
        }
    }
}
