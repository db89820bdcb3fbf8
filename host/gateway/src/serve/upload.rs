//! The body of an upstream request.
//!
//! One that is still to come is bounded in length and in each wait, and says how it
//! went, since the pool below only knows that it failed. Dropped before a byte of it was
//! taken, it is there for another try.

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
use parking_lot::Mutex;

use super::{content::Content, errors::ServeError, stall::Stall};

/// How an upload goes. Shared with the one who waits for the response.
#[derive(Debug, Clone, Default)]
pub(super) struct Progress(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: AtomicU8,
    held: Mutex<Held>,
}

/// The body, in reach of both: a request that hangs would hold on to it, and with it the
/// client's connection, for as long as its endpoint likes.
#[derive(Debug, Default)]
struct Held {
    body: Option<Incoming>,
    is_begun: bool,
    /// The request that it belongs to is gone.
    is_left: bool,
}

const DONE: u8 = 1;
const TOO_LARGE: u8 = 2;
const STALLED: u8 = 3;
const BROKEN: u8 = 4;

impl Progress {
    pub(super) fn is_done(&self) -> bool {
        self.0.state.load(Ordering::Acquire) == DONE
    }

    /// The body, if the request is gone and nothing of it was taken.
    pub(super) fn unread(&self) -> Option<Incoming> {
        let mut held = self.0.held.lock();
        let is_whole = held.is_left && !held.is_begun;
        is_whole.then(|| held.body.take()).flatten()
    }

    /// Nobody waits for the response any more: the client's connection is let go.
    pub(super) fn give_up(&self) {
        let body = self.0.held.lock().body.take();
        drop(body);
    }

    /// What was wrong with the client's body, if that is why the request failed.
    pub(super) fn fault(&self, bytes_max: u64) -> Option<ServeError> {
        match self.0.state.load(Ordering::Acquire) {
            TOO_LARGE => Some(ServeError::BodyTooLarge(bytes_max)),
            STALLED => Some(ServeError::BodyTimeout),
            BROKEN => Some(ServeError::BodyBroken),
            _ => None,
        }
    }

    fn set(&self, state: u8) {
        self.0.state.store(state, Ordering::Release);
    }
}

/// See the module.
pub(super) enum Upload {
    Empty,
    AtHand(Option<Bytes>),
    ToCome(Box<ToCome>),
}

pub(super) struct ToCome {
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
            // A request's body is never one that was kept or waited for.
            Content::Empty | Content::Kept(_) | Content::Begun(_) => (Self::Empty, None),
            Content::AtHand(bytes) => (Self::AtHand(Some(bytes)), None),
            Content::ToCome(body) => {
                let progress = Progress::default();
                progress.0.held.lock().body = Some(body);
                let to_come = ToCome {
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
                let held = to_come.progress.0.held.lock();
                let ended = held.body.as_ref().is_some_and(Body::is_end_stream);
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
            Self::ToCome(to_come) => {
                let held = to_come.progress.0.held.lock();
                let body = held.body.as_ref();
                body.map(Body::size_hint).unwrap_or_default()
            }
        }
    }
}

impl ToCome {
    fn poll(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, UploadFailed>>> {
        loop {
            let polled = {
                let mut held = self.progress.0.held.lock();
                // Given up: it must not look like a body that has ended.
                let Some(body) = &mut held.body else {
                    return Poll::Ready(Some(Err(UploadFailed)));
                };
                let polled = Pin::new(body).poll_frame(context);
                held.is_begun |= polled.is_ready();
                polled
            };
            let Poll::Ready(frame) = polled else {
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

impl Drop for ToCome {
    fn drop(&mut self) {
        self.progress.0.held.lock().is_left = true;
    }
}
