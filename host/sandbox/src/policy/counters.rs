//! What a policy did, in numbers.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// A hook, as an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hook {
    Request,
    Attempt,
    Response,
    Events,
    Finish,
}

/// A failure, as an index.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fault {
    Trapped,
    OutOfTime,
    HostCalls,
    BadDecision,
    Quarantined,
    NoInstance,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    calls: [AtomicU64; 5],
    nanos: [AtomicU64; 5],
    faults: [AtomicU64; 6],
    host_calls: AtomicU64,
    pub(crate) made: AtomicU64,
    pub(crate) late: AtomicU64,
    pub(crate) live: AtomicU64,
    pub(crate) memory_peak: AtomicU64,
    pub(crate) memory_refused: AtomicU64,
    pub(crate) log_dropped: AtomicU64,
}

/// Counters of a policy since its generation began.
#[derive(Debug, Clone, Default)]
pub struct PolicyStats {
    /// Calls by hook, in the order of [`PolicyStats::HOOKS`].
    pub calls: [u64; 5],
    /// Time in each hook in nanoseconds, waiting included.
    pub nanos: [u64; 5],
    /// Failures, in the order of [`PolicyStats::FAILURES`].
    pub failures: [u64; 6],
    /// Instances made so far.
    pub instances_made: u64,
    /// Of them, while an exchange waited.
    pub instances_late: u64,
    /// Instances alive: ready or at work.
    pub live: u64,
    /// Of them, ready for an exchange.
    pub ready: u64,
    /// The largest memory that an instance had, in bytes.
    pub memory_peak_bytes: u64,
    /// Growth of a memory that was refused.
    pub memory_refused: u64,
    /// Log lines beyond the bound of an exchange.
    pub log_dropped: u64,
    /// Calls of imports.
    pub host_calls: u64,
    /// Whether its `on_error` applies without asking it.
    pub quarantined: bool,
}

impl PolicyStats {
    /// Names for [`PolicyStats::calls`] and [`PolicyStats::nanos`].
    pub const HOOKS: [&str; 5] = ["request", "attempt", "response", "events", "finish"];
    /// Names for [`PolicyStats::failures`].
    pub const FAILURES: [&str; 6] = [
        "trapped",
        "out_of_time",
        "host_calls",
        "bad_decision",
        "quarantined",
        "no_instance",
    ];
}

impl Counters {
    pub(crate) fn called(&self, hook: Hook, time: Duration) {
        self.calls[hook as usize].fetch_add(1, Relaxed);
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.nanos[hook as usize].fetch_add(nanos, Relaxed);
    }

    pub(crate) fn fault(&self, fault: Fault) {
        self.faults[fault as usize].fetch_add(1, Relaxed);
    }

    pub(crate) fn host_called(&self, times: u32) {
        self.host_calls.fetch_add(times.into(), Relaxed);
    }

    pub(crate) fn snapshot(&self) -> PolicyStats {
        let read = |counter: &AtomicU64| counter.load(Relaxed);
        PolicyStats {
            calls: self.calls.each_ref().map(read),
            nanos: self.nanos.each_ref().map(read),
            failures: self.faults.each_ref().map(read),
            instances_made: read(&self.made),
            instances_late: read(&self.late),
            live: read(&self.live),
            memory_peak_bytes: read(&self.memory_peak),
            memory_refused: read(&self.memory_refused),
            log_dropped: read(&self.log_dropped),
            host_calls: read(&self.host_calls),
            ..PolicyStats::default()
        }
    }
}
