//! How fast permits come back, and so how long a queue takes.

use std::time::Duration;

use tokio::time::Instant;

/// Nobody is asked to come back sooner, or to stay away longer, than this.
const RETRY_MIN: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(30);

/// Permits that come back are counted this long before they tell the rate.
const PERIOD: Duration = Duration::from_secs(1);
/// A count from longer ago tells nothing.
const STALE: Duration = Duration::from_secs(60);

/// The rate of permits that came back while others were wanted.
#[derive(Debug, Default)]
pub(super) struct Drain {
    since: Option<Instant>,
    last: Option<Instant>,
    count: u32,
    per_second: f64,
}

impl Drain {
    /// One came back. To be told while there are none left, or the rate is that of the demand.
    pub(super) fn note(&mut self, now: Instant) {
        let since = *self.since.get_or_insert(now);
        self.last = Some(now);
        self.count += 1;
        let age = now.saturating_duration_since(since);
        if age >= STALE {
            *self = Self {
                since: Some(now),
                last: Some(now),
                ..Self::default()
            };
        } else if age >= PERIOD {
            let newest = f64::from(self.count) / age.as_secs_f64();
            self.per_second = match self.per_second {
                0.0 => newest,
                before => (before + newest) / 2.0,
            };
            (self.since, self.count) = (Some(now), 0);
        }
    }

    /// When a permit is to be had behind `ahead` others; `otherwise`, where that is not known.
    pub(super) fn retry_after(&self, ahead: usize, now: Instant, otherwise: Duration) -> Duration {
        let silence = self
            .last
            .map_or(Duration::ZERO, |last| now.saturating_duration_since(last));
        // A rate that was good once is none while nothing comes back.
        let rate = match self.per_second {
            rate if silence <= PERIOD => rate,
            rate => rate.min(1.0 / silence.as_secs_f64()),
        };
        let seconds = (ahead as f64 + 1.0) / rate;
        let estimate = Duration::try_from_secs_f64(seconds).unwrap_or(otherwise);
        estimate.clamp(RETRY_MIN, RETRY_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OTHERWISE: Duration = Duration::from_secs(10);

    fn draining(every: Duration, times: u32, start: Instant) -> (Drain, Instant) {
        let mut drain = Drain::default();
        let mut now = start;
        for _ in 0..times {
            now += every;
            drain.note(now);
        }
        (drain, now)
    }

    #[test]
    fn a_queue_takes_as_long_as_permits_come_back() {
        let (drain, now) = draining(Duration::from_millis(100), 200, Instant::now());
        let after = |ahead| drain.retry_after(ahead, now, OTHERWISE).as_secs_f64();
        assert!((9.0..11.5).contains(&after(99)), "{}", after(99));
        assert!((1.8..2.5).contains(&after(19)), "{}", after(19));
        assert_eq!(after(0), 1.0);
        assert_eq!(after(usize::MAX), 30.0);
    }

    #[test]
    fn a_rate_that_is_not_known_or_long_over_promises_nothing() {
        let now = Instant::now();
        assert_eq!(Drain::default().retry_after(5, now, OTHERWISE), OTHERWISE);
        let endless = Duration::MAX;
        let most = Drain::default().retry_after(5, now, endless);
        assert_eq!(most, RETRY_MAX);
        let (drain, now) = draining(Duration::from_millis(10), 500, now);
        assert_eq!(drain.retry_after(9, now, OTHERWISE), RETRY_MIN);
        let stuck = now + Duration::from_secs(30);
        assert_eq!(drain.retry_after(9, stuck, OTHERWISE), RETRY_MAX);
    }

    #[test]
    fn a_pause_is_no_slow_rate() {
        let (mut drain, now) = draining(Duration::from_millis(10), 500, Instant::now());
        let later = now + Duration::from_secs(3_600);
        drain.note(later);
        assert_eq!(drain.retry_after(0, later, OTHERWISE), OTHERWISE);
    }
}
