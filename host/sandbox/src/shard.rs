//! Keeps threads out of each other's cache lines.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// More than the workers of most machines, few enough to walk through.
pub(crate) const SHARDS: usize = 16;

static THREADS: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static HOME: usize = THREADS.fetch_add(1, Relaxed) % SHARDS;
}

/// Where this thread keeps what is its own; shared only with threads far from it.
pub(crate) fn home() -> usize {
    HOME.with(|home| *home)
}
