//! Amounts of money as exact whole numbers of millionths.

use std::{borrow::Cow, fmt, str::FromStr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer,
    de::{Error, Visitor},
};

const MICROS: u64 = 1_000_000;
const DECIMALS: usize = 6;

/// An amount with up to six decimals, in whatever currency it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Money {
    micros: u64,
}

impl Money {
    pub(crate) const fn of_micros(micros: u64) -> Self {
        Self { micros }
    }

    pub(crate) const fn micros(self) -> u64 {
        self.micros
    }
}

/// Why a text is no amount.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct BadMoney;

impl fmt::Display for BadMoney {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("expected an amount such as `0.15` or `20`, with up to six decimals")
    }
}

impl FromStr for Money {
    type Err = BadMoney;

    fn from_str(text: &str) -> Result<Self, BadMoney> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        if !is_number(whole) || !is_number(fraction) || fraction.len() > DECIMALS {
            return Err(BadMoney);
        }
        let whole: u64 = whole.parse().map_err(|_| BadMoney)?;
        let fraction: u64 = format!("{fraction:0<DECIMALS$}")
            .parse()
            .map_err(|_| BadMoney)?;
        let micros = whole
            .checked_mul(MICROS)
            .and_then(|micros| micros.checked_add(fraction))
            .ok_or(BadMoney)?;
        Ok(Self { micros })
    }
}

/// With two decimals, or as many as it has.
impl fmt::Display for Money {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fraction = format!("{:0DECIMALS$}", self.micros % MICROS);
        let trimmed = fraction.trim_end_matches('0');
        let shown = &fraction[..trimmed.len().max(2)];
        write!(out, "{}.{shown}", self.micros / MICROS)
    }
}

/// A number is read by its shortest decimal form, which is what was written for up to 15
/// digits; a text is exact for more.
impl<'de> Deserialize<'de> for Money {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Amount)
    }
}

struct Amount;

impl Visitor<'_> for Amount {
    type Value = Money;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("an amount such as `0.15` or `20`")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Money, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_u64<E: Error>(self, whole: u64) -> Result<Money, E> {
        self.visit_str(&whole.to_string())
    }

    fn visit_i64<E: Error>(self, whole: i64) -> Result<Money, E> {
        self.visit_str(&whole.to_string())
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Money, E> {
        self.visit_str(&number.to_string())
    }
}

impl JsonSchema for Money {
    fn schema_name() -> Cow<'static, str> {
        "Money".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["string", "number"],
            "pattern": "^[0-9]+(\\.[0-9]{1,6})?$",
            "minimum": 0,
            "examples": ["0.15", 20],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn micros(json: &str) -> Option<u64> {
        let money: Option<Money> = serde_json::from_str(json).ok();
        money.map(Money::micros)
    }

    #[test]
    fn an_amount_is_exact_to_six_decimals() {
        for (json, expected) in [
            ("\"0\"", 0),
            ("\"0.000001\"", 1),
            ("\"2.50\"", 2_500_000),
            ("2.5", 2_500_000),
            ("20", 20_000_000),
            ("20.0", 20_000_000),
            ("0.1", 100_000),
            ("0.075", 75_000),
            ("0.000001", 1),
            ("\"18446744073709.551615\"", u64::MAX),
        ] {
            assert_eq!(micros(json), Some(expected), "{json}");
        }
    }

    #[test]
    fn what_is_no_amount_is_refused() {
        for json in [
            "\"\"",
            "\".5\"",
            "\"5.\"",
            "\"-1\"",
            "\"1,5\"",
            "\"1e3\"",
            "\"0.0000001\"",
            "\"18446744073709.551616\"",
            "\"99999999999999999999\"",
            "-1",
            "-0.5",
            "1e-7",
            "1e300",
            "null",
            "[1]",
            "true",
        ] {
            assert_eq!(micros(json), None, "{json}");
        }
    }

    #[test]
    fn it_is_said_with_at_least_two_decimals() {
        for (micros, expected) in [
            (0, "0.00"),
            (1, "0.000001"),
            (2_500_000, "2.50"),
            (20_000_000, "20.00"),
            (1_234_500, "1.2345"),
        ] {
            assert_eq!(Money::of_micros(micros).to_string(), expected);
        }
    }
}
