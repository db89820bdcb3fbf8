//! A time as the settings write it.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;

/// From 1 ms to 366 days.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Period {
    ms: u64,
}

impl Period {
    pub(crate) const LONGEST_MS: u64 = 366 * 86_400_000;

    pub(crate) fn ms(self) -> u64 {
        self.ms
    }
}

impl TryFrom<String> for Period {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let unit_ms = match unit {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => 0,
        };
        number
            .parse::<u64>()
            .ok()
            .and_then(|number| number.checked_mul(unit_ms))
            .filter(|ms| (1..=Self::LONGEST_MS).contains(ms))
            .map(|ms| Self { ms })
            .ok_or_else(|| {
                format!(
                    "`{text}` is not a period: write a whole number and ms, s, m, h or d, \
                     such as `1m`, up to `366d`"
                )
            })
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
            "examples": ["1m", "1h"],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn period(text: &str) -> Option<u64> {
        Period::try_from(text.to_owned()).ok().map(Period::ms)
    }

    #[test]
    fn a_period_is_a_whole_number_and_a_unit() {
        assert_eq!(period("500ms"), Some(500));
        assert_eq!(period("30s"), Some(30_000));
        assert_eq!(period("15m"), Some(900_000));
        assert_eq!(period("1h"), Some(3_600_000));
        assert_eq!(period("366d"), Some(366 * 86_400_000));
    }

    #[test]
    fn what_is_no_period_is_refused() {
        for text in [
            "",
            "1",
            "h",
            "0h",
            "-1h",
            "1.5h",
            "1 h",
            "1H",
            "1hé",
            "é",
            "367d",
            "18446744073709551615d",
            "99999999999999999999s",
        ] {
            assert_eq!(period(text), None, "{text}");
        }
    }
}
