//! A point in time as the settings write it.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;

const DAY_MS: u64 = 86_400_000;

/// A time of RFC 3339, from 1970 on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Instant {
    ms: u64,
}

impl Instant {
    /// Since 1970.
    pub(crate) fn ms(self) -> u64 {
        self.ms
    }
}

impl TryFrom<String> for Instant {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        read(text.as_bytes()).map(|ms| Self { ms }).ok_or_else(|| {
            format!("`{text}` is no time: expected one of RFC 3339, such as `2027-01-31T18:00:00Z`")
        })
    }
}

impl JsonSchema for Instant {
    fn schema_name() -> Cow<'static, str> {
        "Instant".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ].+$",
            "examples": ["2027-01-31T18:00:00Z"],
        })
    }
}

fn read(text: &[u8]) -> Option<u64> {
    let (date, time) = text.split_at_checked(10)?;
    let [b'T' | b't' | b' ', time @ ..] = time else {
        return None;
    };
    let (clock, zone) = time.split_at_checked(8)?;
    let zone = after_fraction(zone)?;
    let local_ms = i64::try_from(days(date)? * DAY_MS + clock_ms(clock)?).ok()?;
    u64::try_from(local_ms - offset_ms(zone)?).ok()
}

/// Days since 1970 of `YYYY-MM-DD`.
fn days(date: &[u8]) -> Option<u64> {
    let [y @ .., b'-', m1, m2, b'-', d1, d2] = date else {
        return None;
    };
    let (year, month, day) = (number(y)?, number(&[*m1, *m2])?, number(&[*d1, *d2])?);
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let february = 28 + u64::from(is_leap);
    let lengths = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let nth = usize::try_from(month).ok()?.checked_sub(1)?;
    if year < 1970 || !(1..=*lengths.get(nth)?).contains(&day) {
        return None;
    }
    let leap_days = |year: u64| year / 4 - year / 100 + year / 400;
    let years = (year - 1970) * 365 + leap_days(year - 1) - leap_days(1969);
    Some(years + lengths[..nth].iter().sum::<u64>() + day - 1)
}

/// `HH:MM:SS`; a leap second is the first one of the next minute.
fn clock_ms(clock: &[u8]) -> Option<u64> {
    let [h1, h2, b':', m1, m2, b':', s1, s2] = clock else {
        return None;
    };
    let (hours, minutes) = hours_and_minutes([*h1, *h2], [*m1, *m2])?;
    let seconds = number(&[*s1, *s2]).filter(|seconds| *seconds <= 60)?;
    Some(((hours * 60 + minutes) * 60 + seconds) * 1000)
}

/// Parts of a second are left off.
fn after_fraction(text: &[u8]) -> Option<&[u8]> {
    let [b'.', fraction @ ..] = text else {
        return Some(text);
    };
    let is_digit = |byte: &&u8| byte.is_ascii_digit();
    let digits = fraction.iter().take_while(is_digit).count();
    (digits > 0).then(|| &fraction[digits..])
}

fn offset_ms(zone: &[u8]) -> Option<i64> {
    match zone {
        [b'Z' | b'z'] => Some(0),
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let (hours, minutes) = hours_and_minutes([*h1, *h2], [*m1, *m2])?;
            let ms = i64::try_from((hours * 60 + minutes) * 60_000).ok()?;
            Some(if *sign == b'-' { -ms } else { ms })
        }
        _ => None,
    }
}

fn hours_and_minutes(hours: [u8; 2], minutes: [u8; 2]) -> Option<(u64, u64)> {
    let hours = number(&hours).filter(|hours| *hours < 24)?;
    let minutes = number(&minutes).filter(|minutes| *minutes < 60)?;
    Some((hours, minutes))
}

fn number(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0, |number, digit| {
        let digit = char::from(*digit).to_digit(10)?;
        Some(number * 10 + u64::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_read_with_its_offset() {
        let cases = [
            ("1970-01-01T00:00:00Z", 0),
            ("2026-01-01T00:00:00Z", 1_767_225_600_000),
            ("2026-01-01T02:00:00+02:00", 1_767_225_600_000),
            ("2025-12-31 19:30:00-04:30", 1_767_225_600_000),
            ("2026-01-01t00:00:00.999z", 1_767_225_600_000),
            ("2025-12-31T23:59:60Z", 1_767_225_600_000),
            ("2024-02-29T12:00:00Z", 1_709_208_000_000),
            ("2000-02-29T00:00:00Z", 951_782_400_000),
        ];
        for (text, ms) in cases {
            assert_eq!(Instant::try_from(text.to_owned()), Ok(Instant { ms }));
        }
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "now",
            "2026-01-01",
            "2026-01-01T",
            "2026-01-01T00:00",
            "2026-01-01T00:00:00",
            "2026-01-01T24:00:00Z",
            "2026-01-01T00:60:00Z",
            "2026-01-01T00:00:61Z",
            "2026-01-01T00:00:00.Z",
            "2026-01-01T00:00:00Zx",
            "2026-01-01T00:00:00+2:00",
            "2025-02-29T00:00:00Z",
            "2100-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-00-01T00:00:00Z",
            "2026-01-32T00:00:00Z",
            "1969-12-31T00:00:00Z",
            "1970-01-01T00:00:00+00:01",
            "2026-01-0éT00:00:00Z",
            "é026-01-01T00:00:00Z",
            "1767225600",
        ] {
            let error = Instant::try_from(text.to_owned()).unwrap_err();
            assert!(error.starts_with(&format!("`{text}` is no time: expected")));
        }
    }
}
