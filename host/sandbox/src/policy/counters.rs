//! What a policy did, in numbers.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use crate::{
    Hook,
    shard::{SHARDS, home},
};

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
    shards: [Shard; SHARDS],
    faults: [AtomicU64; 6],
    late: AtomicU64,
    memory_peak: AtomicU64,
    pub(crate) memory_refused: AtomicU64,
    pub(crate) log_dropped: AtomicU64,
}

/// What is counted for every exchange, by the threads that keep a shard. Two cache
/// lines: processors fetch them in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Shard {
    calls: [AtomicU64; 6],
    nanos: [AtomicU64; 6],
    host_calls: AtomicU64,
    made: AtomicU64,
    cleared: AtomicU64,
    remembered: AtomicU64,
}

/// Counters of a policy since its generation began.
#[derive(Debug, Clone, Default)]
pub struct PolicyStats {
    /// Calls by hook, in the order of [`Hook::ALL`].
    pub calls: [u64; 6],
    /// Time in each hook in nanoseconds, waiting included.
    pub nanos: [u64; 6],
    /// Failures, in the order of [`PolicyStats::FAILURES`].
    pub failures: [u64; 6],
    /// Of the calls of `on_request`, those that a remembered decision spared.
    pub remembered: u64,
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
        let shard = &self.shards[home()];
        shard.calls[hook as usize].fetch_add(1, Relaxed);
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        shard.nanos[hook as usize].fetch_add(nanos, Relaxed);
    }

    /// A decision was remembered, which counts as a call and takes no time of the policy's.
    pub(crate) fn remembered(&self) {
        let shard = &self.shards[home()];
        shard.calls[Hook::Request as usize].fetch_add(1, Relaxed);
        shard.remembered.fetch_add(1, Relaxed);
    }

    pub(crate) fn host_called(&self, times: u32) {
        if times > 0 {
            let shard = &self.shards[home()];
            shard.host_calls.fetch_add(times.into(), Relaxed);
        }
    }

    /// An instance was made; tells how many this thread's shard made before.
    pub(crate) fn made(&self) -> u64 {
        self.shards[home()].made.fetch_add(1, Relaxed)
    }

    pub(crate) fn cleared(&self) {
        self.shards[home()].cleared.fetch_add(1, Relaxed);
    }

    /// An exchange had to wait for its instance.
    pub(crate) fn late(&self) {
        self.late.fetch_add(1, Relaxed);
    }

    pub(crate) fn fault(&self, fault: Fault) {
        self.faults[fault as usize].fetch_add(1, Relaxed);
    }

    pub(crate) fn memory(&self, bytes: u64) {
        if bytes > self.memory_peak.load(Relaxed) {
            self.memory_peak.fetch_max(bytes, Relaxed);
        }
    }

    pub(crate) fn snapshot(&self) -> PolicyStats {
        let read = |counter: &AtomicU64| counter.load(Relaxed);
        let mut stats = PolicyStats {
            failures: self.faults.each_ref().map(read),
            instances_late: read(&self.late),
            memory_peak_bytes: read(&self.memory_peak),
            memory_refused: read(&self.memory_refused),
            log_dropped: read(&self.log_dropped),
            ..PolicyStats::default()
        };
        let mut cleared = 0;
        for shard in &self.shards {
            for hook in 0..stats.calls.len() {
                stats.calls[hook] += read(&shard.calls[hook]);
                stats.nanos[hook] += read(&shard.nanos[hook]);
            }
            stats.host_calls += read(&shard.host_calls);
            stats.remembered += read(&shard.remembered);
            cleared += read(&shard.cleared);
            stats.instances_made += read(&shard.made);
        }
        stats.live = stats.instances_made.saturating_sub(cleared);
        stats
    }
}
