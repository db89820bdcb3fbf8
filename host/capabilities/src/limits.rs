//! Budgets that are held before a call and settled on what it really used.
//!
//! A bucket is known by its namespace, name, algorithm and period; so one name can
//! be held to a limit a minute and another a day, and a new amount keeps what was
//! used. What is charged and what is held never exceed the amount together; only
//! [`Reservation::settle`] can, for what has been used has been used.

mod bucket;
mod embedded;

pub use embedded::{EmbeddedLimits, LimitOptions};

use std::{fmt, sync::Arc};

use crate::{Answer, Namespace};

/// How a bucket forgets what was charged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// `amount` at most at once, refilled evenly over the period.
    TokenBucket,
    /// `amount` at most in any window of the period.
    SlidingWindow,
}

/// A bound on an amount over a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// How charges are forgotten.
    pub algorithm: Algorithm,
    /// At least 1; in whatever unit the plugin counts.
    pub amount: u64,
    /// At least 1; in milliseconds.
    pub period_ms: u64,
}

/// There is not enough left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exceeded {
    /// When it is worth asking again, in milliseconds; `u64::MAX`: never, as the
    /// amount is more than the whole limit. Where only the settling of
    /// reservations makes room, an estimate of a second or the period.
    pub retry_after_ms: u64,
    /// What is left now.
    pub remaining: u64,
}

/// Why a call of [`LimitStore`] took nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LimitError {
    /// There is not enough left.
    #[error("the limit is exceeded")]
    Exceeded(Exceeded),
    /// The limit has no amount or no period.
    #[error("a limit needs an amount and a period")]
    Empty,
    /// The bucket's name is longer than allowed.
    #[error("the name of the bucket is longer than allowed")]
    NameTooLong,
    /// The namespace has as many buckets in use as it may have.
    #[error("too many buckets")]
    TooManyBuckets,
    /// The store cannot be reached.
    #[error("the store cannot be reached")]
    Unavailable,
}

/// What a store does for its [`Reservation`]. Dropped unsettled, the reservation
/// stays charged in full.
pub trait Settle: Send + Sync {
    /// Lets go of what was held and charges `used` instead, now; returns what
    /// remains. A store out of reach answers 0.
    fn settle(self: Box<Self>, used: u64) -> Answer<u64>;
}

/// A bucket that is at hand, held to its limit. What it does must not block.
pub trait Reserve: Send + Sync {
    /// As [`LimitStore::reserve`], at once.
    ///
    /// # Errors
    /// As [`LimitStore::reserve`].
    fn reserve(self: Arc<Self>, amount: u64) -> Result<Reservation, LimitError>;
}

/// An amount that is held: not charged, and not there for others.
///
/// It stays held, however long, until it is settled or dropped; dropped unsettled,
/// it is charged in full.
pub struct Reservation {
    held: Box<dyn Settle>,
    amount: u64,
}

impl Reservation {
    /// For implementors of [`LimitStore`].
    #[must_use]
    pub fn new(amount: u64, held: Box<dyn Settle>) -> Self {
        Self { held, amount }
    }

    /// What is held.
    #[must_use]
    pub fn amount(&self) -> u64 {
        self.amount
    }

    /// Charges what was used, which may be more or less than was held, and
    /// returns what remains. More than remains is charged too: the bucket is then
    /// in debt, and nothing remains until that has been forgotten.
    pub fn settle(self, used: u64) -> Answer<u64> {
        self.held.settle(used)
    }
}

impl fmt::Debug for Reservation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Reservation({})", self.amount)
    }
}

/// A store of budgets. Each call is atomic.
pub trait LimitStore: Send + Sync {
    /// Takes at once and returns what remains.
    fn take(
        &self,
        namespace: &Namespace,
        bucket: &str,
        amount: u64,
        limit: Limit,
    ) -> Answer<Result<u64, LimitError>>;

    /// Holds the amount until the reservation is settled or dropped.
    fn reserve(
        &self,
        namespace: &Namespace,
        bucket: &str,
        amount: u64,
        limit: Limit,
    ) -> Answer<Result<Reservation, LimitError>>;

    /// The bucket by itself, for whoever reserves of it again and again; `None`, the default: it
    /// has to be named each time, and may have to be waited for.
    fn bucket(
        &self,
        namespace: &Namespace,
        bucket: &str,
        limit: Limit,
    ) -> Option<Arc<dyn Reserve>> {
        let _ = (namespace, bucket, limit);
        None
    }

    /// What remains, taking nothing.
    fn remaining(
        &self,
        namespace: &Namespace,
        bucket: &str,
        limit: Limit,
    ) -> Answer<Result<u64, LimitError>>;
}
