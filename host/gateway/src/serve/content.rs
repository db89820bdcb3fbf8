//! A message's body on its way: nothing, bytes at hand, or bytes to come.

use bytes::Bytes;
use http_body::Body as _;
use hyper::body::Incoming;

/// A body, of a request or a response.
#[derive(Debug)]
pub(super) enum Content {
    Empty,
    AtHand(Bytes),
    ToCome(Incoming),
}

impl Content {
    pub(super) fn to_come(body: Incoming) -> Self {
        if body.is_end_stream() {
            Self::Empty
        } else {
            Self::ToCome(body)
        }
    }

    /// Where it is known.
    pub(super) fn length(&self) -> Option<u64> {
        match self {
            Self::Empty => Some(0),
            Self::AtHand(bytes) => Some(bytes.len() as u64),
            Self::ToCome(body) => body.size_hint().exact(),
        }
    }
}
