//! One connection from a client, and the two timers that hyper does not keep apart.
//!
//! hyper has a single timer for the head of a request, which also cuts idle
//! connections, and none for HTTP/2. [`Watched`] sits below it and knows from
//! [`Connection`] whether an exchange is open, so it can tell a slow head from a
//! connection at rest.

use std::{
    future::Future,
    io::{self, IoSlice},
    net::IpAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use http::HeaderValue;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep},
};

use super::Shared;

/// What the exchanges of a connection have in common.
pub(super) struct Connection {
    pub(super) shared: Arc<Shared>,
    /// The peer's address, as it goes into `x-forwarded-for`.
    pub(super) peer: HeaderValue,
    /// Whether it came over TLS.
    pub(super) secure: bool,
    open: AtomicUsize,
    begun: AtomicU64,
}

impl Connection {
    pub(super) fn new(shared: Arc<Shared>, peer: IpAddr, secure: bool) -> Arc<Self> {
        shared.gauges.connections.fetch_add(1, Ordering::Relaxed);
        let peer = HeaderValue::try_from(peer.to_canonical().to_string());
        let peer = peer.unwrap_or(HeaderValue::from_static("unknown"));
        Arc::new(Self {
            shared,
            peer,
            secure,
            open: AtomicUsize::new(0),
            begun: AtomicU64::new(0),
        })
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.shared
            .gauges
            .connections
            .fetch_sub(1, Ordering::Relaxed);
        self.shared.gauges.connection_left.notify_one();
    }
}

/// An exchange is open on its connection.
pub(super) struct Busy(pub(super) Arc<Connection>);

impl Busy {
    pub(super) fn new(connection: Arc<Connection>) -> Self {
        connection.open.fetch_add(1, Ordering::Relaxed);
        connection.begun.fetch_add(1, Ordering::Relaxed);
        connection
            .shared
            .gauges
            .exchanges
            .fetch_add(1, Ordering::Relaxed);
        Self(connection)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
        self.0
            .shared
            .gauges
            .exchanges
            .fetch_sub(1, Ordering::Relaxed);
    }
}

/// A stream that fails with `TimedOut` when a head takes too long or nothing happens.
pub(super) struct Watched<S> {
    stream: S,
    connection: Arc<Connection>,
    head: Duration,
    idle: Duration,
    state: State,
    http2: bool,
    begun: u64,
    timer: Pin<Box<Sleep>>,
}

/// What the connection does between exchanges.
enum State {
    /// Nothing was read yet.
    Fresh(Instant),
    /// Since the first look at it; `None`: not looked yet.
    Resting(Option<Instant>),
    /// The head of a request began to arrive.
    InHead(Instant),
}

impl<S> Watched<S> {
    pub(super) fn new(
        stream: S,
        connection: Arc<Connection>,
        head: Duration,
        idle: Duration,
    ) -> Self {
        let state = State::Fresh(Instant::now());
        let timer = Box::pin(sleep(head.min(idle)));
        Self {
            stream,
            connection,
            head,
            idle,
            state,
            http2: false,
            begun: 0,
            timer,
        }
    }

    fn note_exchanges(&mut self) {
        let begun = self.connection.begun.load(Ordering::Relaxed);
        if begun != self.begun {
            self.begun = begun;
            self.state = State::Resting(None);
        }
    }

    fn note_read(&mut self, read: &[u8]) {
        if read.is_empty() {
            return;
        }
        if matches!(self.state, State::Fresh(_)) && read.starts_with(b"PRI ") {
            self.http2 = true;
            self.state = State::Resting(None);
        }
        let open = self.connection.open.load(Ordering::Relaxed) > 0;
        if !self.http2 && !open && !matches!(self.state, State::InHead(_)) {
            self.state = State::InHead(Instant::now());
        }
    }

    fn poll_timer(&mut self, context: &mut Context<'_>) -> Poll<()> {
        loop {
            ready!(self.timer.as_mut().poll(context));
            let now = Instant::now();
            let tick = now + self.head.min(self.idle);
            let due = if self.connection.open.load(Ordering::Relaxed) > 0 {
                tick
            } else {
                match &mut self.state {
                    State::Fresh(since) | State::InHead(since) => *since + self.head,
                    State::Resting(since) => *since.get_or_insert(now) + self.idle,
                }
            };
            if now >= due {
                return Poll::Ready(());
            }
            self.timer.as_mut().reset(due.min(tick));
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.note_exchanges();
        let before = buffer.filled().len();
        match Pin::new(&mut self.stream).poll_read(context, buffer) {
            Poll::Ready(result) => {
                self.note_read(&buffer.filled()[before..]);
                Poll::Ready(result)
            }
            Poll::Pending => self
                .poll_timer(context)
                .map(|()| Err(io::ErrorKind::TimedOut.into())),
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
