//! How soon an endpoint answers, and how often it does not.
//!
//! Three figures, written and read without a lock: an average latency that jumps up to each
//! peak, for how long nothing came although something is awaited, and the share of requests
//! that failed. The first and the last sink with time, so that an endpoint is tried again.
//! Silence does not: while it lasts, the average would tell of better days.

use std::{
    sync::atomic::{AtomicU32, AtomicU64, Ordering},
    time::{Duration, Instant},
};

/// How much a failure adds of what is missing to 1, and an answer takes away.
const STEP: f64 = 0.2;
/// Seconds; an average below this was measured too long ago.
const FORGOTTEN: f64 = 1e-6;

/// See the module.
pub(crate) struct Speed {
    born: Instant,
    decay: Duration,
    /// In seconds; below [`FORGOTTEN`]: not known.
    latency: Sinking,
    /// From 0 to 1.
    failing: Sinking,
    /// Requests without an answer.
    awaited: AtomicU32,
    /// Nanoseconds after `born`: when the first of those was sent, or an answer came since.
    silent_since: AtomicU64,
}

impl Speed {
    pub(crate) fn new(decay: Duration, now: Instant) -> Self {
        Self {
            born: now,
            decay,
            latency: Sinking::default(),
            failing: Sinking::default(),
            awaited: AtomicU32::new(0),
            silent_since: AtomicU64::new(0),
        }
    }

    /// A request was sent; to be ended by one of those below.
    pub(crate) fn sent(&self, now: Instant) {
        // Before it counts, so that nobody takes an old silence for its own.
        if self.awaited.load(Ordering::Relaxed) == 0 {
            self.silent_since.store(self.nanos(now), Ordering::Relaxed);
        }
        self.awaited.fetch_add(1, Ordering::Release);
    }

    /// A good answer came.
    pub(crate) fn answered(&self, now: Instant, took: Duration) {
        self.spoke(now);
        let at = self.nanos(now);
        let took = took.as_secs_f64().max(FORGOTTEN);
        let (sunk, kept) = self.latency.read(at, self.decay);
        let seconds = match took > sunk {
            true => took,
            false => sunk + took * (1.0 - kept),
        };
        self.latency.write(seconds, at);
        let (failing, _) = self.failing.read(at, self.decay);
        if failing > 0.0 {
            self.failing.write(failing * (1.0 - STEP), at);
        }
    }

    /// An answer came that says nothing of how soon a good one does.
    pub(crate) fn spoke(&self, now: Instant) {
        self.silent_since.store(self.nanos(now), Ordering::Relaxed);
        self.awaited.fetch_sub(1, Ordering::Relaxed);
    }

    /// A request that was counted was not sent.
    pub(crate) fn unsent(&self) {
        self.awaited.fetch_sub(1, Ordering::Relaxed);
    }

    /// No answer came while it was awaited for so long: the next may take as long.
    pub(crate) fn missed(&self, now: Instant, awaited: Duration) {
        self.awaited.fetch_sub(1, Ordering::Relaxed);
        let at = self.nanos(now);
        let (sunk, _) = self.latency.read(at, self.decay);
        let awaited = awaited.as_secs_f64();
        // One that never answered stays unknown: this is no measure of its answers.
        if sunk >= FORGOTTEN && awaited > sunk {
            self.latency.write(awaited, at);
        }
    }

    /// A request failed, before its answer or within. The average is again what it was when it
    /// was last measured, or an endpoint at which all fails would seem faster and faster.
    pub(crate) fn failed(&self, now: Instant) {
        let at = self.nanos(now);
        if self.latency.read(at, self.decay).0 >= FORGOTTEN {
            self.latency.at.store(at, Ordering::Relaxed);
        }
        let (failing, _) = self.failing.read(at, self.decay);
        self.failing.write(failing + (1.0 - failing) * STEP, at);
    }

    /// The average, or how long it is silent if that is longer. `None`: it never answered, or
    /// long ago.
    pub(crate) fn latency(&self, now: Instant) -> Option<Duration> {
        let (sunk, _) = self.latency.read(self.nanos(now), self.decay);
        let is_known = sunk >= FORGOTTEN;
        is_known.then(|| Duration::from_secs_f64(sunk.min(1e9)).max(self.silence(now)))
    }

    /// The share of requests that fail, of late.
    pub(crate) fn failing(&self, now: Instant) -> f64 {
        self.failing.read(self.nanos(now), self.decay).0
    }

    fn silence(&self, now: Instant) -> Duration {
        match self.awaited.load(Ordering::Acquire) {
            0 => Duration::ZERO,
            _ => {
                let since = self.silent_since.load(Ordering::Relaxed);
                Duration::from_nanos(self.nanos(now).saturating_sub(since))
            }
        }
    }

    fn nanos(&self, now: Instant) -> u64 {
        let nanos = now.saturating_duration_since(self.born).as_nanos();
        u64::try_from(nanos).unwrap_or(u64::MAX)
    }
}

/// A number that sinks towards 0 with time. Two that write at once may lose one of both.
#[derive(Default)]
struct Sinking {
    /// The bits of a double.
    value: AtomicU64,
    /// Nanoseconds after the birth of its [`Speed`].
    at: AtomicU64,
}

impl Sinking {
    /// The number as it is now, and how much of the last one is in it.
    fn read(&self, now: u64, decay: Duration) -> (f64, f64) {
        let value = f64::from_bits(self.value.load(Ordering::Relaxed));
        if value == 0.0 {
            return (0.0, 0.0);
        }
        let at = self.at.load(Ordering::Relaxed);
        let elapsed = Duration::from_nanos(now.saturating_sub(at)).as_secs_f64();
        let kept = (-elapsed / decay.as_secs_f64()).exp();
        (value * kept, kept)
    }

    fn write(&self, value: f64, now: u64) {
        self.value.store(value.to_bits(), Ordering::Relaxed);
        self.at.store(now, Ordering::Relaxed);
    }
}
