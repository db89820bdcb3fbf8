//! A message's body on its way: nothing, bytes at hand, or bytes to come.

use bytes::Bytes;
use http_body::Body;
use hyper::body::Incoming;

use super::{begun::Begun, cache::Kept, errors::ServeError};

/// A body, of a request or a response.
#[derive(Debug)]
pub(super) enum Content {
    Empty,
    AtHand(Bytes),
    ToCome(Incoming),
    /// To come, but from no upstream of this exchange's own.
    Kept(Box<Kept>),
    /// Of a response: its first part is there.
    Begun(Begun),
}

/// A body that is still to come, from wherever.
pub(super) trait Flowing: Body<Data = Bytes> + Unpin + Send + 'static {
    /// Why it broke off, where it knows better than who reads it.
    fn fault(&mut self) -> Option<ServeError> {
        None
    }
}

impl Flowing for Incoming {}

impl<B: Flowing> Flowing for Box<B> {
    fn fault(&mut self) -> Option<ServeError> {
        (**self).fault()
    }
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
            Self::Kept(body) => body.size_hint().exact(),
            Self::Begun(body) => body.size_hint().exact(),
        }
    }
}
