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
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMIT: usize = 1 << 16;

    /// All frames of chunks, fed and asked for in turn, and what was left.
    fn frames(
        chunks: impl IntoIterator<Item = Bytes>,
        limit: usize,
    ) -> (Vec<Frame>, Result<Rest, SseError>) {
        let mut framer = Framer::new(limit);
        let mut frames = Vec::new();
        for chunk in chunks {
            framer.feed(chunk);
            loop {
                match framer.next_frame() {
                    Ok(Some(frame)) => frames.push(frame),
                    Ok(None) => break,
                    Err(error) => return (frames, Err(error)),
                }
            }
        }
        let rest = framer.finish();
        (frames, rest)
    }

    fn chunks(text: &[u8], size: usize) -> impl Iterator<Item = Bytes> {
        text.chunks(size).map(Bytes::copy_from_slice)
    }

    fn whole(text: impl AsRef<[u8]>) -> (Vec<Frame>, Result<Rest, SseError>) {
        frames([Bytes::copy_from_slice(text.as_ref())], LIMIT)
    }

    type Seen = (Option<String>, String);

    fn events(frames: &[Frame]) -> Vec<Seen> {
        let events = frames.iter().filter_map(Frame::to_event);
        events
            .map(|event| (event.name, String::from_utf8(event.data).unwrap()))
            .collect()
    }

    fn seen(text: &str) -> Vec<Seen> {
        let (frames, rest) = whole(text);
        assert_eq!(rest, Ok(Rest::Nothing), "{text:?}");
        assert_eq!(
            frames
                .iter()
                .map(|frame| &frame.raw[..])
                .collect::<Vec<_>>()
                .concat(),
            text.as_bytes()
        );
        events(&frames)
    }

    fn event(name: Option<&str>, data: &str) -> Seen {
        (name.map(Into::into), data.to_owned())
    }

    /// The standard's algorithm, line by line over the whole text; `None` if it
    /// breaks off inside of an event.
    fn by_the_book(text: &str) -> Option<Vec<Seen>> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let text = text.replace("\r\n", "\n").replace('\r', "\n");
        let (mut name, mut data, mut open, mut events) =
            (String::new(), String::new(), false, Vec::new());
        let mut lines: Vec<_> = text.split('\n').collect();
        let last = lines.pop().unwrap();
        for line in lines {
            if line.is_empty() {
                if let Some(data) = data.strip_suffix('\n') {
                    events.push(event(
                        Some(name.as_str()).filter(|name| !name.is_empty()),
                        data,
                    ));
                }
                (name, data, open) = (String::new(), String::new(), false);
                continue;
            }
            open |= !line.starts_with(':');
            let (field, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "event" => name = value.to_owned(),
                "data" => data += &format!("{value}\n"),
                _ => {}
            }
        }
        (last.is_empty() && !open).then_some(events)
    }

    #[test]
    fn events_are_read_with_every_line_end() {
        for end in ["\n", "\r\n", "\r"] {
            let text = "data: a\n\nevent: n\ndata:b\ndata\ndata:  c\nid: 1\n\n".replace('\n', end);
            assert_eq!(seen(&text), [event(None, "a"), event(Some("n"), "b\n\n c")]);
        }
        assert_eq!(
            seen("data: a\r\rdata: b\n\r\ndata: c\r\n\n"),
            [event(None, "a"), event(None, "b"), event(None, "c")]
        );
    }

    #[test]
    fn fields_are_read_as_the_standard_says() {
        assert_eq!(seen("\u{feff}data: a\n\n"), [event(None, "a")]);
        assert_eq!(
            seen("\u{feff}\u{feff}data: a\n\ndata: b\n\n"),
            [event(None, "b")]
        );
        assert_eq!(seen("data\n\n"), [event(None, "")]);
        assert_eq!(seen("data:\n\n"), [event(None, "")]);
        assert_eq!(
            seen("data: a:b\nDATA: x\n data: x\ndataa: x\n\n"),
            [event(None, "a:b")]
        );
        assert_eq!(
            seen("event: a\nevent: b\ndata: x\n\n"),
            [event(Some("b"), "x")]
        );
        assert_eq!(seen("event: a\nevent:\ndata: x\n\n"), [event(None, "x")]);
        assert_eq!(seen("event: a\n\ndata: x\n\n"), [event(None, "x")]);
        assert_eq!(
            seen("data: x\n: between\ndata: y\n\n"),
            [event(None, "x\ny")]
        );
        assert_eq!(seen(""), []);
    }

    #[test]
    fn comments_and_fields_without_data_are_frames_without_an_event() {
        let (frames, rest) = whole(": ping\n\nretry: 10\nid: 1\n\n: c\ndata: x\n\n\n");
        assert_eq!(rest, Ok(Rest::Nothing));
        let raws: Vec<_> = frames
            .iter()
            .map(|frame| (&frame.raw[..], frame.event.is_some()))
            .collect();
        assert_eq!(
            raws,
            [
                (&b": ping\n"[..], false),
                (b"\n", false),
                (b"retry: 10\nid: 1\n\n", false),
                (b": c\n", false),
                (b"data: x\n\n", true),
                (b"\n", false)
            ]
        );
    }

    #[test]
    fn a_frame_is_given_out_as_soon_as_it_is_whole() {
        for text in [
            ": ping\n",
            "data: x\n\n",
            "data: x\r\n\r\n",
            "data: x\r\r",
            "\n",
            "\r",
        ] {
            let mut framer = Framer::new(LIMIT);
            for chunk in chunks(text.as_bytes(), 1) {
                assert_eq!(framer.next_frame(), Ok(None));
                framer.feed(chunk);
            }
            assert_eq!(framer.next_frame().unwrap().unwrap().raw, text);
            assert!(!framer.is_partial());
        }
    }

    #[test]
    fn a_frame_in_one_chunk_is_not_copied() {
        let chunk = Bytes::from_static(b"data: a\n\ndata: b\n\n");
        let (frames, _) = frames([chunk.clone()], LIMIT);
        assert_eq!(frames[1].raw.as_ptr(), chunk[9..].as_ptr());
    }

    #[test]
    fn an_event_may_be_cut_at_every_byte() {
        let texts = [
            "\u{feff}event: é\r\ndata: 😀\r\n\r\n:c\r\ndata: x\r\n\r\n",
            "data: a\r\rdata: b\n\ndata: c\r\n\r\n",
            "\r\n\r\ndata: a\n\r\ndata: b\r\n\r",
        ];
        for text in texts {
            let all = whole(text);
            for cut in 0..=text.len() {
                let (head, tail) = text.as_bytes().split_at(cut);
                assert_eq!(
                    frames(
                        [Bytes::copy_from_slice(head), Bytes::copy_from_slice(tail)],
                        LIMIT
                    ),
                    all
                );
            }
            assert_eq!(frames(chunks(text.as_bytes(), 1), LIMIT), all);
        }
    }

    #[test]
    fn a_stream_that_breaks_off_inside_of_an_event_is_told_from_one_that_ended() {
        for text in [
            "d",
            "data: x",
            "data: x\n",
            "data: x\r\n",
            "event: x\n\ndata: y\n",
            ":",
            ": pi",
            "\u{feff}data",
            "retry: 1\n",
        ] {
            let (_, rest) = whole(text);
            assert!(
                matches!(&rest, Ok(Rest::Partial(left)) if text.ends_with(std::str::from_utf8(left).unwrap())),
                "{text:?} {rest:?}"
            );
        }
        assert!(matches!(whole(b"\xef\xbb").1, Ok(Rest::Partial(_))));
        for text in ["data: x\r\n\r", "data: x\r\r\n", "\r\n", "\u{feff}"] {
            let (mut all, rest) = whole(text);
            match rest {
                Ok(Rest::Frame(frame)) => all.push(frame),
                rest => assert_eq!(rest, Ok(Rest::Nothing), "{text:?}"),
            }
            assert_eq!(
                all.iter()
                    .map(|frame| &frame.raw[..])
                    .collect::<Vec<_>>()
                    .concat(),
                text.as_bytes()
            );
        }
    }

    #[test]
    fn an_event_longer_than_allowed_is_an_error_that_stays() {
        let exact = format!("data: {}\n\n", "a".repeat(92));
        for size in [1, 7, 1000] {
            assert_eq!(frames(chunks(exact.as_bytes(), size), 100).0.len(), 1);
            let (all, rest) = frames(chunks(format!("{exact}x{exact}").as_bytes(), size), 100);
            assert_eq!((all.len(), rest), (1, Err(SseError::TooLong(100))));
        }
        let mut framer = Framer::new(100);
        framer.feed(vec![b'a'; 200].into());
        assert_eq!(framer.next_frame(), Err(SseError::TooLong(100)));
        framer.feed("data: x\n\n".into());
        assert_eq!(framer.next_frame(), Err(SseError::TooLong(100)));
        assert!(framer.finish().is_err());
        for size in [1, 1 << 20] {
            let flood = vec![b'a'; 2 << 20];
            assert_eq!(
                frames(chunks(&flood, size), 1 << 20).1,
                Err(SseError::TooLong(1 << 20))
            );
            assert!(
                matches!(frames(chunks(&flood, size), 4 << 20).1, Ok(Rest::Partial(left)) if left.len() == 2 << 20)
            );
        }
    }

    #[test]
    fn data_that_is_not_utf8_is_an_error_and_a_comment_is_not() {
        assert_eq!(whole(b"data: \xff\n\n").1, Err(SseError::NotUtf8));
        assert_eq!(
            whole(b"data: \xf0\x9f\ndata: \x98\x80\n\n").1,
            Err(SseError::NotUtf8)
        );
        assert_eq!(whole(b"event: \xff\ndata: x\n\n").1, Err(SseError::NotUtf8));
        let (frames, rest) = whole(b": \xff\nid: \xff\ndata: x\n\n");
        assert_eq!(
            (events(&frames), rest),
            (vec![event(None, "x")], Ok(Rest::Nothing))
        );
    }

    #[test]
    fn floods_take_time_in_proportion() {
        let tiny = "data:\n\n".repeat(1_000_000);
        for size in [1, 3, 1 << 14, usize::MAX] {
            let mut framer = Framer::new(LIMIT);
            let mut count = 0;
            for chunk in chunks(tiny.as_bytes(), size) {
                framer.feed(chunk);
                while let Some(frame) = framer.next_frame().unwrap() {
                    count += usize::from(frame.event.is_some());
                }
            }
            assert_eq!(count, 1_000_000);
        }
        let lines = "data:\n".repeat(100_000) + "\n";
        assert_eq!(
            frames(chunks(lines.as_bytes(), 1), 1 << 20).0[0]
                .data()
                .len(),
            99_999
        );
    }

    #[test]
    fn the_end_of_a_stream_is_known() {
        assert!(is_done(b"[DONE]") && is_done(b" [DONE] "));
        assert!(!is_done(b"") && !is_done(b"\"[DONE]\"") && !is_done(b"[done]"));
    }

    #[test]
    fn what_is_written_cannot_break_out_of_its_frame() {
        let written = encode(&Event {
            name: Some("a\ndata: x\n\n".into()),
            data: b"x\r\n\r\ry\n".to_vec(),
        });
        assert_eq!(
            written,
            "event: a\ndata: x\ndata: \ndata: \ndata: y\ndata: \n\n"
        );
    }

    fn any_stream() -> impl Strategy<Value = String> {
        let part = prop_oneof![
            4 => prop_oneof![Just("\n"), Just("\r\n"), Just("\r"), Just("\n\n"), Just("\r\n\r\n")].prop_map(str::to_owned),
            4 => prop_oneof![Just("data"), Just("data:"), Just("data: "), Just("event: "), Just("id: 1"), Just("retry: 1"), Just(":"), Just("\u{feff}")]
                .prop_map(str::to_owned),
            2 => "[a-c: é😀]{0,6}",
        ];
        (any::<bool>(), prop::collection::vec(part, 0..30)).prop_map(|(mark, parts)| {
            if mark { "\u{feff}" } else { "" }.to_owned() + &parts.concat()
        })
    }

    proptest! {
        #[test]
        fn any_cut_gives_the_same_frames_and_they_are_the_stream(
            text in prop_oneof![any_stream().prop_map(String::into_bytes), prop::collection::vec(any::<u8>(), 0..60)],
            cuts in prop::collection::vec(1..9_usize, 1..8),
            at_once in any::<bool>(),
        ) {
            let all = whole(&text);
            let mut cuts = cuts.into_iter().cycle();
            let mut rest = &text[..];
            let mut pieces = Vec::new();
            while !rest.is_empty() {
                let (head, tail) = rest.split_at(cuts.next().unwrap().min(rest.len()));
                pieces.push(Bytes::copy_from_slice(head));
                rest = tail;
            }
            if at_once {
                let mut framer = Framer::new(LIMIT);
                pieces.into_iter().for_each(|piece| framer.feed(piece));
                let mut found = Vec::new();
                while let Ok(Some(frame)) = framer.next_frame() {
                    found.push(frame);
                }
                prop_assert_eq!((found, framer.finish()), all.clone());
            } else {
                prop_assert_eq!(frames(pieces, LIMIT), all.clone());
            }
            let mut raws: Vec<u8> = all.0.iter().flat_map(|frame| frame.raw.to_vec()).collect();
            match all.1 {
                Ok(Rest::Partial(left)) => raws.extend_from_slice(&left),
                Ok(Rest::Frame(frame)) => raws.extend_from_slice(&frame.raw),
                Ok(Rest::Nothing) => {}
                Err(_) => return Ok(()),
            }
            prop_assert_eq!(raws, text);
        }

        #[test]
        fn events_are_those_of_the_standard(text in any_stream()) {
            let (mut frames, rest) = whole(&text);
            let partial = match rest.unwrap() {
                Rest::Frame(frame) => {
                    frames.push(frame);
                    false
                }
                rest => matches!(rest, Rest::Partial(_)),
            };
            match by_the_book(&text) {
                Some(events) => {
                    prop_assert!(!partial);
                    prop_assert_eq!(self::events(&frames), events);
                }
                None => prop_assert!(partial),
            }
        }

        #[test]
        fn an_event_that_was_written_is_read_back(name in prop::option::of("[^\r\n]{1,9}"), data in "[^\r]{0,20}") {
            let event = Event { name: name.clone(), data: data.clone().into_bytes() };
            prop_assert_eq!(seen(std::str::from_utf8(&encode(&event)).unwrap()), [(name, data)]);
        }
    }
}
