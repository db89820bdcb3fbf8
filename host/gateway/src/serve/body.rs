//! The body of a response on its way to the client.
//!
//! The exchange lives inside of it and ends with it: when the last byte was taken,
//! or when hyper drops it because the client is gone.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tollgate_sandbox::contract::Hooks;

use super::{
    content::Content,
    relay::Relay,
    reply::Watch,
    state::{Exchange, complete},
    stream::EventStream,
};

/// See the module.
pub struct Body(Inner);

enum Inner {
    Empty,
    AtHand(
        Option<Bytes>,
        #[expect(dead_code, reason = "it ends when the body is dropped")] Box<Exchange>,
    ),
    Relay(Box<Relay>),
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
        match content {
            Content::Empty => {
                complete(&mut exchange.record);
                Self(Inner::Empty)
            }
            Content::AtHand(bytes) => {
                exchange.note_bytes(bytes.len());
                complete(&mut exchange.record);
                Self(Inner::AtHand(Some(bytes), exchange))
            }
            Content::ToCome(body) => {
                if matches!(watch, Watch::Events(_)) {
                    exchange.note_stream();
                    exchange.let_go(Hooks::EVENTS | Hooks::FINISH);
                }
                match (watch, exchange.shared().cloned()) {
                    (Watch::Events(end), Some(shared)) if exchange.any_wants(Hooks::EVENTS) => {
                        Self(Inner::Stream(EventStream::new(
                            body, end, &shared, exchange,
                        )))
                    }
                    _ => Self(Inner::Relay(Box::new(Relay::new(body, watch, exchange)))),
                }
            }
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
            Inner::AtHand(bytes, _) => Poll::Ready(bytes.take().map(Ok)),
            Inner::Relay(relay) => relay.poll(context),
            Inner::Stream(stream) => stream.poll(context),
        };
        polled.map(|chunk| chunk.map(|chunk| chunk.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Inner::Empty => true,
            Inner::AtHand(bytes, _) => bytes.is_none(),
            Inner::Relay(relay) => relay.is_end_stream(),
            Inner::Stream(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Inner::Empty => SizeHint::with_exact(0),
            Inner::AtHand(bytes, _) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64)
            }
            Inner::Relay(relay) => relay.size_hint(),
            Inner::Stream(_) => SizeHint::default(),
        }
    }
}
