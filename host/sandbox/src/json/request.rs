//! What a route and a balancer need of a request, read without taking it apart.

use std::ops::ControlFlow;

use super::{
    JsonError, JsonFault,
    scan::{Found, Scanner, Text, check_encoding},
    text::unescape,
};

/// What a route needs to know of a request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RequestFacts {
    /// The top-level `model`, if it is a string.
    pub model: Option<String>,
    /// Whether the top-level `stream` is `true`.
    pub stream: bool,
    /// Where its prompt stands.
    pub prompt: PromptPlaces,
}

/// The fields of a prompt, in the order in which a model reads them, in the words of all APIs.
pub(crate) const PROMPT: [&str; 5] = ["/instructions", "/system", "/prompt", "/messages", "/input"];

/// Where in a body the fields of its prompt stand. Of one that comes twice, where it comes last.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PromptPlaces([(u32, u32); PROMPT.len()]);

impl PromptPlaces {
    /// Gives the fields that are strings, objects or arrays, as [`crate::Json::text`] would, to
    /// `take` until it wants no more. `body` is what they were found in.
    pub(crate) fn each(&self, body: &[u8], mut take: impl FnMut(&[u8]) -> ControlFlow<()>) {
        for (start, end) in self.0 {
            let value = body.get(start as usize..end as usize).unwrap_or_default();
            let taken = match value {
                [b'{' | b'[', ..] => take(value),
                [b'"', text @ .., b'"'] => match unescape(text) {
                    Some(text) => take(text.as_bytes()),
                    None => continue,
                },
                _ => continue,
            };
            if taken.is_break() {
                return;
            }
        }
    }

    /// No field is noted whose place a `u32` cannot say.
    fn note(&mut self, field: usize, start: usize, end: usize) {
        if let (Ok(start), Ok(end)) = (u32::try_from(start), u32::try_from(end)) {
            self.0[field] = (start, end);
        }
    }
}

impl RequestFacts {
    /// Checks a request body and finds its `model` and `stream`, in one pass.
    ///
    /// # Errors
    /// Anything but one JSON value in UTF-8 of at most `depth_max` levels, or a
    /// `model` or `stream` that comes twice. Other keys may: nobody here reads them.
    pub fn read(bytes: &[u8], depth_max: usize) -> Result<Self, JsonError> {
        read(bytes, depth_max).map_err(|found| found.locate(bytes))
    }
}

fn read(bytes: &[u8], depth_max: usize) -> Result<RequestFacts, Box<Found>> {
    check_encoding(bytes)?;
    let mut scanner = Scanner::new(bytes, 0, depth_max);
    scanner.space();
    let facts = match scanner.peek() {
        Some(b'{') if scanner.depth_max > 0 => scan_fields(&mut scanner)?,
        _ => scanner.value(0).map(|()| RequestFacts::default())?,
    };
    scanner.end()?;
    Ok(facts)
}

fn scan_fields(scanner: &mut Scanner<'_>) -> Result<RequestFacts, Box<Found>> {
    let mut facts = RequestFacts::default();
    let (mut models, mut streams) = (0, 0);
    scanner.at += 1;
    scanner.space();
    if scanner.peek() == Some(b'}') {
        scanner.at += 1;
        return Ok(facts);
    }
    loop {
        let key_at = scanner.at;
        let key = scanner.key()?;
        let start = scanner.at;
        let count = match name(scanner.text, &key).map_err(|fault| Found::new(fault, key_at))? {
            Name::Model => {
                facts.model = string(scanner)?;
                &mut models
            }
            Name::Stream => {
                scanner.value(1)?;
                facts.stream = &scanner.text[start..scanner.at] == b"true";
                &mut streams
            }
            Name::Prompt(field) => {
                scanner.value(1)?;
                facts.prompt.note(field, start, scanner.at);
                &mut 0
            }
            Name::Other => {
                scanner.value(1)?;
                &mut 0
            }
        };
        *count += 1;
        if *count > 1 {
            let key = String::from_utf8_lossy(&scanner.text[key.start..key.end]).into_owned();
            return Err(Found::new(JsonFault::DuplicateKey(key), key_at));
        }
        scanner.space();
        match scanner.peek() {
            Some(b',') => scanner.at += 1,
            Some(b'}') => break,
            _ => return Err(scanner.expected("`,` or `}`")),
        }
        scanner.space();
    }
    scanner.at += 1;
    Ok(facts)
}

enum Name {
    Model,
    Stream,
    /// Which of [`PROMPT`].
    Prompt(usize),
    Other,
}

fn name(text: &[u8], key: &Text) -> Result<Name, JsonFault> {
    let raw = &text[key.start..key.end];
    let unescaped;
    let key = if key.escaped {
        unescaped = unescape(raw).ok_or(JsonFault::LoneSurrogate)?;
        unescaped.as_bytes()
    } else {
        raw
    };
    Ok(match key {
        b"model" => Name::Model,
        b"stream" => Name::Stream,
        _ => {
            let field = PROMPT
                .iter()
                .position(|field| &field.as_bytes()[1..] == key);
            field.map_or(Name::Other, Name::Prompt)
        }
    })
}

/// The value if it is a string; walks over it in any case.
fn string(scanner: &mut Scanner<'_>) -> Result<Option<String>, Box<Found>> {
    if scanner.peek() != Some(b'"') {
        return scanner.value(1).map(|()| None);
    }
    let at = scanner.at;
    let Text { start, end, .. } = scanner.string()?;
    match unescape(&scanner.text[start..end]) {
        Some(text) => Ok(Some(text.into_owned())),
        None => Err(Found::new(JsonFault::LoneSurrogate, at)),
    }
}
