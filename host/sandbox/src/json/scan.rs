//! Walks JSON text and says where each part of it begins and ends.
//!
//! One pass, no tree, no allocation and no recursion: the open brackets are bits
//! of a fixed size, so depth is bounded whatever the input. Escapes are checked
//! for form alone; what they mean is `text`'s business.

use super::{JsonError, JsonFault};

/// The deepest nesting that a [`Scanner`] can be asked to allow.
pub(super) const DEPTH_LIMIT: usize = 1024;

/// A fault and the offset it was found at; boxed so that what is returned stays small.
#[derive(Debug)]
pub(super) struct Found {
    fault: JsonFault,
    at: usize,
}

impl Found {
    #[cold]
    pub(super) fn new(fault: JsonFault, at: usize) -> Box<Self> {
        Box::new(Self { fault, at })
    }

    /// Turns the offset into a line and a column of `text`.
    pub(super) fn locate(self, text: &[u8]) -> JsonError {
        let before = &text[..self.at.min(text.len())];
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        let start = before
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |at| at + 1);
        JsonError {
            fault: self.fault,
            line,
            column: before.len() - start + 1,
        }
    }
}

/// Refuses what is no JSON before any of it is read: a byte order mark, bytes that are not UTF-8.
pub(super) fn check_encoding(text: &[u8]) -> Result<(), Box<Found>> {
    if text.starts_with(b"\xef\xbb\xbf") {
        return Err(Found::new(JsonFault::ByteOrderMark, 0));
    }
    match std::str::from_utf8(text) {
        Ok(_) => Ok(()),
        Err(error) => Err(Found::new(JsonFault::NotUtf8, error.valid_up_to())),
    }
}

/// A string that was walked over: where it lies without its quotes.
pub(super) struct Text {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) escaped: bool,
}

/// A place in a text that is known to be UTF-8.
pub(super) struct Scanner<'a> {
    pub(super) text: &'a [u8],
    pub(super) at: usize,
    /// How many brackets may be open inside a value.
    pub(super) depth_max: usize,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(text: &'a [u8], at: usize, depth_max: usize) -> Self {
        Self {
            text,
            at,
            depth_max: depth_max.min(DEPTH_LIMIT),
        }
    }

    #[inline]
    pub(super) fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    #[cold]
    pub(super) fn expected(&self, what: &'static str) -> Box<Found> {
        let fault = match self.text.get(self.at) {
            Some(_) => JsonFault::Expected(what),
            None => JsonFault::Unfinished,
        };
        Found::new(fault, self.at)
    }

    #[inline]
    pub(super) fn space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    /// The text ends here, but for white space.
    pub(super) fn end(&mut self) -> Result<(), Box<Found>> {
        self.space();
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(Found::new(JsonFault::Trailing, self.at)),
        }
    }

    /// A key, the colon and the space around it.
    #[inline]
    pub(super) fn key(&mut self) -> Result<Text, Box<Found>> {
        if self.peek() != Some(b'"') {
            return Err(self.expected("a key"));
        }
        let key = self.string()?;
        self.space();
        if self.peek() != Some(b':') {
            return Err(self.expected("`:`"));
        }
        self.at += 1;
        self.space();
        Ok(key)
    }

    /// A string; the cursor is on its first quote.
    #[inline]
    pub(super) fn string(&mut self) -> Result<Text, Box<Found>> {
        let start = self.at + 1;
        let mut escaped = false;
        self.at = start;
        loop {
            self.at = next_special(self.text, self.at);
            match self.peek() {
                Some(b'"') => {
                    let end = self.at;
                    self.at += 1;
                    return Ok(Text {
                        start,
                        end,
                        escaped,
                    });
                }
                Some(b'\\') => {
                    escaped = true;
                    self.escape()?;
                }
                _ => return Err(self.expected("no control character in a string")),
            }
        }
    }

    fn escape(&mut self) -> Result<(), Box<Found>> {
        self.at += 1;
        match self.peek() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 1,
            Some(b'u') => {
                self.at += 1;
                for _ in 0..4 {
                    if !self.peek().is_some_and(|byte| byte.is_ascii_hexdigit()) {
                        return Err(self.expected("four hexadecimal digits"));
                    }
                    self.at += 1;
                }
            }
            _ => return Err(self.expected("an escape")),
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), Box<Found>> {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        if self.at == start {
            Err(self.expected("a digit"))
        } else {
            Ok(())
        }
    }

    fn number(&mut self) -> Result<(), Box<Found>> {
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    fn word(&mut self, word: &'static str) -> Result<(), Box<Found>> {
        if !self.text[self.at..].starts_with(word.as_bytes()) {
            return Err(Found::new(JsonFault::Expected("a value"), self.at));
        }
        self.at += word.len();
        Ok(())
    }

    #[inline]
    fn scalar(&mut self) -> Result<(), Box<Found>> {
        match self.peek() {
            Some(b'"') => self.string().map(drop),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word("true"),
            Some(b'f') => self.word("false"),
            Some(b'n') => self.word("null"),
            _ => Err(self.expected("a value")),
        }
    }

    /// Walks over a value that `depth` brackets are open around.
    #[inline]
    pub(super) fn value(&mut self, depth: usize) -> Result<(), Box<Found>> {
        match self.peek() {
            Some(b'{' | b'[') => self.container(depth),
            _ => self.scalar(),
        }
    }

    fn container(&mut self, around: usize) -> Result<(), Box<Found>> {
        let mut open = Brackets::new();
        loop {
            match self.peek() {
                Some(bracket @ (b'{' | b'[')) => {
                    if around + open.depth >= self.depth_max {
                        return Err(Found::new(JsonFault::TooDeep(self.depth_max), self.at));
                    }
                    self.at += 1;
                    self.space();
                    open.push(bracket == b'{');
                    if self.peek() != Some(bracket + 2) {
                        if bracket == b'{' {
                            self.key()?;
                        }
                        continue;
                    }
                    self.at += 1;
                    open.depth -= 1;
                }
                _ => self.scalar()?,
            }
            while open.depth > 0 {
                self.space();
                let object = open.innermost_is_object();
                match self.peek() {
                    Some(b',') => {
                        self.at += 1;
                        self.space();
                        if object {
                            self.key()?;
                        }
                        break;
                    }
                    Some(b'}') if object => {}
                    Some(b']') if !object => {}
                    _ => {
                        return Err(self.expected(if object {
                            "`,` or `}`"
                        } else {
                            "`,` or `]`"
                        }));
                    }
                }
                self.at += 1;
                open.depth -= 1;
            }
            if open.depth == 0 {
                return Ok(());
            }
        }
    }
}

/// The open brackets, one bit each: set for an object.
struct Brackets {
    bits: [u64; DEPTH_LIMIT / 64],
    depth: usize,
}

impl Brackets {
    fn new() -> Self {
        Self {
            bits: [0; DEPTH_LIMIT / 64],
            depth: 0,
        }
    }

    fn push(&mut self, object: bool) {
        let (word, bit) = (self.depth / 64, 1 << (self.depth % 64));
        if object {
            self.bits[word] |= bit;
        } else {
            self.bits[word] &= !bit;
        }
        self.depth += 1;
    }

    fn innermost_is_object(&self) -> bool {
        let last = self.depth - 1;
        self.bits[last / 64] & (1 << (last % 64)) != 0
    }
}

const ONES: u64 = u64::MAX / 255;
const HIGHS: u64 = ONES << 7;

#[inline]
fn is_special(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

/// Where the first quote, backslash or control character of eight bytes is.
///
/// In `low` the lowest bit set is right; those above may not be.
#[inline]
fn special_of_eight(eight: &[u8; 8]) -> Option<usize> {
    let word = u64::from_le_bytes(*eight);
    let quote = word ^ (ONES * b'"' as u64);
    let slash = word ^ (ONES * b'\\' as u64);
    let low = (quote.wrapping_sub(ONES) & !quote)
        | (slash.wrapping_sub(ONES) & !slash)
        | (word.wrapping_sub(ONES * 0x20) & !word);
    let low = low & HIGHS;
    (low != 0).then(|| low.trailing_zeros() as usize / 8)
}

/// The offset of the next quote, backslash or control character, or the end.
///
/// Most keys end in the first eight bytes; the blocks of what is longer are
/// searched by vector code that the compiler makes.
#[inline]
fn next_special(text: &[u8], from: usize) -> usize {
    let rest = &text[from..];
    if let Some(found) = rest.first_chunk().and_then(special_of_eight) {
        return from + found;
    }
    long_special(text, from)
}

fn long_special(text: &[u8], from: usize) -> usize {
    let mut at = from;
    for block in text[from..].as_chunks::<BLOCK>().0 {
        if block
            .iter()
            .fold(false, |any, byte| any | is_special(*byte))
        {
            break;
        }
        at += BLOCK;
    }
    while let Some(eight) = text[at..].first_chunk() {
        if let Some(found) = special_of_eight(eight) {
            return at + found;
        }
        at += 8;
    }
    while at < text.len() && !is_special(text[at]) {
        at += 1;
    }
    at
}

/// Two vectors of the smallest machine.
const BLOCK: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_special_byte_is_found_at_every_offset_and_length() {
        for length in 0..200 {
            for special in [b'"', b'\\', 0, 0x1f, b'\n'] {
                for at in 0..length {
                    let mut text = vec![b'a'; length];
                    text[at] = special;
                    text[(at + 1)..].fill(b'"');
                    assert_eq!(next_special(&text, 0), at);
                }
            }
            assert_eq!(next_special(&vec![0x7f; length], 0), length);
            assert_eq!(next_special(&vec![0xff; length], 0), length);
            assert_eq!(next_special(&vec![b'!'; length], 0), length);
        }
    }
}
