//! Replaces words in a text that comes piece by piece.
//!
//! The pieces come out as if the text had been whole: what may be the start of a word is
//! held back until it is clear. At each place the first word that fits is taken.

use schemars::JsonSchema;
use serde::Deserialize;

/// A word and what stands in its place.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Replacement {
    /// The word, as it is written.
    pub from: String,
    /// What stands in its place.
    pub to: String,
}

pub(crate) struct Replacer<'a> {
    words: Vec<&'a Replacement>,
    held: String,
}

impl<'a> Replacer<'a> {
    pub(crate) fn new(words: Vec<&'a Replacement>) -> Self {
        Self {
            words,
            held: String::new(),
        }
    }

    /// Replaces in a text that is whole.
    pub(crate) fn whole(words: &[&Replacement], text: &str) -> String {
        replace(words, text, true).0
    }

    /// Replaces in a text apart from the one that is fed.
    pub(crate) fn alone(&self, text: &str) -> String {
        Self::whole(&self.words, text)
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.words.is_empty()
    }

    /// The next piece goes in, what is clear comes out.
    pub(crate) fn feed(&mut self, piece: &str) -> String {
        let mut text = std::mem::take(&mut self.held);
        text.push_str(piece);
        let (clear, rest) = replace(&self.words, &text, false);
        self.held = text[rest..].to_owned();
        clear
    }

    /// The text is over: the rest comes out.
    pub(crate) fn finish(&mut self) -> String {
        let text = std::mem::take(&mut self.held);
        Self::whole(&self.words, &text)
    }
}

/// What became of the text, up to the offset from which on it is not clear yet.
fn replace(words: &[&Replacement], text: &str, is_whole: bool) -> (String, usize) {
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    'places: while let Some(letter) = text[at..].chars().next() {
        let rest = &text[at..];
        for word in words {
            if rest.starts_with(&word.from) {
                out.push_str(&word.to);
                at += word.from.len();
                continue 'places;
            }
            if !is_whole && word.from.starts_with(rest) {
                return (out, at);
            }
        }
        out.push(letter);
        at += letter.len_utf8();
    }
    (out, at)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn words(pairs: &[(&str, &str)]) -> Vec<Replacement> {
        pairs
            .iter()
            .map(|(from, to)| Replacement {
                from: (*from).to_owned(),
                to: (*to).to_owned(),
            })
            .collect()
    }

    #[test]
    fn a_word_over_several_pieces_is_replaced() {
        let words = words(&[("secret", "[removed]")]);
        let mut text = Replacer::new(words.iter().collect());
        assert_eq!(text.feed("a se"), "a ");
        assert_eq!(text.feed("cre"), "");
        assert_eq!(text.feed("t sec"), "[removed] ");
        assert_eq!(text.feed("ond"), "second");
        assert_eq!(text.finish(), "");
    }

    #[test]
    fn what_was_held_back_in_vain_is_searched_for_shorter_words() {
        let words = words(&[("abc", "1"), ("ab", "2")]);
        let mut text = Replacer::new(words.iter().collect());
        assert_eq!(text.feed("ab"), "");
        assert_eq!(text.finish(), "2");
    }

    proptest! {
        #[test]
        fn pieces_come_out_as_the_whole_text_would(
            pieces in prop::collection::vec("[abé]{0,4}", 0..8),
            froms in prop::collection::vec("[abé]{1,4}", 1..4),
        ) {
            let words: Vec<_> =
                froms.into_iter().enumerate().map(|(n, from)| Replacement { from, to: n.to_string() }).collect();
            let mut text = Replacer::new(words.iter().collect());
            let mut streamed: String = pieces.iter().map(|piece| text.feed(piece)).collect();
            streamed.push_str(&text.finish());
            prop_assert_eq!(streamed, text.alone(&pieces.concat()));
        }
    }
}
