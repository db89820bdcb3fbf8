//! The rules, and which of them a model falls under.

use schemars::JsonSchema;
use serde::Deserialize;
use tollgate_settings::{FirstMatch, Pattern};

use crate::settings::{EventRule, RequestRule, ResponseRule};

/// What happens to the traffic of some models. A rule that says nothing but its models
/// keeps them from the rules below it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rule {
    /// The models, by exact name or with `*` for any text: `llama-3`, `gpt-*`.
    pub(crate) models: Vec<Pattern>,
    /// What is done to the request. Default: nothing.
    #[serde(default)]
    pub(crate) request: RequestRule,
    /// What is done to the response. Default: nothing.
    #[serde(default)]
    pub(crate) response: ResponseRule,
    /// What is done to each event of a stream. Default: nothing.
    #[serde(default)]
    pub(crate) events: EventRule,
}

/// Rules in their order. Names are looked up, so thousands of them cost no more than a few.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(from = "Vec<Rule>")]
pub(crate) struct Rules {
    list: Vec<Rule>,
    #[schemars(skip)]
    first: FirstMatch,
}

impl Rules {
    /// The first rule that has one of the names.
    pub(crate) fn find(&self, models: &[Option<&str>]) -> Option<&Rule> {
        self.list.get(self.first.place_of_any(models)?)
    }

    pub(crate) fn iter(&self) -> std::slice::Iter<'_, Rule> {
        self.list.iter()
    }
}

impl From<Vec<Rule>> for Rules {
    fn from(list: Vec<Rule>) -> Self {
        let first = FirstMatch::of(list.iter().map(|rule| &rule.models));
        Self { list, first }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(rules: &Rules, models: &[Option<&str>]) -> Option<usize> {
        let found = rules.find(models)?;
        rules.iter().position(|rule| std::ptr::eq(rule, found))
    }

    #[test]
    fn the_first_rule_that_has_the_model_wins_be_it_a_name_or_a_glob() {
        let rules: Rules = serde_json::from_value(serde_json::json!([
            { "models": ["gpt-4", "o1"] },
            { "models": ["gpt-*"] },
            { "models": ["gpt-5", "llama"] },
            { "models": ["*a"] },
        ]))
        .unwrap();
        for (models, expected) in [
            (&[Some("gpt-4")][..], Some(0)),
            (&[Some("gpt-5")], Some(1)),
            (&[Some("llama")], Some(2)),
            (&[Some("gemma")], Some(3)),
            (&[Some("qwen")], None),
            (&[None], None),
            (&[Some("qwen"), Some("llama")], Some(2)),
            (&[Some("llama"), Some("o1")], Some(0)),
        ] {
            assert_eq!(place(&rules, models), expected, "{models:?}");
        }
    }
}
