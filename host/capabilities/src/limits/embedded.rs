//! The budgets of this process.
//!
//! A bucket changes under the lock of its shard, so charged and held never exceed
//! the amount, however many ask at once. A bucket that is full again and idle is
//! dropped when a shard has doubled or the namespace has no room.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    sync::Arc,
};

use parking_lot::Mutex;

use super::{Limit, LimitError, LimitStore, Reservation, Settle, bucket::Bucket};
use crate::{
    Answer, Clock, Namespace,
    spaces::{Pause, SHARDS, Share, Spaces},
};

/// One name is held to so many limits at most, by algorithm and period.
const LIMITS_OF_A_NAME: usize = 8;
/// A shard smaller than this is not swept on the way.
const SWEEP_MIN: usize = 64;

/// Bounds of one namespace of the embedded store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitOptions {
    /// The most buckets in use; 100,000 by default.
    pub buckets_max: usize,
    /// The longest name of a bucket; 256 bytes by default.
    pub name_bytes_max: usize,
}

impl Default for LimitOptions {
    fn default() -> Self {
        Self {
            buckets_max: 100_000,
            name_bytes_max: 256,
        }
    }
}

/// Keeps everything in memory; answers at once.
pub struct EmbeddedLimits {
    clock: Arc<dyn Clock>,
    options: LimitOptions,
    spaces: Spaces<Space>,
}

impl EmbeddedLimits {
    /// No buckets yet; time is this clock's monotonic reading.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, options: LimitOptions) -> Self {
        Self {
            clock,
            options,
            spaces: Spaces::new(),
        }
    }

    fn space(&self, namespace: &Namespace) -> Arc<Space> {
        self.spaces.of(namespace, || Space::new(&self.options))
    }

    fn check(&self, name: &str, limit: Limit) -> Result<(), LimitError> {
        if limit.amount == 0 || limit.period_ms == 0 {
            return Err(LimitError::Empty);
        }
        if name.len() > self.options.name_bytes_max {
            return Err(LimitError::NameTooLong);
        }
        Ok(())
    }

    fn with_bucket<T>(
        &self,
        space: &Space,
        name: &str,
        limit: Limit,
        act: impl Fn(&mut Bucket, u64) -> Result<T, LimitError>,
    ) -> Result<T, LimitError> {
        self.check(name, limit)?;
        match space.with_bucket(name, limit, &*self.clock, &act) {
            Err(LimitError::TooManyBuckets) => {
                let now_us = self.clock.monotonic_us();
                if !space.swept.passed(now_us) {
                    return Err(LimitError::TooManyBuckets);
                }
                space.sweep(now_us);
                space.with_bucket(name, limit, &*self.clock, &act)
            }
            result => result,
        }
    }

    fn hold(
        &self,
        namespace: &Namespace,
        name: &str,
        amount: u64,
        limit: Limit,
    ) -> Result<Reservation, LimitError> {
        let space = self.space(namespace);
        self.with_bucket(&space, name, limit, |bucket, now_us| {
            bucket.hold(amount, now_us).map_err(LimitError::Exceeded)
        })?;
        let clock = self.clock.clone();
        let held = Held {
            space,
            clock,
            name: name.into(),
            limit,
            amount,
            settled: false,
        };
        Ok(Reservation::new(amount, Box::new(held)))
    }
}

impl LimitStore for EmbeddedLimits {
    fn take(
        &self,
        namespace: &Namespace,
        bucket: &str,
        amount: u64,
        limit: Limit,
    ) -> Answer<Result<u64, LimitError>> {
        let space = self.space(namespace);
        Answer::Ready(self.with_bucket(&space, bucket, limit, |bucket, now_us| {
            bucket.take(amount, now_us).map_err(LimitError::Exceeded)
        }))
    }

    fn reserve(
        &self,
        namespace: &Namespace,
        bucket: &str,
        amount: u64,
        limit: Limit,
    ) -> Answer<Result<Reservation, LimitError>> {
        Answer::Ready(self.hold(namespace, bucket, amount, limit))
    }

    fn remaining(
        &self,
        namespace: &Namespace,
        bucket: &str,
        limit: Limit,
    ) -> Answer<Result<u64, LimitError>> {
        Answer::Ready(self.check(bucket, limit).map(|()| {
            let space = self.space(namespace);
            let mut shard = space.shard(bucket).lock();
            let Some(bucket) = shard.find(bucket, limit) else {
                return limit.amount;
            };
            bucket.bring_to(limit.amount, self.clock.monotonic_us());
            bucket.remaining()
        }))
    }
}

/// A reservation of this store. The bucket it is held in is not idle, so it stays.
struct Held {
    space: Arc<Space>,
    clock: Arc<dyn Clock>,
    name: Box<str>,
    limit: Limit,
    amount: u64,
    settled: bool,
}

impl Held {
    fn charge(&mut self, used: u64) -> u64 {
        self.settled = true;
        let mut shard = self.space.shard(&self.name).lock();
        let Some(bucket) = shard.find(&self.name, self.limit) else {
            return self.limit.amount.saturating_sub(used);
        };
        bucket.bring_to_now(self.clock.monotonic_us());
        bucket.settle(self.amount, used)
    }
}

impl Settle for Held {
    fn settle(mut self: Box<Self>, used: u64) -> Answer<u64> {
        Answer::Ready(self.charge(used))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if !self.settled {
            self.charge(self.amount);
        }
    }
}

#[derive(Default)]
struct Shard {
    by_name: HashMap<Box<str>, Vec<Bucket>>,
    /// The number of names at which it is swept next.
    sweep_at: usize,
}

impl Shard {
    fn find(&mut self, name: &str, limit: Limit) -> Option<&mut Bucket> {
        self.by_name
            .get_mut(name)?
            .iter_mut()
            .find(|bucket| bucket.is_for(limit))
    }
}

struct Space {
    shards: [Mutex<Shard>; SHARDS],
    hasher: RandomState,
    buckets: Share,
    swept: Pause,
}

impl Space {
    fn new(options: &LimitOptions) -> Self {
        Self {
            shards: Default::default(),
            hasher: RandomState::new(),
            buckets: Share::of(options.buckets_max),
            swept: Pause::new(),
        }
    }

    fn shard(&self, name: &str) -> &Mutex<Shard> {
        #[expect(clippy::cast_possible_truncation, reason = "any bits of the hash do")]
        let hash = self.hasher.hash_one(name) as usize;
        &self.shards[hash % SHARDS]
    }

    fn with_bucket<T>(
        &self,
        name: &str,
        limit: Limit,
        clock: &dyn Clock,
        act: &impl Fn(&mut Bucket, u64) -> Result<T, LimitError>,
    ) -> Result<T, LimitError> {
        let mut shard = self.shard(name).lock();
        // Read under the lock: a bucket's time must not go back.
        let now_us = clock.monotonic_us();
        if let Some(bucket) = shard.find(name, limit) {
            bucket.bring_to(limit.amount, now_us);
            return act(bucket, now_us);
        }
        let mut bucket = Bucket::new(limit, now_us);
        bucket.bring_to_now(now_us);
        let result = act(&mut bucket, now_us)?;
        self.keep(&mut shard, name, bucket)?;
        if shard.by_name.len() >= shard.sweep_at.max(SWEEP_MIN) {
            self.sweep_shard(&mut shard, now_us);
        }
        Ok(result)
    }

    fn keep(&self, shard: &mut Shard, name: &str, bucket: Bucket) -> Result<(), LimitError> {
        if bucket.is_idle() {
            return Ok(());
        }
        let present = shard.by_name.get(name).map_or(0, Vec::len);
        if present >= LIMITS_OF_A_NAME || !self.buckets.claim(1) {
            return Err(LimitError::TooManyBuckets);
        }
        shard
            .by_name
            .entry(name.into())
            .or_insert_with(|| Vec::with_capacity(1))
            .push(bucket);
        Ok(())
    }

    fn sweep(&self, now_us: u64) {
        for shard in &self.shards {
            self.sweep_shard(&mut shard.lock(), now_us);
        }
    }

    fn sweep_shard(&self, shard: &mut Shard, now_us: u64) {
        shard.by_name.retain(|_, buckets| {
            buckets.retain_mut(|bucket| {
                bucket.bring_to_now(now_us);
                let idle = bucket.is_idle();
                if idle {
                    self.buckets.release(1);
                }
                !idle
            });
            !buckets.is_empty()
        });
        let left = shard.by_name.len();
        if shard.by_name.capacity() > 4 * left.max(SWEEP_MIN) {
            shard.by_name.shrink_to(2 * left);
        }
        shard.sweep_at = left * 2;
    }
}

#[cfg(test)]
#[path = "embedded_tests.rs"]
mod tests;
