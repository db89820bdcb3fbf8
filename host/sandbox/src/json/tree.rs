//! The levels of a document that were opened, as offsets into its text.
//!
//! A member keeps the text before and after its value, so levels are written as
//! they were read. What is new lies in a second buffer behind the first.

use std::{
    borrow::Cow,
    hash::{BuildHasher, RandomState},
};

use bytes::Bytes;

use super::{
    JsonEditError, JsonError, JsonFault, MEMBERS_MAX, ReadyMember,
    scan::{Found, Scanner, check_encoding},
    text::{unescape, write_string},
};

/// A part of the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    start: u32,
    end: u32,
}

/// The text that a document was read from and, behind it, what was added.
#[derive(Clone)]
pub(super) struct Source {
    original: Bytes,
    added: Vec<u8>,
}

impl Source {
    pub(super) fn new(original: Bytes) -> Self {
        Self {
            original,
            added: Vec::new(),
        }
    }

    pub(super) fn original(&self) -> &Bytes {
        &self.original
    }

    /// Adds what `write` appends.
    pub(super) fn add(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Result<Span, JsonEditError> {
        let before = self.added.len();
        write(&mut self.added);
        let base = self.original.len();
        let place = |at: usize| u32::try_from(base + at);
        match (place(before), place(self.added.len())) {
            (Ok(start), Ok(end)) => Ok(Span { start, end }),
            _ => {
                self.added.truncate(before);
                Err(JsonEditError::TooLong)
            }
        }
    }

    /// The buffer that a span lies in, and where that buffer starts.
    fn buffer(&self, span: Span) -> (&[u8], usize) {
        match span.start as usize >= self.original.len() && !self.added.is_empty() {
            true => (&self.added, self.original.len()),
            false => (&self.original, 0),
        }
    }

    pub(super) fn text(&self, span: Span) -> &[u8] {
        let (buffer, base) = self.buffer(span);
        if span.start == span.end {
            return &[];
        }
        &buffer[span.start as usize - base..span.end as usize - base]
    }

    /// Whether this character stands there.
    fn is(&self, at: u32, mark: u8) -> bool {
        let (buffer, base) = self.buffer(Span { start: at, end: at });
        buffer.get(at as usize - base) == Some(&mark)
    }
}

/// A value, opened or not.
#[derive(Clone)]
pub(super) struct Node {
    span: Span,
    /// How many brackets are open around it.
    depth: u16,
    opened: Option<Box<Level>>,
}

/// An object or array that was taken apart.
#[derive(Clone)]
pub(super) struct Level {
    object: bool,
    /// Something in it, at any depth, may not be as it was.
    pub(super) changed: bool,
    pub(super) members: Vec<Member>,
}

#[derive(Clone)]
pub(super) struct Member {
    /// From after the bracket or comma to the value.
    before: Span,
    /// The key without its quotes.
    key: Span,
    escaped: bool,
    pub(super) node: Node,
    /// From the value to the comma or bracket.
    after: Span,
}

impl Node {
    /// A value that nobody has looked into.
    pub(super) fn closed(span: Span, depth: usize) -> Self {
        Self {
            span,
            depth: depth as u16,
            opened: None,
        }
    }

    /// The level below, read at the first call; `None` for a value that has none.
    pub(super) fn open(
        &mut self,
        source: &Source,
        depth_max: usize,
    ) -> Result<Option<&mut Level>, JsonError> {
        if self.opened.is_none() && matches!(source.text(self.span).first(), Some(b'{' | b'[')) {
            let (buffer, base) = source.buffer(self.span);
            let text = &buffer[..self.span.end as usize - base];
            let mut scanner = Scanner::new(text, self.span.start as usize - base, depth_max);
            let level = read_level(&mut scanner, base, usize::from(self.depth));
            self.opened = Some(Box::new(level.map_err(|found| found.locate(text))?));
        }
        Ok(self.opened.as_deref_mut())
    }

    /// The text of a member that has no level below it, or that there is none; `None`: one
    /// has to look closer.
    pub(super) fn plain_member<'a>(
        &self,
        source: &'a Source,
        token: &str,
    ) -> Option<Option<&'a [u8]>> {
        let level = self.opened.as_ref()?;
        let Some(at) = level.find(source, token) else {
            return Some(None);
        };
        let text = source.text(level.members[at].node.span);
        let is_plain = !matches!(text.first(), Some(b'{' | b'['));
        is_plain.then_some(Some(text))
    }

    /// The value's text as it is now.
    pub(super) fn text<'a>(&self, source: &'a Source) -> Cow<'a, [u8]> {
        match &self.opened {
            Some(level) if level.changed => {
                let mut out = Writer::new(source, 0);
                self.write(&mut out);
                Cow::Owned(out.end())
            }
            _ => Cow::Borrowed(source.text(self.span)),
        }
    }

    /// Recurses no deeper than the document may be.
    fn write(&self, out: &mut Writer<'_>) {
        let level = match &self.opened {
            Some(level) if level.changed => level,
            _ => return out.span(self.span),
        };
        let Span { start, end } = self.span;
        out.mark(start, if level.object { b'{' } else { b'[' });
        for (at, member) in level.members.iter().enumerate() {
            if at > 0 {
                // The comma, which may stand there in the source.
                out.mark(member.before.start.wrapping_sub(1), b',');
            }
            if let Some(whole) = member.as_read() {
                out.span(whole);
                continue;
            }
            out.span(member.before);
            member.node.write(out);
            out.span(member.after);
        }
        out.mark(end - 1, if level.object { b'}' } else { b']' });
    }
}

/// Puts the parts of a document together. What lies side by side in the source is copied at
/// once.
struct Writer<'a> {
    source: &'a Source,
    out: Vec<u8>,
    /// What is to be written next.
    run: Span,
}

impl<'a> Writer<'a> {
    fn new(source: &'a Source, room: usize) -> Self {
        Self {
            source,
            out: Vec::with_capacity(room),
            run: Span { start: 0, end: 0 },
        }
    }

    fn span(&mut self, span: Span) {
        if span.start == span.end {
            return;
        }
        // Where the one buffer ends, the other begins.
        let is_next =
            span.start == self.run.end && span.start as usize != self.source.original.len();
        if !is_next {
            self.flush();
            self.run.start = span.start;
        }
        self.run.end = span.end;
    }

    /// A character, which may be the one that stands there in the source.
    fn mark(&mut self, at: u32, mark: u8) {
        if at == self.run.end && self.source.is(at, mark) {
            return self.span(Span {
                start: at,
                end: at + 1,
            });
        }
        self.flush();
        self.out.push(mark);
    }

    fn flush(&mut self) {
        self.out.extend_from_slice(self.source.text(self.run));
        self.run = Span { start: 0, end: 0 };
    }

    fn end(mut self) -> Vec<u8> {
        self.flush();
        self.out
    }
}

impl Level {
    pub(super) fn is_object(&self) -> bool {
        self.object
    }

    /// The index of a key or array index.
    pub(super) fn find(&self, source: &Source, token: &str) -> Option<usize> {
        if self.object {
            let length = token.len() as u32;
            return self.members.iter().position(|member| {
                let is_as_long = member.key.end - member.key.start == length;
                (is_as_long || member.escaped) && member.is_named(source, token)
            });
        }
        index(token).filter(|index| *index < self.members.len())
    }

    /// Whether a member that is not there could be appended under this token.
    pub(super) fn takes(&self, token: &str) -> bool {
        self.object || token == "-" || index(token) == Some(self.members.len())
    }

    /// Appends a member, before the space that preceded the closing bracket.
    pub(super) fn append(
        &mut self,
        source: &mut Source,
        token: &str,
        value: impl FnOnce(&mut Vec<u8>),
        depth: usize,
    ) -> Result<(), JsonEditError> {
        let before = source.add(|out| {
            // For a short value, too.
            out.reserve(token.len() + 32);
            if self.object {
                write_key(out, token);
            }
        })?;
        let value = source.add(value)?;
        self.push((before, value), token, depth);
        Ok(())
    }

    /// The same of a member of the document, which is an object.
    pub(super) fn append_ready(
        &mut self,
        source: &mut Source,
        token: &str,
        ReadyMember { text, key }: &ReadyMember,
    ) -> Result<(), JsonEditError> {
        let Span { start, end } = source.add(|out| out.extend_from_slice(text))?;
        // Less than what had place.
        let middle = start + *key as u32;
        let span = |start, end| Span { start, end };
        self.push((span(start, middle), span(middle, end)), token, 1);
        Ok(())
    }

    fn push(&mut self, (before, value): (Span, Span), token: &str, depth: usize) {
        let quotes = u32::from(self.object);
        let key = Span {
            start: before.start + quotes,
            end: before.end - 2 * quotes,
        };
        let nothing = Span {
            start: value.end,
            end: value.end,
        };
        let last = self
            .members
            .last_mut()
            .map(|last| std::mem::replace(&mut last.after, nothing));
        self.members.push(Member {
            before,
            key,
            // Whatever was escaped has grown.
            escaped: self.object && (key.end - key.start) as usize > token.len(),
            node: Node::closed(value, depth),
            after: last.unwrap_or(nothing),
        });
        self.changed = true;
    }
}

/// A key as it stands before its value.
pub(super) fn write_key(out: &mut Vec<u8>, key: &str) {
    write_string(out, key);
    out.push(b':');
}

impl Member {
    /// All of it, if it is as it was read.
    fn as_read(&self) -> Option<Span> {
        let value = self.node.span;
        let is_changed = self.node.opened.as_ref().is_some_and(|level| level.changed);
        let is_one = self.before.end == value.start && value.end == self.after.start;
        (is_one && !is_changed).then_some(Span {
            start: self.before.start,
            end: self.after.end,
        })
    }

    fn is_named(&self, source: &Source, token: &str) -> bool {
        let Span { start, end } = self.key;
        match self.escaped {
            false => {
                (end - start) as usize == token.len() && source.text(self.key) == token.as_bytes()
            }
            true => unescape(source.text(self.key)).is_some_and(|key| key == token),
        }
    }
}

/// An array index as RFC 6901 has it: no sign, no leading zero.
fn index(token: &str) -> Option<usize> {
    let plain = token.bytes().all(|byte| byte.is_ascii_digit())
        && (token == "0" || !token.starts_with('0'));
    plain.then(|| token.parse().ok()).flatten()
}

/// Checks a whole document and opens its top level if that is an object.
pub(super) fn read_document(source: &Source, depth_max: usize) -> Result<(Node, Span), Box<Found>> {
    let text = &source.original[..];
    if u32::try_from(text.len()).is_err() {
        return Err(Found::new(JsonFault::TooLong, 0));
    }
    check_encoding(text)?;
    let mut scanner = Scanner::new(text, 0, depth_max);
    scanner.space();
    let start = scanner.at;
    let opened = match scanner.peek() {
        Some(b'{') => Some(Box::new(read_level(&mut scanner, 0, 0)?)),
        _ => {
            scanner.value(0)?;
            None
        }
    };
    let span = Span {
        start: start as u32,
        end: scanner.at as u32,
    };
    scanner.end()?;
    Ok((
        Node {
            span,
            depth: 0,
            opened,
        },
        span,
    ))
}

/// The document with its edits, and with the space around it.
pub(super) fn write_document(source: &Source, root: &Node, around: Span) -> Vec<u8> {
    let original = &source.original;
    // With a comma, since most append one member.
    let mut out = Writer::new(source, original.len() + source.added.len() + 1);
    out.span(Span {
        start: 0,
        end: around.start,
    });
    root.write(&mut out);
    out.span(Span {
        start: around.end,
        end: original.len() as u32,
    });
    out.end()
}

/// Takes the object or array apart that the scanner is on; its offsets count from `base`.
fn read_level(scanner: &mut Scanner<'_>, base: usize, depth: usize) -> Result<Level, Box<Found>> {
    if depth >= scanner.depth_max {
        return Err(Found::new(
            JsonFault::TooDeep(scanner.depth_max),
            scanner.at,
        ));
    }
    let span = |start: usize, end: usize| Span {
        start: (base + start) as u32,
        end: (base + end) as u32,
    };
    let object = scanner.peek() == Some(b'{');
    let (close, wanted) = if object {
        (b'}', "`,` or `}`")
    } else {
        (b']', "`,` or `]`")
    };
    let mut members = Vec::with_capacity(8);
    scanner.at += 1;
    let mut before = scanner.at;
    scanner.space();
    if scanner.peek() == Some(close) {
        scanner.at += 1;
        return Ok(Level {
            object,
            changed: false,
            members,
        });
    }
    loop {
        if members.len() == MEMBERS_MAX {
            return Err(Found::new(JsonFault::TooManyMembers, scanner.at));
        }
        let (key, escaped) = match object {
            true => scanner
                .key()
                .map(|key| (span(key.start, key.end), key.escaped))?,
            false => (span(scanner.at, scanner.at), false),
        };
        let start = scanner.at;
        scanner.value(depth + 1)?;
        let end = scanner.at;
        scanner.space();
        members.push(Member {
            before: span(before, start),
            key,
            escaped,
            node: Node::closed(span(start, end), depth + 1),
            after: span(end, scanner.at),
        });
        match scanner.peek() {
            Some(b',') => scanner.at += 1,
            Some(byte) if byte == close => break,
            _ => return Err(scanner.expected(wanted)),
        }
        before = scanner.at;
        scanner.space();
    }
    if object {
        check_keys(scanner.text, base, &members)?;
    }
    scanner.at += 1;
    Ok(Level {
        object,
        changed: false,
        members,
    })
}

/// So few keys are compared with one another.
const FEW: usize = 16;

fn check_keys(text: &[u8], base: usize, members: &[Member]) -> Result<(), Box<Found>> {
    let raw =
        |member: &Member| &text[member.key.start as usize - base..member.key.end as usize - base];
    let name = |member: &Member| match member.escaped {
        false => Some(Cow::Borrowed(raw(member))),
        true => unescape(raw(member)).map(|key| Cow::Owned(key.into_owned().into_bytes())),
    };
    let found = |fault, member: &Member| Err(Found::new(fault, member.key.start as usize - base));
    let twice = |member: &Member| {
        let shown = String::from_utf8_lossy(raw(member))
            .chars()
            .take(64)
            .collect();
        found(JsonFault::DuplicateKey(shown), member)
    };
    if members.len() <= FEW && !members.iter().any(|member| member.escaped) {
        for (at, member) in members.iter().enumerate() {
            if members[..at]
                .iter()
                .any(|earlier| raw(earlier) == raw(member))
            {
                return twice(member);
            }
        }
        return Ok(());
    }
    let names = RandomState::new();
    let mask = (2 * members.len()).next_power_of_two() - 1;
    // The index of a member plus one, and a part of its key's hash.
    let mut slots = vec![(0_u32, 0_u32); mask + 1];
    for (at, member) in members.iter().enumerate() {
        let Some(key) = name(member) else {
            return found(JsonFault::LoneSurrogate, member);
        };
        let hash = names.hash_one(&*key);
        let (mut slot, tag) = (hash as usize & mask, (hash >> 32) as u32);
        while slots[slot].0 != 0 {
            let (earlier, its_tag) = slots[slot];
            if tag == its_tag && name(&members[earlier as usize - 1]).as_ref() == Some(&key) {
                return twice(member);
            }
            slot = (slot + 1) & mask;
        }
        slots[slot] = (at as u32 + 1, tag);
    }
    Ok(())
}
