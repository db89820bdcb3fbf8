//! When a second attempt is worth its cost: once the first has taken longer than nearly all
//! others of its model did.
//!
//! [`FirstBytes`] knows how long that is. A slow upstream makes all attempts slow and would
//! be asked twice as often, so a [`Budget`] bounds how many are hedged.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::retry::{Budget, BudgetSettings, Exhausted};

/// How to hedge.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HedgeSettings {
    /// The share of attempts that are to be awaited without a second one, such as 0.95.
    pub quantile: f64,
    /// So many first bytes have to be known before anything is hedged.
    pub samples_min: u32,
    /// No second attempt before this, however fast the model is.
    pub delay_min: Duration,
    /// How many second attempts there may be.
    pub budget: BudgetSettings,
}

/// What is known of one model, or of whatever else is hedged as one.
#[derive(Debug)]
pub struct Hedge {
    delay_min: Duration,
    first_bytes: FirstBytes,
    budget: Budget,
}

impl Hedge {
    /// Nothing is known yet.
    #[must_use]
    pub fn new(settings: HedgeSettings, now: Instant) -> Self {
        Self {
            delay_min: settings.delay_min,
            first_bytes: FirstBytes::new(settings.quantile, settings.samples_min, now),
            budget: Budget::new(settings.budget, now),
        }
    }

    /// A request came that may be hedged; it feeds the budget.
    pub fn note_request(&self, now: Instant) {
        self.budget.note_request(now);
    }

    /// An attempt's first byte came after this long. An attempt that lost against its second
    /// one counts as well, with how long it was awaited: without it the slow ones would be
    /// forgotten, and the quantile sink with every hedge.
    pub fn note_first_byte(&self, took: Duration, now: Instant) {
        self.first_bytes.note(took, now);
    }

    /// How long to wait for the first attempt before the second; `None`: too little is known.
    #[must_use]
    pub fn delay(&self) -> Option<Duration> {
        let delay = self.first_bytes.quantile()?;
        Some(delay.max(self.delay_min))
    }

    /// Takes one second attempt. To be asked when its delay is over, not before.
    ///
    /// # Errors
    /// There is none left.
    pub fn spend(&self, now: Instant) -> Result<(), Exhausted> {
        self.budget.spend(now)
    }
}

/// Buckets to each power of two: no quantile is off by more than an eighth.
const PARTS: usize = 8;
/// Times below 2^9 µs are one, times from 2^31 µs (36 minutes) are another.
const EXPONENT_MIN: u32 = 9;
const EXPONENT_MAX: u32 = 31;
const BUCKETS: usize = (EXPONENT_MAX - EXPONENT_MIN) as usize * PARTS + 2;

/// With as many samples the older ones begin to count half.
const WEIGHT_MAX: u32 = 2_048;
/// After this time they do in any case.
const HALF_LIFE: Duration = Duration::from_secs(5 * 60);
/// The quantile is counted anew with every so many samples.
const REFRESH: u32 = 16;

/// A quantile of recent times to the first byte: a histogram that forgets by halves.
#[derive(Debug)]
pub struct FirstBytes {
    quantile: f64,
    samples_min: u32,
    /// In microseconds; `u64::MAX`: not known.
    current: AtomicU64,
    histogram: Mutex<Histogram>,
}

#[derive(Debug)]
struct Histogram {
    counts: [u32; BUCKETS],
    weight: u32,
    halved: Instant,
    since_refresh: u32,
}

impl FirstBytes {
    /// No sample yet. A quantile beyond 0 to 1 is taken as the nearer end.
    #[must_use]
    pub fn new(quantile: f64, samples_min: u32, now: Instant) -> Self {
        Self {
            quantile: match quantile {
                quantile if quantile.is_nan() => 1.0,
                quantile => quantile.clamp(0.0, 1.0),
            },
            // Halving must not make it unreachable.
            samples_min: samples_min.clamp(1, WEIGHT_MAX / 2),
            current: AtomicU64::new(u64::MAX),
            histogram: Mutex::new(Histogram {
                counts: [0; BUCKETS],
                weight: 0,
                halved: now,
                since_refresh: 0,
            }),
        }
    }

    /// One more sample.
    pub fn note(&self, took: Duration, now: Instant) {
        let mut histogram = self.histogram.lock();
        histogram.forget(now);
        histogram.counts[bucket(took)] += 1;
        histogram.weight += 1;
        histogram.since_refresh += 1;
        // A halving does not end what began with enough: a quarter of them is enough to go on.
        let least = match self.is_known() {
            true => self.samples_min / 4,
            false => self.samples_min,
        };
        if histogram.weight < least {
            self.current.store(u64::MAX, Ordering::Relaxed);
        } else if histogram.since_refresh >= REFRESH || !self.is_known() {
            histogram.since_refresh = 0;
            let micros = histogram.quantile(self.quantile);
            self.current.store(micros, Ordering::Relaxed);
        }
    }

    fn is_known(&self) -> bool {
        self.current.load(Ordering::Relaxed) != u64::MAX
    }

    /// As long as that share of the samples took, or up to an eighth more; `None`: too few are known.
    #[must_use]
    pub fn quantile(&self) -> Option<Duration> {
        match self.current.load(Ordering::Relaxed) {
            u64::MAX => None,
            micros => Some(Duration::from_micros(micros)),
        }
    }
}

impl Histogram {
    fn forget(&mut self, now: Instant) {
        let periods = now.saturating_duration_since(self.halved).as_nanos() / HALF_LIFE.as_nanos();
        let halvings = u32::try_from(periods).unwrap_or(31).min(31);
        let halvings = halvings.max(u32::from(self.weight >= WEIGHT_MAX));
        if halvings == 0 {
            return;
        }
        self.halved = now;
        self.weight = 0;
        for count in &mut self.counts {
            *count >>= halvings;
            self.weight += *count;
        }
    }

    /// The upper end of the bucket that holds it: a hedge comes rather late than early.
    fn quantile(&self, quantile: f64) -> u64 {
        let rank = (quantile * f64::from(self.weight)).ceil() as u32;
        let mut seen = 0;
        let holds = |count: &u32| {
            seen += count;
            seen >= rank.max(1)
        };
        let found = self.counts.iter().position(holds);
        upper_end(found.unwrap_or(BUCKETS - 1))
    }
}

fn bucket(took: Duration) -> usize {
    let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    if micros < 1 << EXPONENT_MIN {
        return 0;
    }
    let exponent = micros.ilog2();
    if exponent >= EXPONENT_MAX {
        return BUCKETS - 1;
    }
    let part = (micros >> (exponent - PARTS.ilog2())) as usize % PARTS;
    1 + (exponent - EXPONENT_MIN) as usize * PARTS + part
}

fn upper_end(bucket: usize) -> u64 {
    let (exponent, part) = match bucket.checked_sub(1) {
        None => return 1 << EXPONENT_MIN,
        Some(above) => (above / PARTS, above % PARTS),
    };
    let lower = (PARTS + part + 1) as u64;
    lower << (EXPONENT_MIN as usize + exponent - PARTS.ilog2() as usize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ms(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    fn settings() -> HedgeSettings {
        HedgeSettings {
            quantile: 0.95,
            samples_min: 50,
            delay_min: ms(20),
            budget: BudgetSettings {
                share: 0.05,
                floor: 0,
                window: Duration::from_secs(10),
            },
        }
    }

    #[test]
    fn nothing_is_hedged_before_enough_is_known() {
        let now = Instant::now();
        let hedge = Hedge::new(settings(), now);
        for _ in 0..49 {
            hedge.note_first_byte(ms(100), now);
        }
        assert_eq!(hedge.delay(), None);
        hedge.note_first_byte(ms(100), now);
        let delay = hedge.delay().unwrap();
        assert!((ms(100)..ms(113)).contains(&delay), "{delay:?}");
    }

    #[test]
    fn a_fast_model_is_not_hedged_at_once() {
        let now = Instant::now();
        let hedge = Hedge::new(settings(), now);
        for _ in 0..50 {
            hedge.note_first_byte(Duration::from_micros(80), now);
        }
        assert_eq!(hedge.delay(), Some(ms(20)));
    }

    #[test]
    fn no_more_than_a_share_of_the_requests_is_hedged() {
        let now = Instant::now();
        let hedge = Hedge::new(settings(), now);
        assert_eq!(hedge.spend(now), Err(Exhausted));
        for _ in 0..40 {
            hedge.note_request(now);
        }
        assert_eq!(hedge.spend(now), Ok(()));
        assert_eq!(hedge.spend(now), Ok(()));
        assert_eq!(hedge.spend(now), Err(Exhausted));
    }

    #[test]
    fn the_quantile_follows_a_model_that_became_slower_or_faster() {
        let now = Instant::now();
        let first_bytes = FirstBytes::new(0.95, 50, now);
        for (took, samples) in [(100, 5_000), (1_000, 400), (50, 20_000)] {
            for _ in 0..samples {
                first_bytes.note(ms(took), now);
            }
            let known = first_bytes.quantile().unwrap();
            assert!((ms(took)..=ms(took) * 9 / 8).contains(&known), "{known:?}");
        }
    }

    #[test]
    fn samples_grow_old_where_few_come() {
        let now = Instant::now();
        let first_bytes = FirstBytes::new(0.95, 50, now);
        for _ in 0..100 {
            first_bytes.note(ms(100), now);
        }
        assert!(first_bytes.quantile().is_some());
        for halvings in 1..=3 {
            first_bytes.note(ms(100), now + halvings * HALF_LIFE);
            assert!(first_bytes.quantile().is_some());
        }
        // A sixteenth of a hundred and the newest are too few.
        first_bytes.note(ms(100), now + 4 * HALF_LIFE);
        assert_eq!(first_bytes.quantile(), None);
        first_bytes.note(ms(100), now + 1_000_000 * HALF_LIFE);
        assert_eq!(first_bytes.histogram.lock().weight, 1);
    }

    #[test]
    fn what_is_known_stays_known_where_samples_keep_coming() {
        let now = Instant::now();
        // As many as can be asked for, in many buckets: halved by number, and by time.
        for (samples, pause) in [(20_000, Duration::ZERO), (5_000, HALF_LIFE / 1_000)] {
            let first_bytes = FirstBytes::new(0.95, 1_000, now);
            let mut is_known = false;
            for sample in 0..samples {
                let took = ms(1 + u64::from(sample) * 7 % 1_000);
                first_bytes.note(took, now + sample * pause);
                let is_still = first_bytes.quantile().is_some();
                assert!(is_still || !is_known, "after {sample}, {pause:?} apart");
                is_known = is_still;
            }
            assert!(is_known);
        }
    }

    #[test]
    fn buckets_follow_one_another_without_a_gap() {
        assert_eq!(bucket(Duration::ZERO), 0);
        assert_eq!(bucket(Duration::MAX), BUCKETS - 1);
        for at in 0..BUCKETS - 1 {
            let end = Duration::from_micros(upper_end(at));
            assert_eq!(bucket(end), at + 1);
            assert_eq!(bucket(end - Duration::from_micros(1)), at);
        }
    }

    proptest! {
        #[test]
        fn the_quantile_is_at_most_an_eighth_too_high(
            mut samples in prop::collection::vec(600_u64..2_000_000_000, 1..1_000),
            quantile in 0.0..=1.0,
        ) {
            let now = Instant::now();
            let first_bytes = FirstBytes::new(quantile, 1, now);
            for sample in &samples {
                first_bytes.note(Duration::from_micros(*sample), now);
            }
            samples.sort_unstable();
            let rank = (quantile * samples.len() as f64).ceil().max(1.0) as usize;
            let exact = samples[rank - 1] as f64;
            let told = first_bytes.histogram.lock().quantile(quantile) as f64;
            prop_assert!(told >= exact && told <= exact * 1.126 + 1.0, "{told} for {exact}");
        }
    }
}
