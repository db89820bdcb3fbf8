//! The body of an upstream request.
//!
//! One that is still to come is bounded in length and in each wait, and says how it
//! went, since the pool below only knows that it failed.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::{content::Content, errors::ServeError, stall::Stall};

/// How an upload goes. Shared with the one who waits for the response.
#[derive(Debug, Clone, Default)]
pub(super) struct Progress(Arc<AtomicU8>);

const DONE: u8 = 1;
const TOO_LARGE: u8 = 2;
const STALLED: u8 = 3;
const BROKEN: u8 = 4;

impl Progress {
    pub(super) fn is_done(&self) -> bool {
        self.0.load(Ordering::Acquire) == DONE
    }

    /// What was wrong with the client's body, if that is why the request failed.
    pub(super) fn fault(&self, bytes_max: u64) -> Option<ServeError> {
        match self.0.load(Ordering::Acquire) {
            TOO_LARGE => Some(ServeError::BodyTooLarge(bytes_max)),
            STALLED => Some(ServeError::BodyTimeout),
            BROKEN => Some(ServeError::BodyBroken),
            _ => None,
        }
    }

    fn set(&self, state: u8) {
        self.0.store(state, Ordering::Release);
    }
}

/// See the module.
pub(super) enum Upload {
    Empty,
    AtHand(Option<Bytes>),
    ToCome(Box<ToCome>),
}

pub(super) struct ToCome {
    body: Incoming,
    bytes_left: u64,
    stall: Stall,
    progress: Progress,
}

/// The client's body failed; [`Progress`] knows how.
#[derive(Debug, thiserror::Error)]
#[error("the client's body failed")]
pub(super) struct UploadFailed;

impl Upload {
    /// `Progress` is there if the body is still to come.
    pub(super) fn new(content: Content, bytes_max: u64, stall: Stall) -> (Self, Option<Progress>) {
        match content {
            // A request's body is never one that was kept.
            Content::Empty | Content::Kept(_) => (Self::Empty, None),
            Content::AtHand(bytes) => (Self::AtHand(Some(bytes)), None),
            Content::ToCome(body) => {
                let progress = Progress::default();
                let to_come = ToCome {
                    body,
                    bytes_left: bytes_max,
                    stall,
                    progress: progress.clone(),
                };
                (Self::ToCome(Box::new(to_come)), Some(progress))
            }
        }
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = UploadFailed;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, UploadFailed>>> {
        match &mut *self {
            Self::Empty => Poll::Ready(None),
            Self::AtHand(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::ToCome(to_come) => to_come.poll(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::AtHand(bytes) => bytes.is_none(),
            Self::ToCome(to_come) => {
                let ended = to_come.body.is_end_stream();
                if ended {
                    to_come.progress.set(DONE);
                }
                ended
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty | Self::AtHand(None) => SizeHint::with_exact(0),
            Self::AtHand(Some(bytes)) => SizeHint::with_exact(bytes.len() as u64),
            Self::ToCome(to_come) => to_come.body.size_hint(),
        }
    }
}

impl ToCome {
    fn poll(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, UploadFailed>>> {
        loop {
            let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) else {
                return self.stall.poll(context).map(|_| self.fail(STALLED));
            };
            self.stall.moved();
            match frame {
                None => {
                    self.progress.set(DONE);
                    return Poll::Ready(None);
                }
                Some(Err(_)) => return Poll::Ready(self.fail(BROKEN)),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) if data.len() as u64 > self.bytes_left => {
                        return Poll::Ready(self.fail(TOO_LARGE));
                    }
                    Ok(data) => {
                        self.bytes_left -= data.len() as u64;
                        return Poll::Ready(Some(Ok(Frame::data(data))));
                    }
                    Err(_trailers) => {}
                },
            }
        }
    }

    fn fail(&mut self, state: u8) -> Option<Result<Frame<Bytes>, UploadFailed>> {
        self.progress.set(state);
        Some(Err(UploadFailed))
    }
}
