//! What tokens cost, by model.

use schemars::JsonSchema;
use serde::Deserialize;
use tollgate_settings::{FirstMatch, Pattern, repeats};

use crate::{money::Money, settle::Used};

/// Prices are for so many tokens.
const TOKENS: u128 = 1_000_000;
/// A longer name is none, and is not looked at.
const NAME_MAX: usize = 1024;

/// What tokens cost.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Prices {
    /// What the amounts are in, as clients are told: `USD`. Nothing is converted.
    pub(crate) currency: Currency,
    /// The prices. The first that has the model counts, and no other.
    #[schemars(with = "Vec<Price>", length(min = 1))]
    pub(crate) models: Table,
    /// What becomes of a request for a model without a price, or for none: `refuse`, or
    /// `free`, which lets it through and charges no money. There is no default.
    pub(crate) other_models: OtherModels,
}

/// What a million tokens cost.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Price {
    /// The models, by exact name or with `*` for any text: `llama-3`, `gpt-*`. The first is
    /// what reports call all of them.
    #[schemars(length(min = 1))]
    models: Vec<Pattern>,
    /// A million tokens of input.
    input: Money,
    /// A million tokens of input that the upstream had in its cache. Default: as `input`.
    #[serde(default)]
    cached_input: Option<Money>,
    /// A million tokens of output.
    output: Money,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum OtherModels {
    /// With `model_not_priced`.
    Refuse,
    /// Without charging money.
    Free,
}

/// The name of a currency.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
pub(crate) struct Currency(String);

impl Currency {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Currency {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let is_plain = text.chars().all(char::is_alphanumeric);
        if (1..=16).contains(&text.len()) && is_plain {
            Ok(Self(text))
        } else {
            Err("expected the name of a currency such as `USD`, of 1 to 16 letters or digits")
        }
    }
}

/// Prices in their order.
#[derive(Debug, Deserialize)]
#[serde(from = "Vec<Price>")]
pub(crate) struct Table {
    list: Vec<Price>,
    first: FirstMatch,
}

impl From<Vec<Price>> for Table {
    fn from(list: Vec<Price>) -> Self {
        let first = FirstMatch::of(list.iter().map(|price| &price.models));
        Self { list, first }
    }
}

impl Table {
    pub(crate) fn find(&self, model: &str) -> Option<&Price> {
        if model.len() > NAME_MAX {
            return None;
        }
        self.list.get(self.first.place(model)?)
    }

    /// A model that has a price.
    pub(crate) fn example(&self) -> Option<String> {
        self.list.first()?.models.first().map(Pattern::example)
    }

    /// Each with its pointer from here.
    pub(crate) fn mistakes(&self) -> Vec<String> {
        let mut mistakes = Vec::new();
        if self.list.is_empty() {
            mistakes.push("/prices/models: expected at least one price".to_owned());
        }
        for (place, price) in self.list.iter().enumerate() {
            if price.models.is_empty() {
                mistakes.push(format!(
                    "/prices/models/{place}/models: expected at least one model; `*` stands for all"
                ));
            }
        }
        let models = self.list.iter().map(|price| &price.models);
        let again = repeats(models);
        mistakes.extend(again.iter().map(|repeat| repeat.says("prices/models")));
        mistakes
    }
}

impl Price {
    /// What reports call its models.
    pub(crate) fn label(&self) -> &str {
        self.models.first().map_or("", Pattern::as_str)
    }

    /// In millionths, rounded up once.
    pub(crate) fn cost(&self, used: Used) -> u64 {
        let at = |tokens: u64, price: Money| u128::from(tokens) * u128::from(price.micros());
        let cached = used.cached.min(used.input);
        let exact = at(used.input - cached, self.input)
            .saturating_add(at(cached, self.cached_input.unwrap_or(self.input)))
            .saturating_add(at(used.output, self.output));
        u64::try_from(exact.div_ceil(TOKENS)).unwrap_or(u64::MAX)
    }

    /// How much output can be had for so many millionths.
    pub(crate) fn output_for(&self, micros: u64) -> u64 {
        match self.output.micros() {
            0 => u64::MAX,
            price => {
                let tokens = u128::from(micros) * TOKENS / u128::from(price);
                u64::try_from(tokens).unwrap_or(u64::MAX)
            }
        }
    }

    pub(crate) fn is_free(&self) -> bool {
        let cached = self.cached_input.unwrap_or(self.input);
        [self.input, cached, self.output]
            .iter()
            .all(|price| price.micros() == 0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn price(input: u64, cached: Option<u64>, output: u64) -> Price {
        Price {
            models: vec!["m".parse().unwrap()],
            input: Money::of_micros(input),
            cached_input: cached.map(Money::of_micros),
            output: Money::of_micros(output),
        }
    }

    #[test]
    fn cached_input_has_a_price_of_its_own_and_what_is_left_is_rounded_up_once() {
        let used = Used {
            input: 1000,
            cached: 600,
            output: 200,
        };
        assert_eq!(
            price(2_500_000, Some(1_250_000), 10_000_000).cost(used),
            3750
        );
        assert_eq!(price(2_500_000, None, 10_000_000).cost(used), 4500);
        assert_eq!(price(1, Some(1), 1).cost(used), 1);
        assert_eq!(price(0, None, 0).cost(used), 0);
        let odd = Used {
            cached: 5000,
            ..used
        };
        assert_eq!(price(1_000_000, Some(0), 0).cost(odd), 0);
    }

    proptest! {
        #[test]
        fn a_cost_is_exact_to_a_millionth_whatever_the_numbers(
            input in any::<u64>(),
            cached in any::<u64>(),
            output in any::<u64>(),
            a in any::<u64>(),
            b in any::<u64>(),
        ) {
            let used = Used { input, cached, output };
            let cost = price(a, Some(a), b).cost(used);
            // By parts that cannot overflow: each rounded down, and their remainders.
            let part = |tokens: u64, price: u64| {
                let exact = u128::from(tokens) * u128::from(price);
                (exact / TOKENS, exact % TOKENS)
            };
            let ((x, x_rest), (y, y_rest)) = (part(input, a), part(output, b));
            let expected = x + y + (x_rest + y_rest).div_ceil(TOKENS);
            prop_assert_eq!(u128::from(cost), expected.min(u64::MAX.into()));
        }

        #[test]
        fn what_can_be_had_for_an_amount_costs_no_more(micros in any::<u64>(), output_price in 1..=u64::MAX) {
            let price = price(0, None, output_price);
            let output = price.output_for(micros);
            let used = Used { input: 0, cached: 0, output };
            prop_assert!(price.cost(used) <= micros);
        }
    }
}
