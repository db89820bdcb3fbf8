//! Time: the wall clock for people, the monotonic one for everything that expires.
//!
//! All expiry in this crate goes by the monotonic reading, so a jump of the wall
//! clock expires nothing.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// Tells the time.
pub trait Clock: Send + Sync {
    /// Milliseconds since 1970-01-01T00:00:00Z.
    fn now_ms(&self) -> u64;
    /// Microseconds since an arbitrary start; never goes back.
    fn monotonic_us(&self) -> u64;
}

/// The operating system's clocks.
#[derive(Debug, Clone, Copy)]
pub struct OsClock {
    start: Instant,
}

impl OsClock {
    /// Its monotonic reading starts at 0 now.
    #[must_use]
    pub fn new() -> Self {
        Self {
            start: Instant::now(),
        }
    }
}

impl Default for OsClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for OsClock {
    fn now_ms(&self) -> u64 {
        let since_epoch = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX)
    }

    fn monotonic_us(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX)
    }
}

/// A clock that moves only when told to: for tests.
#[derive(Debug, Default)]
pub struct ManualClock {
    now_ms: AtomicU64,
    monotonic_us: AtomicU64,
}

impl ManualClock {
    /// Stands at this wall time, in milliseconds since 1970; monotonic 0.
    #[must_use]
    pub fn at(now_ms: u64) -> Self {
        Self {
            now_ms: AtomicU64::new(now_ms),
            monotonic_us: AtomicU64::new(0),
        }
    }

    /// Moves both readings forward; the wall time by whole milliseconds.
    pub fn advance(&self, by: Duration) {
        let micros = u64::try_from(by.as_micros()).unwrap_or(u64::MAX);
        self.monotonic_us.fetch_add(micros, Ordering::SeqCst);
        self.now_ms.fetch_add(micros / 1000, Ordering::SeqCst);
    }

    /// Makes the wall time jump, in any direction; the monotonic reading stays.
    pub fn set_now_ms(&self, now_ms: u64) {
        self.now_ms.store(now_ms, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now_ms(&self) -> u64 {
        self.now_ms.load(Ordering::SeqCst)
    }

    fn monotonic_us(&self) -> u64 {
        self.monotonic_us.load(Ordering::SeqCst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_os_clock_never_goes_back_and_knows_the_year() {
        let clock = OsClock::new();
        let readings: Vec<u64> = (0..1000).map(|_| clock.monotonic_us()).collect();
        assert!(readings.is_sorted());
        assert!(clock.now_ms() > 1_600_000_000_000);
    }

    #[test]
    fn a_jump_of_the_wall_clock_leaves_the_monotonic_reading_alone() {
        let clock = ManualClock::at(5_000);
        clock.advance(Duration::from_millis(3));
        clock.set_now_ms(1);
        assert_eq!((clock.now_ms(), clock.monotonic_us()), (1, 3_000));
    }
}
