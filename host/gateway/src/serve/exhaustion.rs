//! What the accept loop says while the process has no descriptor or memory left: that it
//! fails to accept, at most once a period, and that it is over. The loop tries ten times
//! a second; a log that is written to each time would be a second flood.

use std::time::Duration;

use tokio::time::Instant;

/// How often it is said that accepting fails.
const PERIOD: Duration = Duration::from_secs(10);
/// How long nothing has failed when it is over: one connection that ends makes room for
/// one more, and the next fails again.
const REST: Duration = Duration::from_secs(1);

/// A row of failures to accept, if there is one now.
#[derive(Debug, Default)]
pub(super) struct Exhaustion {
    said: Option<Instant>,
    row: Option<Row>,
}

#[derive(Debug)]
struct Row {
    began: Instant,
    last: Instant,
    failures: u64,
    is_said: bool,
}

/// What is to be said.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Word {
    Nothing,
    /// So many failures, this one included.
    Failing(u64),
    /// It is over: so many there were, from the first to the last in this time.
    Over(u64, Duration),
}

impl Exhaustion {
    /// A connection could not be accepted.
    pub(super) fn failed(&mut self, now: Instant) -> Word {
        let row = self.row.get_or_insert(Row {
            began: now,
            last: now,
            failures: 0,
            is_said: false,
        });
        row.failures += 1;
        row.last = now;
        match self.said {
            Some(said) if now.duration_since(said) < PERIOD => Word::Nothing,
            _ => {
                self.said = Some(now);
                row.is_said = true;
                Word::Failing(row.failures)
            }
        }
    }

    /// One was accepted.
    pub(super) fn succeeded(&mut self, now: Instant) -> Word {
        let rested = |row: &mut Row| now.duration_since(row.last) >= REST;
        match self.row.take_if(rested) {
            Some(row) if row.is_said => {
                Word::Over(row.failures, row.last.duration_since(row.began))
            }
            _ => Word::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_told_once_a_period_and_that_they_are_over() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut exhaustion = Exhaustion::default();
        assert_eq!(exhaustion.succeeded(start), Word::Nothing);
        let mut said = Vec::new();
        for tick in 0..=250 {
            if let Word::Failing(failures) = exhaustion.failed(at(100 * tick)) {
                said.push(failures);
            }
            // There is room for one now and then.
            assert_eq!(exhaustion.succeeded(at(100 * tick + 50)), Word::Nothing);
        }
        assert_eq!(said, [1, 101, 201]);
        let over = Word::Over(251, Duration::from_secs(25));
        assert_eq!(exhaustion.succeeded(at(26_000)), over);
        assert_eq!(exhaustion.succeeded(at(26_100)), Word::Nothing);
        // Again within the period, and over again: neither is told.
        assert_eq!(exhaustion.failed(at(29_000)), Word::Nothing);
        assert_eq!(exhaustion.succeeded(at(31_000)), Word::Nothing);
        assert_eq!(exhaustion.failed(at(32_000)), Word::Failing(1));
    }
}
