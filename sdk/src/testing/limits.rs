//! A bucket for native tests: what was charged, and when. Exact and slow.

use crate::limits::{Algorithm, Exceeded, Limit};

#[derive(Debug, Default)]
pub(super) struct Bucket {
    charges: Vec<(u64, i128)>,
}

impl Bucket {
    pub(super) fn take(&mut self, limit: &Limit, amount: u64, now: u64) -> Result<(), Exceeded> {
        let remaining = self.remaining(limit, now);
        if amount > remaining {
            return Err(Exceeded {
                retry_after_ms: self.wait(limit, amount, now),
                remaining,
            });
        }
        self.charges.push((now, amount.into()));
        Ok(())
    }

    pub(super) fn correct(&mut self, at: u64, by: i128) {
        self.charges.push((at, by));
        self.charges.sort_by_key(|(at, _)| *at);
    }

    pub(super) fn remaining(&self, limit: &Limit, now: u64) -> u64 {
        let left = i128::from(limit.amount) - self.used(limit, now);
        u64::try_from(left.max(0))
            .unwrap_or(u64::MAX)
            .min(limit.amount)
    }

    fn used(&self, limit: &Limit, now: u64) -> i128 {
        match limit.algorithm {
            Algorithm::SlidingWindow => self
                .charges
                .iter()
                .filter(|(at, _)| at + limit.period_ms > now)
                .map(|(_, amount)| amount)
                .sum(),
            Algorithm::TokenBucket => {
                let (used, last) =
                    self.charges
                        .iter()
                        .fold((0, 0), |(used, last), (at, amount)| {
                            (refill(limit, used, at - last).max(0) + amount, *at)
                        });
                refill(limit, used, now - last).max(0)
            }
        }
    }

    /// The first whole millisecond at which the amount would be there, found by halving.
    fn wait(&self, limit: &Limit, amount: u64, now: u64) -> u64 {
        let wanted = amount.min(limit.amount);
        let (mut short, mut enough) = (0, limit.period_ms.saturating_mul(2));
        while short + 1 < enough {
            let middle = short + (enough - short) / 2;
            if self.remaining(limit, now + middle) >= wanted {
                enough = middle;
            } else {
                short = middle;
            }
        }
        enough
    }
}

fn refill(limit: &Limit, used: i128, elapsed: u64) -> i128 {
    used - i128::from(limit.amount) * i128::from(elapsed) / i128::from(limit.period_ms)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_token_bucket_refills_evenly() {
        let limit = Limit::token_bucket(100, Duration::from_secs(10));
        let mut bucket = Bucket::default();
        bucket.take(&limit, 100, 0).unwrap();
        assert_eq!(bucket.remaining(&limit, 5000), 50);
        let exceeded = bucket.take(&limit, 60, 5000).unwrap_err();
        assert_eq!(
            exceeded,
            Exceeded {
                retry_after_ms: 1000,
                remaining: 50
            }
        );
    }

    #[test]
    fn a_sliding_window_gives_back_what_is_older_than_its_period() {
        let limit = Limit::sliding_window(100, Duration::from_secs(10));
        let mut bucket = Bucket::default();
        bucket.take(&limit, 60, 0).unwrap();
        bucket.take(&limit, 40, 4000).unwrap();
        assert_eq!(bucket.take(&limit, 50, 9999).unwrap_err().retry_after_ms, 1);
        assert_eq!(bucket.remaining(&limit, 10_000), 60);
    }

    #[test]
    fn a_correction_gives_back_what_was_held_too_much() {
        let limit = Limit::token_bucket(100, Duration::from_secs(10));
        let mut bucket = Bucket::default();
        bucket.take(&limit, 80, 0).unwrap();
        bucket.correct(0, -50);
        assert_eq!(bucket.remaining(&limit, 0), 70);
    }
}
