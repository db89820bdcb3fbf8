//! What a guest asked its host, written down while somebody watches its exchange.
//!
//! Bounded in entries and bytes; what goes beyond is counted. Holds texts as they are,
//! so it is for its reader to hide what is secret; a secret that the capability gave is
//! kept apart, to be found wherever else it stands. Nobody watches: one comparison a call.

use std::{borrow::Cow, fmt, time::Duration};

use serde_json::{Value, json};

use crate::contract;

/// Entries of one hook.
const ENTRIES_MAX: usize = 256;
/// Bytes of one hook's entries, about.
const BYTES_MAX: usize = 128 << 10;
/// How deep a value may be nested; deeper ones are texts. Whoever reads a trace as JSON has a
/// bound, too.
const DEPTH_MAX: usize = 64;
/// Of one text; what is shown of it is shorter.
const TEXT_MAX: usize = 4096;

/// What one hook asked.
#[derive(Default)]
pub struct Recording {
    /// What it read of the message, in order.
    pub reads: Vec<Read>,
    /// What it asked of capabilities, in order.
    pub calls: Vec<Call>,
    /// Entries that there was no room for.
    pub left_out: u32,
    /// Secrets that it was given, and that nobody may be shown.
    pub secrets: Vec<Vec<u8>>,
    bytes: usize,
    waited: Duration,
}

impl fmt::Debug for Recording {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Recording")
            .field("reads", &self.reads.len())
            .field("calls", &self.calls.len())
            .finish_non_exhaustive()
    }
}

/// A part of a message that was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Read {
    /// Of which kind it is.
    pub part: Part,
    /// Its name, JSON pointer, or range.
    pub name: String,
    /// `None`: there was none.
    pub value: Option<Value>,
}

/// What can be read of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The first value of a header.
    Header,
    /// A field of the body.
    Json,
    /// A piece of the body.
    Body,
    /// A fact.
    Fact,
}

/// One call of a capability.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// Interface and function, such as `kv.get`.
    pub name: &'static str,
    /// By name.
    pub arguments: Value,
    /// As JSON: `{"ok": …}` or `{"error": …}` where it can fail.
    pub result: Value,
    /// How long the host waited for it.
    pub took: Duration,
}

impl Recording {
    /// The next call's time.
    pub(crate) fn waited(&mut self, time: Duration) {
        self.waited += time;
    }

    pub(crate) fn call(&mut self, name: &'static str, arguments: Value, result: Value) {
        let took = std::mem::take(&mut self.waited);
        if self.has_room(name.len() + size(&arguments) + size(&result)) {
            self.calls.push(Call {
                name,
                arguments,
                result,
                took,
            });
        }
    }

    fn read(&mut self, part: Part, name: &str, value: Option<Value>) {
        if self.has_room(name.len() + value.as_ref().map_or(0, size)) {
            let name = cut(name.as_bytes()).into_owned();
            self.reads.push(Read { part, name, value });
        }
    }

    fn has_room(&mut self, bytes: usize) -> bool {
        let entries = self.reads.len() + self.calls.len();
        let has_room = entries < ENTRIES_MAX && self.bytes + bytes <= BYTES_MAX;
        if has_room {
            self.bytes += bytes;
        } else {
            self.left_out = self.left_out.saturating_add(1);
        }
        has_room
    }
}

/// Where one may be kept.
pub(crate) type Recorded = Option<Box<Recording>>;

/// The reads of a message, for whoever has the place of a recording at hand.
pub(crate) trait Note {
    fn note(&mut self, write: impl FnOnce(&mut Recording));

    fn header(&mut self, name: &str, value: Option<&[u8]>) {
        self.note(|to| to.read(Part::Header, name, value.map(text)));
    }

    fn json(&mut self, pointer: &str, found: Option<&contract::Value>) {
        self.note(|to| to.read(Part::Json, pointer, found.map(value)));
    }

    fn body(&mut self, offset: u64, bytes: &[u8]) {
        self.note(|to| {
            let range = format!("{offset}..{}", offset.saturating_add(bytes.len() as u64));
            to.read(Part::Body, &range, Some(text(bytes)));
        });
    }

    fn fact(&mut self, name: &str, value: Option<&str>) {
        self.note(|to| to.read(Part::Fact, name, value.map(|value| text(value.as_bytes()))));
    }
}

impl Note for Recorded {
    fn note(&mut self, write: impl FnOnce(&mut Recording)) {
        if let Some(recording) = self {
            write(recording);
        }
    }
}

/// Bytes as a text, bounded.
#[must_use]
pub fn text(bytes: &[u8]) -> Value {
    Value::String(cut(bytes).into_owned())
}

/// A bounded text of these bytes.
fn cut(bytes: &[u8]) -> Cow<'_, str> {
    if bytes.len() <= TEXT_MAX {
        return String::from_utf8_lossy(bytes);
    }
    let mut shown = String::from_utf8_lossy(&bytes[..TEXT_MAX]).into_owned();
    // The cut may have gone through a character.
    while shown.ends_with('\u{fffd}') {
        shown.pop();
    }
    shown.push_str(&format!("… ({} bytes)", bytes.len()));
    shown.into()
}

/// Whole numbers below it are exact in 64-bit floats.
const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;

/// A value of the contract, bounded.
#[must_use]
pub fn value(value: &contract::Value) -> Value {
    match value {
        contract::Value::Null => Value::Null,
        contract::Value::Boolean(boolean) => json!(boolean),
        contract::Value::Number(number) if number.fract() == 0.0 && number.abs() < WHOLE_MAX => {
            json!(*number as i64)
        }
        contract::Value::Number(number) => json!(number),
        contract::Value::Text(said) => text(said.as_bytes()),
        contract::Value::Json(said) if said.len() <= TEXT_MAX => {
            let parsed = serde_json::from_str(said).ok();
            let parsed = parsed.filter(|parsed| is_flat(parsed, DEPTH_MAX));
            parsed.unwrap_or_else(|| text(said.as_bytes()))
        }
        contract::Value::Json(said) => text(said.as_bytes()),
    }
}

/// Whether it is nested no deeper than so many levels.
fn is_flat(value: &Value, levels: usize) -> bool {
    let Some(below) = levels.checked_sub(1) else {
        return false;
    };
    match value {
        Value::Array(items) => items.iter().all(|item| is_flat(item, below)),
        Value::Object(members) => members.values().all(|member| is_flat(member, below)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
    }
}

/// Names and values.
pub(crate) fn pairs(pairs: &[(String, String)]) -> Value {
    let pairs = pairs.iter().take(ENTRIES_MAX);
    pairs
        .map(|(name, value)| (cut(name.as_bytes()).into_owned(), text(value.as_bytes())))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

/// Headers; a name may stand twice.
pub(crate) fn headers(headers: &[contract::Header]) -> Value {
    let headers = headers.iter().take(ENTRIES_MAX);
    headers
        .map(|header| json!([cut(header.name.as_bytes()), text(&header.value)]))
        .collect()
}

/// A case by its name in the contract: `too-large`, where Rust calls it `Error::TooLarge`.
pub(crate) fn case(of: &impl fmt::Debug) -> String {
    let written = format!("{of:?}");
    let is_name = |name: &str| name.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let parts = written.split_once("::").filter(|(of, _)| is_name(of));
    let written = parts.map_or(written.as_str(), |(_, case)| case);
    let end = written.find(|character: char| !character.is_ascii_alphanumeric());
    let (name, with) = written.split_at(end.unwrap_or(written.len()));
    let mut case = String::with_capacity(written.len() + 4);
    for (at, character) in name.char_indices() {
        if at > 0 && character.is_ascii_uppercase() {
            case.push('-');
        }
        case.push(character.to_ascii_lowercase());
    }
    case + with
}

/// `{"ok": …}` or `{"error": …}`.
pub(crate) fn outcome<T, E: fmt::Debug>(
    result: &Result<T, E>,
    shown: impl FnOnce(&T) -> Value,
) -> Value {
    match result {
        Ok(value) => json!({ "ok": shown(value) }),
        Err(error) => json!({ "error": text(case(error).as_bytes()) }),
    }
}

/// About how many bytes it takes.
fn size(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 8,
        Value::String(text) => text.len() + 2,
        Value::Array(items) => items.iter().map(|item| size(item) + 2).sum(),
        Value::Object(members) => members
            .iter()
            .map(|(name, value)| name.len() + size(value) + 4)
            .sum(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recording_is_bounded_in_entries_and_bytes_and_counts_what_it_left_out() {
        let mut many = Recorded::Some(Box::default());
        for n in 0..1000 {
            many.header("x-one", Some(format!("{n}").as_bytes()));
        }
        let many = many.unwrap();
        assert_eq!((many.reads.len(), many.left_out), (ENTRIES_MAX, 1000 - 256));
        let mut long = Recorded::Some(Box::default());
        for _ in 0..100 {
            long.body(0, &[b'x'; 1 << 20]);
        }
        let long = long.unwrap();
        assert!(long.bytes <= BYTES_MAX && long.left_out > 0);
        let Some(Value::String(first)) = &long.reads[0].value else {
            panic!("no text")
        };
        assert!(first.ends_with("… (1048576 bytes)") && first.len() < TEXT_MAX + 64);
    }

    #[test]
    fn a_text_is_cut_at_a_character_and_what_is_no_text_is_shown_as_one() {
        let long = format!("x{}", "é".repeat(TEXT_MAX));
        let Value::String(shown) = text(long.as_bytes()) else {
            panic!("no text")
        };
        assert!(shown.starts_with("xé") && !shown.contains('\u{fffd}'));
        assert_eq!(text(&[0xff, b'a']), "\u{fffd}a");
    }

    #[test]
    fn what_is_nested_too_deep_to_be_read_back_is_a_text() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        let shown = |depth| value(&contract::Value::Json(nested(depth)));
        assert!(shown(DEPTH_MAX).is_array());
        for depth in [DEPTH_MAX + 1, 120, 2000] {
            assert_eq!(shown(depth), Value::String(nested(depth)));
        }
    }

    #[test]
    fn a_case_has_its_name_in_the_contract() {
        use crate::contract::tollgate::policy::{cache, http_call, log};
        assert_eq!(case(&log::Level::Warn), "warn");
        assert_eq!(case(&cache::Kind::ChatCompletion), "chat-completion");
        assert_eq!(case(&cache::Error::TooLate), "too-late");
        let denied = http_call::Error::Denied("a::b \"c\"".to_owned());
        assert_eq!(case(&denied), r#"denied("a::b \"c\"")"#);
        assert_eq!(case(&"plain"), "\"plain\"");
    }

    #[test]
    fn nothing_is_written_where_nobody_watches() {
        let mut nobody = Recorded::None;
        nobody.note(|_| panic!("somebody wrote"));
        nobody.json("/model", None);
    }
}
