//! The two fields that a route needs of a chat request, read without taking it apart.

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
        _ => Name::Other,
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
