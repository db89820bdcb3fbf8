//! A bucket for native tests: what is held, what was charged, and when. Exact and slow.

use crate::limits::{Algorithm, Exceeded, Limit};

/// The longest pause advised where only a settlement makes room, as in the gateway.
const SETTLE_GUESS_MS: u64 = 1000;

#[derive(Debug, Default)]
pub(super) struct Bucket {
    held: u64,
    charges: Vec<(u64, u64)>,
}

impl Bucket {
    pub(super) fn take(&mut self, limit: &Limit, amount: u64, now: u64) -> Result<(), Exceeded> {
        self.admit(limit, amount, now)?;
        self.charges.push((now, amount));
        Ok(())
    }

    /// Not charged, not there for others, and not forgotten however long it takes.
    pub(super) fn hold(&mut self, limit: &Limit, amount: u64, now: u64) -> Result<(), Exceeded> {
        self.admit(limit, amount, now)?;
        self.held += amount;
        Ok(())
    }

    /// Lets go of what was held and charges what was used.
    pub(super) fn settle(&mut self, held: u64, used: u64, now: u64) {
        self.held = self.held.saturating_sub(held);
        self.charges.push((now, used));
    }

    fn admit(&self, limit: &Limit, amount: u64, now: u64) -> Result<(), Exceeded> {
        let remaining = self.remaining(limit, now);
        if amount <= remaining {
            return Ok(());
        }
        Err(Exceeded {
            retry_after_ms: self.wait(limit, amount, now),
            remaining,
        })
    }

    pub(super) fn remaining(&self, limit: &Limit, now: u64) -> u64 {
        let left = i128::from(limit.amount) - i128::from(self.held) - self.used(limit, now);
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
                .map(|(_, amount)| i128::from(*amount))
                .sum(),
            Algorithm::TokenBucket => {
                let (used, last) =
                    self.charges
                        .iter()
                        .fold((0, 0), |(used, last), (at, amount)| {
                            (
                                refill(limit, used, at - last).max(0) + i128::from(*amount),
                                *at,
                            )
                        });
                refill(limit, used, now - last).max(0)
            }
        }
    }

    /// The first whole millisecond at which the amount would be there, found by halving.
    fn wait(&self, limit: &Limit, amount: u64, now: u64) -> u64 {
        let wanted = amount.min(limit.amount);
        if limit.amount - wanted < self.held {
            return limit.period_ms.min(SETTLE_GUESS_MS);
        }
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
    fn what_is_held_stays_until_it_is_settled() {
        let limit = Limit::token_bucket(100, Duration::from_secs(10));
        let mut bucket = Bucket::default();
        bucket.hold(&limit, 80, 0).unwrap();
        assert_eq!(bucket.remaining(&limit, 1_000_000), 20);
        let exceeded = bucket.hold(&limit, 21, 1_000_000).unwrap_err();
        assert_eq!(exceeded.retry_after_ms, SETTLE_GUESS_MS);
        bucket.settle(80, 30, 1_000_000);
        assert_eq!(bucket.remaining(&limit, 1_000_000), 70);
    }
}
