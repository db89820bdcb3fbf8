//! The state of each namespace, apart from every other's.
//!
//! A namespace is found once and then shares no lock, bound or map with another.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use parking_lot::RwLock;

use crate::Namespace;

/// How many ways a namespace's map is split, so that calls seldom wait for another.
pub(crate) const SHARDS: usize = 16;

/// How long a full namespace waits before it looks for dead entries again, so that
/// a plugin at its bound cannot spend the host's time on looking.
const SWEEP_PAUSE_US: u64 = 250_000;

/// One `T` for each namespace, made when first asked for. Their number is bounded
/// by the number of plugins that ever ran.
pub(crate) struct Spaces<T> {
    by_namespace: RwLock<BTreeMap<Namespace, Arc<T>>>,
}

impl<T> Spaces<T> {
    pub(crate) fn new() -> Self {
        Self {
            by_namespace: RwLock::new(BTreeMap::new()),
        }
    }

    pub(crate) fn of(&self, namespace: &Namespace, make: impl FnOnce() -> T) -> Arc<T> {
        if let Some(space) = self.by_namespace.read().get(namespace) {
            return space.clone();
        }
        let mut spaces = self.by_namespace.write();
        spaces
            .entry(namespace.clone())
            .or_insert_with(|| Arc::new(make()))
            .clone()
    }
}

/// A count with a bound.
pub(crate) struct Share {
    used: AtomicUsize,
    max: usize,
}

impl Share {
    pub(crate) fn of(max: usize) -> Self {
        Self {
            used: AtomicUsize::new(0),
            max,
        }
    }

    /// Whether there was room; if so it is taken.
    #[must_use]
    pub(crate) fn claim(&self, amount: usize) -> bool {
        let claimed = |used: usize| used.checked_add(amount).filter(|sum| *sum <= self.max);
        self.used
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, claimed)
            .is_ok()
    }

    pub(crate) fn release(&self, amount: usize) {
        self.used.fetch_sub(amount, Ordering::AcqRel);
    }

    #[cfg(test)]
    pub(crate) fn used(&self) -> usize {
        self.used.load(Ordering::Acquire)
    }
}

/// Lets one caller through, then none for a while.
pub(crate) struct Pause {
    next_us: AtomicU64,
}

impl Pause {
    pub(crate) fn new() -> Self {
        Self {
            next_us: AtomicU64::new(0),
        }
    }

    pub(crate) fn passed(&self, now_us: u64) -> bool {
        let next = self.next_us.load(Ordering::Acquire);
        let after = now_us.saturating_add(SWEEP_PAUSE_US);
        now_us >= next
            && self
                .next_us
                .compare_exchange(next, after, Ordering::AcqRel, Ordering::Acquire)
                .is_ok()
    }
}
