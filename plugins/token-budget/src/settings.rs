//! What an operator writes, as types that cannot hold nonsense.

use std::{collections::BTreeMap, num::NonZeroU64};

use schemars::JsonSchema;
use serde::Deserialize;
use tollgate_sdk::limits::{self, Limit};
use tollgate_settings::Period;

use crate::{
    money::Money,
    price::{OtherModels, Price, Prices},
};

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
    /// What tokens cost, for budgets of money and reports of spend. Default: nothing is
    /// reckoned in money.
    #[serde(default)]
    pub(crate) prices: Option<Prices>,
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
    /// How much money may be spent besides. Default: any.
    #[serde(default)]
    pub(crate) money: Option<MoneyBudget>,
}

/// So much money in a day, in a month, or both, each by the calendar of UTC. A request
/// counts in the day and the month in which it came. At least one of them.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MoneyBudget {
    /// From midnight to midnight, UTC. Default: any.
    #[serde(default)]
    pub(crate) day: Option<Money>,
    /// From the first of a month to the next, UTC. Default: any.
    #[serde(default)]
    pub(crate) month: Option<Money>,
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

impl Scope {
    /// Whether each session is told it when it opens.
    pub(crate) fn is_told(&self) -> bool {
        matches!(self.0.as_str(), "caller" | "tier")
    }
}

impl Default for Scope {
    fn default() -> Self {
        Self("caller".to_owned())
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

    /// How much output there is at most for all of it.
    pub(crate) fn output_max(&self, price: Option<&Price>) -> u64 {
        let money = self.money.iter().flat_map(|money| [money.day, money.month]);
        let money = money.flatten().zip(std::iter::repeat(price));
        let outputs = money.filter_map(|(amount, price)| Some(price?.output_for(amount.micros())));
        outputs.fold(self.tokens.get(), u64::min)
    }
}

/// A model has no price, and has to have one.
#[derive(Debug)]
pub(crate) struct NotPriced;

impl Settings {
    pub(crate) fn check(&self) -> Result<(), Vec<String>> {
        let mut errors = Vec::new();
        if self.tiers.is_empty() && self.default.is_none() {
            errors.push("/: nobody has a budget: give `tiers`, `default` or both".to_owned());
        }
        if self.scope.0.is_empty() {
            errors.push("/scope: must be `caller`, `tier` or the name of another fact".to_owned());
        }
        let tiers = self.tiers.iter();
        let tiers = tiers.map(|(tier, budget)| {
            let tier = tier.replace('~', "~0").replace('/', "~1");
            (format!("/tiers/{tier}"), budget)
        });
        let default = self
            .default
            .iter()
            .map(|budget| ("/default".to_owned(), budget));
        for (at, budget) in tiers.chain(default) {
            let Some(money) = budget.money else { continue };
            if self.prices.is_none() {
                errors.push(format!("{at}/money: expected `prices` to reckon it with"));
            }
            if money.day.is_none() && money.month.is_none() {
                errors.push(format!("{at}/money: expected `day`, `month` or both"));
            }
            for (span, amount) in [("day", money.day), ("month", money.month)] {
                if amount.is_some_and(|amount| amount.micros() == 0) {
                    errors.push(format!("{at}/money/{span}: expected more than 0"));
                }
            }
        }
        if let Some(prices) = &self.prices {
            errors.extend(prices.models.mistakes());
        }
        if errors.is_empty() {
            Ok(())
        } else {
            Err(errors)
        }
    }

    /// Of what the model costs: nothing if it is not reckoned, or has no price.
    ///
    /// # Errors
    /// It has no price, and has to have one.
    pub(crate) fn price_of(&self, model: Option<&str>) -> Result<Option<&Price>, NotPriced> {
        let Some(prices) = &self.prices else {
            return Ok(None);
        };
        let price = model.and_then(|model| prices.models.find(model));
        match (price, prices.other_models) {
            (None, OtherModels::Refuse) => Err(NotPriced),
            (price, _) => Ok(price),
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
