//! What an operator writes, and what of it cannot be.

use schemars::JsonSchema;
use serde::Deserialize;
use tollgate_settings::repeats;

use crate::{rule::Rule, rules::Rules};

/// What requests have to be like.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The rules. A request has to fit the first that has its model, and no other.
    #[schemars(with = "Vec<Rule>", length(min = 1))]
    pub(crate) rules: Rules,
    /// What becomes of a request for a model that no rule has, or for none: `allow` lets it
    /// through unchecked, `refuse` refuses it. There is no default: it is the choice
    /// between a list of exceptions and a list of what is allowed.
    pub(crate) other_models: OtherModels,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum OtherModels {
    /// Unchecked.
    Allow,
    /// With `model_not_allowed`.
    Refuse,
}

impl Settings {
    /// What the types cannot say, each mistake with its JSON pointer.
    pub(crate) fn check(&self) -> Result<(), Vec<String>> {
        let mut mistakes = Vec::new();
        if self.rules.iter().len() == 0 {
            mistakes.push("/rules: expected at least one rule".to_owned());
        }
        let models = self.rules.iter().map(|rule| &rule.models);
        mistakes.extend(repeats(models).iter().map(|repeat| repeat.says("rules")));
        for (place, rule) in self.rules.iter().enumerate() {
            let of_rule = rule.mistakes().into_iter();
            mistakes.extend(of_rule.map(|mistake| format!("/rules/{place}{mistake}")));
        }
        if mistakes.is_empty() {
            Ok(())
        } else {
            Err(mistakes)
        }
    }
}
