//! Instances that are ready for the next exchanges.
//!
//! Each thread keeps its own: what an instance touches is still in the caches of the
//! core that made it. A thread without one takes another's. How many are kept
//! follows the need: it doubles when an exchange found none, and falls by
//! half of what was never taken between two sweeps.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use parking_lot::Mutex;

use crate::{
    instance::Instance,
    shard::{SHARDS, home},
};

/// Ready when a generation begins, and however idle the policy is.
pub(super) const READY_MIN: usize = 4;
/// The most that are kept ready, however busy the policy is.
const READY_MAX: usize = 64;

/// See the module.
pub(super) struct Ready<T = Instance> {
    shards: [Mutex<Shelf<T>>; SHARDS],
    count: AtomicUsize,
    target: AtomicUsize,
    /// The fewest that were ready since the last sweep.
    low: AtomicUsize,
}

/// Instances are large and handed on often; a box moves as a pointer.
type Shelf<T> = Vec<Box<T>>;

impl<T> Default for Ready<T> {
    fn default() -> Self {
        Self {
            shards: std::array::from_fn(|_| Mutex::default()),
            count: AtomicUsize::new(0),
            target: AtomicUsize::new(READY_MIN),
            low: AtomicUsize::new(0),
        }
    }
}

impl<T> Ready<T> {
    pub(super) fn len(&self) -> usize {
        self.count.load(Relaxed)
    }

    pub(super) fn take(&self) -> Option<Box<T>> {
        let mine = self.shards[home()].lock().pop();
        let taken = mine.or_else(|| match self.len() {
            0 => None,
            _ => self.shards.iter().find_map(|shard| shard.lock().pop()),
        })?;
        let left = self.count.fetch_sub(1, Relaxed).saturating_sub(1);
        if left < self.low.load(Relaxed) {
            self.low.fetch_min(left, Relaxed);
        }
        Some(taken)
    }

    /// Whether there are fewer than there should be.
    pub(super) fn lacks(&self) -> bool {
        self.len() < self.target.load(Relaxed)
    }

    /// Puts one where this thread finds it next, unless there are enough.
    pub(super) fn put(&self, instance: Box<T>) {
        if !self.lacks() {
            return;
        }
        self.count.fetch_add(1, Relaxed);
        self.shards[home()].lock().push(instance);
    }

    /// There was none: more are kept from now on.
    pub(super) fn missed(&self) {
        self.aim(|target| (target * 2).min(READY_MAX));
    }

    /// Keeps none from now on, and gives back all there are.
    pub(super) fn retire(&self) -> Shelf<T> {
        self.target.store(0, Relaxed);
        self.give_up(self.len())
    }

    /// Gives back half of what nobody took since the last time.
    pub(super) fn sweep(&self) -> Shelf<T> {
        let unused = self.low.load(Relaxed).min(self.len());
        let surplus = unused.saturating_sub(READY_MIN).div_ceil(2);
        self.aim(|target| target.saturating_sub(surplus).max(READY_MIN));
        let swept = self.give_up(surplus);
        self.low.store(self.len(), Relaxed);
        swept
    }

    /// Changes how many are kept, unless it is none for good.
    fn aim(&self, next: impl Fn(usize) -> usize) {
        let _ = self.target.fetch_update(Relaxed, Relaxed, |target| {
            (target > 0).then(|| next(target))
        });
    }

    /// One of each thread's in turn.
    fn give_up(&self, count: usize) -> Shelf<T> {
        let mut given = Vec::new();
        while given.len() < count {
            let before = given.len();
            for shard in &self.shards {
                if given.len() < count
                    && let Some(instance) = shard.lock().pop()
                {
                    self.count.fetch_sub(1, Relaxed);
                    given.push(instance);
                }
            }
            if given.len() == before {
                break;
            }
        }
        given
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_thread_put_it_takes_first_and_another_finds_it_too() {
        let ready = Ready::default();
        ready.put(Box::new(1));
        ready.put(Box::new(2));
        assert_eq!(ready.take(), Some(Box::new(2)));
        std::thread::scope(|scope| {
            let other = scope.spawn(|| ready.take());
            assert_eq!(other.join().unwrap(), Some(Box::new(1)));
        });
        assert_eq!((ready.take(), ready.len()), (None, 0));
    }

    #[test]
    fn what_nobody_takes_goes_in_the_end_down_to_the_few() {
        let ready = Ready::default();
        (0..5).for_each(|_| ready.missed());
        while ready.lacks() {
            ready.put(Box::new(()));
        }
        assert_eq!(ready.len(), READY_MAX);
        assert!(ready.sweep().is_empty(), "they only just came");
        (0..20).for_each(|_| drop(ready.sweep()));
        assert_eq!(ready.len(), READY_MIN);
        assert!(!ready.lacks());
    }

    #[test]
    fn what_is_in_use_stays() {
        let ready = Ready::default();
        (0..2).for_each(|_| ready.missed());
        while ready.lacks() {
            ready.put(Box::new(()));
        }
        drop(ready.sweep());
        let taken: Vec<_> = std::iter::from_fn(|| ready.take()).collect();
        taken.into_iter().for_each(|instance| ready.put(instance));
        assert!(ready.sweep().is_empty());
    }

    #[test]
    fn what_is_retired_keeps_none_however_it_is_asked() {
        let ready = Ready::default();
        while ready.lacks() {
            ready.put(Box::new(()));
        }
        assert_eq!(ready.retire().len(), READY_MIN);
        ready.missed();
        drop(ready.sweep());
        ready.put(Box::new(()));
        assert!(!ready.lacks() && ready.len() == 0);
    }
}
