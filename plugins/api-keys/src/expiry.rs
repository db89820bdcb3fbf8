//! When a key stops working.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use tollgate_settings::Instant;

/// A time of RFC 3339, or a date: the end of that day in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Expiry {
    ms: u64,
}

impl Expiry {
    /// Whether it is over at this time, in milliseconds since 1970.
    pub(crate) fn is_past(self, now_ms: u64) -> bool {
        now_ms >= self.ms
    }
}

impl TryFrom<String> for Expiry {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let end = Instant::end_of_day(&text).or_else(|| text.parse().ok());
        end.map(|end| Self { ms: end.ms() }).ok_or_else(|| {
            format!(
                "`{text}` is no time: expected a date such as `2027-01-31`, or a time of \
                 RFC 3339 such as `2027-01-31T18:00:00Z`"
            )
        })
    }
}

impl JsonSchema for Expiry {
    fn schema_name() -> Cow<'static, str> {
        "Expiry".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}([Tt ].+)?$",
            "examples": ["2027-01-31", "2027-01-31T18:00:00Z"],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_read_with_its_offset_and_a_date_lasts_to_its_end() {
        let cases = [
            ("1970-01-01T00:00:00Z", 0),
            ("1970-01-01", 86_400_000),
            ("2026-01-01T00:00:00Z", 1_767_225_600_000),
            ("2025-12-31", 1_767_225_600_000),
            ("2026-01-01T02:00:00+02:00", 1_767_225_600_000),
            ("2025-12-31 19:30:00-04:30", 1_767_225_600_000),
            ("2026-01-01t00:00:00.999z", 1_767_225_600_000),
            ("2025-12-31T23:59:60Z", 1_767_225_600_000),
            ("2024-02-29T12:00:00Z", 1_709_208_000_000),
            ("2000-02-29", 951_868_800_000),
            ("9999-12-31", 253_402_300_800_000),
        ];
        for (text, ms) in cases {
            assert_eq!(
                Expiry::try_from(text.to_owned()),
                Ok(Expiry { ms }),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "never",
            "2026-1-1",
            "2026-00-01",
            "2026-13-01",
            "2026-01-00",
            "2026-01-32",
            "2025-02-29",
            "2100-02-29",
            "1969-12-31",
            "2026-01-01T",
            "2026-01-01T00:00",
            "2026-01-01T00:00:00",
            "2026-01-01T24:00:00Z",
            "2026-01-01T00:60:00Z",
            "2026-01-01T00:00:61Z",
            "2026-01-01T00:00:00.Z",
            "2026-01-01T00:00:00Zx",
            "2026-01-01T00:00:00+2:00",
            "1970-01-01T00:00:00+00:01",
            "+026-01-01",
            "2026-01-0é",
            "é026-01-01",
            "1767225600",
        ] {
            let error = Expiry::try_from(text.to_owned()).unwrap_err();
            assert!(error.starts_with(&format!("`{text}` is no time: expected a date")));
        }
    }

    #[test]
    fn it_is_past_from_its_very_moment_on() {
        let expiry = Expiry { ms: 1000 };
        assert!(!expiry.is_past(999));
        assert!(expiry.is_past(1000));
    }
}
