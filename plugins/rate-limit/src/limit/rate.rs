//! So many requests in a time, as the host counts them.

use std::num::NonZeroU64;

use tollgate_sdk::limits::{Algorithm, Limit};
use tollgate_settings::Period;

/// A burst that makes the rate this much slower, in parts of it, is refused at load.
const ROUNDING: u128 = 100;

/// What the host counts, and when it is whole again.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rate {
    pub(crate) limit: Limit,
}

impl Rate {
    pub(super) fn window(requests: NonZeroU64, period: Period) -> Self {
        let limit = Limit {
            algorithm: Algorithm::SlidingWindow,
            amount: requests.get(),
            period_ms: period.ms(),
        };
        Self { limit }
    }

    /// The host's buckets hold what they are refilled with in a period. So a smaller one,
    /// with its smaller period, is refilled just as fast.
    pub(super) fn bucket(requests: NonZeroU64, period: Period, burst: Option<NonZeroU64>) -> Self {
        let burst = burst.unwrap_or(requests);
        let limit = Limit {
            algorithm: Algorithm::TokenBucket,
            amount: burst.get(),
            period_ms: u64::try_from(fills_in_ms(requests, period, burst)).unwrap_or(u64::MAX),
        };
        Self { limit }
    }

    /// How long until nothing is used any more, if no further request comes: of a window,
    /// a whole period, as its newest request has to be forgotten.
    pub(crate) fn reset_ms(self, remaining: u64) -> u64 {
        let Limit {
            algorithm,
            amount,
            period_ms,
        } = self.limit;
        let used = amount.saturating_sub(remaining);
        match algorithm {
            Algorithm::SlidingWindow if used == 0 => 0,
            Algorithm::SlidingWindow => period_ms,
            Algorithm::TokenBucket => {
                let ms = u128::from(used) * u128::from(period_ms);
                u64::try_from(ms.div_ceil(u128::from(amount))).unwrap_or(u64::MAX)
            }
        }
    }
}

/// Whole milliseconds, rounded up: never faster than was written.
fn fills_in_ms(requests: NonZeroU64, period: Period, burst: NonZeroU64) -> u128 {
    exact(period, burst).div_ceil(requests.get().into())
}

fn exact(period: Period, burst: NonZeroU64) -> u128 {
    u128::from(period.ms()) * u128::from(burst.get())
}

/// What is wrong with this burst.
pub(super) fn mistake(requests: NonZeroU64, period: Period, burst: NonZeroU64) -> Option<String> {
    let fills_in_ms = fills_in_ms(requests, period, burst);
    if fills_in_ms > Period::LONGEST_MS.into() {
        return Some("is too large: at this rate it would not be full within 366 days".to_owned());
    }
    let exact = exact(period, burst);
    let late = fills_in_ms * u128::from(requests.get()) - exact;
    (late * ROUNDING > exact).then(|| {
        "is too small for this rate: requests come back in whole milliseconds, so it would be \
         more than 1% slower than written"
            .to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(number: u64) -> NonZeroU64 {
        NonZeroU64::new(number).unwrap()
    }

    fn period(text: &str) -> Period {
        text.parse().unwrap()
    }

    fn bucket(requests: u64, text: &str, burst: u64) -> Rate {
        Rate::bucket(number(requests), period(text), Some(number(burst)))
    }

    #[test]
    fn a_burst_is_a_smaller_bucket_that_is_refilled_as_fast() {
        let limit = bucket(60, "1m", 10).limit;
        assert_eq!((limit.amount, limit.period_ms), (10, 10_000));
        let limit = bucket(60, "1m", 120).limit;
        assert_eq!((limit.amount, limit.period_ms), (120, 120_000));
    }

    #[test]
    fn what_the_host_cannot_count_is_refused() {
        let mistake =
            |requests, text, burst| mistake(number(requests), period(text), number(burst));
        assert_eq!(mistake(60, "1m", 1), None);
        assert_eq!(mistake(1000, "1s", 1), None);
        assert!(mistake(3000, "1s", 1).unwrap().contains("too small"));
        assert_eq!(mistake(3000, "1s", 300), None);
        assert!(mistake(1, "366d", 2).unwrap().contains("too large"));
        assert!(mistake(u64::MAX, "1ms", 1).unwrap().contains("too small"));
        assert!(mistake(1, "1ms", u64::MAX).unwrap().contains("too large"));
    }

    #[test]
    fn a_bucket_is_full_once_what_was_used_has_come_back() {
        let rate = bucket(60, "1m", 10);
        assert_eq!(rate.reset_ms(10), 0);
        assert_eq!(rate.reset_ms(9), 1000);
        assert_eq!(rate.reset_ms(0), 10_000);
        assert_eq!(bucket(7, "1s", 7).reset_ms(6), 143);
        assert_eq!(
            bucket(u64::MAX, "366d", u64::MAX).reset_ms(0),
            366 * 86_400_000
        );
    }

    #[test]
    fn a_window_is_full_a_period_after_its_newest_request() {
        let rate = Rate::window(number(60), period("1m"));
        assert_eq!(rate.reset_ms(60), 0);
        assert_eq!(rate.reset_ms(59), 60_000);
        assert_eq!(rate.reset_ms(0), 60_000);
    }
}
