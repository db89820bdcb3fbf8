//! The body of an answer whose head is held back until enough of it came.
//!
//! A server may break off behind a good head. Until something of its body went to the
//! client, another may be asked. A server may also send its head, and an event that says
//! only that a stream begins, long before it has a token: then that is what is waited for.

use std::{
    fmt,
    future::poll_fn,
    mem,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tollgate_sandbox::Json;

use super::{
    content::Flowing,
    errors::ServeError,
    sse::{Framer, is_done},
    stall::{Stall, Stalled},
};

/// As much is held back: a stream that has said more than this has begun.
const HELD_MAX: usize = 256 * 1024;
/// An event that says only that it begins is not nested deeper.
const DEPTH_MAX: usize = 32;

/// What of a body is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Until {
    /// The first event with content.
    Event,
    /// Any byte.
    Byte,
    /// All of it.
    End,
}

/// See the module.
pub(super) struct Begun<B = Incoming> {
    /// Most bodies come in one piece, which costs no copy.
    first: Option<Bytes>,
    /// In one buffer: pieces may be small, and each holds on to what was read with it.
    more: BytesMut,
    body: B,
    /// Nothing comes behind what is held.
    is_over: bool,
}

impl<B: Body<Data = Bytes> + Unpin> Begun<B> {
    /// Waits for so much of the body, or for its end.
    ///
    /// # Errors
    /// It broke off before, or fell silent.
    pub(super) async fn wait(body: B, until: Until, mut stall: Stall) -> Result<Self, ServeError> {
        let mut begun = Self {
            first: None,
            more: BytesMut::new(),
            body,
            is_over: false,
        };
        match until {
            Until::Event => begun.event(&mut stall).await?,
            Until::Byte => drop(begun.piece(&mut stall).await?),
            Until::End => {
                while !begun.body.is_end_stream() && begun.piece(&mut stall).await?.is_some() {}
            }
        }
        Ok(begun)
    }

    /// There was nothing of it, to its end.
    pub(super) fn is_empty(&self) -> bool {
        self.is_over && self.first.is_none() && self.more.is_empty()
    }

    fn next_held(&mut self) -> Option<Bytes> {
        let more = |more: &mut BytesMut| (!more.is_empty()).then(|| mem::take(more).freeze());
        self.first.take().or_else(|| more(&mut self.more))
    }

    async fn event(&mut self, stall: &mut Stall) -> Result<(), ServeError> {
        let mut framer = Framer::new(HELD_MAX);
        let mut held = 0;
        while let Some(data) = self.piece(stall).await? {
            held += data.len();
            framer.feed(data);
            if held > HELD_MAX || has_content(&mut framer) {
                break;
            }
        }
        Ok(())
    }

    /// The next piece, which is held; `None`: there is no other.
    async fn piece(&mut self, stall: &mut Stall) -> Result<Option<Bytes>, ServeError> {
        loop {
            let frame = poll_fn(
                |context| match Pin::new(&mut self.body).poll_frame(context) {
                    Poll::Ready(frame) => Poll::Ready(Ok(frame)),
                    Poll::Pending => stall.poll(context).map(Err),
                },
            );
            let frame = frame.await.map_err(|stalled| match stalled {
                Stalled::Silent => ServeError::BetweenBytesTimeout,
                Stalled::Total(silent) => ServeError::Overdue(silent),
            })?;
            stall.moved();
            let Some(frame) = frame else {
                self.is_over = true;
                return Ok(None);
            };
            // Trailers are not passed on.
            let data = frame.map_err(|_| ServeError::UpstreamFailed)?.into_data();
            let Some(data) = data.ok().filter(|data| !data.is_empty()) else {
                continue;
            };
            match self.first {
                None => self.first = Some(data.clone()),
                Some(_) => self.more.extend_from_slice(&data),
            }
            return Ok(Some(data));
        }
    }
}

/// Whether a frame that is whole says more than that the stream begins. What cannot be
/// framed is for others to judge.
fn has_content(framer: &mut Framer) -> bool {
    loop {
        match framer.next_frame() {
            Ok(Some(frame)) => match frame.to_event() {
                Some(event) if is_opening(event.name.as_deref(), &event.data) => {}
                Some(_) => return true,
                None => {}
            },
            Ok(None) => return false,
            Err(_) => return true,
        }
    }
}

/// An event that comes before the first token: known by name, or by an empty delta.
fn is_opening(name: Option<&str>, data: &[u8]) -> bool {
    const NAMES: [&str; 8] = [
        "message_start",
        "content_block_start",
        "ping",
        "response.created",
        "response.queued",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
    ];
    if let Some(name) = name {
        return NAMES.contains(&name);
    }
    !is_done(data) && has_empty_delta(data)
}

/// The first choice of a chat completion, with a role and no text yet.
fn has_empty_delta(data: &[u8]) -> bool {
    let Ok(mut chunk) = Json::parse(Bytes::copy_from_slice(data), DEPTH_MAX) else {
        return false;
    };
    let is_there = |chunk: &mut Json, field: &str| {
        use tollgate_sandbox::contract::Value;
        match chunk.get(&format!("/choices/0/{field}")) {
            None | Some(Value::Null) => false,
            Some(Value::Text(text)) => !text.is_empty(),
            Some(_) => true,
        }
    };
    is_there(&mut chunk, "delta/role")
        && ![
            "delta/content",
            "delta/reasoning_content",
            "delta/reasoning",
            "delta/refusal",
            "delta/tool_calls",
            "delta/function_call",
            "delta/audio",
            "finish_reason",
        ]
        .iter()
        .any(|field| is_there(&mut chunk, field))
}

impl Flowing for Begun {}

impl fmt::Debug for Begun {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Begun").finish_non_exhaustive()
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Begun<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        match self.next_held() {
            Some(data) => Poll::Ready(Some(Ok(Frame::data(data)))),
            None if self.is_over => Poll::Ready(None),
            None => Pin::new(&mut self.body).poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        let is_given = self.first.is_none() && self.more.is_empty();
        is_given && (self.is_over || self.body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        let held = self.first.as_ref().map_or(0, Bytes::len) + self.more.len();
        let rest = match self.is_over {
            true => Some(0),
            false => self.body.size_hint().exact(),
        };
        rest.map_or_else(SizeHint::default, |rest| {
            SizeHint::with_exact(held as u64 + rest)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::{
        convert::Infallible,
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        },
        time::Duration,
    };

    use futures_util::stream;
    use http_body_util::{BodyExt, StreamBody};
    use tokio::time::Instant;

    use super::{super::counted_byte::counted_byte, *};

    #[tokio::test]
    async fn what_comes_byte_by_byte_is_held_in_one_buffer() {
        for until in [Until::End, Until::Event] {
            let held = &Arc::new(AtomicUsize::new(0));
            let pieces = (0..50_000).map(move |_| {
                let piece = counted_byte(held);
                Ok::<_, Infallible>(Frame::data(piece))
            });
            let body = StreamBody::new(stream::iter(pieces));
            let hour = Duration::from_secs(3600);
            let stall = Stall::new(hour, Instant::now() + hour);
            let begun = Begun::wait(body, until, stall).await.unwrap();
            assert_eq!(held.load(Ordering::Relaxed), 1, "{until:?}: the first");
            let whole = begun.collect().await.unwrap().to_bytes();
            assert_eq!(whole, "x".repeat(50_000), "{until:?}");
        }
    }

    fn begins(text: &str) -> bool {
        let mut framer = Framer::new(HELD_MAX);
        framer.feed(Bytes::copy_from_slice(text.as_bytes()));
        has_content(&mut framer)
    }

    #[test]
    fn what_says_only_that_it_begins_is_no_content() {
        for (text, has_content) in [
            ("", false),
            (": ping\n\n", false),
            ("data: {\"choices\":[{\"delta\":{\"content\":\"a\"", false),
            (
                "data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\",\"refusal\":null},\"finish_reason\":null}]}\n\n",
                false,
            ),
            (
                "data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"a\"}}]}\n\n",
                true,
            ),
            (
                "data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"index\":0}]}}]}\n\n",
                true,
            ),
            (
                "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"\"}}]}\n\n",
                true,
            ),
            ("data: {\"choices\":[],\"usage\":{}}\n\n", true),
            ("data: [DONE]\n\n", true),
            ("data: {\"error\":{\"message\":\"x\"}}\n\n", true),
            ("data: no JSON\n\n", true),
            (
                "event: message_start\ndata: {}\n\nevent: ping\ndata: {}\n\n",
                false,
            ),
            (
                "event: message_start\ndata: {}\n\nevent: content_block_delta\ndata: {}\n\n",
                true,
            ),
            ("event: response.created\ndata: {}\n\n", false),
            ("event: response.output_text.delta\ndata: {}\n\n", true),
            ("event: error\ndata: {}\n\n", true),
        ] {
            assert_eq!(begins(text), has_content, "{text}");
        }
    }
}
