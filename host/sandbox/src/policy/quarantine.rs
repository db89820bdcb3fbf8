//! Keeps exchanges away from a policy that fails again and again.
//!
//! A score rises with each failure and falls with each success, so it is the share
//! of failures that counts: one in a hundred never closes it, one in five does
//! soon. When it is closed, one exchange is let through as a probe after a pause
//! that doubles each time.

use std::{
    sync::atomic::{AtomicI32, Ordering::Relaxed},
    time::{Duration, Instant},
};

use parking_lot::Mutex;

const FAILURE: i32 = 10;
const CLOSES_AT: i32 = 100;
const PAUSE_FIRST: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
pub(crate) struct Quarantine {
    score: AtomicI32,
    closed: Mutex<Option<Closed>>,
}

#[derive(Debug, Clone, Copy)]
struct Closed {
    pause: Duration,
    probe_at: Instant,
}

impl Quarantine {
    /// Whether an exchange may be let through now.
    pub(crate) fn admits(&self) -> bool {
        if self.score.load(Relaxed) < CLOSES_AT {
            return true;
        }
        let mut closed = self.closed.lock();
        match closed.as_mut() {
            None => true,
            Some(state) if Instant::now() >= state.probe_at => {
                // Until this probe has an answer, no other goes.
                state.probe_at = Instant::now() + state.pause;
                true
            }
            Some(_) => false,
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.score.load(Relaxed) >= CLOSES_AT
    }

    pub(crate) fn succeeded(&self) {
        if self.is_closed() {
            self.score.store(CLOSES_AT / 2, Relaxed);
            *self.closed.lock() = None;
        } else {
            self.went_well();
        }
    }

    /// As [`Quarantine::succeeded`], of an exchange that the policy was not asked about: it is no
    /// probe.
    pub(crate) fn went_well(&self) {
        if self.score.load(Relaxed) > 0 {
            let lower = |score| (1..CLOSES_AT).contains(&score).then(|| score - 1);
            let _ = self.score.fetch_update(Relaxed, Relaxed, lower);
        }
    }

    /// Counts a failure; `true` if it is this one that closed it.
    pub(crate) fn failed(&self) -> bool {
        let score = self.score.fetch_add(FAILURE, Relaxed) + FAILURE;
        if score < CLOSES_AT {
            return false;
        }
        self.score.store(CLOSES_AT, Relaxed);
        let mut closed = self.closed.lock();
        let first = closed.is_none();
        let pause = closed.map_or(PAUSE_FIRST, |state| (state.pause * 2).min(PAUSE_MAX));
        *closed = Some(Closed {
            pause,
            probe_at: Instant::now() + pause,
        });
        first
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_failure_in_a_hundred_never_closes_it() {
        let quarantine = Quarantine::default();
        for _ in 0..1000 {
            assert!(!quarantine.failed());
            (0..99).for_each(|_| quarantine.succeeded());
        }
        assert!(quarantine.admits());
    }

    #[test]
    fn one_failure_in_a_hundred_never_closes_it_where_the_rest_is_remembered() {
        let quarantine = Quarantine::default();
        for _ in 0..1000 {
            assert!(!quarantine.failed());
            (0..99).for_each(|_| quarantine.went_well());
        }
        assert!(quarantine.admits());
        assert_eq!((0..50).filter(|_| quarantine.failed()).count(), 1);
        (0..500).for_each(|_| quarantine.went_well());
        assert!(quarantine.is_closed(), "it is for a probe to open it");
    }

    #[test]
    fn failing_always_closes_it_and_raises_one_alarm() {
        let quarantine = Quarantine::default();
        let alarms = (0..50).filter(|_| quarantine.failed()).count();
        assert_eq!(alarms, 1);
        assert!(!quarantine.admits());
        assert!(quarantine.is_closed());
    }

    #[test]
    fn a_probe_that_succeeds_opens_it() {
        let quarantine = Quarantine::default();
        (0..10).for_each(|_| {
            quarantine.failed();
        });
        quarantine.closed.lock().as_mut().unwrap().probe_at = Instant::now();
        assert!(quarantine.admits(), "the probe");
        assert!(!quarantine.admits(), "one probe at a time");
        quarantine.succeeded();
        assert!(quarantine.admits());
    }
}
