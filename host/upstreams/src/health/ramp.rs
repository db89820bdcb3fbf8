//! Slow start: the share of an endpoint that has just returned.

use std::time::{Duration, Instant};

/// Shares are in thousandths.
pub(super) const WHOLE: u32 = 1_000;
/// What it begins with, so that something comes at all.
pub(super) const LEAST: u32 = 100;

/// The share after `since`, growing evenly; `None`: it has been whole for good.
pub(super) fn share(since: Instant, length: Duration, now: Instant) -> Option<u32> {
    let passed = now.saturating_duration_since(since);
    if passed >= length {
        return None;
    }
    let grown = u128::from(WHOLE - LEAST) * passed.as_millis() / length.as_millis().max(1);
    Some(LEAST + u32::try_from(grown).unwrap_or(WHOLE - LEAST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_grows_from_a_tenth_to_the_whole() {
        let now = Instant::now();
        let length = Duration::from_secs(10);
        let at = |seconds| share(now, length, now + Duration::from_secs(seconds));
        assert_eq!([at(0), at(5), at(9)], [Some(100), Some(550), Some(910)]);
        assert_eq!(at(10), None);
        assert_eq!(share(now, Duration::ZERO, now), None);
    }
}
