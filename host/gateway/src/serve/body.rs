//! The body of a response on its way to the client.
//!
//! The exchange lives inside of it and ends with it: when the last byte was taken,
//! or when hyper drops it because the client is gone.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::Method;
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::Instant;
use tollgate_config::StreamEnd;
use tollgate_sandbox::contract::Hooks;

use super::{
    Shared,
    begun::Begun,
    cache::Kept,
    content::Content,
    errors::ServeError,
    relay::Relay,
    reply::Watch,
    state::{Exchange, complete},
    stream::EventStream,
};

/// As much as is given away at a time: over HTTP/2 what was given counts as taken, however
/// little of it the client lets through.
const SLICE: usize = 64 * 1024;

/// See the module.
pub struct Body(Inner);

enum Inner {
    Empty,
    AtHand(AtHand),
    Relay(Box<Relay<Incoming>>),
    Kept(Box<Relay<Box<Kept>>>),
    Begun(Box<Relay<Begun>>),
    Stream(EventStream),
}

/// The response broke off. hyper cuts the transport, so that it never looks complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the response broke off")]
pub struct BodyError;

impl Body {
    pub(super) fn empty() -> Self {
        Self(Inner::Empty)
    }

    pub(super) fn new(content: Content, watch: Watch, mut exchange: Box<Exchange>) -> Self {
        if let Some(connection) = exchange.connection() {
            connection.note_deadline(exchange.deadline);
        }
        if matches!(content, Content::Empty | Content::AtHand(_)) {
            exchange.let_endpoint_go();
        }
        match content {
            Content::Empty => {
                complete(&mut exchange.record);
                Self(Inner::Empty)
            }
            Content::AtHand(bytes) => {
                // Nobody takes the body of an answer to HEAD.
                if exchange.record.method == Method::HEAD || bytes.is_empty() {
                    complete(&mut exchange.record);
                }
                Self(Inner::AtHand(AtHand { bytes, exchange }))
            }
            Content::ToCome(body) => Self(match through_hooks(watch, &mut exchange) {
                Some((end, shared)) => {
                    Inner::Stream(EventStream::new(body, end, &shared, exchange))
                }
                None => Inner::Relay(Box::new(Relay::new(body, watch, exchange))),
            }),
            Content::Kept(body) => Self(match through_hooks(watch, &mut exchange) {
                Some((end, shared)) => {
                    Inner::Stream(EventStream::new(body, end, &shared, exchange))
                }
                None => Inner::Kept(Box::new(Relay::new(body, watch, exchange))),
            }),
            Content::Begun(body) => Self(match through_hooks(watch, &mut exchange) {
                Some((end, shared)) => {
                    Inner::Stream(EventStream::new(body, end, &shared, exchange))
                }
                None => Inner::Begun(Box::new(Relay::new(body, watch, exchange))),
            }),
        }
    }
}

/// Whether a body that is still to come is a stream whose events a policy asks about.
fn through_hooks(watch: Watch, exchange: &mut Exchange) -> Option<(StreamEnd, Arc<Shared>)> {
    let Watch::Events(end) = watch else {
        return None;
    };
    exchange.note_stream();
    exchange.let_go(Hooks::EVENTS | Hooks::FINISH);
    let shared = exchange
        .shared()
        .filter(|_| exchange.any_wants(Hooks::EVENTS));
    shared.map(|shared| (end, shared.clone()))
}

/// A body that is there: what is left of it.
struct AtHand {
    bytes: Bytes,
    exchange: Box<Exchange>,
}

impl AtHand {
    fn next(&mut self) -> Option<Bytes> {
        if self.bytes.is_empty() {
            return None;
        }
        let slice = self.bytes.split_to(self.bytes.len().min(SLICE));
        self.exchange.note_bytes(slice.len());
        if self.bytes.is_empty() {
            complete(&mut self.exchange.record);
        }
        Some(slice)
    }
}

impl Drop for AtHand {
    /// In the middle: the client left, or took nothing until it was cut.
    fn drop(&mut self) {
        let record = &self.exchange.record;
        let is_over = self.bytes.is_empty() || record.method == Method::HEAD;
        if !is_over && record.error.is_none() && Instant::now() >= self.exchange.deadline {
            self.exchange.note_error(&ServeError::TotalTimeout);
        }
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let polled = match &mut self.0 {
            Inner::Empty => Poll::Ready(None),
            Inner::AtHand(at_hand) => Poll::Ready(at_hand.next().map(Ok)),
            Inner::Relay(relay) => relay.poll(context),
            Inner::Kept(relay) => relay.poll(context),
            Inner::Begun(relay) => relay.poll(context),
            Inner::Stream(stream) => stream.poll(context),
        };
        polled.map(|chunk| chunk.map(|chunk| chunk.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Inner::Empty => true,
            Inner::AtHand(at_hand) => at_hand.bytes.is_empty(),
            Inner::Relay(relay) => relay.is_end_stream(),
            Inner::Kept(relay) => relay.is_end_stream(),
            Inner::Begun(relay) => relay.is_end_stream(),
            Inner::Stream(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Inner::Empty => SizeHint::with_exact(0),
            Inner::AtHand(at_hand) => SizeHint::with_exact(at_hand.bytes.len() as u64),
            Inner::Relay(relay) => relay.size_hint(),
            Inner::Kept(relay) => relay.size_hint(),
            Inner::Begun(relay) => relay.size_hint(),
            Inner::Stream(_) => SizeHint::default(),
        }
    }
}
