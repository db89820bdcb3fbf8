//! Values that are secret wherever they stand, and where they stand in a text.

use std::{collections::BTreeMap, ops::Range};

use aho_corasick::{AhoCorasick, AhoCorasickKind, Input, MatchKind};
use percent_encoding::percent_decode_str;
use serde_json::Value;

use super::{HIDDEN, is_secret};

/// Values shorter than this are hidden by name alone: they stand in too many texts.
const VALUE_MIN: usize = 6;
/// So much of a value finds it; a text may have been cut in the middle of the rest.
const NEEDLE_MAX: usize = 48;

/// Values to be hidden.
#[derive(Clone)]
pub(crate) struct Values {
    all: Vec<String>,
    most: usize,
    /// There were more.
    is_full: bool,
}

impl Default for Values {
    fn default() -> Self {
        Self::at_most(usize::MAX)
    }
}

impl Values {
    pub(super) const fn at_most(most: usize) -> Self {
        Self {
            all: Vec::new(),
            most,
            is_full: false,
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.is_full
    }

    pub(crate) fn add(&mut self, value: &[u8]) {
        self.add_text(&String::from_utf8_lossy(value));
    }

    pub(super) fn add_text(&mut self, value: &str) {
        let value = value.trim();
        // What stands in place of a secret is none, and neither is a part of it.
        if value.len() < VALUE_MIN || HIDDEN.contains(value) {
            return;
        }
        if self.all.iter().any(|known| known == value) {
            return;
        }
        if self.all.len() >= self.most {
            self.is_full = true;
            return;
        }
        self.all.push(value.to_owned());
    }

    /// What stands under a name that is secret: the whole, what follows the scheme in it,
    /// and the value of each cookie.
    pub(super) fn add_credentials(&mut self, value: &str) {
        /// What a cookie says of itself.
        const ATTRIBUTES: &[&str] = &["domain", "expires", "max-age", "path", "samesite"];
        self.add_text(value);
        if let Some((_, last)) = value.trim().rsplit_once(' ')
            && !value.contains(';')
        {
            self.add_text(last);
        }
        for (name, value) in value.split(';').filter_map(|pair| pair.split_once('=')) {
            let name = name.trim().to_ascii_lowercase();
            if !ATTRIBUTES.contains(&name.as_str()) {
                self.add_text(value.trim().trim_matches('"'));
            }
        }
    }

    /// The same of a query or a form, where it is encoded.
    pub(super) fn add_encoded(&mut self, value: &str) {
        self.add_credentials(value);
        if value.contains(['%', '+']) {
            let spaced = value.replace('+', " ");
            self.add_credentials(&percent_decode_str(&spaced).decode_utf8_lossy());
        }
    }

    /// The header, if its name says that it is secret.
    pub(crate) fn add_header(&mut self, name: &str, value: &[u8]) {
        if is_secret(name) {
            self.add_credentials(&String::from_utf8_lossy(value));
        }
    }

    /// The query's fields that are secret by name.
    pub(super) fn add_query(&mut self, query: &str) {
        for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
            if is_secret(name) || name == "key" {
                self.add_encoded(value);
            }
        }
    }
}

/// Finds values in texts: all of them in one pass.
#[derive(Default)]
pub(super) struct Needles {
    /// `None`: there are none.
    search: Option<AhoCorasick>,
    /// Those that begin with the same needle, in order.
    values: Vec<Vec<String>>,
    /// There are values that are not searched for.
    is_lacking: bool,
}

impl Needles {
    /// To be searched for often.
    pub(super) fn lasting(values: &Values) -> Self {
        Self::of(values, None)
    }

    /// To be searched for in one trace: what is built quickest.
    pub(super) fn passing(values: &Values) -> Self {
        Self::of(values, Some(AhoCorasickKind::NoncontiguousNFA))
    }

    fn of(values: &Values, kind: Option<AhoCorasickKind>) -> Self {
        let mut by_needle = BTreeMap::<String, Vec<String>>::new();
        let forms = values.all.iter().flat_map(|value| {
            // As it stands within a text that is JSON.
            let quoted = Value::from(value.as_str()).to_string();
            let quoted = quoted[1..quoted.len() - 1].to_owned();
            let is_other = quoted != *value;
            std::iter::once(value.clone()).chain(is_other.then_some(quoted))
        });
        for value in forms {
            let needle = &value[..value.floor_char_boundary(NEEDLE_MAX)];
            match by_needle.get_mut(needle) {
                Some(alike) => alike.push(value),
                None => drop(by_needle.insert(needle.to_owned(), vec![value])),
            }
        }
        if by_needle.is_empty() {
            return Self::default();
        }
        let search = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostLongest)
            .kind(kind)
            .build(by_needle.keys());
        let mut values: Vec<_> = by_needle.into_values().collect();
        values.iter_mut().for_each(|alike| alike.sort_unstable());
        Self {
            is_lacking: search.is_err(),
            search: search.ok(),
            values,
        }
    }

    /// Whether there are values that are not searched for.
    pub(super) fn is_lacking(&self) -> bool {
        self.is_lacking
    }

    pub(super) fn find(&self, text: &str, mut found: impl FnMut(Range<usize>)) {
        let Some(search) = &self.search else {
            return;
        };
        let mut from = 0;
        while let Some(at) = search.find(Input::new(text).range(from..)) {
            let alike = &self.values[at.pattern().as_usize()];
            let rest = &text[at.start()..];
            from = at.start() + length(rest, alike).max(at.end() - at.start());
            found(at.start()..from);
        }
    }
}

/// How much of one of these values a text begins with; they are in order, so the one that
/// has most in common with the text stands beside its place among them.
fn length(text: &str, values: &[String]) -> usize {
    let place = values.partition_point(|value| value.as_str() < text);
    let beside = [place.checked_sub(1), Some(place)].into_iter().flatten();
    let beside = beside.filter_map(|at| values.get(at));
    beside.map(|value| common(text, value)).max().unwrap_or(0)
}

/// How many bytes both begin with, to the end of a character.
fn common(text: &str, value: &str) -> usize {
    let alike = text.bytes().zip(value.bytes());
    text.floor_char_boundary(alike.take_while(|(a, b)| a == b).count())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(values: &[&str], text: &str) -> Vec<String> {
        let mut all = Values::default();
        values.iter().for_each(|value| all.add_text(value));
        let mut spans = Vec::new();
        for needles in [Needles::passing(&all), Needles::lasting(&all)] {
            let mut found = Vec::new();
            needles.find(text, |span| found.push(text[span].to_owned()));
            spans.push(found);
        }
        assert_eq!(spans[0], spans[1]);
        spans.remove(0)
    }

    #[test]
    fn the_longest_value_is_found_also_of_those_that_begin_alike() {
        let head = "h".repeat(NEEDLE_MAX);
        let tail = |tail: &str| format!("{head}{tail}");
        let tokens = [tail(".one"), tail(".two.more"), tail(".two"), tail(".x")];
        let tokens = tokens.each_ref().map(String::as_str);
        let text = format!("a {} b {} c {}!", tail(".two.more"), tail(".one"), head);
        assert_eq!(
            found(&tokens, &text),
            [tail(".two.more"), tail(".one"), head.clone()]
        );
        assert_eq!(
            found(&["secret-1", "secret-12"], "secret-123"),
            ["secret-12"]
        );
        assert_eq!(
            found(&["größer-als"], "größer-als größer-al"),
            ["größer-als"]
        );
        assert_eq!(found(&[], "anything"), [""; 0]);
    }

    #[test]
    fn no_part_of_what_stands_for_the_hidden_is_searched_for() {
        let mut values = Values::default();
        for from in 0..HIDDEN.len() {
            for to in from..=HIDDEN.len() {
                values.add_text(&HIDDEN[from..to]);
            }
        }
        assert!(values.all.is_empty(), "{:?}", values.all);
    }

    #[test]
    fn there_are_only_so_many_and_it_is_known_when_there_were_more() {
        let mut values = Values::at_most(3);
        for value in [
            "value-1", "value-2", "value-1", "value-3", "short", "value-2",
        ] {
            values.add_text(value);
        }
        assert!(!values.is_full());
        values.add_text("value-4");
        assert!(values.is_full() && values.all.len() == 3);
    }

    #[test]
    fn of_cookies_each_value_is_one_and_what_a_cookie_says_of_itself_is_none() {
        let mut values = Values::default();
        values.add_header("cookie", b"a=canary-1; b=\"canary-2\"; c=d");
        values.add_header(
            "set-cookie",
            b"sid=canary-3; Domain=example.com; Path=/a/b/c/d",
        );
        values.add_query("api%5Fkey=canary%2D4&key=canary-5&other=canary-6");
        for value in [
            "canary-1",
            "canary-2",
            "canary-3",
            "canary-4",
            "canary%2D4",
            "canary-5",
        ] {
            assert!(values.all.iter().any(|known| known == value), "{value}");
        }
        for value in ["example.com", "/a/b/c/d", "canary-6"] {
            assert!(!values.all.iter().any(|known| known == value), "{value}");
        }
    }
}
