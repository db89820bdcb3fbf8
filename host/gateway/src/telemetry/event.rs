//! Things worth knowing, one struct each: `emit` writes the log line and counts the
//! metric, so the two cannot drift apart.

use std::{
    net::SocketAddr,
    path::Path,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::Duration,
};

use tracing::{error, info, warn};

use super::exposition::{Exposition, Kind};
use crate::{
    control::{Refused, Stage, Warning},
    serve::TlsError,
};

/// What the control path counts.
#[derive(Debug, Default)]
pub(crate) struct ControlCounters {
    swapped: AtomicU64,
    unchanged: AtomicU64,
    refused: [AtomicU64; 3],
    drained: AtomicU64,
    swap_us: AtomicU64,
    polling: AtomicBool,
}

impl ControlCounters {
    pub(crate) fn render(&self, out: &mut Exposition) {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let mut family = out.family(
            "tollgate_reloads_total",
            Kind::Counter,
            "Reloads by result, and the refused ones by stage.",
        );
        family.sample(&[("result", "swapped")], read(&self.swapped));
        family.sample(&[("result", "unchanged")], read(&self.unchanged));
        for stage in [Stage::Load, Stage::Compile, Stage::Prove] {
            let labels = [("result", "refused"), ("stage", stage.as_str())];
            family.sample(&labels, read(&self.refused[stage as usize]));
        }
        out.single(
            "tollgate_generations_drained_total",
            Kind::Counter,
            "Generations whose last exchange ended after a swap.",
            read(&self.drained),
        );
        out.single(
            "tollgate_last_swap_seconds",
            Kind::Gauge,
            "From the first look at the files to the swap, the last time.",
            Duration::from_micros(read(&self.swap_us)).as_secs_f64(),
        );
        out.single(
            "tollgate_watch_polling",
            Kind::Gauge,
            "1: the system gives no file events, and the files are polled.",
            u8::from(self.polling.load(Ordering::Relaxed)),
        );
    }
}

/// The gateway takes connections.
pub(crate) struct Started {
    pub(crate) addr: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) generation: u64,
}

impl Started {
    pub(crate) fn emit(self) {
        info!(addr = %self.addr, admin = %self.admin, generation = self.generation, "serving");
    }
}

/// A candidate went live.
pub(crate) struct Swapped {
    pub(crate) generation: u64,
    pub(crate) loaded: usize,
    pub(crate) kept: usize,
    pub(crate) took: Duration,
}

impl Swapped {
    pub(crate) fn emit(self, counters: &ControlCounters) {
        counters.swapped.fetch_add(1, Ordering::Relaxed);
        let us = u64::try_from(self.took.as_micros()).unwrap_or(u64::MAX);
        counters.swap_us.store(us, Ordering::Relaxed);
        info!(
            generation = self.generation,
            policies_loaded = self.loaded,
            policies_kept = self.kept,
            took_us = us,
            "swapped"
        );
    }
}

/// A reload was asked for, and nothing had changed.
pub(crate) struct Unchanged {
    pub(crate) generation: u64,
}

impl Unchanged {
    pub(crate) fn emit(self, counters: &ControlCounters) {
        counters.unchanged.fetch_add(1, Ordering::Relaxed);
        info!(generation = self.generation, "nothing changed");
    }
}

/// A generation that is live, and not as it can have been meant.
pub(crate) struct Composed<'a> {
    pub(crate) warning: &'a Warning,
}

impl Composed<'_> {
    pub(crate) fn emit(self) {
        let Warning { code, message, .. } = self.warning;
        warn!(code, "probably not meant: {message}");
    }
}

/// A candidate did not go live.
pub(crate) struct RefusedCandidate<'a> {
    pub(crate) refused: &'a Refused,
    pub(crate) generation: u64,
}

impl RefusedCandidate<'_> {
    pub(crate) fn emit(self, counters: &ControlCounters) {
        let refused = self.refused;
        counters.refused[refused.stage as usize].fetch_add(1, Ordering::Relaxed);
        error!(
            stage = refused.stage.as_str(),
            code = refused.code,
            file = %refused.file.as_deref().unwrap_or(Path::new("")).display(),
            line = refused.line,
            generation = self.generation,
            "change refused, the present generation goes on: {}",
            refused.message
        );
    }
}

/// The certificate or key changed once more, and cannot be used; the next look retries.
pub(crate) struct KeysKept<'a> {
    pub(crate) reason: &'a TlsError,
}

impl KeysKept<'_> {
    pub(crate) fn emit(self) {
        warn!(reason = %self.reason, "the listener keeps its former certificate and key");
    }
}

/// The last exchange of a former generation ended.
pub(crate) struct Drained {
    pub(crate) generation: u64,
    pub(crate) took: Duration,
}

impl Drained {
    pub(crate) fn emit(self, counters: &ControlCounters) {
        counters.drained.fetch_add(1, Ordering::Relaxed);
        info!(
            generation = self.generation,
            took_ms = self.took.as_millis(),
            "drained"
        );
    }
}

/// There are no file events to be had.
pub(crate) struct Polling<'a> {
    pub(crate) reason: &'a str,
    pub(crate) every: Duration,
}

impl Polling<'_> {
    pub(crate) fn emit(self, counters: &ControlCounters) {
        counters.polling.store(true, Ordering::Relaxed);
        warn!(
            reason = self.reason,
            every_ms = self.every.as_millis(),
            "no file events: polling instead; raise fs.inotify.max_user_watches to have them"
        );
    }
}

/// No new connections; those that are there finish.
pub(crate) struct Stopping {
    pub(crate) most: Duration,
}

impl Stopping {
    pub(crate) fn emit(self) {
        info!(
            most_ms = self.most.as_millis(),
            "stopping: exchanges in flight finish"
        );
    }
}
