//! An answer that is under way, and all who listen to it.
//!
//! One writes, each listener reads at a pace of its own. As long as the answer is short
//! enough to be kept, all of it is, and whoever comes late gets it from its start. Once
//! it is longer, or there is too much under way, nobody new may join, what all have read
//! is let go, and the writer waits for the fastest: one who falls further behind than an
//! answer may be long is cut off. Knows nothing of policies, upstreams or sockets.

use std::{
    collections::{BTreeMap, VecDeque},
    future::poll_fn,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::super::{
    errors::ServeError,
    record::{PolicyRecord, Reason, Try},
    reply::Watch,
};

/// How far a listener may fall behind the fastest when all answers under way together hold
/// as much as they may, in bytes.
const CROWDED_BYTES: usize = 64 << 10;

/// What is known when the head of an answer is there.
#[derive(Debug)]
pub(in crate::serve) struct Head {
    pub(in crate::serve) status: StatusCode,
    pub(in crate::serve) headers: HeaderMap,
    pub(in crate::serve) watch: Watch,
    /// Of the body, where it is known.
    pub(in crate::serve) length: Option<u64>,
    /// It is an upstream's, and not what a policy said to this one request.
    pub(in crate::serve) is_upstreams: bool,
    /// Whether the one that asked for it wanted to be told the usage in its stream.
    pub(in crate::serve) stream_usage: bool,
    /// What the one that asked for it knows.
    pub(in crate::serve) source: Source,
}

/// Whom an answer came from.
#[derive(Debug, Clone, Default)]
pub(in crate::serve) struct Source {
    pub(in crate::serve) upstream: Option<Arc<str>>,
    pub(in crate::serve) target_model: Option<Arc<str>>,
    pub(in crate::serve) endpoint: Option<Arc<str>>,
    pub(in crate::serve) attempts: u32,
    pub(in crate::serve) reason: Reason,
    pub(in crate::serve) tries: Vec<Try>,
    pub(in crate::serve) over_budget: u32,
    pub(in crate::serve) upstream_head: Option<Duration>,
    pub(in crate::serve) facts: Vec<(String, String)>,
}

/// What is known once the upstream's part is over.
#[derive(Debug, Default)]
pub(in crate::serve) struct Told {
    /// Of the policies that only the one who asked has gone through.
    pub(in crate::serve) policies: Vec<PolicyRecord>,
    /// What policies established, those behind as well.
    pub(in crate::serve) facts: Vec<(String, String)>,
    /// Whole, a success, and no policy failed on the way.
    pub(in crate::serve) is_good: bool,
}

/// See the module.
#[derive(Debug)]
pub(in crate::serve) struct Flight {
    state: Mutex<State>,
    bytes_max: usize,
    /// Of all answers that are under way.
    held: Arc<Held>,
    /// The upstream's part is over.
    over: Notify,
}

/// How much all answers under way hold together.
#[derive(Debug, Default)]
pub(in crate::serve) struct Held(AtomicUsize);

#[derive(Debug, Default)]
struct State {
    head: Option<Arc<Head>>,
    chunks: VecDeque<Bytes>,
    /// Chunks that were let go, before those that are there.
    gone: u64,
    bytes: usize,
    is_too_long: bool,
    /// Nobody may join any more.
    is_closed: bool,
    fault: Option<ServeError>,
    end: Option<Result<(), ServeError>>,
    told: Option<Told>,
    /// Someone answers for what the upstream did: the one who asked, as long as it is there.
    is_accounted: bool,
    listeners: BTreeMap<u64, Listener>,
    last_listener: u64,
    writer: Option<Waker>,
}

#[derive(Debug, Default)]
struct Listener {
    /// The next chunk that it takes, counted from the first.
    next: u64,
    waker: Option<Waker>,
}

impl State {
    fn wake_listeners(&mut self) {
        for listener in self.listeners.values_mut() {
            if let Some(waker) = listener.waker.take() {
                waker.wake();
            }
        }
    }

    fn wake_writer(&mut self) {
        if let Some(writer) = self.writer.take() {
            writer.wake();
        }
    }

    /// Lets go of what all have read and, where that is too much, of what only the slow
    /// ones have not: never of what the fastest has still to read.
    fn trim(&mut self, bytes_max: usize, held: &Held) {
        let read = || self.listeners.values().map(|listener| listener.next);
        let (Some(slowest), Some(fastest)) = (read().min(), read().max()) else {
            return;
        };
        while self.gone < slowest || (self.bytes > bytes_max && self.gone < fastest) {
            let Some(chunk) = self.chunks.pop_front() else {
                return;
            };
            self.gone += 1;
            self.bytes -= chunk.len();
            held.0.fetch_sub(chunk.len(), Relaxed);
        }
    }

    /// Whether the fastest has taken all that is there.
    fn is_taken(&self) -> bool {
        let fastest = self.listeners.values().map(|listener| listener.next).max();
        fastest.is_none_or(|fastest| fastest >= self.gone + self.chunks.len() as u64)
    }
}

/// As it is, or alone where it is small beside the buffer of 8 KiB or more that it was read
/// into and would hold on to.
fn detached(chunk: Bytes) -> Bytes {
    const SMALL_BYTES: usize = 4096;
    match chunk.len() < SMALL_BYTES {
        true => Bytes::copy_from_slice(&chunk),
        false => chunk,
    }
}

impl Flight {
    /// An answer that is kept whole up to so many bytes, and the one that asks for it.
    pub(in crate::serve) fn begin(bytes_max: usize, held: &Arc<Held>) -> (Arc<Self>, Seat) {
        let flight = Arc::new(Self {
            state: Mutex::new(State {
                is_accounted: true,
                ..State::default()
            }),
            bytes_max,
            held: held.clone(),
            over: Notify::new(),
        });
        let seat = flight.sit(&mut flight.state.lock());
        (flight.clone(), seat)
    }

    /// One more listener, from the start; `None`: it is too late for that.
    pub(in crate::serve) fn join(self: &Arc<Self>) -> Option<Seat> {
        let mut state = self.state.lock();
        let may_join = !state.is_closed && !state.is_too_long && state.fault.is_none();
        may_join.then(|| self.sit(&mut state))
    }

    fn sit(self: &Arc<Self>, state: &mut State) -> Seat {
        state.last_listener += 1;
        let number = state.last_listener;
        state.listeners.insert(number, Listener::default());
        Seat {
            flight: self.clone(),
            number,
        }
    }

    pub(in crate::serve) fn announce(&self, head: Head) {
        let mut state = self.state.lock();
        state.head = Some(Arc::new(head));
        state.wake_listeners();
    }

    /// What was wrong, to be told when the body ends.
    pub(in crate::serve) fn note_fault(&self, error: ServeError) {
        self.state.lock().fault = Some(error);
    }

    /// The upstream's part is over.
    pub(in crate::serve) fn tell(&self, told: Told) {
        self.state.lock().told = Some(told);
        self.over.notify_waiters();
    }

    pub(in crate::serve) fn head(&self) -> Option<Arc<Head>> {
        self.state.lock().head.clone()
    }

    fn is_over(&self) -> bool {
        let state = self.state.lock();
        state.told.is_some() || state.end.is_some()
    }

    /// Waits until the upstream's part is over.
    pub(in crate::serve) async fn is_told(&self) {
        loop {
            let over = self.over.notified();
            if self.is_over() {
                return;
            }
            over.await;
        }
    }

    /// What became of the upstream's part, once it is over; told once.
    pub(in crate::serve) async fn told(&self) -> Told {
        self.is_told().await;
        self.state.lock().told.take().unwrap_or_default()
    }

    /// Ready once nobody listens any more; then nobody will.
    pub(in crate::serve) fn poll_abandoned(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut state = self.state.lock();
        if state.listeners.is_empty() {
            state.is_closed = true;
            return Poll::Ready(());
        }
        state.writer = Some(context.waker().clone());
        Poll::Pending
    }

    /// Adds a chunk. Whether it is still short enough to be kept.
    pub(in crate::serve) fn push(&self, chunk: Bytes, held_max: usize) -> bool {
        let chunk = detached(chunk);
        let mut state = self.state.lock();
        let held = self.held.0.fetch_add(chunk.len(), Relaxed) + chunk.len();
        state.bytes += chunk.len();
        state.chunks.push_back(chunk);
        if state.bytes > self.bytes_max || held > held_max {
            state.is_too_long = true;
        }
        if state.is_too_long {
            // With too much under way in all, the slow ones may not hold an answer each.
            let is_crowded = held > held_max;
            let most = if is_crowded {
                CROWDED_BYTES
            } else {
                self.bytes_max
            };
            state.trim(most.min(self.bytes_max), &self.held);
        }
        state.wake_listeners();
        !state.is_too_long
    }

    /// Ready when the writer may go on: at once as long as the answer is kept.
    pub(in crate::serve) fn poll_room(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut state = self.state.lock();
        if !state.is_too_long || state.is_taken() {
            return Poll::Ready(());
        }
        state.writer = Some(context.waker().clone());
        Poll::Pending
    }

    /// All of the answer, if it is good and short enough.
    pub(in crate::serve) fn whole(&self, last: &Bytes) -> Option<(Arc<Head>, Vec<Bytes>)> {
        let state = self.state.lock();
        let is_good = state.told.as_ref().is_some_and(|told| told.is_good);
        let fits = !state.is_too_long && state.bytes + last.len() <= self.bytes_max;
        if !is_good || !fits || state.fault.is_some() {
            return None;
        }
        let chunks = state.chunks.iter().chain([last]);
        Some((state.head.clone()?, chunks.cloned().collect()))
    }

    /// The end, with what comes last; the first end counts.
    pub(in crate::serve) fn end(&self, last: Bytes, end: Result<(), ServeError>) {
        let mut state = self.state.lock();
        if state.end.is_some() {
            return;
        }
        if !last.is_empty() {
            self.held.0.fetch_add(last.len(), Relaxed);
            state.bytes += last.len();
            state.chunks.push_back(last);
        }
        let fault = state.fault.clone();
        state.end = Some(match (end, fault) {
            (Err(_), Some(fault)) => Err(fault),
            (end, _) => end,
        });
        state.is_closed = true;
        state.wake_listeners();
        drop(state);
        self.over.notify_waiters();
    }

    /// Whether someone has to answer for what the upstream did, and now does.
    pub(super) fn account(&self) -> bool {
        !std::mem::replace(&mut self.state.lock().is_accounted, true)
    }

    /// Whoever answered for it has left.
    pub(super) fn release(&self) {
        self.state.lock().is_accounted = false;
    }

    #[cfg(test)]
    fn bytes(&self) -> usize {
        self.state.lock().bytes
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.held.0.fetch_sub(self.state.get_mut().bytes, Relaxed);
    }
}

/// A listener's place. Given up when it is dropped; with the last one, the upstream is too.
#[derive(Debug)]
pub(in crate::serve) struct Seat {
    flight: Arc<Flight>,
    number: u64,
}

impl Seat {
    pub(in crate::serve) fn flight(&self) -> &Arc<Flight> {
        &self.flight
    }

    /// Waits for the head.
    ///
    /// # Errors
    /// There is none, and why.
    pub(in crate::serve) async fn head(&self) -> Result<Arc<Head>, ServeError> {
        poll_fn(|context| {
            let mut state = self.flight.state.lock();
            if let Some(head) = &state.head {
                return Poll::Ready(Ok(head.clone()));
            }
            if let Some(end) = &state.end {
                let error = end.clone().err().unwrap_or(ServeError::UpstreamFailed);
                return Poll::Ready(Err(error));
            }
            if let Some(listener) = state.listeners.get_mut(&self.number) {
                listener.waker = Some(context.waker().clone());
            }
            Poll::Pending
        })
        .await
    }

    /// The next chunk; `None`: that was all.
    pub(super) fn poll_next(
        &self,
        context: &mut Context<'_>,
    ) -> Poll<Result<Option<Bytes>, ServeError>> {
        let mut state = self.flight.state.lock();
        let State {
            chunks,
            gone,
            end,
            listeners,
            ..
        } = &mut *state;
        let Some(listener) = listeners.get_mut(&self.number) else {
            return Poll::Ready(Err(ServeError::UpstreamFailed));
        };
        let Some(at) = listener.next.checked_sub(*gone) else {
            return Poll::Ready(Err(ServeError::FellBehind));
        };
        let chunk = usize::try_from(at).ok().and_then(|at| chunks.get(at));
        if let Some(chunk) = chunk.cloned() {
            listener.next += 1;
            if state.is_too_long {
                state.trim(self.flight.bytes_max, &self.flight.held);
                state.wake_writer();
            }
            return Poll::Ready(Ok(Some(chunk)));
        }
        match end {
            Some(end) => Poll::Ready(end.clone().map(|()| None)),
            None => {
                listener.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut state = self.flight.state.lock();
        state.listeners.remove(&self.number);
        if state.is_too_long {
            state.trim(self.flight.bytes_max, &self.flight.held);
        }
        if state.listeners.is_empty() {
            state.is_closed = true;
        }
        state.wake_writer();
    }
}

#[cfg(test)]
#[path = "flight_tests.rs"]
mod tests;
