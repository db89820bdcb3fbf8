//! What an operator writes, as types that cannot hold nonsense.

use std::{borrow::Cow, collections::BTreeMap, num::NonZeroU64, time::Duration};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use tollgate_sdk::limits::{self, Limit};

/// Who may use how many tokens, and what happens where they run out.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// A budget for each tier, by the fact `tier` that an earlier policy sets.
    /// Default: none.
    #[serde(default)]
    pub(crate) tiers: BTreeMap<String, Budget>,
    /// The budget of those whose tier is not listed. Default: none; they are refused
    /// with `no_budget`.
    #[serde(default)]
    pub(crate) default: Option<Budget>,
    /// Who shares one budget: all requests of one `caller`, of one `tier`, or those with
    /// the same value of another fact, given by its name. Default: `caller`.
    #[serde(default)]
    pub(crate) scope: Scope,
    /// A request without that fact is refused with `no_caller`, or shares one budget
    /// with all others without it. Default: `refuse`.
    #[serde(default)]
    pub(crate) on_missing_caller: OnMissingCaller,
    /// What happens to a stream that needs more than is held and left: it is `cut`, with
    /// the finish reason `length`, or let through (`allow`) and charged at its end.
    /// Default: `cut`.
    #[serde(default)]
    pub(crate) at_edge: AtEdge,
    /// Tokens held for the output of a request that states no maximum; never more than
    /// an eighth of the budget. Default: 1024.
    #[serde(default = "reserve_output")]
    pub(crate) reserve_output: u64,
    /// How many bytes are estimated to be one token, in prompts and in streams without
    /// reported usage. Default: 4.
    #[serde(default = "bytes_per_token")]
    pub(crate) bytes_per_token: NonZeroU64,
}

/// So many tokens in a time.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Budget {
    /// How many tokens, input and output together.
    pub(crate) tokens: NonZeroU64,
    /// In what time: a whole number and `ms`, `s`, `m`, `h` or `d`, such as `1h`.
    pub(crate) period: Period,
    /// How they come back. Default: `sliding-window`.
    #[serde(default)]
    pub(crate) algorithm: Algorithm,
}

#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Algorithm {
    /// At most `tokens` in any window of `period`.
    #[default]
    SlidingWindow,
    /// At most `tokens` at once, refilled evenly over `period`.
    TokenBucket,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum AtEdge {
    /// The stream ends, with the finish reason `length`.
    #[default]
    Cut,
    /// The stream goes on, and is charged at its end.
    Allow,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum OnMissingCaller {
    /// With `no_caller`.
    #[default]
    Refuse,
    /// One budget for all of them.
    Share,
}

/// The fact whose value names the bucket.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(transparent)]
pub(crate) struct Scope(#[schemars(length(min = 1))] pub(crate) String);

impl Default for Scope {
    fn default() -> Self {
        Self("caller".to_owned())
    }
}

/// From 1 ms to 366 days.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Period(Duration);

impl Period {
    const LONGEST: Duration = Duration::from_secs(366 * 86_400);

    pub(crate) fn ms(self) -> u64 {
        u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX)
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
            .map(Duration::from_millis)
            .filter(|period| !period.is_zero() && *period <= Self::LONGEST)
            .map(Self)
            .ok_or_else(|| {
                format!(
                    "`{text}` is not a period: write a whole number and ms, s, m, h or d, \
                     such as `1h`, up to `366d`"
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
            "examples": ["1h", "30d"],
        })
    }
}

impl Budget {
    pub(crate) fn limit(&self) -> Limit {
        Limit {
            algorithm: match self.algorithm {
                Algorithm::SlidingWindow => limits::Algorithm::SlidingWindow,
                Algorithm::TokenBucket => limits::Algorithm::TokenBucket,
            },
            amount: self.tokens.get(),
            period_ms: self.period.ms(),
        }
    }
}

impl Settings {
    pub(crate) fn check(&self) -> Result<(), Vec<String>> {
        let mut errors = Vec::new();
        if self.tiers.is_empty() && self.default.is_none() {
            errors.push("/: nobody has a budget: give `tiers`, `default` or both".to_owned());
        }
        if self.scope.0.is_empty() {
            errors.push("/scope: must be `caller`, `tier` or the name of another fact".to_owned());
        }
        if errors.is_empty() {
            Ok(())
        } else {
            Err(errors)
        }
    }

    /// With the tier's name as it is written here, `default` for all others.
    pub(crate) fn budget_of(&self, tier: Option<&str>) -> Option<(&str, &Budget)> {
        tier.and_then(|tier| self.tiers.get_key_value(tier))
            .map(|(tier, budget)| (tier.as_str(), budget))
            .or_else(|| self.default.as_ref().map(|budget| ("default", budget)))
    }
}

fn reserve_output() -> u64 {
    1024
}

fn bytes_per_token() -> NonZeroU64 {
    NonZeroU64::new(4).unwrap_or(NonZeroU64::MIN)
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
