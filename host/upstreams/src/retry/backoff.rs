//! How long to wait before the next attempt.
//!
//! Exponential, with full jitter: any time from nothing to the bound is as likely, so
//! that exchanges that failed together do not come back together.

use std::time::Duration;

/// The bounds of the pauses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The longest first pause. It doubles with every retry.
    pub base: Duration,
    /// The longest pause of all.
    pub max: Duration,
}

impl Backoff {
    /// The pause before the `retry`th retry, counted from 1. `random` is any number, all of
    /// them as likely. What the upstream `asked` for comes on top, so that those who were
    /// asked to wait as long spread, too.
    #[must_use]
    pub fn pause(&self, retry: u32, asked: Option<Duration>, random: u64) -> Duration {
        let doublings = retry.saturating_sub(1).min(31);
        let bound = self.base.saturating_mul(1 << doublings).min(self.max);
        let jittered = bound.as_nanos().saturating_mul(u128::from(random)) >> 64;
        let jittered = Duration::from_nanos(u64::try_from(jittered).unwrap_or(u64::MAX));
        asked.unwrap_or_default().saturating_add(jittered)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BACKOFF: Backoff = Backoff {
        base: Duration::from_millis(25),
        max: Duration::from_millis(250),
    };

    fn longest(retry: u32) -> u128 {
        let pause = BACKOFF.pause(retry, None, u64::MAX);
        (pause + Duration::from_nanos(1)).as_millis()
    }

    #[test]
    fn the_bound_doubles_up_to_the_cap() {
        let bounds = [1, 2, 3, 4, 5, 1_000, u32::MAX].map(longest);
        assert_eq!(bounds, [25, 50, 100, 200, 250, 250, 250]);
        assert_eq!(longest(0), 25);
    }

    #[test]
    fn any_time_up_to_the_bound_is_as_likely() {
        let ms = Duration::from_millis;
        assert_eq!(BACKOFF.pause(3, None, 0), ms(0));
        assert_eq!(BACKOFF.pause(3, None, u64::MAX / 2 + 1), ms(50));
        assert_eq!(BACKOFF.pause(3, None, u64::MAX / 4 + 1), ms(25));
    }

    #[test]
    fn what_was_asked_for_is_waited_in_any_case() {
        let asked = Duration::from_secs(3);
        assert_eq!(BACKOFF.pause(1, Some(asked), 0), asked);
        let spread = BACKOFF.pause(1, Some(asked), u64::MAX / 2 + 1);
        assert_eq!(spread, asked + Duration::from_micros(12_500));
        assert_eq!(
            BACKOFF.pause(9, Some(Duration::MAX), u64::MAX),
            Duration::MAX
        );
    }

    proptest! {
        #[test]
        fn no_pause_is_longer_than_the_cap(
            base in any::<u64>(), max in any::<u64>(), retry in any::<u32>(), random in any::<u64>(),
        ) {
            let (base, max) = (Duration::from_micros(base), Duration::from_micros(max));
            let backoff = Backoff { base, max };
            prop_assert!(backoff.pause(retry, None, random) <= max);
        }
    }
}
