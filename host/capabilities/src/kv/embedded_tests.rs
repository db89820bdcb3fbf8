use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::ManualClock;

const FOR_GOOD: Duration = Duration::ZERO;
const SECOND: Duration = Duration::from_secs(1);

fn plugin(name: &str) -> Namespace {
    Namespace::of_plugin(name)
}

fn now<T>(answer: Answer<T>) -> T {
    answer
        .now()
        .unwrap_or_else(|_| panic!("the embedded store answers at once"))
}

fn store(options: KvOptions) -> (Arc<ManualClock>, EmbeddedKv) {
    let clock = Arc::new(ManualClock::at(1_700_000_000_000));
    (clock.clone(), EmbeddedKv::new(clock, options))
}

impl EmbeddedKv {
    fn read(&self, namespace: &Namespace, key: &str) -> Option<Vec<u8>> {
        now(self.get(namespace, key))
            .unwrap()
            .map(|value| value.to_vec())
    }

    fn used(&self, namespace: &Namespace) -> (usize, usize) {
        let space = self.space(namespace);
        (space.entries.used(), space.bytes.used())
    }
}

#[test]
fn a_value_is_read_back_until_it_is_removed() {
    let (_, kv) = store(KvOptions::default());
    let a = plugin("a");
    assert_eq!(kv.read(&a, "k"), None);
    now(kv.put(&a, "k", b"v", FOR_GOOD)).unwrap();
    assert_eq!(kv.read(&a, "k").unwrap(), b"v");
    now(kv.remove(&a, "k")).unwrap();
    now(kv.remove(&a, "k")).unwrap();
    assert_eq!(kv.read(&a, "k"), None);
    assert_eq!(kv.used(&a), (0, 0));
}

#[test]
fn no_choice_of_names_reaches_another_plugins_entries() {
    let (_, kv) = store(KvOptions::default());
    now(kv.put(&plugin("a:b"), "c", b"1", FOR_GOOD)).unwrap();
    assert_eq!(kv.read(&plugin("a"), "b:c"), None);
    assert_eq!(kv.read(&plugin("a:b"), "c").unwrap(), b"1");
    assert_eq!(kv.read(&plugin(""), "a:bc"), None);
}

#[test]
fn an_entry_expires_by_monotonic_time_and_not_by_the_wall_clock() {
    let (clock, kv) = store(KvOptions::default());
    let a = plugin("a");
    now(kv.put(&a, "k", b"v", SECOND)).unwrap();
    clock.set_now_ms(u64::MAX);
    assert!(kv.read(&a, "k").is_some());
    clock.set_now_ms(0);
    clock.advance(SECOND - Duration::from_micros(1));
    assert!(kv.read(&a, "k").is_some());
    clock.advance(Duration::from_micros(1));
    assert_eq!(kv.read(&a, "k"), None);
}

#[test]
fn a_put_renews_the_time_to_live_and_zero_keeps_for_good() {
    let (clock, kv) = store(KvOptions::default());
    let a = plugin("a");
    now(kv.put(&a, "k", b"v", SECOND)).unwrap();
    now(kv.put(&a, "k", b"v", FOR_GOOD)).unwrap();
    clock.advance(Duration::from_secs(1_000_000));
    assert!(kv.read(&a, "k").is_some());
}

#[test]
fn compare_and_put_acts_only_on_the_value_that_was_expected() {
    let (clock, kv) = store(KvOptions::default());
    let a = plugin("a");
    let cas = |expected: Option<&[u8]>, value: &[u8]| {
        now(kv.compare_and_put(&a, "k", expected, value, SECOND)).unwrap()
    };
    assert!(!cas(Some(b""), b"1"));
    assert!(cas(None, b"1"));
    assert!(!cas(None, b"2"));
    assert!(!cas(Some(b"2"), b"2"));
    assert!(cas(Some(b"1"), b"2"));
    clock.advance(SECOND);
    assert!(!cas(Some(b"2"), b"3"), "an expired value is none");
    assert!(cas(None, b"3"));
}

#[test]
fn increment_starts_at_zero_and_does_not_renew_the_time_to_live() {
    let (clock, kv) = store(KvOptions::default());
    let a = plugin("a");
    let add = |by| now(kv.increment(&a, "n", by, SECOND));
    assert_eq!(add(5), Ok(5));
    clock.advance(SECOND / 2);
    assert_eq!(add(-7), Ok(-2));
    assert_eq!(kv.read(&a, "n").unwrap(), b"-2");
    clock.advance(SECOND / 2);
    assert_eq!(add(1), Ok(1));
}

#[test]
fn increment_refuses_what_is_no_number_and_what_would_be_none() {
    let (_, kv) = store(KvOptions::default());
    let a = plugin("a");
    for value in [&b"x"[..], b"", b"1 ", b"9223372036854775808", b"\xff"] {
        now(kv.put(&a, "n", value, FOR_GOOD)).unwrap();
        assert_eq!(
            now(kv.increment(&a, "n", 0, FOR_GOOD)),
            Err(KvError::NotANumber)
        );
        assert_eq!(kv.read(&a, "n").unwrap(), value);
    }
    now(kv.put(&a, "n", i64::MAX.to_string().as_bytes(), FOR_GOOD)).unwrap();
    assert_eq!(
        now(kv.increment(&a, "n", 1, FOR_GOOD)),
        Err(KvError::NotANumber)
    );
    assert_eq!(now(kv.increment(&a, "n", i64::MIN, FOR_GOOD)), Ok(-1));
}

#[test]
fn keys_and_values_beyond_their_bound_are_too_large() {
    let (_, kv) = store(KvOptions::default());
    let a = plugin("a");
    let (key, value) = ("k".repeat(512), vec![0; 64 * 1024]);
    now(kv.put(&a, &key, &value, FOR_GOOD)).unwrap();
    let long = "k".repeat(513);
    assert_eq!(
        now(kv.put(&a, &long, b"", FOR_GOOD)),
        Err(KvError::TooLarge)
    );
    assert_eq!(now(kv.get(&a, &long)), Err(KvError::TooLarge));
    assert_eq!(now(kv.remove(&a, &long)), Err(KvError::TooLarge));
    assert_eq!(
        now(kv.increment(&a, &long, 1, FOR_GOOD)),
        Err(KvError::TooLarge)
    );
    let big = vec![0; 64 * 1024 + 1];
    assert_eq!(now(kv.put(&a, "k", &big, FOR_GOOD)), Err(KvError::TooLarge));
    assert_eq!(
        now(kv.compare_and_put(&a, "k", None, &big, FOR_GOOD)),
        Err(KvError::TooLarge)
    );
}

#[test]
fn a_full_namespace_refuses_new_entries_and_leaves_the_others_alone() {
    let (_, kv) = store(KvOptions {
        entries_max: 10,
        ..KvOptions::default()
    });
    let (a, b) = (plugin("a"), plugin("b"));
    for index in 0..10 {
        now(kv.put(&a, &format!("k{index}"), b"v", FOR_GOOD)).unwrap();
    }
    assert_eq!(now(kv.put(&a, "more", b"v", FOR_GOOD)), Err(KvError::Full));
    assert_eq!(
        now(kv.increment(&a, "more", 1, FOR_GOOD)),
        Err(KvError::Full)
    );
    now(kv.put(&a, "k3", b"other", FOR_GOOD)).unwrap();
    now(kv.put(&b, "more", b"v", FOR_GOOD)).unwrap();
    now(kv.remove(&a, "k0")).unwrap();
    now(kv.put(&a, "more", b"v", FOR_GOOD)).unwrap();
}

#[test]
fn bytes_are_bounded_also_when_a_value_grows() {
    let (_, kv) = store(KvOptions {
        bytes_max: 1000,
        ..KvOptions::default()
    });
    let a = plugin("a");
    now(kv.put(&a, "k", &[0; 800], FOR_GOOD)).unwrap();
    assert_eq!(
        now(kv.put(&a, "k", &[0; 904], FOR_GOOD)),
        Err(KvError::Full)
    );
    assert_eq!(kv.read(&a, "k").unwrap().len(), 800);
    now(kv.put(&a, "k", &[0; 903], FOR_GOOD)).unwrap();
    assert_eq!(kv.used(&a), (1, 1000));
    now(kv.put(&a, "k", &[], FOR_GOOD)).unwrap();
    assert_eq!(kv.used(&a), (1, 97));
}

#[test]
fn expired_entries_make_room_in_a_full_namespace() {
    let (clock, kv) = store(KvOptions {
        entries_max: 1000,
        ..KvOptions::default()
    });
    let a = plugin("a");
    for round in 0..3 {
        for index in 0..1000 {
            now(kv.put(&a, &format!("{round}-{index}"), b"v", SECOND)).unwrap();
        }
        assert_eq!(now(kv.put(&a, "more", b"v", SECOND)), Err(KvError::Full));
        clock.advance(SECOND);
    }
}

#[test]
fn expired_entries_do_not_pile_up_below_the_bound() {
    let (clock, kv) = store(KvOptions::default());
    let a = plugin("a");
    for index in 0..50_000 {
        now(kv.put(&a, &index.to_string(), b"v", Duration::from_millis(1))).unwrap();
        clock.advance(Duration::from_micros(100));
    }
    assert!(kv.used(&a).0 <= SHARDS * SWEEP_MIN, "{:?}", kv.used(&a));
}

#[test]
fn increments_of_many_threads_all_count() {
    let (_, kv) = store(KvOptions::default());
    let a = plugin("a");
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..2000 {
                    now(kv.increment(&a, "n", 1, FOR_GOOD)).unwrap();
                }
            });
        }
    });
    assert_eq!(kv.read(&a, "n").unwrap(), b"16000");
}

#[test]
fn of_many_threads_that_compare_and_put_one_wins_each_round() {
    let (_, kv) = store(KvOptions::default());
    let a = plugin("a");
    let wins = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for round in 0..500 {
                    let key = round.to_string();
                    if now(kv.compare_and_put(&a, &key, None, b"mine", FOR_GOOD)).unwrap() {
                        wins.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                    }
                }
            });
        }
    });
    assert_eq!(wins.into_inner(), 500);
}

#[test]
fn the_bounds_hold_when_many_threads_write() {
    let (_, kv) = store(KvOptions {
        entries_max: 100,
        ..KvOptions::default()
    });
    let a = plugin("a");
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let (kv, a) = (&kv, &a);
            scope.spawn(move || {
                for index in 0..500 {
                    let _ = now(kv.put(a, &format!("{thread}-{index}"), b"v", FOR_GOOD));
                }
            });
        }
    });
    assert_eq!(kv.used(&a).0, 100);
}

#[derive(Debug, Clone)]
enum Step {
    Put(u8, Vec<u8>, u64),
    Remove(u8),
    Compare(u8, Option<Vec<u8>>, Vec<u8>, u64),
    Increment(u8, i64, u64),
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let value = || {
        prop_oneof![
            Just(b"1".to_vec()),
            Just(b"22".to_vec()),
            Just(b"x".to_vec())
        ]
    };
    let (key, ttl) = (0..4_u8, 0..4_u64);
    prop_oneof![
        (key.clone(), value(), ttl.clone()).prop_map(|(k, v, t)| Step::Put(k, v, t)),
        key.clone().prop_map(Step::Remove),
        (
            key.clone(),
            proptest::option::of(value()),
            value(),
            ttl.clone()
        )
            .prop_map(|(k, e, v, t)| Step::Compare(k, e, v, t)),
        (key, any::<i64>(), ttl).prop_map(|(k, by, t)| Step::Increment(k, by, t)),
        (0..3_u64).prop_map(Step::Wait),
    ]
}

/// A map that holds each value with the millisecond at which it expires.
type Model = BTreeMap<u8, (Vec<u8>, Option<u64>)>;

proptest! {
    #[test]
    fn it_behaves_like_a_plain_map_with_expiry(steps in proptest::collection::vec(step(), 0..80)) {
        let (clock, kv) = store(KvOptions::default());
        let a = plugin("a");
        let mut model = Model::new();
        let mut time = 0;
        let expiry = |time: u64, ttl: u64| (ttl > 0).then_some(time + ttl);
        let ms = Duration::from_millis;
        for step in steps {
            model.retain(|_, (_, expires)| expires.is_none_or(|at| at > time));
            match step {
                Step::Put(k, v, t) => {
                    now(kv.put(&a, &k.to_string(), &v, ms(t))).unwrap();
                    model.insert(k, (v, expiry(time, t)));
                }
                Step::Remove(k) => {
                    now(kv.remove(&a, &k.to_string())).unwrap();
                    model.remove(&k);
                }
                Step::Compare(k, e, v, t) => {
                    let done = now(kv.compare_and_put(&a, &k.to_string(), e.as_deref(), &v, ms(t)));
                    let expected = model.get(&k).map(|(v, _)| v.clone()) == e;
                    prop_assert_eq!(done, Ok(expected));
                    if expected {
                        model.insert(k, (v, expiry(time, t)));
                    }
                }
                Step::Increment(k, by, t) => {
                    let done = now(kv.increment(&a, &k.to_string(), by, ms(t)));
                    let (before, expires) = model
                        .get(&k)
                        .map_or((Some(0), expiry(time, t)), |(v, e)| (number(v), *e));
                    match before.and_then(|before| before.checked_add(by)) {
                        None => prop_assert_eq!(done, Err(KvError::NotANumber)),
                        Some(sum) => {
                            prop_assert_eq!(done, Ok(sum));
                            model.insert(k, (sum.to_string().into_bytes(), expires));
                        }
                    }
                }
                Step::Wait(t) => {
                    clock.advance(ms(t));
                    time += t;
                }
            }
            for k in 0..4_u8 {
                let live = model.get(&k).filter(|(_, expires)| expires.is_none_or(|at| at > time));
                prop_assert_eq!(kv.read(&a, &k.to_string()), live.map(|(v, _)| v.clone()));
            }
        }
    }
}
