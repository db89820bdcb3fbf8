//! The key-value store of this process.
//!
//! A namespace is split into shards, each behind its own lock, held for one map
//! operation. Expired entries are not seen, and swept when a shard has doubled or
//! the namespace is full. Expiry goes by the monotonic clock.

use std::{
    collections::{HashMap, hash_map::Entry as Slot},
    hash::{BuildHasher, RandomState},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use parking_lot::Mutex;

use super::{KvError, KvStore};
use crate::{
    Answer, Clock, Namespace,
    spaces::{Pause, SHARDS, Share, Spaces},
};

/// What an entry is taken to cost beside its key and value, in bytes.
const ENTRY_BYTES: usize = 96;
/// A shard smaller than this is not swept on the way.
const SWEEP_MIN: usize = 64;

/// Bounds of one namespace of the embedded store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KvOptions {
    /// The most entries; 100,000 by default.
    pub entries_max: usize,
    /// The most bytes: of keys, values, and 96 for each entry; 16 MiB by default.
    pub bytes_max: usize,
    /// The longest key; 512 bytes by default.
    pub key_bytes_max: usize,
    /// The longest value; 64 KiB by default.
    pub value_bytes_max: usize,
}

impl Default for KvOptions {
    fn default() -> Self {
        Self {
            entries_max: 100_000,
            bytes_max: 16 * 1024 * 1024,
            key_bytes_max: 512,
            value_bytes_max: 64 * 1024,
        }
    }
}

/// Keeps everything in memory; answers at once.
pub struct EmbeddedKv {
    clock: Arc<dyn Clock>,
    options: KvOptions,
    spaces: Spaces<Space>,
}

impl EmbeddedKv {
    /// An empty store whose entries expire by this clock's monotonic reading.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, options: KvOptions) -> Self {
        Self {
            clock,
            options,
            spaces: Spaces::new(),
        }
    }

    fn space(&self, namespace: &Namespace) -> Arc<Space> {
        self.spaces.of(namespace, || Space::new(&self.options))
    }

    fn fits(&self, key: &str, value: &[u8]) -> Result<(), KvError> {
        let fits =
            key.len() <= self.options.key_bytes_max && value.len() <= self.options.value_bytes_max;
        if fits { Ok(()) } else { Err(KvError::TooLarge) }
    }

    fn write<T>(
        &self,
        namespace: &Namespace,
        key: &str,
        decide: impl Fn(Option<&Entry>, u64) -> Change<T>,
    ) -> Result<T, KvError> {
        self.fits(key, &[])?;
        let space = self.space(namespace);
        let now = self.clock.monotonic_us();
        match space.write(key, now, &decide) {
            Err(KvError::Full) if space.swept.passed(now) => {
                space.sweep(now);
                space.write(key, now, &decide)
            }
            result => result,
        }
    }
}

impl KvStore for EmbeddedKv {
    fn get(&self, namespace: &Namespace, key: &str) -> Answer<Result<Option<Bytes>, KvError>> {
        Answer::Ready(self.fits(key, &[]).map(|()| {
            let space = self.space(namespace);
            let shard = space.shard(key).lock();
            let now = self.clock.monotonic_us();
            shard
                .entries
                .get(key)
                .filter(|entry| entry.lives(now))
                .map(|entry| entry.value.clone())
        }))
    }

    fn put(
        &self,
        namespace: &Namespace,
        key: &str,
        value: &[u8],
        ttl: Duration,
    ) -> Answer<Result<(), KvError>> {
        Answer::Ready(self.fits(key, value).and_then(|()| {
            self.write(namespace, key, |_, now| {
                Change::Put(Entry::new(value, ttl, now), ())
            })
        }))
    }

    fn remove(&self, namespace: &Namespace, key: &str) -> Answer<Result<(), KvError>> {
        Answer::Ready(
            self.fits(key, &[])
                .map(|()| self.space(namespace).remove(key)),
        )
    }

    fn compare_and_put(
        &self,
        namespace: &Namespace,
        key: &str,
        expected: Option<&[u8]>,
        value: &[u8],
        ttl: Duration,
    ) -> Answer<Result<bool, KvError>> {
        Answer::Ready(self.fits(key, value).and_then(|()| {
            self.write(namespace, key, |present, now| {
                if present.map(|entry| &entry.value[..]) == expected {
                    Change::Put(Entry::new(value, ttl, now), true)
                } else {
                    Change::None(Ok(false))
                }
            })
        }))
    }

    fn increment(
        &self,
        namespace: &Namespace,
        key: &str,
        by: i64,
        ttl: Duration,
    ) -> Answer<Result<i64, KvError>> {
        Answer::Ready(self.write(namespace, key, |present, now| {
            let before = present.map_or(Some(0), |entry| number(&entry.value));
            let Some(sum) = before.and_then(|before| before.checked_add(by)) else {
                return Change::None(Err(KvError::NotANumber));
            };
            let mut entry = Entry::new(sum.to_string().as_bytes(), ttl, now);
            if let Some(present) = present {
                entry.expires_us = present.expires_us;
            }
            Change::Put(entry, sum)
        }))
    }
}

fn number(value: &[u8]) -> Option<i64> {
    std::str::from_utf8(value).ok()?.parse().ok()
}

/// What a write does, once it has seen what is there.
enum Change<T> {
    None(Result<T, KvError>),
    Put(Entry, T),
}

struct Entry {
    value: Bytes,
    /// `None`: never.
    expires_us: Option<u64>,
}

impl Entry {
    fn new(value: &[u8], ttl: Duration, now_us: u64) -> Self {
        let ttl_us = u64::try_from(ttl.as_nanos().div_ceil(1000)).unwrap_or(u64::MAX);
        let expires_us = (!ttl.is_zero()).then(|| now_us.saturating_add(ttl_us));
        Self {
            value: Bytes::copy_from_slice(value),
            expires_us,
        }
    }

    fn lives(&self, now_us: u64) -> bool {
        self.expires_us.is_none_or(|expires| now_us < expires)
    }
}

fn cost(key: &str, entry: &Entry) -> usize {
    key.len() + entry.value.len() + ENTRY_BYTES
}

#[derive(Default)]
struct Shard {
    entries: HashMap<Box<str>, Entry>,
    /// The size at which it is swept next.
    sweep_at: usize,
}

struct Space {
    shards: [Mutex<Shard>; SHARDS],
    hasher: RandomState,
    entries: Share,
    bytes: Share,
    swept: Pause,
}

impl Space {
    fn new(options: &KvOptions) -> Self {
        Self {
            shards: Default::default(),
            hasher: RandomState::new(),
            entries: Share::of(options.entries_max),
            bytes: Share::of(options.bytes_max),
            swept: Pause::new(),
        }
    }

    fn shard(&self, key: &str) -> &Mutex<Shard> {
        #[expect(clippy::cast_possible_truncation, reason = "any bits of the hash do")]
        let hash = self.hasher.hash_one(key) as usize;
        &self.shards[hash % SHARDS]
    }

    fn write<T>(
        &self,
        key: &str,
        now_us: u64,
        decide: &impl Fn(Option<&Entry>, u64) -> Change<T>,
    ) -> Result<T, KvError> {
        let mut shard = self.shard(key).lock();
        if shard
            .entries
            .get(key)
            .is_some_and(|entry| !entry.lives(now_us))
        {
            self.remove_from(&mut shard, key);
        }
        let (entry, result) = match decide(shard.entries.get(key), now_us) {
            Change::None(result) => return result,
            Change::Put(entry, result) => (entry, result),
        };
        self.insert(&mut shard, key, entry)?;
        if shard.entries.len() >= shard.sweep_at.max(SWEEP_MIN) {
            self.sweep_shard(&mut shard, now_us);
        }
        Ok(result)
    }

    fn insert(&self, shard: &mut Shard, key: &str, entry: Entry) -> Result<(), KvError> {
        let after = cost(key, &entry);
        if let Some(present) = shard.entries.get_mut(key) {
            let before = cost(key, present);
            if after > before && !self.bytes.claim(after - before) {
                return Err(KvError::Full);
            }
            if after < before {
                self.bytes.release(before - after);
            }
            *present = entry;
            return Ok(());
        }
        if !self.entries.claim(1) {
            return Err(KvError::Full);
        }
        if !self.bytes.claim(after) {
            self.entries.release(1);
            return Err(KvError::Full);
        }
        if let Slot::Vacant(slot) = shard.entries.entry(key.into()) {
            slot.insert(entry);
        }
        Ok(())
    }

    fn remove(&self, key: &str) {
        self.remove_from(&mut self.shard(key).lock(), key);
    }

    fn remove_from(&self, shard: &mut Shard, key: &str) {
        if let Some(entry) = shard.entries.remove(key) {
            self.entries.release(1);
            self.bytes.release(cost(key, &entry));
        }
    }

    fn sweep(&self, now_us: u64) {
        for shard in &self.shards {
            self.sweep_shard(&mut shard.lock(), now_us);
        }
    }

    fn sweep_shard(&self, shard: &mut Shard, now_us: u64) {
        shard.entries.retain(|key, entry| {
            let lives = entry.lives(now_us);
            if !lives {
                self.entries.release(1);
                self.bytes.release(cost(key, entry));
            }
            lives
        });
        let left = shard.entries.len();
        if shard.entries.capacity() > 4 * left.max(SWEEP_MIN) {
            shard.entries.shrink_to(2 * left);
        }
        shard.sweep_at = left * 2;
    }
}

#[cfg(test)]
#[path = "embedded_tests.rs"]
mod tests;
