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
    latency: Latency,
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
            latency: Latency::new(now),
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
    pub fn begin(self: &Arc<Self>, prefix: &Prefix) -> InFlight {
        let blocks = self.uncached(prefix);
        self.seen.remember(prefix.hashes());
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        self.prefilling.fetch_add(blocks.into(), Ordering::Relaxed);
        InFlight {
            load: Arc::clone(self),
            prefilling: blocks,
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
        let seen = self.seen.matching(prefix.hashes());
        prefix
            .blocks()
            .saturating_sub(u32::try_from(seen).unwrap_or(u32::MAX))
    }

    /// Forgets which prompts it has seen: to be called when it was away, as its cache is empty.
    pub fn forget(&self) {
        self.seen.forget();
    }

    /// How soon it answers: see [`InFlight::answered`]. `None`: it never did, or long ago.
    #[must_use]
    pub fn latency(&self, now: Instant) -> Option<Duration> {
        self.latency.read(now, self.settings.decay)
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

/// A request in flight; dropped when its answer has ended, or when it failed.
#[derive(Debug)]
#[must_use = "a request is in flight for as long as this lives"]
pub struct InFlight {
    load: Arc<Load>,
    prefilling: u32,
}

impl InFlight {
    /// The first token came, or a whole answer that is no stream, so long after it was sent. Not
    /// to be called for failures, or an endpoint that fails at once would look like a fast one.
    pub fn answered(&mut self, now: Instant, took: Duration) {
        self.end_prefill();
        self.load
            .latency
            .observe(now, took, self.load.settings.decay);
    }

    /// The endpoint that it was sent to.
    #[must_use]
    pub fn load(&self) -> &Arc<Load> {
        &self.load
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
        self.load.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A moving average that jumps up to each peak and sinks with time.
struct Latency {
    born: Instant,
    /// Seconds, as the bits of a double; 0: never measured.
    seconds: AtomicU64,
    /// Nanoseconds after `born`.
    at: AtomicU64,
}

impl Latency {
    /// An average below this was measured too long ago.
    const FORGOTTEN: f64 = 1e-6;

    fn new(now: Instant) -> Self {
        Self {
            born: now,
            seconds: AtomicU64::new(0),
            at: AtomicU64::new(0),
        }
    }

    /// The average as it is now, and how much of the last one is in it.
    fn sunk(&self, now: Instant, decay: Duration) -> (f64, f64) {
        let at = self.born + Duration::from_nanos(self.at.load(Ordering::Relaxed));
        let elapsed = now.saturating_duration_since(at).as_secs_f64();
        let kept = (-elapsed / decay.as_secs_f64()).exp();
        let seconds = f64::from_bits(self.seconds.load(Ordering::Relaxed));
        (seconds * kept, kept)
    }

    fn observe(&self, now: Instant, took: Duration, decay: Duration) {
        let took = took.as_secs_f64().max(Self::FORGOTTEN);
        let (sunk, kept) = self.sunk(now, decay);
        let seconds = if took > sunk {
            took
        } else {
            sunk + took * (1.0 - kept)
        };
        let since = now.saturating_duration_since(self.born).as_nanos();
        self.seconds.store(seconds.to_bits(), Ordering::Relaxed);
        let at = u64::try_from(since).unwrap_or(u64::MAX);
        self.at.store(at, Ordering::Relaxed);
    }

    fn read(&self, now: Instant, decay: Duration) -> Option<Duration> {
        let (sunk, _) = self.sunk(now, decay);
        (sunk >= Self::FORGOTTEN).then(|| Duration::from_secs_f64(sunk.min(1e9)))
    }
}

#[cfg(test)]
#[path = "load_tests.rs"]
mod tests;
