//! Points in time as the settings write them.

use std::{borrow::Cow, fmt};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;

const DAY_MS: u64 = 86_400_000;

/// A time of [RFC 3339](https://www.rfc-editor.org/rfc/rfc3339), from 1970 on. Parts of a
/// second are left off, and a leap second is the first one of the next minute.
///
/// ```
/// use tollgate_settings::Instant;
///
/// let instant: Instant = "2026-01-01T02:00:00+02:00".parse().unwrap();
/// assert_eq!(instant.ms(), 1_767_225_600_000);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct Instant {
    ms: u64,
}

impl Instant {
    /// In milliseconds since 1970-01-01T00:00:00Z.
    ///
    /// ```
    /// let instant: tollgate_settings::Instant = "1970-01-01T00:00:01Z".parse().unwrap();
    /// assert_eq!(instant.ms(), 1000);
    /// ```
    #[must_use]
    pub const fn ms(self) -> u64 {
        self.ms
    }

    /// When a day ends in UTC, by its date as RFC 3339 writes it; `None`: there is no such
    /// day.
    ///
    /// ```
    /// use tollgate_settings::Instant;
    ///
    /// let end = Instant::end_of_day("2025-12-31").unwrap();
    /// assert_eq!(end, "2026-01-01T00:00:00Z".parse().unwrap());
    /// assert_eq!(Instant::end_of_day("2025-02-29"), None);
    /// ```
    #[must_use]
    pub fn end_of_day(date: &str) -> Option<Self> {
        let days = days(date.as_bytes()).filter(|_| date.len() == DATE_BYTES)?;
        Some(Self {
            ms: (days + 1) * DAY_MS,
        })
    }
}

/// Of `YYYY-MM-DD`.
const DATE_BYTES: usize = 10;

/// Why a text is no [`Instant`].
///
/// ```
/// let error = "now".parse::<tollgate_settings::Instant>().unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "`now` is no time: expected one of RFC 3339, such as `2027-01-31T18:00:00Z`",
/// );
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadInstant {
    text: String,
}

impl std::error::Error for BadInstant {}

impl fmt::Display for BadInstant {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "`{}` is no time: expected one of RFC 3339, such as `2027-01-31T18:00:00Z`",
            self.text
        )
    }
}

impl TryFrom<String> for Instant {
    type Error = BadInstant;

    fn try_from(text: String) -> Result<Self, BadInstant> {
        match read(text.as_bytes()) {
            Some(ms) => Ok(Self { ms }),
            None => Err(BadInstant { text }),
        }
    }
}

impl std::str::FromStr for Instant {
    type Err = BadInstant;

    fn from_str(text: &str) -> Result<Self, BadInstant> {
        text.to_owned().try_into()
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
    let (date, time) = text.split_at_checked(DATE_BYTES)?;
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
