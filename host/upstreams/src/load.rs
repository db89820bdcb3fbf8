//! What is known of how busy an endpoint is.
//!
//! One [`Load`] an endpoint, shared by all who send to it: what is in flight, how soon it answers,
//! what its own metrics said, which prompts it has seen. It is written and read from all threads
//! without a lock; a reader may see one figure older than another by an instant.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use arc_swap::ArcSwapOption;
use tollgate_config::Balance;

use crate::{
    balance::{BLOCK_BYTES, Prefix},
    scrape::Figures,
    seen::Seen,
    speed::Speed,
};

/// What a [`Load`] is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// How long a latency is remembered.
    decay: Duration,
    /// How many blocks of prompts the endpoint is taken to hold.
    blocks: usize,
}

impl Settings {
    /// Of an upstream's balance.
    #[must_use]
    pub fn of(balance: &Balance) -> Self {
        let (decay, bytes) = match balance {
            Balance::PeakEwma(options) => (options.decay, 0),
            Balance::ModelAware(options) => (DECAY, options.prefix_cache_bytes),
            Balance::RoundRobin | Balance::LeastRequests | Balance::ConsistentHash(_) => (DECAY, 0),
        };
        Self {
            decay,
            blocks: bytes / BLOCK_BYTES,
        }
    }
}

/// Where the latency is only shown.
const DECAY: Duration = Duration::from_secs(10);

/// What is known of one endpoint.
pub struct Load {
    settings: Settings,
    in_flight: AtomicU32,
    /// Blocks of prompts that were sent, and not answered by a first token yet.
    prefilling: AtomicU64,
    speed: Speed,
    report: ArcSwapOption<Report>,
    seen: Seen,
}

/// What an endpoint's metrics said.
#[derive(Debug)]
pub struct Report {
    /// When they were asked for.
    pub at: Instant,
    /// Requests of this gateway that were in flight then.
    pub in_flight: u32,
    pub figures: Figures,
}

/// A scrape that was begun.
#[derive(Debug, Clone, Copy)]
pub struct Mark {
    at: Instant,
    in_flight: u32,
}

impl Load {
    /// Of an endpoint that nothing was sent to.
    #[must_use]
    pub fn new(settings: Settings, now: Instant) -> Arc<Self> {
        Arc::new(Self {
            settings,
            in_flight: AtomicU32::new(0),
            prefilling: AtomicU64::new(0),
            speed: Speed::new(settings.decay, now),
            report: ArcSwapOption::empty(),
            seen: Seen::new(settings.blocks),
        })
    }

    /// Whether it can serve under other settings, or one has to be made anew.
    #[must_use]
    pub fn fits(&self, settings: Settings) -> bool {
        self.settings == settings
    }

    /// Counts one request, with this prompt, as in flight until what is returned is dropped.
    pub fn begin(self: &Arc<Self>, now: Instant, prefix: &Prefix) -> InFlight {
        let hashes = prefix.hashes();
        let seen = self.seen.matching(hashes);
        self.seen.remember(hashes);
        let blocks = unseen(prefix, seen);
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        self.prefilling.fetch_add(blocks.into(), Ordering::Relaxed);
        self.speed.sent(now);
        InFlight {
            load: Arc::clone(self),
            sent: now,
            is_awaited: true,
            prefilling: blocks,
            brought: match self.settings.blocks {
                0 => Box::default(),
                _ => hashes[seen..].into(),
            },
        }
    }

    /// Requests sent to it and not ended.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Blocks of prompts that it has to read before those in flight get their first token.
    #[must_use]
    pub fn prefilling(&self) -> u64 {
        self.prefilling.load(Ordering::Relaxed)
    }

    /// Blocks of this prompt that it has not seen.
    #[must_use]
    pub fn uncached(&self, prefix: &Prefix) -> u32 {
        unseen(prefix, self.seen.matching(prefix.hashes()))
    }

    /// Forgets which prompts it has seen: to be called when it was away, as its cache is empty.
    pub fn forget(&self) {
        self.seen.forget();
    }

    /// How soon it answers: see [`InFlight::answered`]. At least as long as nothing came although
    /// something is awaited. `None`: it never answered, or long ago.
    #[must_use]
    pub fn latency(&self, now: Instant) -> Option<Duration> {
        self.speed.latency(now)
    }

    /// The share of its requests that fail, of late, from 0 to 1.
    #[must_use]
    pub fn failing(&self, now: Instant) -> f64 {
        self.speed.failing(now)
    }

    /// To be called just before its metrics are asked for.
    #[must_use]
    pub fn scrape_begins(&self, now: Instant) -> Mark {
        Mark {
            at: now,
            in_flight: self.in_flight(),
        }
    }

    /// What the metrics said. Of a scrape that failed nothing is told: the report before grows old.
    pub fn scraped(&self, mark: Mark, figures: Figures) {
        self.report.store(Some(Arc::new(Report {
            at: mark.at,
            in_flight: mark.in_flight,
            figures,
        })));
    }

    /// What its metrics last said, however old.
    #[must_use]
    pub fn report(&self) -> Option<Arc<Report>> {
        self.report.load_full()
    }

    /// What `read` makes of the last report, if that is younger than `stale`.
    pub(crate) fn fresh<T>(
        &self,
        now: Instant,
        stale: Duration,
        read: impl FnOnce(&Report) -> T,
    ) -> Option<T> {
        let report = self.report.load();
        let report = report.as_ref()?;
        (now.saturating_duration_since(report.at) < stale).then(|| read(report))
    }
}

impl fmt::Debug for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Load")
            .field("in_flight", &self.in_flight())
            .field("prefilling", &self.prefilling())
            .field("report", &self.report())
            .finish_non_exhaustive()
    }
}

/// Blocks of a prompt of which so many were seen.
fn unseen(prefix: &Prefix, seen: usize) -> u32 {
    let seen = u32::try_from(seen).unwrap_or(u32::MAX);
    prefix.blocks().saturating_sub(seen)
}

/// A request in flight; dropped when its answer has ended, or when it failed. One that is dropped
/// without a word was given up: how long it was awaited is the least that it would have taken.
#[derive(Debug)]
#[must_use = "a request is in flight for as long as this lives"]
pub struct InFlight {
    load: Arc<Load>,
    sent: Instant,
    /// No answer came yet.
    is_awaited: bool,
    prefilling: u32,
    /// Blocks that were remembered for this request, and are not there unless it is served.
    brought: Box<[u64]>,
}

impl InFlight {
    /// The first token came, or a whole answer that is no stream, so long after it was sent. Not
    /// to be called for failures, or an endpoint that fails at once would look like a fast one.
    pub fn answered(&mut self, now: Instant, took: Duration) {
        self.end_prefill();
        if std::mem::take(&mut self.is_awaited) {
            self.load.speed.answered(now, took);
        }
    }

    /// It was served to its end: where no token of it came, none is awaited any more.
    pub fn ended(&mut self, now: Instant) {
        self.answered(now, now.saturating_duration_since(self.sent));
    }

    /// It was not sent after all.
    pub fn unsent(&mut self) {
        self.end_prefill();
        if std::mem::take(&mut self.is_awaited) {
            self.load.speed.unsent();
            self.load.seen.drop_out(&self.brought);
        }
    }

    /// It was turned down: an answer, and none that shows how soon a good one comes.
    pub fn turned_down(&mut self, now: Instant) {
        self.end_prefill();
        if std::mem::take(&mut self.is_awaited) {
            self.load.speed.spoke(now);
            self.load.seen.drop_out(&self.brought);
        }
    }

    /// It failed, before its answer or within.
    pub fn failed(&mut self, now: Instant) {
        self.end_prefill();
        self.load.speed.failed(now);
        if self.is_awaited {
            self.load.seen.drop_out(&self.brought);
        }
        self.give_up(now);
    }

    /// The endpoint that it was sent to.
    #[must_use]
    pub fn load(&self) -> &Arc<Load> {
        &self.load
    }

    fn give_up(&mut self, now: Instant) {
        if std::mem::take(&mut self.is_awaited) {
            let awaited = now.saturating_duration_since(self.sent);
            self.load.speed.missed(now, awaited);
        }
    }

    fn end_prefill(&mut self) {
        let blocks = std::mem::take(&mut self.prefilling);
        self.load
            .prefilling
            .fetch_sub(blocks.into(), Ordering::Relaxed);
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.end_prefill();
        if self.is_awaited {
            self.give_up(Instant::now());
        }
        self.load.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
#[path = "load_tests.rs"]
mod tests;
