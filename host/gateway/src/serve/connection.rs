//! One connection from a client, and the times that hyper does not keep.
//!
//! [`Watched`] sits below hyper and knows from [`Connection`] whether an exchange is
//! open and when it is over: it tells a slow head from a connection at rest, and cuts
//! a client that takes nothing, since nobody polls a response that waits for it. Over
//! HTTP/2 that is for the one stream to bear: see [`Streams`].

use std::{
    cell::Cell,
    future::{Future, poll_fn},
    io::{self, IoSlice},
    net::IpAddr,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use http::HeaderValue;
use hyper::rt::Executor;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep, sleep_until},
};
use tollgate_sandbox::Given;

use super::{Shared, origin};

/// How long after its deadline an exchange may still find its own end.
const GRACE: Duration = Duration::from_secs(1);

/// How HTTP/2 begins, and no HTTP/1.
const PREFACE: &[u8] = b"PRI ";

/// What the exchanges of a connection have in common.
pub(super) struct Connection {
    pub(super) shared: Arc<Shared>,
    /// The peer's address, as it goes into `x-forwarded-for`.
    pub(super) peer: HeaderValue,
    /// Whether it came over TLS.
    pub(super) secure: bool,
    /// The same, to compare with.
    pub(super) address: IpAddr,
    /// Facts that hold for every exchange on it.
    pub(super) given: Given,
    open: AtomicUsize,
    begun: AtomicU64,
    made: Instant,
    /// It is no client's, and stands for one that may be gone.
    stands_in: bool,
    /// When the response that is written has to be, in milliseconds since `made`.
    due: AtomicU64,
}

impl Connection {
    pub(super) fn new(shared: Arc<Shared>, peer: IpAddr, secure: bool) -> Self {
        shared.gauges.connections.fetch_add(1, Ordering::Relaxed);
        let address = peer.to_canonical();
        let peer = HeaderValue::try_from(address.to_string());
        let peer = peer.unwrap_or(HeaderValue::from_static("unknown"));
        Self {
            shared,
            peer,
            secure,
            address,
            given: origin::of_connection(address, Vec::new()),
            open: AtomicUsize::new(0),
            begun: AtomicU64::new(0),
            made: Instant::now(),
            stands_in: false,
            due: AtomicU64::new(u64::MAX),
        }
    }

    /// What an exchange goes by that may outlive this connection.
    pub(super) fn stand_in(&self) -> Arc<Self> {
        Arc::new(Self {
            shared: self.shared.clone(),
            peer: self.peer.clone(),
            secure: self.secure,
            address: self.address,
            given: self.given.clone(),
            open: AtomicUsize::new(0),
            begun: AtomicU64::new(0),
            made: Instant::now(),
            stands_in: true,
            due: AtomicU64::new(u64::MAX),
        })
    }

    /// A response begins, whose exchange ends then at the latest.
    pub(super) fn note_deadline(&self, deadline: Instant) {
        let due = deadline.saturating_duration_since(self.made).as_millis();
        let due = u64::try_from(due).unwrap_or(u64::MAX);
        self.due.store(due, Ordering::Relaxed);
        // Over HTTP/1 there is no such stream.
        let _ = DUE.try_with(|stream| stream.set(Some(deadline)));
    }

    /// When a client that takes nothing is to be cut.
    fn cut_at(&self) -> Option<Instant> {
        let due = Duration::from_millis(self.due.load(Ordering::Relaxed));
        self.made.checked_add(due)?.checked_add(GRACE)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if self.stands_in {
            return;
        }
        self.shared
            .gauges
            .connections
            .fetch_sub(1, Ordering::Relaxed);
        self.shared.gauges.connection_left.notify_one();
    }
}

/// An exchange is open on its connection.
pub(super) struct Busy(pub(super) Arc<Connection>, Whose);

/// Who waits for an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whose {
    Clients,
    /// Nobody: it takes no client's place.
    Copy,
}

impl Busy {
    pub(super) fn new(connection: Arc<Connection>) -> Self {
        Self::of(connection, Whose::Clients)
    }

    /// With a copy of a request, in place of the connection that the request came on.
    pub(super) fn with_copy(of: &Connection) -> Self {
        Self::of(of.stand_in(), Whose::Copy)
    }

    fn of(connection: Arc<Connection>, whose: Whose) -> Self {
        connection.open.fetch_add(1, Ordering::Relaxed);
        connection.begun.fetch_add(1, Ordering::Relaxed);
        let gauges = &connection.shared.gauges;
        gauges.exchanges.fetch_add(1, Ordering::Relaxed);
        if whose == Whose::Copy {
            gauges.copies.fetch_add(1, Ordering::Relaxed);
        }
        Self(connection, whose)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
        let gauges = &self.0.shared.gauges;
        if self.1 == Whose::Copy {
            gauges.copies.fetch_sub(1, Ordering::Relaxed);
        }
        gauges.exchanges.fetch_sub(1, Ordering::Relaxed);
    }
}

tokio::task_local! {
    /// When the response that this HTTP/2 stream writes has to be written.
    static DUE: Cell<Option<Instant>>;
}

/// Runs `stream` until it ends, or until a while after the response's deadline; before there
/// is a response, the exchange sees to its own.
async fn bounded(stream: impl Future<Output = ()>) {
    let mut stream = pin!(stream);
    let mut timer = None;
    poll_fn(|context| {
        if stream.as_mut().poll(context).is_ready() {
            return Poll::Ready(());
        }
        let Some(due) = DUE.with(Cell::get).and_then(|due| due.checked_add(GRACE)) else {
            return Poll::Pending;
        };
        let timer = timer.get_or_insert_with(|| Box::pin(sleep_until(due)));
        timer.as_mut().poll(context)
    })
    .await;
}

/// Runs what hyper makes of each HTTP/2 stream, and ends it soon after its exchange
/// should have: a stream whose window stays shut is polled by nobody.
#[derive(Clone)]
pub(super) struct Streams(pub(super) Arc<Shared>);

impl<F> Executor<F> for Streams
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, stream: F) {
        self.0
            .tracker
            .spawn(DUE.scope(Cell::new(None), bounded(stream)));
    }
}

/// A stream that fails with `TimedOut` when a head takes too long, nothing happens, or
/// nothing is taken.
pub(super) struct Watched<S> {
    stream: S,
    connection: Arc<Connection>,
    head: Duration,
    idle: Duration,
    state: State,
    http2: bool,
    begun: u64,
    /// A write waits for the client, until then at the longest. Not over HTTP/2.
    cut_at: Option<Instant>,
    timer: Pin<Box<Sleep>>,
}

/// What the connection does between exchanges.
enum State {
    /// So many bytes were read, all of them as HTTP/2 begins.
    Fresh(Instant, usize),
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
        let state = State::Fresh(Instant::now(), 0);
        let timer = Box::pin(sleep(head.min(idle)));
        Self {
            stream,
            connection,
            head,
            idle,
            state,
            http2: false,
            begun: 0,
            cut_at: None,
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
        if let State::Fresh(_, before) = &mut self.state {
            let awaited = &PREFACE[*before..];
            let count = awaited.len().min(read.len());
            if read[..count] == awaited[..count] {
                *before += count;
                if *before < PREFACE.len() {
                    return;
                }
                self.http2 = true;
                self.state = State::Resting(None);
            }
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
            let mut due = if self.connection.open.load(Ordering::Relaxed) > 0 {
                tick
            } else {
                match &mut self.state {
                    State::Fresh(since, _) | State::InHead(since) => *since + self.head,
                    State::Resting(since) => *since.get_or_insert(now) + self.idle,
                }
            };
            if let Some(cut_at) = self.cut_at {
                due = due.min(cut_at);
            }
            if now >= due {
                return Poll::Ready(());
            }
            self.timer.as_mut().reset(due.min(tick));
        }
    }

    /// What is being taken is not at rest; what is not taken is cut in time.
    fn watch_write<T>(
        &mut self,
        polled: Poll<io::Result<T>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        if self.http2 {
            return polled;
        }
        if polled.is_ready() {
            self.cut_at = None;
            return polled;
        }
        self.note_exchanges();
        if self.cut_at.is_none() {
            self.cut_at = self.connection.cut_at();
            if let Some(cut_at) = self.cut_at.filter(|at| *at < self.timer.deadline()) {
                self.timer.as_mut().reset(cut_at);
            }
        }
        self.poll_timer(context)
            .map(|()| Err(io::ErrorKind::TimedOut.into()))
    }

    fn note_written(&mut self, polled: &Poll<io::Result<usize>>) {
        if let (Poll::Ready(Ok(1..)), State::Resting(since), false) =
            (polled, &mut self.state, self.http2)
        {
            *since = None;
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
        let polled = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.note_written(&polled);
        self.watch_write(polled, context)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_flush(context);
        self.watch_write(polled, context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_shutdown(context);
        self.watch_write(polled, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(context, parts);
        self.note_written(&polled);
        self.watch_write(polled, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    #[tokio::test]
    async fn a_stream_is_bounded_by_the_deadline_of_its_own_response() {
        let past = Instant::now().checked_sub(GRACE).unwrap();
        let late = async move {
            DUE.with(|due| due.set(Some(past)));
            pending().await
        };
        DUE.scope(Cell::new(None), bounded(late)).await;
        let mut early = pin!(DUE.scope(Cell::new(None), bounded(pending())));
        assert!(futures_util::poll!(&mut early).is_pending());
    }
}
