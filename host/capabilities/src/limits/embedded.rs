//! The budgets of this process.
//!
//! A bucket changes under the lock of its shard, so charged and held never exceed
//! the amount, however many ask at once. A bucket that is full again and idle is
//! dropped when a shard has doubled or the namespace has no room.

use std::{
    hash::{BuildHasher, RandomState},
    sync::Arc,
};

use hashbrown::HashTable;
use parking_lot::Mutex;

use super::{Limit, LimitError, LimitStore, Reservation, Reserve, Settle, bucket::Bucket};
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

    fn place(&self, namespace: &Namespace, name: &str, limit: Limit) -> Result<Place, LimitError> {
        // Before a name is hashed: it may be long.
        self.check(name, limit)?;
        let space = self.space(namespace);
        Ok(Place {
            hash: space.key(name).hash,
            space,
            clock: self.clock.clone(),
            name: name.into(),
            limit,
        })
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
        // Before a name is hashed: it may be long.
        Answer::Ready(self.check(bucket, limit).and_then(|()| {
            let space = self.space(namespace);
            let key = space.key(bucket);
            space.with_bucket(key, limit, &*self.clock, &|bucket: &mut Bucket, now_us| {
                bucket.take(amount, now_us).map_err(LimitError::Exceeded)
            })
        }))
    }

    fn reserve(
        &self,
        namespace: &Namespace,
        bucket: &str,
        amount: u64,
        limit: Limit,
    ) -> Answer<Result<Reservation, LimitError>> {
        match self.place(namespace, bucket, limit) {
            Ok(place) => Answer::Ready(Arc::new(place).reserve(amount)),
            Err(error) => Answer::Ready(Err(error)),
        }
    }

    fn bucket(
        &self,
        namespace: &Namespace,
        bucket: &str,
        limit: Limit,
    ) -> Option<Arc<dyn Reserve>> {
        let place = self.place(namespace, bucket, limit).ok()?;
        Some(Arc::new(place))
    }

    fn remaining(
        &self,
        namespace: &Namespace,
        bucket: &str,
        limit: Limit,
    ) -> Answer<Result<u64, LimitError>> {
        Answer::Ready(self.check(bucket, limit).map(|()| {
            let space = self.space(namespace);
            let key = space.key(bucket);
            let mut shard = space.shard(key).lock();
            let Some(bucket) = shard.find(key, limit) else {
                return limit.amount;
            };
            bucket.bring_to(limit.amount, self.clock.monotonic_us());
            bucket.remaining()
        }))
    }
}

/// Where a bucket is, or would be.
struct Place {
    space: Arc<Space>,
    clock: Arc<dyn Clock>,
    hash: u64,
    name: Box<str>,
    limit: Limit,
}

impl Place {
    fn key(&self) -> Key<'_> {
        Key {
            hash: self.hash,
            name: &self.name,
        }
    }
}

impl Reserve for Place {
    fn reserve(self: Arc<Self>, amount: u64) -> Result<Reservation, LimitError> {
        let (space, clock) = (&self.space, &*self.clock);
        space.with_bucket(
            self.key(),
            self.limit,
            clock,
            &|bucket: &mut Bucket, now_us| {
                bucket.hold(amount, now_us).map_err(LimitError::Exceeded)
            },
        )?;
        let held = Held {
            place: self,
            amount,
            settled: false,
        };
        Ok(Reservation::new(amount, Box::new(held)))
    }
}

/// A reservation of this store. The bucket it is held in is not idle, so it stays.
struct Held {
    place: Arc<Place>,
    amount: u64,
    settled: bool,
}

impl Held {
    fn charge(&mut self, used: u64) -> u64 {
        self.settled = true;
        let place = &*self.place;
        let mut shard = place.space.shard(place.key()).lock();
        let Some(bucket) = shard.find(place.key(), place.limit) else {
            return place.limit.amount.saturating_sub(used);
        };
        bucket.bring_to_now(place.clock.monotonic_us());
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

/// A name and its hash, which is made once for all that is done under it.
#[derive(Clone, Copy)]
struct Key<'a> {
    hash: u64,
    name: &'a str,
}

/// All limits that one name is held to.
struct Named {
    hash: u64,
    name: Box<str>,
    buckets: Vec<Bucket>,
}

#[derive(Default)]
struct Shard {
    by_name: HashTable<Named>,
    /// The number of names at which it is swept next.
    sweep_at: usize,
}

impl Shard {
    /// Once in the code: what holds and what settles are asked in turn.
    #[inline(never)]
    fn named(&mut self, key: Key<'_>) -> Option<&mut Named> {
        self.by_name
            .find_mut(key.hash, |named| *named.name == *key.name)
    }

    fn find(&mut self, key: Key<'_>, limit: Limit) -> Option<&mut Bucket> {
        let mut buckets = self.named(key)?.buckets.iter_mut();
        buckets.find(|bucket| bucket.is_for(limit))
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

    fn key<'a>(&self, name: &'a str) -> Key<'a> {
        let hash = self.hasher.hash_one(name);
        Key { hash, name }
    }

    fn shard(&self, key: Key<'_>) -> &Mutex<Shard> {
        // A table goes by the lowest bits and by the highest.
        let middle = (key.hash >> 32) as usize;
        &self.shards[middle % SHARDS]
    }

    /// Makes room once, if there is none.
    fn with_bucket<T>(
        &self,
        key: Key<'_>,
        limit: Limit,
        clock: &dyn Clock,
        act: &impl Fn(&mut Bucket, u64) -> Result<T, LimitError>,
    ) -> Result<T, LimitError> {
        match self.try_bucket(key, limit, clock, act) {
            Err(LimitError::TooManyBuckets) => {
                let now_us = clock.monotonic_us();
                if !self.swept.passed(now_us) {
                    return Err(LimitError::TooManyBuckets);
                }
                self.sweep(now_us);
                self.try_bucket(key, limit, clock, act)
            }
            result => result,
        }
    }

    fn try_bucket<T>(
        &self,
        key: Key<'_>,
        limit: Limit,
        clock: &dyn Clock,
        act: &impl Fn(&mut Bucket, u64) -> Result<T, LimitError>,
    ) -> Result<T, LimitError> {
        let mut shard = self.shard(key).lock();
        // Read under the lock: a bucket's time must not go back.
        let now_us = clock.monotonic_us();
        if let Some(bucket) = shard.find(key, limit) {
            bucket.bring_to(limit.amount, now_us);
            return act(bucket, now_us);
        }
        let mut bucket = Bucket::new(limit, now_us);
        bucket.bring_to_now(now_us);
        let result = act(&mut bucket, now_us)?;
        self.keep(&mut shard, key, bucket)?;
        if shard.by_name.len() >= shard.sweep_at.max(SWEEP_MIN) {
            self.sweep_shard(&mut shard, now_us);
        }
        Ok(result)
    }

    fn keep(&self, shard: &mut Shard, key: Key<'_>, bucket: Bucket) -> Result<(), LimitError> {
        if bucket.is_idle() {
            return Ok(());
        }
        let named = shard.named(key);
        let present = named.as_ref().map_or(0, |named| named.buckets.len());
        if present >= LIMITS_OF_A_NAME || !self.buckets.claim(1) {
            return Err(LimitError::TooManyBuckets);
        }
        if let Some(named) = named {
            named.buckets.push(bucket);
            return Ok(());
        }
        let named = Named {
            hash: key.hash,
            name: key.name.into(),
            buckets: vec![bucket],
        };
        shard
            .by_name
            .insert_unique(key.hash, named, |named| named.hash);
        Ok(())
    }

    fn sweep(&self, now_us: u64) {
        for shard in &self.shards {
            self.sweep_shard(&mut shard.lock(), now_us);
        }
    }

    fn sweep_shard(&self, shard: &mut Shard, now_us: u64) {
        shard.by_name.retain(|Named { buckets, .. }| {
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
            shard.by_name.shrink_to(2 * left, |named| named.hash);
        }
        shard.sweep_at = left * 2;
    }
}

#[cfg(test)]
#[path = "embedded_tests.rs"]
mod tests;
