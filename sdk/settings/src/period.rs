//! Times as the settings write them.

use std::{borrow::Cow, fmt, time::Duration};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;

/// A time from 1 ms to 366 days: a whole number and `ms`, `s`, `m`, `h` or `d`.
///
/// ```
/// use tollgate_settings::Period;
///
/// let period: Period = "15m".parse().unwrap();
/// assert_eq!(period.ms(), 900_000);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct Period {
    ms: u64,
}

const UNITS: [(&str, u64); 5] = [
    ("ms", 1),
    ("s", 1000),
    ("m", 60_000),
    ("h", 3_600_000),
    ("d", 86_400_000),
];

impl Period {
    /// 366 days, in milliseconds.
    pub const LONGEST_MS: u64 = 366 * 86_400_000;

    /// For defaults, as a constant: then a time that is none does not compile.
    ///
    /// ```
    /// use tollgate_settings::Period;
    ///
    /// const TEN_MINUTES: Period = Period::of_ms(600_000);
    /// assert_eq!(TEN_MINUTES, "10m".parse().unwrap());
    /// ```
    ///
    /// # Panics
    /// If it is 0, or longer than 366 days.
    #[must_use]
    pub const fn of_ms(ms: u64) -> Self {
        assert!(
            ms > 0 && ms <= Self::LONGEST_MS,
            "a period is 1 ms to 366 days long"
        );
        Self { ms }
    }

    /// In milliseconds.
    ///
    /// ```
    /// assert_eq!("1h".parse::<tollgate_settings::Period>().unwrap().ms(), 3_600_000);
    /// ```
    #[must_use]
    pub const fn ms(self) -> u64 {
        self.ms
    }
}

impl From<Period> for Duration {
    fn from(period: Period) -> Self {
        Self::from_millis(period.ms)
    }
}

/// Why a text is no [`Period`].
///
/// ```
/// let error = "soon".parse::<tollgate_settings::Period>().unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "`soon` is not a period: write a whole number and ms, s, m, h or d, such as `1h`, up to `366d`",
/// );
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadPeriod {
    text: String,
}

impl std::error::Error for BadPeriod {}

impl fmt::Display for BadPeriod {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "`{}` is not a period: write a whole number and ms, s, m, h or d, \
             such as `1h`, up to `366d`",
            self.text
        )
    }
}

fn read(text: &str) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let (_, unit_ms) = UNITS.into_iter().find(|(name, _)| *name == unit)?;
    let ms = number.parse::<u64>().ok()?.checked_mul(unit_ms)?;
    (1..=Period::LONGEST_MS).contains(&ms).then_some(ms)
}

impl TryFrom<String> for Period {
    type Error = BadPeriod;

    fn try_from(text: String) -> Result<Self, BadPeriod> {
        match read(&text) {
            Some(ms) => Ok(Self { ms }),
            None => Err(BadPeriod { text }),
        }
    }
}

impl std::str::FromStr for Period {
    type Err = BadPeriod;

    fn from_str(text: &str) -> Result<Self, BadPeriod> {
        text.to_owned().try_into()
    }
}

impl JsonSchema for Period {
    fn schema_name() -> Cow<'static, str> {
        "Period".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": "^[0-9]+(ms|s|m|h|d)$",
            "examples": ["1m", "1h", "30d"],
        })
    }
}
