//! Takes JSON apart into brackets, strings and the rest. What lies between is not
//! checked: only what is a document to a client matters.

use std::{borrow::Cow, ops::Range};

use memchr::{memchr, memchr2};

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

/// What a string says; half a surrogate pair is taken for some character, and a bare
/// control character for itself, since not all clients refuse them.
pub(super) fn unescape(raw: &str) -> Option<Cow<'_, str>> {
    let Some(first) = memchr(b'\\', raw.as_bytes()) else {
        return Some(Cow::Borrowed(raw));
    };
    let mut said = String::with_capacity(raw.len());
    let (before, mut rest) = raw.split_at(first);
    said.push_str(before);
    while let Some(escape) = rest.strip_prefix('\\') {
        let (letter, behind) = character(escape)?;
        said.push(letter);
        let plain = memchr(b'\\', behind.as_bytes()).unwrap_or(behind.len());
        said.push_str(&behind[..plain]);
        rest = &behind[plain..];
    }
    Some(Cow::Owned(said))
}

/// What stands behind a backslash, and the rest.
fn character(escape: &str) -> Option<(char, &str)> {
    let letter = escape.chars().next()?;
    let rest = &escape[letter.len_utf8()..];
    Some(match letter {
        'n' => ('\n', rest),
        't' => ('\t', rest),
        'r' => ('\r', rest),
        'b' => ('\u{8}', rest),
        'f' => ('\u{C}', rest),
        'u' => {
            let (first, rest) = unit(rest)?;
            let second = rest.strip_prefix("\\u").and_then(unit);
            let pair = second.and_then(|(second, rest)| {
                let letter = char::decode_utf16([first, second]).next()?.ok()?;
                (letter.len_utf16() == 2).then_some((letter, rest))
            });
            let alone = char::from_u32(u32::from(first)).unwrap_or(char::REPLACEMENT_CHARACTER);
            pair.unwrap_or((alone, rest))
        }
        other => (other, rest),
    })
}

/// Four hexadecimal digits.
fn unit(text: &str) -> Option<(u16, &str)> {
    let digits = text.get(..4)?;
    Some((u16::from_str_radix(digits, 16).ok()?, &text[4..]))
}
