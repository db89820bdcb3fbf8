//! The answers of this process, in memory.
//!
//! `quick_cache` decides what goes when there is too much: what was asked for once goes
//! before what was asked for again, so a flood of requests that never come back leaves
//! the others in place. The time of an answer is looked at when it is asked for.

use std::{
    collections::hash_map::RandomState,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use quick_cache::{Lifecycle, OptionsBuilder, Weighter, sync::Cache};

use super::{AnswerCache, CacheError, CacheKey, CacheStats, Found, KeptAnswer};
use crate::{Answer, Clock};

/// Parts with a lock and a bound of their own. Few: an answer has to fit into one.
const PARTS: usize = 4;
/// What an answer is guessed to cost, for the size of tables.
const ANSWER_BYTES_GUESS: usize = 4 << 10;

/// Bounds of the embedded store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheOptions {
    /// Of all answers together; 64 MiB by default. One may take a quarter of it.
    pub bytes_max: usize,
}

impl Default for CacheOptions {
    fn default() -> Self {
        Self {
            bytes_max: 64 << 20,
        }
    }
}

/// Keeps answers in memory; answers at once.
pub struct EmbeddedCache {
    clock: Arc<dyn Clock>,
    entries: Cache<CacheKey, Entry, Cost, RandomState, Evictions>,
    stored: AtomicU64,
    evicted: Arc<AtomicU64>,
}

#[derive(Clone)]
struct Entry {
    answer: Arc<KeptAnswer>,
    cost: u64,
    kept_us: u64,
    ends_us: u64,
}

impl EmbeddedCache {
    /// An empty store whose answers end by this clock's monotonic reading.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, options: &CacheOptions) -> Self {
        let evicted = Arc::new(AtomicU64::new(0));
        let evictions = Evictions {
            clock: clock.clone(),
            count: evicted.clone(),
        };
        let mut built = OptionsBuilder::new();
        built
            .shards(PARTS)
            .estimated_items_capacity((options.bytes_max / ANSWER_BYTES_GUESS).max(PARTS * 32))
            .weight_capacity(options.bytes_max as u64);
        #[expect(clippy::expect_used, reason = "both of what it asks for are given")]
        let built = built.build().expect("the options are whole");
        Self {
            entries: Cache::with_options(built, Cost, RandomState::new(), evictions),
            clock,
            stored: AtomicU64::new(0),
            evicted,
        }
    }

    fn find(&self, key: &CacheKey) -> Option<Found> {
        let entry = self.entries.get(key)?;
        let now = self.clock.monotonic_us();
        if now >= entry.ends_us {
            self.entries.remove_if(key, |entry| now >= entry.ends_us);
            return None;
        }
        Some(Found {
            answer: entry.answer,
            age: Duration::from_micros(now.saturating_sub(entry.kept_us)),
        })
    }
}

impl AnswerCache for EmbeddedCache {
    fn get(&self, key: &CacheKey) -> Answer<Result<Option<Found>, CacheError>> {
        Answer::Ready(Ok(self.find(key)))
    }

    fn put(
        &self,
        key: &CacheKey,
        answer: KeptAnswer,
        ttl: Duration,
    ) -> Answer<Result<(), CacheError>> {
        let cost = answer.cost() as u64;
        if cost > self.entries.shard_capacity() {
            return Answer::Ready(Err(CacheError::TooLarge));
        }
        let kept_us = self.clock.monotonic_us();
        let ttl_us = u64::try_from(ttl.as_micros()).unwrap_or(u64::MAX);
        let entry = Entry {
            answer: Arc::new(answer),
            cost,
            kept_us,
            ends_us: kept_us.saturating_add(ttl_us),
        };
        self.entries.insert(*key, entry);
        self.stored.fetch_add(1, Relaxed);
        Answer::Ready(Ok(()))
    }

    fn resize(&self, bytes_max: usize) {
        if self.entries.capacity() != bytes_max as u64 {
            self.entries.set_capacity(bytes_max as u64);
        }
    }

    fn stats(&self) -> CacheStats {
        CacheStats {
            answers: self.entries.len() as u64,
            bytes: self.entries.weight(),
            stored: self.stored.load(Relaxed),
            evicted: self.evicted.load(Relaxed),
        }
    }
}

#[derive(Clone)]
struct Cost;

impl Weighter<CacheKey, Entry> for Cost {
    fn weight(&self, _key: &CacheKey, entry: &Entry) -> u64 {
        entry.cost
    }
}

/// Counts what went before its time.
#[derive(Clone)]
struct Evictions {
    clock: Arc<dyn Clock>,
    count: Arc<AtomicU64>,
}

impl Lifecycle<CacheKey, Entry> for Evictions {
    type RequestState = ();

    fn on_evict(&self, _state: &mut (), _key: CacheKey, entry: Entry) {
        if self.clock.monotonic_us() < entry.ends_us {
            self.count.fetch_add(1, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::{super::Form, *};
    use crate::ManualClock;

    const MINUTE: Duration = Duration::from_secs(60);

    fn key(number: u32) -> CacheKey {
        let mut key = [7; 32];
        key[..4].copy_from_slice(&number.to_le_bytes());
        CacheKey(key)
    }

    fn answer(bytes: usize) -> KeptAnswer {
        KeptAnswer {
            status: 200,
            headers: vec![("content-type".to_owned(), Bytes::from_static(b"text/plain"))],
            body: Bytes::from(vec![b'x'; bytes]),
            form: Form::Document,
        }
    }

    fn store(bytes_max: usize) -> (Arc<ManualClock>, EmbeddedCache) {
        let clock = Arc::new(ManualClock::at(0));
        let cache = EmbeddedCache::new(clock.clone(), &CacheOptions { bytes_max });
        (clock, cache)
    }

    async fn put(cache: &EmbeddedCache, number: u32, bytes: usize) -> Result<(), CacheError> {
        cache.put(&key(number), answer(bytes), MINUTE).get().await
    }

    async fn get(cache: &EmbeddedCache, number: u32) -> Option<Found> {
        cache.get(&key(number)).get().await.unwrap()
    }

    #[tokio::test]
    async fn an_answer_is_kept_for_its_time_and_says_how_old_it_is() {
        let (clock, cache) = store(1 << 20);
        assert_eq!(get(&cache, 1).await, None);
        put(&cache, 1, 10).await.unwrap();
        clock.advance(Duration::from_secs(59));
        let found = get(&cache, 1).await.unwrap();
        assert_eq!((found.age.as_secs(), found.answer.body.len()), (59, 10));
        assert_eq!(get(&cache, 2).await, None, "another's");
        clock.advance(Duration::from_secs(1));
        assert_eq!(get(&cache, 1).await, None);
        let stats = cache.stats();
        assert_eq!((stats.answers, stats.bytes, stats.evicted), (0, 0, 0));
    }

    #[tokio::test]
    async fn an_answer_takes_the_place_of_the_one_before() {
        let (clock, cache) = store(1 << 20);
        put(&cache, 1, 10).await.unwrap();
        clock.advance(Duration::from_secs(30));
        put(&cache, 1, 20).await.unwrap();
        let found = get(&cache, 1).await.unwrap();
        assert_eq!((found.age.as_secs(), found.answer.body.len()), (0, 20));
        assert_eq!((cache.stats().answers, cache.stats().stored), (1, 2));
    }

    #[tokio::test]
    async fn however_many_are_put_the_bytes_stay_within_the_bound() {
        let (_, cache) = store(1 << 20);
        for number in 0..5000 {
            put(&cache, number, 1 << 10).await.unwrap();
            assert!(cache.stats().bytes <= 1 << 20, "{:?}", cache.stats());
        }
        let stats = cache.stats();
        assert_eq!(stats.stored, 5000);
        assert_eq!(stats.evicted, 5000 - stats.answers);
        assert!(stats.answers > 400, "most of the room is used: {stats:?}");
    }

    #[tokio::test]
    async fn a_flood_that_never_comes_back_leaves_what_is_asked_for_again() {
        let (_, cache) = store(1 << 20);
        put(&cache, 0, 1 << 10).await.unwrap();
        for number in 1..5000 {
            put(&cache, number, 1 << 10).await.unwrap();
            if number % 20 == 0 {
                assert!(get(&cache, 0).await.is_some(), "after {number}");
            }
        }
    }

    #[tokio::test]
    async fn what_would_take_more_than_its_part_is_refused_and_evicts_nothing() {
        let (_, cache) = store(1 << 20);
        put(&cache, 1, 10).await.unwrap();
        assert_eq!(put(&cache, 2, 300 << 10).await, Err(CacheError::TooLarge));
        assert!(get(&cache, 1).await.is_some());
        assert_eq!(cache.stats().stored, 1);
    }

    #[tokio::test]
    async fn a_smaller_bound_holds_at_once() {
        let (_, cache) = store(1 << 20);
        for number in 0..500 {
            put(&cache, number, 1 << 10).await.unwrap();
        }
        cache.resize(64 << 10);
        assert!(cache.stats().bytes <= 64 << 10, "{:?}", cache.stats());
        cache.resize(1 << 20);
        for number in 0..500 {
            put(&cache, number, 1 << 10).await.unwrap();
        }
        assert!(cache.stats().bytes > 64 << 10);
    }
}
