//! The data path: connections in, exchanges through the policies, upstreams out.
//!
//! [`exchange`] is the story from the first byte to the last; every other file is
//! one step of it. An exchange takes one [`Generation`] and keeps it. Knows nothing
//! of files, of how a generation came to be, or of who reads the records.

mod arrival;
mod at_hand;
mod body;
mod cache;
mod carry_on;
mod certificate;
mod chance;
mod connection;
mod content;
mod dialect;
mod errors;
mod events;
mod exchange;
mod exhaustion;
mod forward;
mod generation;
mod head;
mod headers;
mod introduction;
mod listener;
mod model_name;
mod onion;
mod origin;
mod policies;
mod record;
mod relay;
mod reply;
mod respond;
mod route;
pub mod sse;
mod stall;
mod state;
mod stream;
mod target;
mod tls;
mod upload;
mod upstream;
mod usage;

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use arc_swap::ArcSwap;
use tokio::{runtime::Handle, sync::Notify};
use tokio_util::task::TaskTracker;
use tollgate_capabilities::AnswerCache;

use crate::trace::Watchers;
pub use body::{Body, BodyError};
pub use errors::ServeError;
pub use generation::{Generation, GenerationError, Ingredients};
pub use listener::Server;
pub use record::{Cached, Decided, Observe, PolicyRecord, Record, RequestId};
pub use tls::{TlsError, TlsKeys};
pub use upstream::{ClientError, Clients};

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
    streams: AtomicUsize,
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

    /// Event streams on their way to a client.
    pub fn streams(&self) -> usize {
        self.streams.load(Ordering::Relaxed)
    }
}
