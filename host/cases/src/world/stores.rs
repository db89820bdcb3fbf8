//! Keys, values and budgets that work as the gateway's do, filled by the case.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use parking_lot::Mutex;
use tollgate_capabilities::{
    Algorithm, Answer, Clock, EmbeddedKv, EmbeddedLimits, KvError, KvOptions, KvStore, Limit,
    LimitError, LimitOptions, LimitStore, ManualClock, Namespace, Reservation, Settle,
};

use super::{Notes, shown};
use crate::{case::Given, file::Store};

pub(super) struct Kv {
    store: EmbeddedKv,
    is_there: bool,
    notes: Notes,
}

impl Kv {
    pub(super) fn new(
        given: &Given,
        (clock, namespace): (Arc<ManualClock>, &Namespace),
        notes: Notes,
    ) -> Self {
        let store = EmbeddedKv::new(clock as Arc<dyn Clock>, KvOptions::default());
        for (key, value) in &given.kv {
            let _ = store.put(namespace, key, value, Duration::ZERO).now();
        }
        Self {
            store,
            is_there: !given.unavailable.contains(&Store::Kv),
            notes,
        }
    }

    /// Notes the call and its answer; an embedded store answers at once.
    fn noted<T>(
        &self,
        call: String,
        answer: Answer<Result<T, KvError>>,
        tell: impl FnOnce(&T) -> String,
    ) -> Answer<Result<T, KvError>> {
        let answer = if self.is_there {
            answer.now().unwrap_or(Err(KvError::Unavailable))
        } else {
            Err(KvError::Unavailable)
        };
        let told = match &answer {
            Ok(value) => tell(value),
            Err(error) => format!("error: {error}"),
        };
        self.notes.call(format!("{call} -> {told}"));
        Answer::Ready(answer)
    }
}

fn key(key: &str) -> String {
    shown(key.as_bytes())
}

fn lives(ttl: Duration) -> String {
    if ttl.is_zero() {
        String::new()
    } else {
        format!(", for {}", period(ttl.as_millis()))
    }
}

fn period(millis: u128) -> String {
    if millis > 0 && millis.is_multiple_of(1_000) {
        format!("{}s", millis / 1_000)
    } else {
        format!("{millis}ms")
    }
}

fn done(_: &()) -> String {
    "done".to_owned()
}

impl KvStore for Kv {
    fn get(&self, namespace: &Namespace, name: &str) -> Answer<Result<Option<Bytes>, KvError>> {
        let answer = self.store.get(namespace, name);
        self.noted(format!("kv.get({})", key(name)), answer, |value| {
            let value = value.as_ref();
            value.map_or_else(|| "none".to_owned(), |value| shown(value))
        })
    }

    fn put(
        &self,
        namespace: &Namespace,
        name: &str,
        value: &[u8],
        ttl: Duration,
    ) -> Answer<Result<(), KvError>> {
        let call = format!("kv.put({}, {}{})", key(name), shown(value), lives(ttl));
        self.noted(call, self.store.put(namespace, name, value, ttl), done)
    }

    fn remove(&self, namespace: &Namespace, name: &str) -> Answer<Result<(), KvError>> {
        let call = format!("kv.remove({})", key(name));
        self.noted(call, self.store.remove(namespace, name), done)
    }

    fn compare_and_put(
        &self,
        namespace: &Namespace,
        name: &str,
        expected: Option<&[u8]>,
        value: &[u8],
        ttl: Duration,
    ) -> Answer<Result<bool, KvError>> {
        let was = expected.map_or_else(|| "none".to_owned(), shown);
        let (name_shown, is) = (key(name), shown(value));
        let call = format!(
            "kv.compare_and_put({name_shown}, {was} => {is}{})",
            lives(ttl)
        );
        let answer = self
            .store
            .compare_and_put(namespace, name, expected, value, ttl);
        self.noted(call, answer, bool::to_string)
    }

    fn increment(
        &self,
        namespace: &Namespace,
        name: &str,
        by: i64,
        ttl: Duration,
    ) -> Answer<Result<i64, KvError>> {
        let call = format!("kv.increment({}, {by}{})", key(name), lives(ttl));
        let answer = self.store.increment(namespace, name, by, ttl);
        self.noted(call, answer, i64::to_string)
    }
}

pub(super) struct Limits {
    store: EmbeddedLimits,
    /// What is used up of buckets that were not asked about yet.
    used: Mutex<BTreeMap<String, u64>>,
    is_there: bool,
    notes: Notes,
}

impl Limits {
    pub(super) fn new(given: &Given, clock: Arc<ManualClock>, notes: Notes) -> Self {
        Self {
            store: EmbeddedLimits::new(clock as Arc<dyn Clock>, LimitOptions::default()),
            used: Mutex::new(given.limits.clone()),
            is_there: !given.unavailable.contains(&Store::Limits),
            notes,
        }
    }

    /// Buckets that nobody asked about.
    pub(super) fn unused(&self) -> Vec<String> {
        self.used.lock().keys().cloned().collect()
    }

    /// A bucket is of a limit, which only the policy knows.
    fn fill(&self, namespace: &Namespace, bucket: &str, limit: Limit) {
        let used = self.used.lock().remove(bucket);
        if let Some(used) = used.filter(|used| *used > 0) {
            let held = self.store.reserve(namespace, bucket, 0, limit);
            if let Ok(Ok(held)) = held.now() {
                let _ = held.settle(used).now();
            }
        }
    }

    fn noted<T>(
        &self,
        call: String,
        answer: Answer<Result<T, LimitError>>,
        tell: impl FnOnce(&T) -> String,
    ) -> Result<T, LimitError> {
        let answer = if self.is_there {
            answer.now().unwrap_or(Err(LimitError::Unavailable))
        } else {
            Err(LimitError::Unavailable)
        };
        let told = match &answer {
            Ok(value) => tell(value),
            Err(LimitError::Exceeded(over)) if over.retry_after_ms == u64::MAX => {
                format!("exceeded: {} left, and never enough", over.remaining)
            }
            Err(LimitError::Exceeded(over)) => {
                let pause = period(over.retry_after_ms.into());
                format!("exceeded: {} left, again in {pause}", over.remaining)
            }
            Err(error) => format!("error: {error}"),
        };
        self.notes.call(format!("{call} -> {told}"));
        answer
    }
}

fn of(bucket: &str, amount: Option<u64>, limit: Limit) -> String {
    let algorithm = match limit.algorithm {
        Algorithm::TokenBucket => "token bucket",
        Algorithm::SlidingWindow => "sliding window",
    };
    let amount = amount.map_or_else(String::new, |amount| format!("{amount} of "));
    let (most, period) = (limit.amount, period(limit.period_ms.into()));
    format!("{}, {amount}{most} per {period}, {algorithm}", key(bucket))
}

fn left(left: &u64) -> String {
    format!("{left} left")
}

impl LimitStore for Limits {
    fn take(
        &self,
        namespace: &Namespace,
        bucket: &str,
        amount: u64,
        limit: Limit,
    ) -> Answer<Result<u64, LimitError>> {
        self.fill(namespace, bucket, limit);
        let call = format!("limits.take({})", of(bucket, Some(amount), limit));
        let answer = self.store.take(namespace, bucket, amount, limit);
        Answer::Ready(self.noted(call, answer, left))
    }

    fn reserve(
        &self,
        namespace: &Namespace,
        bucket: &str,
        amount: u64,
        limit: Limit,
    ) -> Answer<Result<Reservation, LimitError>> {
        self.fill(namespace, bucket, limit);
        let call = format!("limits.reserve({})", of(bucket, Some(amount), limit));
        let answer = self.store.reserve(namespace, bucket, amount, limit);
        let held = self.noted(call, answer, |_| "held".to_owned());
        Answer::Ready(held.map(|held| {
            let noted = Held {
                held,
                bucket: key(bucket),
                notes: self.notes.clone(),
            };
            Reservation::new(amount, Box::new(noted))
        }))
    }

    fn remaining(
        &self,
        namespace: &Namespace,
        bucket: &str,
        limit: Limit,
    ) -> Answer<Result<u64, LimitError>> {
        self.fill(namespace, bucket, limit);
        let call = format!("limits.remaining({})", of(bucket, None, limit));
        let answer = self.store.remaining(namespace, bucket, limit);
        Answer::Ready(self.noted(call, answer, left))
    }
}

struct Held {
    held: Reservation,
    bucket: String,
    notes: Notes,
}

impl Settle for Held {
    fn settle(self: Box<Self>, used: u64) -> Answer<u64> {
        let Self {
            held,
            bucket,
            notes,
        } = *self;
        let remains = held.settle(used).now().unwrap_or(0);
        notes.call(format!("limits.settle({bucket}, {used}) -> {remains} left"));
        Answer::Ready(remains)
    }
}
