//! A stand-in model server: OpenAI-compatible, deterministic, and bad on request.
//!
//! It answers with an echo, streams at a set pace, commits the faults that the
//! header `x-standin` names ([`Behaviour`]) and shows at `GET /standin/seen` what
//! reached it. `GET /health` and `GET /metrics` answer as vLLM's do. The plain path
//! does as little as it can, since benchmarks use it as their upstream. Knows nothing
//! of the gateway.

mod answer;
mod behaviour;
mod body;
mod embeddings;
mod script;
mod seen;
mod serve;
mod wire;

use std::{
    io,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use behaviour::{
    BadBehaviour, Behaviour, Broken, Cut, Done, HEADER, LineEnd, UsageReport, Wait,
};
pub use seen::{Cancellation, Seen, SeenRequest};

use seen::Ledger;

/// What a stand-in is to be.
#[derive(Debug, Clone)]
pub struct StandinOptions {
    /// For requests that do not say otherwise.
    pub behaviour: Behaviour,
    /// How many of the last requests are kept whole; 0 keeps none, for benchmarks.
    pub keep: usize,
    /// What `GET /v1/models` lists.
    pub models: Vec<String>,
}

impl Default for StandinOptions {
    fn default() -> Self {
        Self {
            behaviour: Behaviour::default(),
            keep: 64,
            models: vec!["standin-small".to_owned(), "standin-large".to_owned()],
        }
    }
}

impl StandinOptions {
    /// The defaults with this behaviour, written as in the header.
    ///
    /// # Errors
    /// When the list is not understood.
    pub fn behaving(list: &str) -> Result<Self, BadBehaviour> {
        Ok(Self {
            behaviour: list.parse()?,
            ..Self::default()
        })
    }
}

/// A running stand-in. Dropped, it stops and breaks its connections.
#[derive(Debug)]
pub struct Standin {
    /// Where it listens.
    pub addr: SocketAddr,
    server: Arc<serve::Server>,
    ledger: Arc<Ledger>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Standin {
    /// Listens at `addr` (port 0: any free one) and serves on the current runtime.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub async fn start(addr: SocketAddr, options: StandinOptions) -> io::Result<Self> {
        let listener = TcpListener::bind(addr).await?;
        let addr = listener.local_addr()?;
        let ledger = Ledger::new(options.keep);
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let server = Arc::new(serve::Server::new(options, ledger.clone()));
        tasks.spawn(serve::accept(
            listener,
            server.clone(),
            stop.clone(),
            tasks.clone(),
        ));
        Ok(Self {
            addr,
            server,
            ledger,
            stop,
            tasks,
        })
    }

    /// `http://ADDRESS`, as an endpoint of the configuration.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Behaves like this from the next request on, connections that are open included.
    ///
    /// # Errors
    /// When the list is not understood; then nothing changes.
    pub fn behave(&self, list: &str) -> Result<(), BadBehaviour> {
        self.server.behaviour.store(Arc::new(list.parse()?));
        Ok(())
    }

    /// What it has seen so far.
    pub fn seen(&self) -> Seen {
        self.ledger.snapshot()
    }

    /// Forgets the requests and cancellations it kept; counters go on.
    pub fn forget(&self) {
        self.ledger.forget();
    }

    /// Waits until what was seen satisfies `enough`, and returns it; `None` after `patience`.
    pub async fn wait_for(
        &self,
        patience: Duration,
        enough: impl Fn(&Seen) -> bool,
    ) -> Option<Seen> {
        let deadline = Instant::now() + patience;
        loop {
            let seen = self.seen();
            if enough(&seen) {
                return Some(seen);
            }
            if Instant::now() >= deadline {
                return None;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Stops listening, breaks what is open, and waits for it.
    pub async fn stop(self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl Drop for Standin {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

#[cfg(test)]
mod tests;
