//! Puts something in place of parts of a text; the rest stays byte for byte.

use std::ops::Range;

/// New text for parts of an old one, which do not overlap.
#[derive(Debug, Default)]
pub(crate) struct Splices(Vec<(Range<usize>, String)>);

impl Splices {
    pub(crate) fn put(&mut self, part: Range<usize>, text: String) {
        self.0.push((part, text));
    }

    /// A text as a JSON string.
    pub(crate) fn put_string(&mut self, part: Range<usize>, text: &str) {
        self.put(part, serde_json::Value::from(text).to_string());
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn apply(mut self, old: &str) -> String {
        self.0.sort_by_key(|(part, _)| part.start);
        let mut new = String::with_capacity(old.len());
        let mut place = 0;
        for (part, text) in self.0 {
            new.push_str(&old[place..part.start]);
            new.push_str(&text);
            place = part.end;
        }
        new.push_str(&old[place..]);
        new
    }
}
