use std::{
    collections::VecDeque,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use proptest::prelude::*;

use super::*;
use crate::{Algorithm, Exceeded, ManualClock};

const BOTH: [Algorithm; 2] = [Algorithm::TokenBucket, Algorithm::SlidingWindow];

fn plugin(name: &str) -> Namespace {
    Namespace::of_plugin(name)
}

fn limit(algorithm: Algorithm, amount: u64, period_ms: u64) -> Limit {
    Limit {
        algorithm,
        amount,
        period_ms,
    }
}

fn store() -> (Arc<ManualClock>, EmbeddedLimits) {
    let clock = Arc::new(ManualClock::at(1_700_000_000_000));
    (
        clock.clone(),
        EmbeddedLimits::new(clock, LimitOptions::default()),
    )
}

fn now<T>(answer: Answer<T>) -> T {
    answer
        .now()
        .unwrap_or_else(|_| panic!("the embedded store answers at once"))
}

fn exceeded<T: std::fmt::Debug>(result: Result<T, LimitError>) -> Exceeded {
    match result.unwrap_err() {
        LimitError::Exceeded(exceeded) => exceeded,
        other => panic!("{other}"),
    }
}

/// The store, seen from one bucket.
struct One<'a>(&'a EmbeddedLimits, Limit);

impl One<'_> {
    fn take(&self, amount: u64) -> Result<u64, LimitError> {
        now(self.0.take(&plugin("a"), "b", amount, self.1))
    }
    fn reserve(&self, amount: u64) -> Result<Reservation, LimitError> {
        now(self.0.reserve(&plugin("a"), "b", amount, self.1))
    }
    fn remaining(&self) -> u64 {
        now(self.0.remaining(&plugin("a"), "b", self.1)).unwrap()
    }
}

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

#[test]
fn a_bucket_that_was_found_is_the_one_of_its_name_however_long_it_is_kept() {
    for algorithm in BOTH {
        let (clock, limits) = store();
        let one = One(&limits, limit(algorithm, 10, 1000));
        let found = limits.bucket(&plugin("a"), "b", one.1).unwrap();
        let held = found.clone().reserve(6).unwrap();
        assert_eq!(one.remaining(), 4);
        assert_eq!(one.take(3), Ok(1));
        let more = found.clone().reserve(2);
        assert_eq!(exceeded(more).remaining, 1);
        assert_eq!(now(held.settle(2)), 5);
        // It is idle, and swept away; then it is there anew.
        clock.advance(ms(10_000));
        limits.space(&plugin("a")).sweep(clock.monotonic_us());
        assert_eq!(one.remaining(), 10);
        drop(found.reserve(4).unwrap());
        assert_eq!(one.remaining(), 6);
        assert!(
            limits
                .bucket(&plugin("a"), &"b".repeat(257), one.1)
                .is_none()
        );
    }
}

#[test]
fn what_was_taken_is_gone_and_more_is_refused() {
    for algorithm in BOTH {
        let (_, limits) = store();
        let one = One(&limits, limit(algorithm, 10, 1000));
        assert_eq!(one.remaining(), 10);
        assert_eq!(one.take(7), Ok(3));
        assert_eq!(exceeded(one.take(4)).remaining, 3);
        assert_eq!(one.take(3), Ok(0));
        assert_eq!(one.take(0), Ok(0));
        assert_eq!(one.remaining(), 0);
    }
}

#[test]
fn a_token_bucket_refills_evenly_and_to_the_brim_only() {
    let (clock, limits) = store();
    let one = One(&limits, limit(Algorithm::TokenBucket, 10, 1000));
    one.take(10).unwrap();
    assert_eq!(exceeded(one.take(1)).retry_after_ms, 100);
    clock.advance(ms(99));
    assert_eq!(exceeded(one.take(1)).retry_after_ms, 1);
    clock.advance(ms(1));
    assert_eq!(one.take(1), Ok(0));
    clock.advance(ms(1_000_000));
    assert_eq!(one.remaining(), 10);
}

#[test]
fn a_token_bucket_loses_nothing_to_rounding() {
    let (clock, limits) = store();
    let one = One(&limits, limit(Algorithm::TokenBucket, 3, 7));
    one.take(3).unwrap();
    let mut taken = 0;
    for _ in 0..7000 {
        clock.advance(ms(1));
        taken += u64::from(one.take(1).is_ok());
    }
    assert_eq!(taken, 3000);
}

#[test]
fn a_sliding_window_counts_a_charge_for_the_period_and_a_sixteenth_more_at_most() {
    let (clock, limits) = store();
    let one = One(&limits, limit(Algorithm::SlidingWindow, 10, 1600));
    clock.advance(ms(12_345));
    one.take(10).unwrap();
    let wait = exceeded(one.take(1)).retry_after_ms;
    assert!((1600..=1700).contains(&wait), "{wait}");
    clock.advance(ms(wait - 1));
    assert_eq!(one.remaining(), 0);
    clock.advance(ms(1));
    assert_eq!(one.take(10), Ok(0));
}

#[test]
fn a_reservation_is_held_however_long_and_settled_on_what_was_used() {
    for algorithm in BOTH {
        let (clock, limits) = store();
        let one = One(&limits, limit(algorithm, 100, 1000));
        let reservation = one.reserve(80).unwrap();
        assert_eq!(reservation.amount(), 80);
        clock.advance(ms(10_000));
        assert_eq!(one.remaining(), 20);
        assert_eq!(exceeded(one.reserve(30)).remaining, 20);
        assert_eq!(now(reservation.settle(5)), 95);
        clock.advance(ms(2000));
        assert_eq!(one.remaining(), 100);
    }
}

#[test]
fn settling_more_than_was_held_leaves_a_debt() {
    for algorithm in BOTH {
        let (clock, limits) = store();
        let one = One(&limits, limit(algorithm, 100, 1000));
        assert_eq!(now(one.reserve(10).unwrap().settle(250)), 0);
        assert_eq!(exceeded(one.take(0)).remaining, 0);
        let wait = exceeded(one.take(1)).retry_after_ms;
        clock.advance(ms(wait));
        assert!(one.take(1).is_ok());
    }
}

#[test]
fn a_reservation_dropped_unsettled_stays_charged_in_full() {
    for algorithm in BOTH {
        let (clock, limits) = store();
        let one = One(&limits, limit(algorithm, 100, 1000));
        drop(one.reserve(60).unwrap());
        assert_eq!(one.remaining(), 40);
        clock.advance(ms(2000));
        assert_eq!(one.remaining(), 100);
    }
}

#[test]
fn a_reservation_of_nothing_can_still_be_charged() {
    for algorithm in BOTH {
        let (_, limits) = store();
        let one = One(&limits, limit(algorithm, 100, 1000));
        assert_eq!(now(one.reserve(0).unwrap().settle(30)), 70);
        assert_eq!(one.remaining(), 70);
    }
}

#[test]
fn where_only_a_settlement_makes_room_the_advice_is_an_estimate() {
    for algorithm in BOTH {
        let (_, limits) = store();
        let one = One(&limits, limit(algorithm, 100, 60_000));
        let _held = one.reserve(100).unwrap();
        assert_eq!(
            exceeded(one.take(1)),
            Exceeded {
                retry_after_ms: 1000,
                remaining: 0
            }
        );
    }
}

#[test]
fn more_than_the_whole_limit_never_fits() {
    for algorithm in BOTH {
        let (_, limits) = store();
        let one = One(&limits, limit(algorithm, 10, 1000));
        assert_eq!(
            exceeded(one.take(11)),
            Exceeded {
                retry_after_ms: u64::MAX,
                remaining: 10
            }
        );
    }
}

#[test]
fn a_new_amount_keeps_what_was_used() {
    for algorithm in BOTH {
        let (clock, limits) = store();
        let (small, large) = (limit(algorithm, 100, 1000), limit(algorithm, 1000, 1000));
        One(&limits, small).take(90).unwrap();
        assert_eq!(One(&limits, large).remaining(), 910);
        assert_eq!(One(&limits, large).take(500), Ok(410));
        assert_eq!(One(&limits, small).remaining(), 0);
        assert!(exceeded(One(&limits, small).take(1)).retry_after_ms > 0);
        clock.advance(ms(6000));
        assert_eq!(One(&limits, small).take(100), Ok(0));
    }
}

#[test]
fn periods_algorithms_names_and_plugins_are_apart() {
    let (_, limits) = store();
    let minute = limit(Algorithm::TokenBucket, 10, 60_000);
    let take = |namespace: &str, name: &str, limit| {
        now(limits.take(&plugin(namespace), name, 10, limit)).unwrap()
    };
    take("a", "b", minute);
    take(
        "a",
        "b",
        Limit {
            period_ms: 3_600_000,
            ..minute
        },
    );
    take(
        "a",
        "b",
        Limit {
            algorithm: Algorithm::SlidingWindow,
            ..minute
        },
    );
    take("a", "c", minute);
    take("b", "b", minute);
    take("x:y", "z", minute);
    take("x", "y:z", minute);
    assert_eq!(One(&limits, minute).remaining(), 0);
}

#[test]
fn a_limit_without_amount_or_period_is_invalid() {
    for algorithm in BOTH {
        let (_, limits) = store();
        for (amount, period) in [(0, 1), (1, 0), (0, 0)] {
            let one = One(&limits, limit(algorithm, amount, period));
            assert_eq!(one.take(0), Err(LimitError::Empty));
            assert_eq!(one.reserve(0).unwrap_err(), LimitError::Empty);
            let left = now(limits.remaining(&plugin("a"), "b", one.1));
            assert_eq!(left, Err(LimitError::Empty));
        }
        let name = "n".repeat(257);
        let taken = now(limits.take(&plugin("a"), &name, 1, limit(algorithm, 1, 1)));
        assert_eq!(taken, Err(LimitError::NameTooLong));
    }
}

#[test]
fn the_number_of_buckets_is_bounded_and_idle_ones_make_room() {
    for algorithm in BOTH {
        let clock = Arc::new(ManualClock::default());
        let options = LimitOptions {
            buckets_max: 200,
            ..LimitOptions::default()
        };
        let limits = EmbeddedLimits::new(clock.clone(), options);
        let limit = limit(algorithm, 1, 1000);
        let take = |name: String| now(limits.take(&plugin("a"), &name, 1, limit));
        for round in 0..3 {
            for index in 0..200 {
                take(format!("{round}-{index}")).unwrap();
            }
            assert_eq!(take("more".into()), Err(LimitError::TooManyBuckets));
            assert!(now(limits.take(&plugin("b"), &round.to_string(), 1, limit)).is_ok());
            clock.advance(ms(2000));
        }
    }
}

#[test]
fn one_name_has_so_many_limits_and_no_more() {
    let (_, limits) = store();
    for period in 1..=8 {
        One(&limits, limit(Algorithm::TokenBucket, 1, period))
            .take(1)
            .unwrap();
    }
    let ninth = One(&limits, limit(Algorithm::TokenBucket, 1, 9));
    assert_eq!(ninth.take(1), Err(LimitError::TooManyBuckets));
}

#[test]
fn a_bucket_that_is_held_is_never_swept() {
    let clock = Arc::new(ManualClock::default());
    let options = LimitOptions {
        buckets_max: 1,
        ..LimitOptions::default()
    };
    let limits = EmbeddedLimits::new(clock.clone(), options);
    let one = One(&limits, limit(Algorithm::TokenBucket, 10, 1000));
    let held = one.reserve(0).unwrap();
    clock.advance(ms(10_000));
    let other = now(limits.take(&plugin("a"), "other", 1, one.1));
    assert_eq!(other, Err(LimitError::TooManyBuckets));
    assert_eq!(now(held.settle(4)), 6);
}

#[test]
fn extremes_do_not_overflow() {
    let extremes = [1, 2, u64::MAX - 1, u64::MAX];
    for algorithm in BOTH {
        for amount in extremes {
            for period in extremes {
                let (clock, limits) = store();
                let one = One(&limits, limit(algorithm, amount, period));
                assert_eq!(one.take(amount), Ok(0));
                assert!(exceeded(one.take(1)).retry_after_ms > 0);
                clock.advance(Duration::from_secs(u32::MAX.into()));
                let _ = one.take(u64::MAX);
                for used in extremes {
                    if let Ok(reservation) = one.reserve(0) {
                        now(reservation.settle(used));
                    }
                    let _ = one.take(used);
                }
                clock.advance(Duration::from_micros(u64::MAX / 2));
                let _ = (one.remaining(), one.take(1));
            }
        }
    }
}

#[test]
fn threads_that_take_and_reserve_never_exceed_the_amount() {
    for algorithm in BOTH {
        let (_, limits) = store();
        let one = One(&limits, limit(algorithm, 10_000, 3_600_000));
        let charged = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for thread in 0..8_u64 {
                let (one, charged) = (&one, &charged);
                scope.spawn(move || {
                    for round in 0..1000 {
                        if round % 2 == 0 {
                            let taken = one.take(3).map_or(0, |_| 3);
                            charged.fetch_add(taken, Ordering::SeqCst);
                        } else if let Ok(reservation) = one.reserve(20) {
                            let used = (thread + round) % 21;
                            now(reservation.settle(used));
                            charged.fetch_add(used, Ordering::SeqCst);
                        }
                    }
                });
            }
        });
        let charged = charged.into_inner();
        assert!((9_980..=10_000).contains(&charged), "{charged}");
        assert_eq!(one.remaining(), 10_000 - charged);
    }
}

/// Settles what it holds in the order it was reserved.
fn play(one: &One<'_>, held: &mut VecDeque<(u64, Reservation)>, step: (u8, u64)) -> u64 {
    let (kind, amount) = step;
    match kind {
        0 => return one.take(amount).map_or(0, |_| amount),
        1 => {
            if let Ok(reservation) = one.reserve(amount) {
                held.push_back((amount, reservation));
            }
        }
        _ => {
            if let Some((reserved, reservation)) = held.pop_front() {
                let used = amount.min(reserved);
                now(reservation.settle(used));
                return used;
            }
        }
    }
    0
}

proptest! {
    #[test]
    fn a_sliding_window_never_lets_more_than_the_amount_into_any_window(
        steps in proptest::collection::vec((0..3_u8, 0..30_u64, 0..40_000_u64), 1..200),
        amount in 1..100_u64,
        period in 1..200_u64,
    ) {
        let (clock, limits) = store();
        let one = One(&limits, limit(Algorithm::SlidingWindow, amount, period));
        let (mut held, mut charges) = (VecDeque::new(), Vec::<(u64, u64)>::new());
        for (kind, by, wait_us) in steps {
            clock.advance(Duration::from_micros(wait_us));
            let at = clock.monotonic_us();
            charges.push((at, play(&one, &mut held, (kind, by))));
            let holding: u64 = held.iter().map(|(reserved, _)| reserved).sum();
            let in_window = charges.iter().filter(|(t, _)| t + period * 1000 > at);
            let charged = in_window.map(|(_, amount)| amount).sum::<u64>();
            prop_assert!(charged + holding <= amount, "{charged} + {holding} > {amount}");
        }
    }

    #[test]
    fn a_token_bucket_lets_through_the_amount_and_what_was_refilled_at_most(
        steps in proptest::collection::vec((0..3_u8, 0..30_u64, 0..40_u64), 1..200),
        amount in 1..100_u64,
        period in 1..200_u64,
    ) {
        let (clock, limits) = store();
        let one = One(&limits, limit(Algorithm::TokenBucket, amount, period));
        let (mut held, mut charged, mut elapsed) = (VecDeque::new(), 0, 0);
        for (kind, by, wait_ms) in steps {
            clock.advance(ms(wait_ms));
            elapsed += wait_ms;
            charged += play(&one, &mut held, (kind, by));
            let holding: u64 = held.iter().map(|(reserved, _)| reserved).sum();
            prop_assert!(charged + holding <= amount + elapsed * amount / period);
        }
    }

    #[test]
    fn who_waits_as_advised_is_served(
        first in 1..50_u64, second in 1..50_u64, period in 1..5000_u64, offset in 0..100_000_u64,
    ) {
        for algorithm in BOTH {
            let (clock, limits) = store();
            clock.advance(Duration::from_micros(offset));
            let one = One(&limits, limit(algorithm, 50, period));
            one.take(first).unwrap();
            if let Err(LimitError::Exceeded(exceeded)) = one.take(second) {
                clock.advance(ms(exceeded.retry_after_ms));
                prop_assert!(one.take(second).is_ok());
            }
        }
    }
}
