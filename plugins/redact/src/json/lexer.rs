//! Takes JSON apart into brackets, strings and the rest. What lies between is not
//! checked: only what is a document to a client matters.

use std::{borrow::Cow, ops::Range};

use memchr::memchr2;

/// A part of JSON.
#[derive(Debug)]
pub(super) enum Token<'a> {
    Open {
        at: usize,
        is_object: bool,
    },
    Close {
        end: usize,
    },
    /// `raw` is without its quotes.
    String {
        span: Range<usize>,
        raw: &'a str,
    },
    /// A number, `true`, `false` or `null`.
    Other {
        raw: &'a str,
    },
}

/// The parts in order; `None` where they cannot be told.
pub(super) struct Lexer<'a> {
    json: &'a str,
    at: usize,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(json: &'a str) -> Self {
        Self { json, at: 0 }
    }

    fn string(&mut self, start: usize) -> Option<Token<'a>> {
        let bytes = self.json.as_bytes();
        let mut end = start + 1;
        loop {
            end += memchr2(b'"', b'\\', bytes.get(end..)?)?;
            if bytes[end] == b'"' {
                break;
            }
            end += 2;
        }
        self.at = end + 1;
        Some(Token::String {
            span: start..end + 1,
            raw: &self.json[start + 1..end],
        })
    }

    fn other(&mut self, start: usize) -> Token<'a> {
        let rest = &self.json[start..];
        let is_end = |letter: char| letter.is_ascii_whitespace() || ",:{}[]\"".contains(letter);
        let length = rest.find(is_end).unwrap_or(rest.len());
        self.at = start + length;
        Token::Other {
            raw: &rest[..length],
        }
    }
}

impl<'a> Iterator for Lexer<'a> {
    type Item = Option<Token<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        let is_between = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | b',' | b':');
        let rest = &self.json.as_bytes()[self.at..];
        let start = self.at + rest.iter().position(|byte| !is_between(byte))?;
        self.at = start + 1;
        Some(match self.json.as_bytes()[start] {
            open @ (b'{' | b'[') => Some(Token::Open {
                at: start,
                is_object: open == b'{',
            }),
            b'}' | b']' => Some(Token::Close { end: self.at }),
            b'"' => self.string(start),
            _ => Some(self.other(start)),
        })
    }
}

/// What a string says; half a surrogate pair is taken for some character.
pub(super) fn unescape(raw: &str) -> Option<Cow<'_, str>> {
    if !raw.contains('\\') {
        return Some(Cow::Borrowed(raw));
    }
    if let Ok(said) = serde_json::from_str(&format!("\"{raw}\"")) {
        return Some(Cow::Owned(said));
    }
    lossy(raw).map(Cow::Owned)
}

/// The parser refuses lone surrogates and bare control characters, where clients may not.
fn lossy(raw: &str) -> Option<String> {
    let mut said = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some((before, escape)) = rest.split_once('\\') {
        said.push_str(before);
        let letter = escape.chars().next()?;
        rest = &escape[letter.len_utf8()..];
        said.push(match letter {
            'n' => '\n',
            't' => '\t',
            'r' => '\r',
            'b' => '\u{8}',
            'f' => '\u{C}',
            'u' => {
                let code = u32::from_str_radix(rest.get(..4)?, 16).ok()?;
                rest = &rest[4..];
                char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER)
            }
            other => other,
        });
    }
    said.push_str(rest);
    Some(said)
}
