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

/// Ends a connection as soon as a write on it has to wait. It comes with what [`Connected`] tells
/// of the connection.
#[derive(Debug, Clone, Default)]
struct AbortHandle(Arc<Aborted>);

#[derive(Debug, Default)]
struct Aborted {
    is_aborted: AtomicBool,
    writer: AtomicWaker,
}

impl AbortHandle {
    fn abort(&self) {
        self.0.is_aborted.store(true, Ordering::Release);
        self.0.writer.wake();
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
        if polled.is_ready() {
            return polled;
        }
        let Aborted { is_aborted, writer } = &*self.handle.0;
        writer.register(context.waker());
        match is_aborted.load(Ordering::Acquire) {
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

/// A response that is awaited. Dropped before it came it ends the connection that its request
/// went over, unless that is HTTP/2, where a request ends by itself.
pub(super) struct AbortOnDrop<F> {
    response: F,
    /// `None`: there is nothing to end.
    connection: Option<CaptureConnection>,
}

impl<F> AbortOnDrop<F> {
    pub(super) fn new(response: F, connection: Option<CaptureConnection>) -> Self {
        Self {
            response,
            connection,
        }
    }
}

impl<T, E, F: Future<Output = Result<T, E>> + Unpin> Future for AbortOnDrop<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let polled = Pin::new(&mut self.response).poll(context);
        if matches!(polled, Poll::Ready(Ok(_))) {
            self.connection = None;
        }
        polled
    }
}

impl<F> Drop for AbortOnDrop<F> {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else {
            return;
        };
        let connected = connection.connection_metadata();
        let connected = connected.as_ref().filter(|made| !made.is_negotiated_h2());
        if let Some(connected) = connected {
            // Before the response is dropped, which may give the connection to another exchange.
            connected.poison();
            let mut extras = Extensions::new();
            connected.get_extras(&mut extras);
            if let Some(handle) = extras.get::<AbortHandle>() {
                handle.abort();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use bytes::Bytes;
    use http::Request;
    use http_body_util::Empty;
    use hyper_util::{
        client::legacy::{
            Client,
            connect::{HttpConnector, capture_connection},
        },
        rt::TokioExecutor,
    };
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
        sync::mpsc,
    };

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
        connection.handle.clone().abort();
        assert_eq!(write(&mut connection), ABORTED);
    }

    #[test]
    fn one_that_was_given_up_between_two_pieces_is_ended_when_it_has_to_wait() {
        let mut connection = Abortable::new(Endpoint::default());
        assert_eq!(write(&mut connection), Poll::Ready(Ok(5)));
        connection.handle.clone().abort();
        assert_eq!(write(&mut connection), Poll::Ready(Ok(5)));
        assert_eq!(stuck(&mut connection), ABORTED);
    }

    #[tokio::test]
    async fn one_whose_request_was_given_up_is_nobody_elses_however_well_it_did() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let uri = format!("http://{}/", listener.local_addr().unwrap());
        let (answer, mut answered) = mpsc::channel(1);
        let server = tokio::spawn(async move {
            for connection in 1.. {
                let (mut stream, _) = listener.accept().await.unwrap();
                let answer = answer.clone();
                tokio::spawn(async move {
                    while stream.read(&mut [0; 1024]).await.unwrap_or(0) > 0 {
                        let text = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
                        stream.write_all(text).await.unwrap();
                        answer.send(connection).await.unwrap();
                    }
                });
            }
        });
        let connector = InTime::new(HttpConnector::new(), Duration::from_secs(10));
        let client = Client::builder(TokioExecutor::new()).build(connector);
        for connection in 1..=2 {
            let mut request = Request::get(&uri).body(Empty::<Bytes>::new()).unwrap();
            let captured = capture_connection(&mut request);
            let mut response = AbortOnDrop::new(client.request(request), Some(captured));
            let mut context = Context::from_waker(Waker::noop());
            let asked = loop {
                // Until it was sent: what is polled then would not be given up any more.
                let captured = response.connection.as_ref().unwrap();
                if captured.connection_metadata().is_none() {
                    assert!(Pin::new(&mut response).poll(&mut context).is_pending());
                }
                if let Ok(asked) = answered.try_recv() {
                    break asked;
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            };
            assert_eq!(asked, connection);
            // Whoever reads the answer has its time.
            tokio::time::sleep(Duration::from_millis(20)).await;
            drop(response);
        }
        server.abort();
    }
}
