//! Frames server-sent events (WHATWG) out of chunks of any size, and writes them.
//!
//! A frame is the very bytes of one event with the blank line after it, or bytes
//! without an event: a comment line, a lone blank line, fields without data. How
//! the bytes were cut into chunks never shows. Every byte is looked at twice at
//! most. Knows nothing of JSON, tokens or policies.

use std::{borrow::Cow, collections::VecDeque, ops::Range};

use bytes::{Buf, Bytes, BytesMut};
use memchr::memchr2;
use tollgate_sandbox::contract::Event;

/// Why a stream is not one of events. The framer gives nothing after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SseError {
    /// An event is longer than allowed, in bytes with its line ends.
    #[error("an event is longer than {0} bytes")]
    TooLong(usize),
    /// An event's data or name is not UTF-8.
    #[error("an event is not UTF-8")]
    NotUtf8,
}

/// Some whole lines of a stream, at most one event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// The bytes as they came, with the line ends.
    pub raw: Bytes,
    /// The event in them; a frame without one goes on as it is.
    pub event: Option<EventView>,
}

/// Where the parts of an event lie in its frame. They are UTF-8.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventView {
    /// `None` for an event without a name or with an empty one.
    pub name: Option<Range<usize>>,
    /// The first line of data.
    pub data: Range<usize>,
    /// The lines after it; rare.
    pub more_data: Vec<Range<usize>>,
}

impl Frame {
    /// The event's name, if there is an event and it has one.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        let name = self.event.as_ref()?.name.clone()?;
        std::str::from_utf8(&self.raw[name]).ok()
    }

    /// The event's data, its lines joined by `\n`; empty without an event.
    #[must_use]
    pub fn data(&self) -> Cow<'_, [u8]> {
        let Some(event) = &self.event else {
            return Cow::Borrowed(b"");
        };
        let first = &self.raw[event.data.clone()];
        if event.more_data.is_empty() {
            return Cow::Borrowed(first);
        }
        let mut data = first.to_vec();
        for line in &event.more_data {
            data.push(b'\n');
            data.extend_from_slice(&self.raw[line.clone()]);
        }
        Cow::Owned(data)
    }

    /// The event as policies see it.
    #[must_use]
    pub fn to_event(&self) -> Option<Event> {
        self.event.as_ref()?;
        Some(Event {
            name: self.name().map(str::to_owned),
            data: self.data().into_owned(),
        })
    }
}

/// What is left when the stream ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rest {
    /// The stream ended after a whole frame.
    Nothing,
    /// The last bytes are one more whole frame.
    Frame(Frame),
    /// The stream broke off inside of an event: its bytes so far.
    Partial(Bytes),
}

/// Cuts a stream into frames: [`feed`](Self::feed) it, then call
/// [`next_frame`](Self::next_frame) until there is none.
#[derive(Debug)]
pub struct Framer {
    event_max: usize,
    /// What was fed and has not been looked at, after `chunk`.
    queue: VecDeque<Bytes>,
    /// The chunk at hand, without frames that were given out.
    chunk: Bytes,
    /// How much of `chunk` belongs to the frame that is being read.
    scanned: usize,
    /// What earlier chunks hold of that frame.
    carried: BytesMut,
    /// Bytes at the frame's start that are no line: a byte order mark, the LF of a CR LF.
    lead: usize,
    line: Line,
    /// The frame has a line that is no comment.
    fields: bool,
    state: State,
    /// The last line end was CR LF, so an LF is expected after a CR.
    crlf: bool,
    failed: Option<SseError>,
}

/// The line that is being read, so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line {
    Empty,
    Comment,
    Field,
}

/// What the next byte may be besides a part of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// So many bytes of a byte order mark were seen at the start of the stream.
    Mark(u8),
    Plain,
    /// An LF would belong to the CR before it.
    AfterCr,
    /// The same, and the frame ends there.
    LastCr,
}

const MARK: [u8; 3] = [0xef, 0xbb, 0xbf];

impl Framer {
    /// A framer that refuses events longer than `event_max` bytes.
    #[must_use]
    pub fn new(event_max: usize) -> Self {
        Self {
            event_max,
            queue: VecDeque::new(),
            chunk: Bytes::new(),
            scanned: 0,
            carried: BytesMut::new(),
            lead: 0,
            line: Line::Empty,
            fields: false,
            state: State::Mark(0),
            crlf: false,
            failed: None,
        }
    }

    /// Takes the next bytes of the stream.
    pub fn feed(&mut self, chunk: Bytes) {
        if self.chunk.is_empty() {
            self.chunk = chunk;
        } else {
            self.queue.push_back(chunk);
        }
    }

    /// The next whole frame of what was fed.
    ///
    /// # Errors
    /// The stream is not one of events; from then on every call gives the same error.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, SseError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let frame = self.advance();
        if let Err(error) = frame {
            self.failed = Some(error);
            (self.chunk, self.queue, self.carried) =
                (Bytes::new(), VecDeque::new(), BytesMut::new());
        }
        frame
    }

    /// Whether bytes are held that are no whole frame yet.
    #[must_use]
    pub fn is_partial(&self) -> bool {
        !self.carried.is_empty() || !self.chunk.is_empty() || !self.queue.is_empty()
    }

    /// Says that the stream ended, after the last frame was asked for.
    ///
    /// # Errors
    /// As [`next_frame`](Self::next_frame).
    pub fn finish(&mut self) -> Result<Rest, SseError> {
        if let Some(frame) = self.next_frame()? {
            return Ok(Rest::Frame(frame));
        }
        let whole = self.state == State::LastCr || self.carried.len() == self.lead;
        if self.carried.is_empty() {
            Ok(Rest::Nothing)
        } else if whole {
            self.cut().map(Rest::Frame)
        } else {
            Ok(Rest::Partial(self.carried.split().freeze()))
        }
    }

    fn advance(&mut self) -> Result<Option<Frame>, SseError> {
        loop {
            while self.scanned < self.chunk.len() {
                if self.step() {
                    return self.cut().map(Some);
                }
                self.check_length()?;
            }
            self.carried.extend_from_slice(&self.chunk);
            self.scanned = 0;
            let Some(chunk) = self.queue.pop_front() else {
                self.chunk = Bytes::new();
                return Ok(None);
            };
            self.chunk = chunk;
        }
    }

    /// Goes on by one byte or to the end of the line; whether the frame ends there.
    #[inline]
    fn step(&mut self) -> bool {
        let byte = self.chunk[self.scanned];
        match self.state {
            State::Plain => {}
            State::AfterCr | State::LastCr => {
                let last = self.state == State::LastCr;
                self.state = State::Plain;
                self.crlf = byte == b'\n';
                if self.crlf {
                    self.lead += usize::from(self.scanned == 0 && self.carried.is_empty());
                    self.scanned += 1;
                    return last;
                }
                if last {
                    return true;
                }
            }
            State::Mark(seen) if byte == MARK[usize::from(seen)] => {
                self.scanned += 1;
                self.state = if seen == 2 {
                    State::Plain
                } else {
                    State::Mark(seen + 1)
                };
                self.lead = if seen == 2 { MARK.len() } else { 0 };
                return false;
            }
            State::Mark(seen) => {
                self.state = State::Plain;
                self.line = if seen == 0 { Line::Empty } else { Line::Field };
            }
        }
        self.walk()
    }

    /// Walks along the line, up to and with its end.
    #[inline]
    fn walk(&mut self) -> bool {
        let rest = &self.chunk[self.scanned..];
        let end = memchr2(b'\n', b'\r', rest);
        if self.line == Line::Empty && end != Some(0) {
            self.line = if rest[0] == b':' {
                Line::Comment
            } else {
                Line::Field
            };
        }
        let Some(end) = end else {
            self.scanned = self.chunk.len();
            return false;
        };
        let return_seen = rest[end] == b'\r';
        self.scanned += end + 1;
        let last = match std::mem::replace(&mut self.line, Line::Empty) {
            Line::Empty => true,
            Line::Comment => !self.fields,
            Line::Field => {
                self.fields = true;
                false
            }
        };
        if !return_seen {
            self.crlf = false;
            return last;
        }
        let wait = last && self.crlf;
        self.state = if wait { State::LastCr } else { State::AfterCr };
        last && !wait
    }

    #[inline]
    fn check_length(&self) -> Result<(), SseError> {
        if self.carried.len() + self.scanned > self.event_max {
            return Err(SseError::TooLong(self.event_max));
        }
        Ok(())
    }

    /// Gives out the frame that ends at `scanned`.
    fn cut(&mut self) -> Result<Frame, SseError> {
        self.check_length()?;
        let raw = if self.carried.is_empty() {
            self.chunk.split_to(self.scanned)
        } else {
            self.carried.extend_from_slice(&self.chunk[..self.scanned]);
            self.chunk.advance(self.scanned);
            self.carried.split().freeze()
        };
        let event = if self.fields {
            read_event(&raw, self.lead)?
        } else {
            None
        };
        self.scanned = 0;
        self.lead = 0;
        self.fields = false;
        if self.state == State::LastCr {
            self.state = State::AfterCr;
        }
        Ok(Frame { raw, event })
    }
}

/// The event in whole lines, if there is data.
fn read_event(raw: &[u8], lead: usize) -> Result<Option<EventView>, SseError> {
    let (mut name, mut data, mut more_data) = (None, None, Vec::new());
    let mut start = lead;
    while start < raw.len() {
        let end = memchr2(b'\n', b'\r', &raw[start..]).map_or(raw.len(), |length| start + length);
        let (field, value) = split_field(&raw[start..end]);
        let value = start + value..end;
        match field {
            b"data" => {
                check_utf8(&raw[value.clone()])?;
                match data {
                    None => data = Some(value),
                    Some(_) => more_data.push(value),
                }
            }
            b"event" => {
                check_utf8(&raw[value.clone()])?;
                name = Some(value);
            }
            _ => {}
        }
        start = end
            + if raw[end..].starts_with(b"\r\n") {
                2
            } else {
                1
            };
    }
    let name = name.filter(|name| !name.is_empty());
    Ok(data.map(|data| EventView {
        name,
        data,
        more_data,
    }))
}

/// A field's name, and where its value starts in the line.
#[inline]
fn split_field(line: &[u8]) -> (&[u8], usize) {
    let colon = match line {
        [b'd', b'a', b't', b'a', b':', ..] => 4,
        _ => match memchr::memchr(b':', line) {
            Some(colon) => colon,
            None => return (line, line.len()),
        },
    };
    let space = usize::from(line.get(colon + 1) == Some(&b' '));
    (&line[..colon], colon + 1 + space)
}

fn check_utf8(text: &[u8]) -> Result<(), SseError> {
    std::str::from_utf8(text)
        .map(drop)
        .map_err(|_| SseError::NotUtf8)
}

/// Writes an event with its blank line. Line ends in the data make new lines of
/// data; a name ends at a line end.
#[must_use]
pub fn encode(event: &Event) -> Bytes {
    let name = event
        .name
        .as_deref()
        .map(|name| name.split(['\n', '\r']).next().unwrap_or_default());
    let mut out = BytesMut::with_capacity(event.data.len() + name.map_or(0, str::len) + 24);
    if let Some(name) = name.filter(|name| !name.is_empty()) {
        out.extend_from_slice(b"event: ");
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b"\n");
    }
    let mut rest = &event.data[..];
    loop {
        let end = memchr2(b'\n', b'\r', rest);
        out.extend_from_slice(b"data: ");
        out.extend_from_slice(&rest[..end.unwrap_or(rest.len())]);
        out.extend_from_slice(b"\n");
        let Some(end) = end else { break };
        rest = &rest[end
            + if rest[end..].starts_with(b"\r\n") {
                2
            } else {
                1
            }..];
    }
    out.extend_from_slice(b"\n");
    out.freeze()
}

/// Whether the data is the `[DONE]` that ends an OpenAI stream.
#[must_use]
pub fn is_done(data: &[u8]) -> bool {
    data.trim_ascii() == b"[DONE]"
}

#[cfg(test)]
mod tests;
