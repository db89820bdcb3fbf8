//! Connections to endpoints, ready to be used within one bound: name, TCP and TLS together;
//! and given up at once, whatever is still to be written.
//!
//! The connector below bounds the TCP part alone, so an endpoint that accepts and then says
//! nothing would be waited for as if the request had been sent. And neither hyper nor TLS
//! closes a connection before what they have for it is written, so an endpoint that takes no
//! more would hold a request for as long as it likes.

use std::{
    error::Error,
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use futures_util::task::AtomicWaker;
use http::{Extensions, Uri};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{CaptureConnection, Connected, Connection};
use tokio::time::timeout;
use tower_service::Service;

type BoxError = Box<dyn Error + Send + Sync>;

/// See the module.
#[derive(Debug, Clone)]
pub(super) struct InTime<C> {
    inner: C,
    most: Duration,
}

impl<C> InTime<C> {
    pub(super) fn new(inner: C, most: Duration) -> Self {
        Self { inner, most }
    }
}

impl<C> Service<Uri> for InTime<C>
where
    C: Service<Uri>,
    C::Future: Send + 'static,
    C::Error: Into<BoxError>,
{
    type Response = Abortable<C::Response>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        let connected = timeout(self.most, self.inner.call(to));
        Box::pin(async move {
            match connected.await {
                Ok(connected) => connected.map(Abortable::new).map_err(Into::into),
                Err(_) => Err(io::Error::from(io::ErrorKind::TimedOut).into()),
            }
        })
    }
}

/// A connection whose last words nobody waits for, and whose [`AbortHandle`] ends it.
#[derive(Debug)]
pub(super) struct Abortable<T> {
    inner: T,
    handle: AbortHandle,
}

/// Ends an HTTP/1 connection that takes no more of a request that was given up. It comes with
/// what [`Connected`] tells of the connection.
#[derive(Debug, Clone, Default)]
pub(super) struct AbortHandle(Arc<Writing>);

#[derive(Debug, Default)]
struct Writing {
    stage: AtomicU8,
    writer: AtomicWaker,
}

/// All that was written has been taken. Another exchange may have the connection by now.
const TAKEN: u8 = 0;
/// Some of it may be waiting.
const BEGUN: u8 = 1;
/// It is waited for no longer.
const ABORTED: u8 = 2;

impl AbortHandle {
    /// Ends the connection as soon as a write has to wait, unless all was taken before.
    pub(super) fn abort_unfinished(&self) {
        let Writing { stage, writer } = &*self.0;
        let (order, relaxed) = (Ordering::AcqRel, Ordering::Relaxed);
        if stage
            .compare_exchange(BEGUN, ABORTED, order, relaxed)
            .is_ok()
        {
            writer.wake();
        }
    }
}

impl<T> Abortable<T> {
    fn new(inner: T) -> Self {
        Self {
            inner,
            handle: AbortHandle::default(),
        }
    }

    /// Says that something is written. Only the writer does, so it finds its own word.
    fn begin(&self) {
        let stage = &self.handle.0.stage;
        if stage.load(Ordering::Relaxed) == TAKEN {
            stage.store(BEGUN, Ordering::Release);
        }
    }

    /// What a write comes to.
    fn written<R>(
        &self,
        context: &Context<'_>,
        polled: Poll<io::Result<R>>,
    ) -> Poll<io::Result<R>> {
        if polled.is_ready() {
            return polled;
        }
        let Writing { stage, writer } = &*self.handle.0;
        writer.register(context.waker());
        match stage.load(Ordering::Acquire) {
            ABORTED => Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into())),
            _ => Poll::Pending,
        }
    }
}

impl<T: Read + Unpin> Read for Abortable<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(context, buffer)
    }
}

impl<T: Write + Unpin> Write for Abortable<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.begin();
        let polled = Pin::new(&mut self.inner).poll_write(context, bytes);
        self.written(context, polled)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.inner).poll_flush(context);
        // The HTTP library flushes when it has nothing left to write.
        if polled.is_ready() {
            let stage = &self.handle.0.stage;
            if stage.load(Ordering::Relaxed) != TAKEN {
                stage.store(TAKEN, Ordering::Release);
            }
        }
        self.written(context, polled)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.inner).poll_shutdown(context) {
            Poll::Pending => Poll::Ready(Ok(())),
            done => done,
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.begin();
        let polled = Pin::new(&mut self.inner).poll_write_vectored(context, bytes);
        self.written(context, polled)
    }
}

impl<T: Connection> Connection for Abortable<T> {
    fn connected(&self) -> Connected {
        let inner = self.inner.connected();
        // Not what the connector below tells besides: each response would have a copy of it.
        let connected = Connected::new()
            .proxy(inner.is_proxied())
            .extra(self.handle.clone());
        match inner.is_negotiated_h2() {
            true => connected.negotiated_h2(),
            false => connected,
        }
    }
}

/// Aborts the connection that a request went over when it is dropped, unless its response came:
/// over HTTP/2 a request ends without its connection.
pub(super) struct AbortOnDrop(Option<CaptureConnection>);

impl AbortOnDrop {
    pub(super) fn new(connection: CaptureConnection) -> Self {
        Self(Some(connection))
    }

    /// There is a response.
    pub(super) fn disarm(&mut self) {
        self.0 = None;
    }
}

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        let Some(connection) = self.0.take() else {
            return;
        };
        let connected = connection.connection_metadata();
        let connected = connected.as_ref().filter(|made| !made.is_negotiated_h2());
        if let Some(connected) = connected {
            let mut extras = Extensions::new();
            connected.get_extras(&mut extras);
            if let Some(handle) = extras.get::<AbortHandle>() {
                handle.abort_unfinished();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Poll, Waker};

    use super::*;

    /// Takes what it is told to.
    #[derive(Default)]
    struct Endpoint {
        is_stuck: bool,
    }

    impl Write for Endpoint {
        fn poll_write(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            match self.is_stuck {
                true => Poll::Pending,
                false => Poll::Ready(Ok(bytes.len())),
            }
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    fn write(connection: &mut Abortable<Endpoint>) -> Poll<Result<usize, io::ErrorKind>> {
        let mut context = Context::from_waker(Waker::noop());
        let polled = Pin::new(connection).poll_write(&mut context, b"piece");
        polled.map_err(|error| error.kind())
    }

    fn stuck(connection: &mut Abortable<Endpoint>) -> Poll<Result<usize, io::ErrorKind>> {
        connection.inner.is_stuck = true;
        write(connection)
    }

    const ABORTED: Poll<Result<usize, io::ErrorKind>> =
        Poll::Ready(Err(io::ErrorKind::ConnectionAborted));

    #[test]
    fn one_that_waits_is_ended() {
        let mut connection = Abortable::new(Endpoint::default());
        assert_eq!(stuck(&mut connection), Poll::Pending);
        connection.handle.clone().abort_unfinished();
        assert_eq!(write(&mut connection), ABORTED);
    }

    #[test]
    fn one_that_was_given_up_between_two_pieces_is_ended_when_it_has_to_wait() {
        let mut connection = Abortable::new(Endpoint::default());
        assert_eq!(write(&mut connection), Poll::Ready(Ok(5)));
        connection.handle.clone().abort_unfinished();
        assert_eq!(write(&mut connection), Poll::Ready(Ok(5)));
        assert_eq!(stuck(&mut connection), ABORTED);
    }

    #[test]
    fn one_that_took_all_is_left_to_who_has_it_then() {
        let mut connection = Abortable::new(Endpoint::default());
        let flush = |connection: &mut Abortable<Endpoint>| {
            let mut context = Context::from_waker(Waker::noop());
            Pin::new(connection).poll_flush(&mut context).is_ready()
        };
        assert_eq!(write(&mut connection), Poll::Ready(Ok(5)));
        assert!(flush(&mut connection));
        connection.handle.clone().abort_unfinished();
        assert_eq!(stuck(&mut connection), Poll::Pending);

        connection.inner.is_stuck = false;
        connection.handle.clone().abort_unfinished();
        assert_eq!(write(&mut connection), Poll::Ready(Ok(5)));
        assert!(flush(&mut connection), "it was given up, and all was taken");
        assert_eq!(stuck(&mut connection), Poll::Pending);
    }
}
