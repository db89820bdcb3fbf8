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
use tokio::time::Instant;

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
    /// See [`Progress::upstream_since`].
    upstream_since: Option<Instant>,
}

const TOO_LARGE: u8 = 1;
const STALLED: u8 = 2;
const BROKEN: u8 = 3;

impl Progress {
    /// Since when it is the upstream that is awaited: to take the next piece, or to answer
    /// when it has the last. `None`: it is the client, for whose pauses there is a [`Stall`].
    pub(super) fn upstream_since(&self) -> Option<Instant> {
        self.0.held.lock().upstream_since
    }

    /// Whether nothing more of the body is asked for.
    pub(super) fn is_over(&self) -> bool {
        self.0.held.lock().is_left
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

/// As much finds place between the gateway and an endpoint that takes nothing.
const UNTAKEN_BYTES: usize = 8 * 1024;

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
                *progress.0.held.lock() = Held {
                    body: Some(body),
                    upstream_since: Some(Instant::now()),
                    ..Held::default()
                };
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

impl Upload {
    /// Whether an endpoint that takes nothing can keep it from being written.
    pub(super) fn may_block(&self) -> bool {
        match self {
            Self::Empty => false,
            Self::AtHand(bytes) => bytes.as_ref().is_some_and(|b| b.len() > UNTAKEN_BYTES),
            Self::ToCome(_) => true,
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
                let mut held = to_come.progress.0.held.lock();
                let ended = held.body.as_ref().is_some_and(Body::is_end_stream);
                if ended {
                    held.upstream_since.get_or_insert_with(Instant::now);
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
                held.upstream_since = polled.is_ready().then(Instant::now);
                polled
            };
            let Poll::Ready(frame) = polled else {
                return self.stall.poll(context).map(|_| self.fail(STALLED));
            };
            self.stall.moved();
            match frame {
                None => return Poll::Ready(None),
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

#[cfg(test)]
mod tests {
    use std::{convert::Infallible, future::poll_fn, time::Duration};

    use futures_util::{FutureExt, future};
    use http::{Request, Response};
    use hyper::{server::conn::http1, service::service_fn};
    use hyper_util::rt::TokioIo;
    use tokio::{
        io::{AsyncWriteExt, DuplexStream, duplex},
        time::advance,
    };

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// A request's body, and the client that is to write it.
    async fn body() -> (DuplexStream, Incoming) {
        let (mut client, server) = duplex(1024);
        let taken = Arc::new(Mutex::new(None));
        let take = taken.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            *take.lock() = Some(request.into_body());
            future::pending::<Result<Response<String>, Infallible>>()
        });
        let connection = http1::Builder::new().serve_connection(TokioIo::new(server), service);
        drop(tokio::spawn(connection.map(drop)));
        let head = b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n";
        client.write_all(head).await.unwrap();
        while taken.lock().is_none() {
            tokio::task::yield_now().await;
        }
        let body = taken.lock().take().unwrap();
        (client, body)
    }

    async fn frame(upload: &mut Upload) -> Option<Bytes> {
        let frame = poll_fn(|context| Pin::new(&mut *upload).poll_frame(context)).await;
        frame.map(|frame| frame.unwrap().into_data().unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_told_whose_turn_it_is_and_since_when() {
        let (mut client, body) = body().await;
        let begun = Instant::now();
        let stall = Stall::new(60 * SECOND, begun + 600 * SECOND);
        let (mut upload, progress) = Upload::new(Content::ToCome(body), 1024, stall);
        let progress = progress.unwrap();
        let since = || progress.upstream_since().map(|since| since - begun);
        advance(SECOND).await;
        assert_eq!(since(), Some(Duration::ZERO), "the upstream takes nothing");
        assert!(frame(&mut upload).now_or_never().is_none());
        assert_eq!(since(), None, "there is nothing to take");
        advance(SECOND).await;
        client.write_all(b"2\r\nhi\r\n").await.unwrap();
        assert_eq!(frame(&mut upload).await.unwrap(), "hi");
        advance(SECOND).await;
        assert_eq!(since(), Some(2 * SECOND), "it takes no more");
        assert!(frame(&mut upload).now_or_never().is_none());
        advance(SECOND).await;
        client.write_all(b"0\r\n\r\n").await.unwrap();
        assert_eq!(frame(&mut upload).await, None);
        advance(SECOND).await;
        assert_eq!(since(), Some(4 * SECOND), "it has all of it");
    }
}
