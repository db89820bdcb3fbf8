//! Bytes both ways, until either side ends it, nothing moves for too long, or the gateway
//! stops.
//!
//! Each way has one buffer, which is filled only when it is empty: who does not read slows
//! the other side, and costs no more memory. A side that is gone takes the other along.

use std::{
    future::poll_fn,
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    select,
    time::{Instant, timeout_at},
};
use tollgate_sandbox::contract::Hooks;

use super::{
    super::{
        errors::ServeError,
        stall::{Stall, Stalled},
        state::{Exchange, complete},
    },
    Place,
};

const BUFFER: usize = 16 * 1024;
/// How long one side may go on that the other has left.
const LINGER: Duration = Duration::from_secs(5);

/// A connection that is to be no longer HTTP, on both sides.
pub(in crate::serve) struct Tunnel {
    client: OnUpgrade,
    upstream: OnUpgrade,
    place: Place,
}

impl Tunnel {
    pub(super) fn new(client: OnUpgrade, upstream: OnUpgrade, place: Place) -> Self {
        Self {
            client,
            upstream,
            place,
        }
    }

    /// Begins to pass bytes once the client has its 101. The exchange ends with it.
    pub(in crate::serve) fn begin(self, mut exchange: Box<Exchange>) {
        let total = exchange.generation.config.timeouts.upgrade_total;
        exchange.deadline = Instant::now() + total;
        exchange.release(Hooks::FINISH);
        // It has answered, however long the client waits for more.
        exchange.note_arrival();
        let Some(connection) = exchange.connection() else {
            return;
        };
        connection.note_deadline(exchange.deadline);
        let shared = connection.shared.clone();
        let (tracker, runtime) = (shared.tracker.clone(), shared.runtime.clone());
        tracker.spawn_on(
            async move {
                let passed = select! {
                    biased;
                    () = shared.cut.cancelled() => Err(ServeError::ShuttingDown),
                    passed = self.pass(&mut exchange) => passed,
                };
                match passed {
                    Ok(()) => complete(&mut exchange.record),
                    Err(error) => exchange.note_error(&error),
                }
            },
            &runtime,
        );
    }

    async fn pass(self, exchange: &mut Exchange) -> Result<(), ServeError> {
        let _place = self.place;
        let client = timeout_at(exchange.deadline, self.client).await;
        let client = client.map_err(|_| ServeError::TotalTimeout)?;
        let client = client.map_err(|_| ServeError::ClientGone)?;
        let upstream = timeout_at(exchange.deadline, self.upstream).await;
        let upstream = upstream.map_err(|_| ServeError::TotalTimeout)?;
        let upstream = upstream.map_err(|_| ServeError::UpstreamFailed)?;
        relay(exchange, TokioIo::new(client), TokioIo::new(upstream)).await
    }
}

/// Which side it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Gone {
    Source,
    Sink,
}

async fn relay<C, U>(exchange: &mut Exchange, client: C, upstream: U) -> Result<(), ServeError>
where
    C: AsyncRead + AsyncWrite + Unpin,
    U: AsyncRead + AsyncWrite + Unpin,
{
    let idle = exchange.generation.config.timeouts.upgrade_idle;
    let mut both = Both {
        client,
        upstream,
        up: Way::new(),
        down: Way::new(),
        stall: Stall::new(idle, exchange.deadline),
        lingers: false,
    };
    poll_fn(|context| {
        let polled = both.poll(context, exchange.deadline);
        exchange.note_passed(both.up.bytes, both.down.bytes);
        polled
    })
    .await
}

struct Both<C, U> {
    client: C,
    upstream: U,
    /// From the client to the upstream.
    up: Way,
    down: Way,
    stall: Stall,
    /// One way has ended.
    lingers: bool,
}

impl<C, U> Both<C, U>
where
    C: AsyncRead + AsyncWrite + Unpin,
    U: AsyncRead + AsyncWrite + Unpin,
{
    fn poll(&mut self, context: &mut Context<'_>, end: Instant) -> Poll<Result<(), ServeError>> {
        let before = (self.up.bytes, self.down.bytes);
        let up = self.up.poll(context, &mut self.client, &mut self.upstream);
        let down = self
            .down
            .poll(context, &mut self.upstream, &mut self.client);
        match (up, down) {
            (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => return Poll::Ready(Ok(())),
            // A side that goes away after the other has ended is no failure.
            (Poll::Ready(Err(_)), _) | (_, Poll::Ready(Err(_))) if self.lingers => {
                return Poll::Ready(Ok(()));
            }
            (Poll::Ready(Err(gone)), _) => return Poll::Ready(Err(fault(gone, true))),
            (_, Poll::Ready(Err(gone))) => return Poll::Ready(Err(fault(gone, false))),
            (Poll::Pending, Poll::Pending) => {}
            _ if !self.lingers => {
                self.lingers = true;
                self.stall = Stall::new(LINGER, end);
            }
            _ => {}
        }
        if before != (self.up.bytes, self.down.bytes) && !self.lingers {
            self.stall.moved();
        }
        self.stall.poll(context).map(|stalled| match stalled {
            _ if self.lingers => Ok(()),
            Stalled::Silent => Err(ServeError::UpgradeIdle),
            Stalled::Total(_) => Err(ServeError::TotalTimeout),
        })
    }
}

fn fault(gone: Gone, is_up: bool) -> ServeError {
    match (gone, is_up) {
        (Gone::Source, true) | (Gone::Sink, false) => ServeError::ClientGone,
        (Gone::Source, false) | (Gone::Sink, true) => ServeError::UpstreamFailed,
    }
}

/// One of the two ways.
struct Way {
    buffer: Box<[u8]>,
    /// What of the buffer is still to be written.
    start: usize,
    end: usize,
    bytes: u64,
    state: State,
}

enum State {
    Open,
    /// Something was written that may still lie in the sink.
    Unflushed,
    /// The source has ended, and the sink is being told.
    Ending,
    Over,
}

impl Way {
    fn new() -> Self {
        Self {
            buffer: vec![0; BUFFER].into_boxed_slice(),
            start: 0,
            end: 0,
            bytes: 0,
            state: State::Open,
        }
    }

    /// Ready once the source has ended and the sink knows.
    fn poll<R, W>(
        &mut self,
        context: &mut Context<'_>,
        source: &mut R,
        sink: &mut W,
    ) -> Poll<Result<(), Gone>>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        loop {
            if self.start < self.end {
                match Pin::new(&mut *sink).poll_write(context, &self.buffer[self.start..self.end]) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Err(Gone::Sink)),
                    Poll::Ready(Ok(count)) => {
                        self.start += count;
                        self.bytes += count as u64;
                        self.state = State::Unflushed;
                    }
                }
                continue;
            }
            match self.state {
                State::Over => return Poll::Ready(Ok(())),
                State::Ending => {
                    let shut = Pin::new(&mut *sink).poll_shutdown(context);
                    return shut.map(|_| {
                        self.state = State::Over;
                        Ok(())
                    });
                }
                State::Open | State::Unflushed => match self.fill(context, source) {
                    Poll::Ready(Ok(0)) => self.state = State::Ending,
                    Poll::Ready(Ok(_)) => {}
                    Poll::Ready(Err(_)) => return Poll::Ready(Err(Gone::Source)),
                    Poll::Pending => return self.flush(context, sink),
                },
            }
        }
    }

    fn fill<R: AsyncRead + Unpin>(
        &mut self,
        context: &mut Context<'_>,
        source: &mut R,
    ) -> Poll<io::Result<usize>> {
        let mut read = ReadBuf::new(&mut self.buffer);
        Pin::new(source).poll_read(context, &mut read).map_ok(|()| {
            (self.start, self.end) = (0, read.filled().len());
            self.end
        })
    }

    /// While nothing comes.
    fn flush<W: AsyncWrite + Unpin>(
        &mut self,
        context: &mut Context<'_>,
        sink: &mut W,
    ) -> Poll<Result<(), Gone>> {
        if matches!(self.state, State::Unflushed) {
            match Pin::new(sink).poll_flush(context) {
                Poll::Ready(Ok(())) => self.state = State::Open,
                Poll::Ready(Err(_)) => return Poll::Ready(Err(Gone::Sink)),
                Poll::Pending => {}
            }
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::*;

    fn both(size: usize) -> (DuplexStream, DuplexStream, Both<DuplexStream, DuplexStream>) {
        let (near, client) = duplex(size);
        let (far, upstream) = duplex(size);
        let end = Instant::now() + Duration::from_secs(3600);
        let both = Both {
            client,
            upstream,
            up: Way::new(),
            down: Way::new(),
            stall: Stall::new(Duration::from_secs(60), end),
            lingers: false,
        };
        (near, far, both)
    }

    async fn run(both: &mut Both<DuplexStream, DuplexStream>) -> Result<(), ServeError> {
        let end = Instant::now() + Duration::from_secs(3600);
        poll_fn(|context| both.poll(context, end)).await
    }

    #[tokio::test(start_paused = true)]
    async fn bytes_pass_both_ways_until_both_have_ended() {
        let (mut near, mut far, mut both) = both(64);
        let talk = async {
            near.write_all(b"up").await.unwrap();
            let mut heard = [0; 2];
            far.read_exact(&mut heard).await.unwrap();
            assert_eq!(&heard, b"up");
            far.write_all(b"down").await.unwrap();
            let mut heard = [0; 4];
            near.read_exact(&mut heard).await.unwrap();
            near.shutdown().await.unwrap();
            assert_eq!(far.read(&mut heard).await.unwrap(), 0);
            far.write_all(b"bye").await.unwrap();
            far.shutdown().await.unwrap();
            let mut rest = Vec::new();
            near.read_to_end(&mut rest).await.unwrap();
            assert_eq!(rest, b"bye");
        };
        let (ended, ()) = tokio::join!(run(&mut both), talk);
        assert!(ended.is_ok());
        assert_eq!((both.up.bytes, both.down.bytes), (2, 7));
    }

    #[tokio::test(start_paused = true)]
    async fn silence_ends_it_and_a_byte_either_way_puts_that_off() {
        let (mut near, mut far, mut both) = both(64);
        let started = Instant::now();
        let talk = async {
            for turn in 0..4 {
                tokio::time::sleep(Duration::from_secs(40)).await;
                match turn % 2 {
                    0 => near.write_all(b"x").await.unwrap(),
                    _ => far.write_all(b"x").await.unwrap(),
                }
            }
        };
        let (ended, ()) = tokio::join!(run(&mut both), talk);
        assert!(matches!(ended, Err(ServeError::UpgradeIdle)));
        assert!(started.elapsed() >= Duration::from_secs(4 * 40 + 60));
    }

    #[tokio::test(start_paused = true)]
    async fn one_side_does_not_stay_long_without_the_other() {
        let (near, mut far, mut both) = both(64);
        drop(near);
        let talk = async {
            let mut heard = [0; 4];
            assert_eq!(far.read(&mut heard).await.unwrap(), 0);
        };
        let (ended, ()) = tokio::join!(run(&mut both), talk);
        assert!(ended.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn who_does_not_read_holds_the_other_up_and_no_more_than_a_buffer() {
        let (mut near, far, mut both) = both(64);
        let flood = vec![7; 1 << 20];
        let mut taken = 0;
        let talk = async {
            loop {
                let wrote = tokio::time::timeout(Duration::from_secs(1), near.write(&flood)).await;
                match wrote {
                    Ok(count) => taken += count.unwrap(),
                    Err(_) => return,
                }
            }
        };
        tokio::select! {
            _ = run(&mut both) => unreachable!("nobody ended it"),
            () = talk => {}
        }
        assert!(taken <= BUFFER + 2 * 64, "{taken}");
        drop(far);
    }
}
