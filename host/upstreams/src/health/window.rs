//! How many requests went well and how many did not, of late.
//!
//! The window is a ring of slots, each one word: when it began, and two counts. So
//! counting takes no lock. What is at its edge counts whole or not at all.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

const SLOTS: u64 = 10;
const COUNT_BITS: u32 = 20;
const COUNT_MAX: u64 = (1 << COUNT_BITS) - 1;
const TICK_MASK: u64 = (1 << (64 - 2 * COUNT_BITS)) - 1;

/// See the module.
#[derive(Debug)]
pub(super) struct Window {
    began: Instant,
    slot_nanos: AtomicU64,
    slots: [AtomicU64; SLOTS as usize],
}

/// What a slot's word says.
#[derive(Debug, Clone, Copy)]
struct Slot {
    tick: u64,
    good: u64,
    errors: u64,
}

impl Slot {
    fn read(word: u64) -> Self {
        Self {
            tick: word >> (2 * COUNT_BITS),
            good: (word >> COUNT_BITS) & COUNT_MAX,
            errors: word & COUNT_MAX,
        }
    }

    fn word(self) -> u64 {
        self.tick << (2 * COUNT_BITS) | self.good << COUNT_BITS | self.errors
    }

    fn count(self, good: bool) -> Self {
        // Halved when full: the share of errors stays.
        let full = self.good.max(self.errors) == COUNT_MAX;
        let (good_before, errors_before) = match full {
            true => (self.good / 2, self.errors / 2),
            false => (self.good, self.errors),
        };
        Self {
            good: good_before + u64::from(good),
            errors: errors_before + u64::from(!good),
            ..self
        }
    }
}

fn slot_nanos(length: Duration) -> u64 {
    let nanos = u64::try_from(length.as_nanos()).unwrap_or(u64::MAX);
    (nanos / SLOTS).max(1)
}

impl Window {
    pub(super) fn new(length: Duration, now: Instant) -> Self {
        Self {
            began: now,
            slot_nanos: AtomicU64::new(slot_nanos(length)),
            // No tick has this number for years to come.
            slots: [const { AtomicU64::new(u64::MAX << (2 * COUNT_BITS)) }; SLOTS as usize],
        }
    }

    /// Another length from now on; with one that differs it begins anew.
    pub(super) fn set_length(&self, length: Duration) {
        let slot = slot_nanos(length);
        if self.slot_nanos.swap(slot, Ordering::Relaxed) != slot {
            self.clear();
        }
    }

    fn tick(&self, now: Instant) -> u64 {
        let nanos = now.saturating_duration_since(self.began).as_nanos();
        u64::try_from(nanos).unwrap_or(u64::MAX) / self.slot_nanos.load(Ordering::Relaxed)
    }

    pub(super) fn count(&self, good: bool, now: Instant) {
        let tick = self.tick(now);
        let slot = &self.slots[usize::try_from(tick % SLOTS).unwrap_or(0)];
        let tick = tick & TICK_MASK;
        let _ = slot.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |word| {
            let present = Slot::read(word);
            let slot = match present.tick == tick {
                true => present,
                false => Slot {
                    tick,
                    good: 0,
                    errors: 0,
                },
            };
            Some(slot.count(good).word())
        });
    }

    /// Requests, and errors among them.
    pub(super) fn sums(&self, now: Instant) -> (u64, u64) {
        let tick = self.tick(now);
        let slots = self.slots.iter();
        let slots = slots.map(|slot| Slot::read(slot.load(Ordering::Relaxed)));
        let recent = slots.filter(|slot| {
            let age = tick.wrapping_sub(slot.tick) & TICK_MASK;
            age < SLOTS
        });
        recent.fold((0, 0), |(requests, errors), slot| {
            (requests + slot.good + slot.errors, errors + slot.errors)
        })
    }

    /// Forgets what it counted.
    pub(super) fn clear(&self) {
        for slot in &self.slots {
            let empty = u64::MAX << (2 * COUNT_BITS);
            slot.store(empty, Ordering::Relaxed);
        }
    }

    /// Whether there are enough requests, and this share of errors among them.
    pub(super) fn is_over(&self, error_percent: u32, min_requests: u32, now: Instant) -> bool {
        if error_percent == 0 {
            return false;
        }
        let (requests, errors) = self.sums(now);
        requests >= u64::from(min_requests)
            && errors > 0
            && errors * 100 >= requests * u64::from(error_percent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_window_of_another_length_begins_anew() {
        let start = Instant::now();
        let window = Window::new(10 * SECOND, start);
        window.count(false, start);
        window.set_length(10 * SECOND);
        assert_eq!(window.sums(start), (1, 1));
        window.set_length(SECOND);
        assert_eq!(window.sums(start), (0, 0));
        window.count(false, start);
        assert_eq!(window.sums(start + SECOND / 2), (1, 1));
        assert_eq!(window.sums(start + SECOND), (0, 0));
    }

    #[test]
    fn what_is_older_than_the_window_is_forgotten() {
        let start = Instant::now();
        let window = Window::new(10 * SECOND, start);
        window.count(true, start);
        window.count(false, start + 5 * SECOND);
        assert_eq!(window.sums(start + 5 * SECOND), (2, 1));
        assert_eq!(window.sums(start + 10 * SECOND), (1, 1));
        assert_eq!(window.sums(start + 15 * SECOND), (0, 0));
        window.count(false, start + 100 * SECOND);
        assert_eq!(window.sums(start + 100 * SECOND), (1, 1));
        assert_eq!(window.sums(start + 3600 * SECOND), (0, 0));
    }

    #[test]
    fn a_share_of_errors_says_nothing_below_the_least_number_of_requests() {
        let now = Instant::now();
        let window = Window::new(SECOND, now);
        for _ in 0..3 {
            window.count(false, now);
        }
        assert!(!window.is_over(50, 4, now));
        window.count(true, now);
        assert!(window.is_over(75, 4, now));
        assert!(!window.is_over(76, 4, now));
        assert!(!window.is_over(0, 1, now));
        window.clear();
        assert_eq!(window.sums(now), (0, 0));
    }

    #[test]
    fn a_full_slot_keeps_its_share() {
        let now = Instant::now();
        let window = Window::new(SECOND, now);
        for request in 0..2_200_000_u32 {
            window.count(request % 2 == 0, now);
        }
        let (requests, errors) = window.sums(now);
        assert!(requests >= 1 << 20, "{requests}");
        let percent = errors * 100 / requests;
        assert!((49..=51).contains(&percent), "{percent}");
    }

    #[test]
    fn many_threads_lose_no_count() {
        let now = Instant::now();
        let window = Window::new(SECOND, now);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..1_000).for_each(|n| window.count(n % 4 != 0, now)));
            }
        });
        assert_eq!(window.sums(now), (4_000, 1_000));
    }
}
