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
        atomic::{AtomicBool, Ordering},
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
pub(super) struct AbortHandle(Arc<Blocked>);

#[derive(Debug, Default)]
struct Blocked {
    /// A write waits for the endpoint.
    is_blocked: AtomicBool,
    is_aborted: AtomicBool,
    writer: AtomicWaker,
}

impl AbortHandle {
    /// Ends the connection if a write waits. One on which nothing waits may be another
    /// exchange's by now.
    pub(super) fn abort_blocked(&self) {
        if self.0.is_blocked.load(Ordering::Acquire) {
            self.0.is_aborted.store(true, Ordering::Release);
            self.0.writer.wake();
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

    /// What a write comes to.
    fn written<R>(
        &self,
        context: &Context<'_>,
        polled: Poll<io::Result<R>>,
    ) -> Poll<io::Result<R>> {
        let blocked = &self.handle.0;
        if polled.is_ready() {
            // Nobody else writes it, and most writes find it so.
            if blocked.is_blocked.load(Ordering::Relaxed) {
                blocked.is_blocked.store(false, Ordering::Release);
            }
            return polled;
        }
        blocked.writer.register(context.waker());
        blocked.is_blocked.store(true, Ordering::Release);
        match blocked.is_aborted.load(Ordering::Acquire) {
            true => Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into())),
            false => Poll::Pending,
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
        let polled = Pin::new(&mut self.inner).poll_write(context, bytes);
        self.written(context, polled)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.inner).poll_flush(context);
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
                handle.abort_blocked();
            }
        }
    }
}
