//! The data path: connections in, exchanges through the policies, upstreams out.
//!
//! [`exchange`] is the story from the first byte to the last; every other file is
//! one step of it. An exchange takes one [`Generation`] and keeps it. Knows nothing
//! of files, of how a generation came to be, or of who reads the records.

mod admission;
mod arrival;
mod at_hand;
mod begun;
mod bodies;
mod body;
mod cache;
mod carry_on;
mod certificate;
pub(crate) mod chance;
mod clients;
pub(crate) mod cohort;
mod connect;
mod connection;
mod content;
#[cfg(test)]
mod counted_byte;
mod dialect;
mod endpoint;
mod errors;
mod events;
mod exchange;
mod exhaustion;
mod fleet;
mod forward;
mod generation;
mod head;
mod headers;
mod hints;
mod introduction;
mod listener;
mod mirror;
mod model_name;
mod onion;
mod origin;
mod pick;
mod policies;
mod question;
mod record;
mod relay;
mod reply;
mod respond;
mod route;
mod slot;
pub mod sse;
mod stall;
mod state;
mod stream;
mod target;
mod tls;
mod tries;
mod upgrade;
mod upload;
mod upstream;
mod usage;
mod waits;

use std::sync::{
    Arc,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};

use arc_swap::ArcSwap;
use tokio::{runtime::Handle, sync::Notify};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tollgate_capabilities::AnswerCache;

use crate::trace::Watchers;
pub use bodies::Bodies;
pub use body::{Body, BodyError};
pub use clients::{ClientError, Clients};
pub(crate) use endpoint::{Asked, Endpoint};
pub use errors::ServeError;
pub(crate) use fleet::{Fleet, Turn, count};
pub use generation::{Generation, GenerationError, Ingredients};
pub use listener::Server;
pub use mirror::{Mirrors, NotMirrored};
pub(crate) use question::Question;
pub use record::{
    Cached, Decided, Observe, PolicyRecord, Reason, Record, RequestId, Try, TryOutcome,
};
pub use tls::{TlsError, TlsKeys};
pub(crate) use upstream::{FirstLook, Upstream};

/// What all listeners and exchanges of the process share.
pub struct Shared {
    /// The one that new exchanges take. A swap is one store.
    pub generation: ArcSwap<Generation>,
    /// Told of every exchange that ended.
    pub observer: Box<dyn Observe>,
    /// Everything that may outlive its connection: hooks that are finishing.
    pub tracker: TaskTracker,
    /// What is open right now.
    pub gauges: Gauges,
    /// The pooled connections to upstreams; they survive a swap.
    pub clients: Arc<Clients>,
    /// Answers that policies planned to keep; they survive a swap, for who asks the same of
    /// the same policies.
    pub cache: Arc<dyn AnswerCache>,
    /// Who looks at exchanges.
    pub watchers: Arc<Watchers>,
    flights: cache::Flights,
    /// Copies of requests.
    pub mirrors: Mirrors,
    /// Of requests, those that are held.
    pub bodies: Arc<Bodies>,
    /// Set when a shutdown begins: what no client waits for ends.
    stopping: CancellationToken,
    /// Set when a shutdown has waited long enough.
    cut: CancellationToken,
    runtime: Handle,
    via: headers::Via,
}

impl Shared {
    /// Call it inside the runtime that is to serve.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    #[must_use]
    pub fn new(
        first: Arc<Generation>,
        clients: Arc<Clients>,
        cache: Arc<dyn AnswerCache>,
        observer: Box<dyn Observe>,
    ) -> Arc<Self> {
        Arc::new(Self {
            generation: ArcSwap::new(first),
            observer,
            tracker: TaskTracker::new(),
            gauges: Gauges::default(),
            clients,
            cache,
            watchers: Watchers::new(),
            flights: cache::Flights::default(),
            mirrors: Mirrors::default(),
            bodies: Arc::default(),
            stopping: CancellationToken::new(),
            cut: CancellationToken::new(),
            runtime: Handle::current(),
            via: headers::Via::of_this_process(),
        })
    }
}

/// What is open right now.
#[derive(Debug, Default)]
pub struct Gauges {
    connections: AtomicUsize,
    exchanges: AtomicUsize,
    /// Those of them that are copies of requests.
    copies: AtomicUsize,
    streams: AtomicUsize,
    upgrades: AtomicUsize,
    upgrades_refused: AtomicUsize,
    turned_away: AtomicU64,
    connection_left: Notify,
}

impl Gauges {
    /// Connections from clients.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// Exchanges whose last hook has not ended yet.
    pub fn exchanges(&self) -> usize {
        self.exchanges.load(Ordering::Relaxed)
    }

    /// Those that clients wait for.
    fn of_clients(&self) -> usize {
        let copies = self.copies.load(Ordering::Relaxed);
        self.exchanges().saturating_sub(copies)
    }

    /// Connections that changed their protocol, or are about to.
    pub fn upgrades(&self) -> usize {
        self.upgrades.load(Ordering::Relaxed)
    }

    /// Those that were one too many.
    pub fn upgrades_refused(&self) -> usize {
        self.upgrades_refused.load(Ordering::Relaxed)
    }

    fn note_turned_away(&self) {
        self.turned_away.fetch_add(1, Ordering::Relaxed);
    }

    /// Exchanges that were refused because too many were open, so far.
    pub fn turned_away(&self) -> u64 {
        self.turned_away.load(Ordering::Relaxed)
    }

    /// Event streams on their way to a client.
    pub fn streams(&self) -> usize {
        self.streams.load(Ordering::Relaxed)
    }
}
