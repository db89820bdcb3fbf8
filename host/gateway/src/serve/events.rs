//! The events of one upstream stream: framed, watched for usage, and for their end.
//!
//! A stream that should end with its API's last event and does not is broken, however
//! cleanly the transport closed. Bytes of an event that is not whole never leave here.

use bytes::{Bytes, BytesMut};
use tollgate_config::StreamEnd;
use tollgate_sandbox::contract::Usage;

use super::{
    errors::ServeError,
    sse::{Frame, Framer, Rest, SseError, is_done},
    usage,
};

/// See the module.
pub(super) struct Events {
    framer: Framer,
    end: StreamEnd,
    done: bool,
    /// It is whole if the transport ends now.
    may_end: bool,
    /// Its API names its events, so none of them is a `[DONE]` of the host's.
    is_named: bool,
    usage: Option<Usage>,
}

/// What comes next of what was fed.
pub(super) enum Next {
    Frame(Frame),
    /// The `[DONE]` that ends the stream; what follows is not looked at.
    Done(Bytes),
    /// An event that ends the stream and is more than a mark; what follows is not looked at.
    Last(Frame),
    /// A whole frame takes more bytes.
    Wait,
}

impl Events {
    pub(super) fn new(event_max: usize, end: StreamEnd) -> Self {
        Self {
            framer: Framer::new(event_max),
            end,
            done: false,
            may_end: false,
            is_named: false,
            usage: None,
        }
    }

    pub(super) fn feed(&mut self, chunk: Bytes) {
        if !self.done {
            self.framer.feed(chunk);
        }
    }

    /// # Errors
    /// [`ServeError::StreamMalformed`].
    pub(super) fn next(&mut self) -> Result<Next, ServeError> {
        if self.done {
            return Ok(Next::Wait);
        }
        match self.framer.next_frame().map_err(malformed)? {
            Some(frame) => Ok(self.look(frame)),
            None => Ok(Next::Wait),
        }
    }

    fn look(&mut self, frame: Frame) -> Next {
        if frame.event.is_none() {
            return Next::Frame(frame);
        }
        let data = frame.data();
        if self.end == StreamEnd::DoneEvent && is_done(&data) {
            self.done = true;
            self.is_named = false;
            return Next::Done(frame.raw.clone());
        }
        if let Some(usage) = usage::of_document(&data) {
            usage::add(&mut self.usage, usage);
        }
        drop(data);
        if let Some(name) = frame.name() {
            self.is_named = true;
            match (self.end, role(name)) {
                (StreamEnd::DoneEvent, Role::Last) => {
                    self.done = true;
                    return Next::Last(frame);
                }
                (StreamEnd::DoneEvent, Role::MayBeLast) => self.may_end = true,
                (StreamEnd::DoneEvent, Role::Other) => self.may_end = false,
                (StreamEnd::Transport, _) => {}
            }
        }
        Next::Frame(frame)
    }

    /// Everything whole in `chunk` and before it, as it came.
    ///
    /// # Errors
    /// [`ServeError::StreamMalformed`].
    pub(super) fn pass(&mut self, chunk: Bytes) -> Result<Bytes, ServeError> {
        let carried = self.framer.is_partial();
        self.feed(chunk.clone());
        let mut first = Bytes::new();
        let mut more = BytesMut::new();
        let mut whole = 0;
        loop {
            let raw = match self.next()? {
                Next::Frame(frame) | Next::Last(frame) => frame.raw,
                Next::Done(raw) => raw,
                Next::Wait => break,
            };
            whole += raw.len();
            if first.is_empty() {
                first = raw;
            } else if carried {
                more.extend_from_slice(&raw);
            }
        }
        if whole == first.len() {
            Ok(first)
        } else if carried {
            Ok([first, more.freeze()].concat().into())
        } else {
            Ok(chunk.slice(..whole))
        }
    }

    /// The transport ended cleanly: one last frame, if there is one.
    ///
    /// # Errors
    /// It should not have ended yet, or there was no frame to be made of the rest.
    pub(super) fn finish(&mut self) -> Result<Option<Frame>, ServeError> {
        if self.done {
            return Ok(None);
        }
        let frame = match self.framer.finish().map_err(malformed)? {
            Rest::Partial(_) => return Err(ServeError::StreamBroken),
            Rest::Nothing => None,
            Rest::Frame(frame) => match self.look(frame) {
                Next::Frame(frame) | Next::Last(frame) => Some(frame),
                Next::Done(raw) => Some(Frame { raw, event: None }),
                Next::Wait => None,
            },
        };
        match self.end {
            StreamEnd::DoneEvent if !self.done && !self.may_end => Err(ServeError::StreamBroken),
            StreamEnd::DoneEvent | StreamEnd::Transport => Ok(frame),
        }
    }

    pub(super) fn is_done(&self) -> bool {
        self.done
    }

    /// Whether `[DONE]` is what ends it, as far as it came.
    pub(super) fn ends_with_done(&self) -> bool {
        self.end == StreamEnd::DoneEvent && !self.is_named
    }

    pub(super) fn usage(&self) -> Option<Usage> {
        self.usage
    }
}

fn malformed(error: SseError) -> ServeError {
    ServeError::StreamMalformed(error.to_string().into())
}

/// What an event of this name is to the end of its stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    /// Nothing comes after it.
    Last,
    /// One of several may be the last.
    MayBeLast,
    Other,
}

/// By the API references of OpenAI (responses, speech, transcriptions, images) and
/// Anthropic (messages).
fn role(name: &str) -> Role {
    match name {
        "response.completed" | "response.incomplete" | "response.failed" | "message_stop" => {
            Role::Last
        }
        "speech.audio.done"
        | "transcript.text.done"
        | "image_generation.completed"
        | "image_edit.completed" => Role::MayBeLast,
        _ => Role::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pass_all(
        end: StreamEnd,
        chunks: &[&str],
    ) -> (String, Result<Option<Frame>, ServeError>, Events) {
        let mut events = Events::new(64, end);
        let mut out = String::new();
        for chunk in chunks {
            let passed = events
                .pass(Bytes::copy_from_slice(chunk.as_bytes()))
                .unwrap();
            out.push_str(std::str::from_utf8(&passed).unwrap());
        }
        let end = events.finish();
        (out, end, events)
    }

    #[test]
    fn only_whole_events_pass_however_they_were_cut() {
        let text = ": ping\n\ndata: a\n\ndata: b\r\n\r\nid: 1\ndata: c\n\ndata: [DONE]\n\n";
        for size in 1..text.len() {
            let chunks: Vec<_> = text
                .as_bytes()
                .chunks(size)
                .map(|chunk| std::str::from_utf8(chunk).unwrap())
                .collect();
            let (out, end, events) = pass_all(StreamEnd::DoneEvent, &chunks);
            assert_eq!(out, text, "{size}");
            assert!(matches!(end, Ok(None)));
            assert!(events.is_done());
        }
    }

    #[test]
    fn a_stream_that_ends_without_its_mark_is_broken() {
        let (out, end, _) = pass_all(StreamEnd::DoneEvent, &["data: a\n\ndata: b"]);
        assert_eq!(out, "data: a\n\n");
        assert!(matches!(end, Err(ServeError::StreamBroken)));
        let (_, end, _) = pass_all(StreamEnd::DoneEvent, &["data: a\n\n"]);
        assert!(matches!(end, Err(ServeError::StreamBroken)));
        let (_, end, _) = pass_all(StreamEnd::Transport, &["data: a\n\n"]);
        assert!(end.is_ok());
        let (_, end, _) = pass_all(StreamEnd::Transport, &["data: a\n\ndata: b"]);
        assert!(matches!(end, Err(ServeError::StreamBroken)));
    }

    #[test]
    fn an_api_that_names_its_events_ends_with_the_last_of_them() {
        let start = "event: message_start\ndata: {}\n\n";
        let stop = "event: message_stop\ndata: {}\n\n";
        let (out, end, events) = pass_all(StreamEnd::DoneEvent, &[start, stop, "data: x\n\n"]);
        assert_eq!(out, [start, stop].concat());
        assert!(matches!(end, Ok(None)));
        assert!(events.is_done() && !events.ends_with_done());
        let (_, end, _) = pass_all(StreamEnd::DoneEvent, &[start]);
        assert!(matches!(end, Err(ServeError::StreamBroken)));
        let image = "event: image_edit.completed\ndata: {}\n\n";
        let (out, end, events) = pass_all(StreamEnd::DoneEvent, &[image, image]);
        assert_eq!(out, [image, image].concat());
        assert!(end.is_ok() && !events.is_done());
        let part = "event: image_edit.partial_image\ndata: {}\n\n";
        let (_, end, _) = pass_all(StreamEnd::DoneEvent, &[image, part]);
        assert!(matches!(end, Err(ServeError::StreamBroken)));
    }

    #[test]
    fn the_last_event_of_a_response_tells_its_usage() {
        let last =
            "event: response.completed\ndata: {\"response\":{\"usage\":{\"input_tokens\":3}}}\n\n";
        let mut events = Events::new(1024, StreamEnd::DoneEvent);
        events.pass(Bytes::from_static(last.as_bytes())).unwrap();
        assert!(events.is_done());
        assert_eq!(events.usage().map(|usage| usage.input_tokens), Some(3));
    }

    #[test]
    fn nothing_passes_after_the_mark() {
        let (out, end, _) = pass_all(
            StreamEnd::DoneEvent,
            &["data: [DONE]\n\ndata: x\n\n", "data: [DONE]\n\n"],
        );
        assert_eq!(out, "data: [DONE]\n\n");
        assert!(end.is_ok());
    }

    #[test]
    fn the_last_usage_of_a_stream_counts() {
        let (_, _, events) = pass_all(
            StreamEnd::Transport,
            &[
                "data: {\"usage\":null}\n\n",
                "data: {\"usage\":{\"prompt_tokens\":2}}\n\n",
            ],
        );
        assert_eq!(events.usage().map(|usage| usage.input_tokens), Some(2));
    }

    #[test]
    fn an_event_beyond_the_limit_is_malformed() {
        let mut events = Events::new(64, StreamEnd::Transport);
        let long = Bytes::from(format!("data: {}", "x".repeat(100)));
        assert!(matches!(
            events.pass(long),
            Err(ServeError::StreamMalformed(_))
        ));
    }
}
