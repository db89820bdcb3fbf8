//! The part of a text that is looked at, and how it was written.

use std::ops::Range;

use super::Spelling;
use crate::rules::Replacement;

/// What a text says, and how each byte of that was written.
pub(super) enum Window {
    Plain(String),
    Json(JsonWindow),
}

impl Window {
    pub(super) fn new(spelling: Spelling) -> Self {
        match spelling {
            Spelling::Plain => Self::Plain(String::new()),
            Spelling::Json => Self::Json(JsonWindow::default()),
        }
    }

    pub(super) fn push(&mut self, piece: &str) {
        match self {
            Self::Plain(text) => text.push_str(piece),
            Self::Json(window) => window.push(piece),
        }
    }

    /// What it says.
    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Self::Plain(text) => text.as_bytes(),
            Self::Json(window) => &window.said,
        }
    }

    /// Copies a part as it was written.
    pub(super) fn copy(&self, part: Range<usize>, out: &mut String) {
        out.push_str(match self {
            Self::Plain(text) => &text[part],
            Self::Json(window) => &window.written[window.place(part.start)..window.place(part.end)],
        });
    }

    /// Copies what was written and does not yet say anything, such as half an escape.
    pub(super) fn copy_rest(&mut self, out: &mut String) {
        if let Self::Json(window) = self {
            out.push_str(&window.written[window.read..]);
            window.written.truncate(window.read);
        }
    }

    /// Writes something in place of a part. A number in JSON becomes a string.
    pub(super) fn replace(&self, part: Range<usize>, by: &Replacement, out: &mut String) {
        match self {
            Self::Plain(_) => out.push_str(&by.plain),
            Self::Json(window) => {
                let quote = |is_quoted: bool| if is_quoted { "" } else { "\"" };
                out.push_str(quote(window.is_quoted(part.start)));
                out.push_str(&by.escaped);
                out.push_str(quote(window.is_quoted(part.end)));
            }
        }
    }

    /// Whether anything behind a place was not sent.
    pub(super) fn has_rest(&self, sent: usize) -> bool {
        match self {
            Self::Plain(text) => sent < text.len(),
            Self::Json(window) => window.place(sent) < window.written.len(),
        }
    }

    /// Forgets what stands before a place, or somewhat less; tells how much.
    pub(super) fn forget(&mut self, end: usize) -> usize {
        match self {
            Self::Plain(text) => {
                let end = text.floor_char_boundary(end);
                text.drain(..end);
                end
            }
            Self::Json(window) => window.forget(end),
        }
    }
}

/// JSON text, unescaped as it comes.
#[derive(Default)]
pub(super) struct JsonWindow {
    written: String,
    said: Vec<u8>,
    /// For each byte of what is said, where it is written.
    marks: Vec<Mark>,
    /// How much of what is written was read: all but half an escape.
    read: usize,
    is_quoted: bool,
}

#[derive(Clone, Copy)]
struct Mark {
    place: usize,
    /// Whether it stands inside a string.
    is_quoted: bool,
}

impl JsonWindow {
    fn push(&mut self, piece: &str) {
        self.written.push_str(piece);
        while let Some((said, length)) = self.next() {
            let mark = Mark {
                place: self.read,
                is_quoted: self.is_quoted,
            };
            if said == '"' && length == 1 {
                self.is_quoted = !self.is_quoted;
            }
            let mut bytes = [0; 4];
            for byte in said.encode_utf8(&mut bytes).bytes() {
                self.said.push(byte);
                self.marks.push(mark);
            }
            self.read += length;
        }
    }

    /// The next character, and how long it is as written. Half a surrogate pair is taken
    /// for some character.
    fn next(&self) -> Option<(char, usize)> {
        let rest = &self.written[self.read..];
        let mut letters = rest.chars();
        let first = letters.next()?;
        if first != '\\' || !self.is_quoted {
            return Some((first, first.len_utf8()));
        }
        Some(match letters.next()? {
            'n' => ('\n', 2),
            't' => ('\t', 2),
            'r' => ('\r', 2),
            'b' => ('\u{8}', 2),
            'f' => ('\u{C}', 2),
            'u' => match rest.get(2..6) {
                Some(digits) => match u32::from_str_radix(digits, 16) {
                    Ok(code) => (
                        char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER),
                        6,
                    ),
                    Err(_) => ('u', 2),
                },
                None if rest.len() < 6 => return None,
                None => ('u', 2),
            },
            other => (other, 1 + other.len_utf8()),
        })
    }

    fn place(&self, said: usize) -> usize {
        self.marks.get(said).map_or(self.read, |mark| mark.place)
    }

    fn is_quoted(&self, said: usize) -> bool {
        self.marks
            .get(said)
            .map_or(self.is_quoted, |mark| mark.is_quoted)
    }

    fn forget(&mut self, end: usize) -> usize {
        let place = self.place(end);
        let end = self.marks.partition_point(|mark| mark.place < place);
        self.written.drain(..place);
        self.said.drain(..end);
        self.marks.drain(..end);
        for mark in &mut self.marks {
            mark.place -= place;
        }
        self.read -= place;
        end
    }
}
