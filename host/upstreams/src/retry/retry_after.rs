//! Reads how long an upstream asks to be left alone.
//!
//! `retry-after` (RFC 9110: seconds or a date) and `retry-after-ms`, which OpenAI and Azure
//! send beside it. Not `x-ratelimit-reset-…`: that says when the whole allowance is back,
//! which is long after the next request would be taken.

use std::{
    str,
    time::{Duration, SystemTime},
};

/// The longest pause that is understood; who asks for more gets this.
pub const PAUSE_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// A longer value is none.
const LENGTH_MAX: usize = 64;

/// The pause that a response asks for, from the values of its headers `retry-after-ms` and
/// `retry-after`. The finer one is believed first; what cannot be read counts as not said, and
/// a date in the past as no pause.
#[must_use]
pub fn asked_pause(
    retry_after_ms: Option<&[u8]>,
    retry_after: Option<&[u8]>,
    now: SystemTime,
) -> Option<Duration> {
    let in_ms = || number(text(retry_after_ms?)?, 1_000_000);
    let otherwise = || {
        let text = text(retry_after?)?;
        number(text, 1_000_000_000).or_else(|| until(text, now))
    };
    in_ms().or_else(otherwise).map(|pause| pause.min(PAUSE_MAX))
}

fn text(value: &[u8]) -> Option<&str> {
    let text = str::from_utf8(value).ok()?.trim_matches([' ', '\t']);
    (text.len() <= LENGTH_MAX).then_some(text)
}

/// Digits, and perhaps a fraction, which the standard does not know and some servers send.
fn number(text: &str, unit_nanos: u64) -> Option<Duration> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let is_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !is_digits(whole) || !is_digits(fraction) {
        return None;
    }
    let whole: u64 = whole.parse().unwrap_or(u64::MAX);
    let nanos = whole.saturating_mul(unit_nanos);
    let mut digit_nanos = unit_nanos;
    let parts = fraction.bytes().map(|digit| {
        digit_nanos /= 10;
        u64::from(digit - b'0') * digit_nanos
    });
    let part: u64 = parts.sum();
    Some(Duration::from_nanos(nanos.saturating_add(part)))
}

fn until(text: &str, now: SystemTime) -> Option<Duration> {
    let date = httpdate::parse_http_date(text).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Sun, 06 Nov 1994 08:49:37 GMT.
    fn now() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777)
    }

    fn retry_after(value: &str) -> Option<Duration> {
        asked_pause(None, Some(value.as_bytes()), now())
    }

    #[test]
    fn seconds_and_dates_of_all_three_forms_are_read() {
        let ms = Duration::from_millis;
        for (value, pause) in [
            ("0", ms(0)),
            ("7", ms(7_000)),
            (" 120\t", ms(120_000)),
            ("1.25", ms(1_250)),
            ("0.0005", Duration::from_micros(500)),
            ("Sun, 06 Nov 1994 08:50:00 GMT", ms(23_000)),
            ("Sunday, 06-Nov-94 08:50:00 GMT", ms(23_000)),
            ("Sun Nov  6 08:50:00 1994", ms(23_000)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", ms(0)),
            ("Sun, 06 Nov 1994 08:49:36 GMT", ms(0)),
        ] {
            assert_eq!(retry_after(value), Some(pause), "{value}");
        }
    }

    #[test]
    fn what_is_no_pause_counts_as_not_said() {
        let long = "1".repeat(65);
        for value in [
            "",
            " ",
            "-1",
            "+1",
            "1e3",
            "1,5",
            ".5",
            "5.",
            "1.2.3",
            "5s",
            "0x10",
            "١",
            "soon",
            &long,
            "Sun, 31 Feb 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 08:49:37 CET",
        ] {
            assert_eq!(retry_after(value), None, "{value}");
        }
        assert_eq!(asked_pause(None, Some(b"\xff"), now()), None);
        assert_eq!(asked_pause(None, None, now()), None);
    }

    #[test]
    fn no_pause_is_longer_than_the_longest() {
        for value in [
            "86401",
            "18446744073709551615",
            "99999999999999999999999999",
            "Fri, 31 Dec 9999 23:59:59 GMT",
        ] {
            assert_eq!(retry_after(value), Some(PAUSE_MAX), "{value}");
        }
    }

    #[test]
    fn milliseconds_are_believed_first_where_they_can_be_read() {
        let pause = |ms: &str| asked_pause(Some(ms.as_bytes()), Some(b"2"), now());
        assert_eq!(pause("1500"), Some(Duration::from_millis(1_500)));
        assert_eq!(pause("0.5"), Some(Duration::from_micros(500)));
        assert_eq!(pause("99999999999999999999"), Some(PAUSE_MAX));
        assert_eq!(pause("late"), Some(Duration::from_secs(2)));
    }

    proptest! {
        #[test]
        fn no_value_panics_or_exceeds_the_bound(
            ms in prop::collection::vec(any::<u8>(), 0..80), after in ".{0,80}",
        ) {
            let pause = asked_pause(Some(&ms), Some(after.as_bytes()), now());
            prop_assert!(pause.unwrap_or_default() <= PAUSE_MAX);
        }
    }
}
