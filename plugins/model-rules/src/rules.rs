//! The rules, and which of them a model falls under.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::{
    settings::{EventRule, RequestRule, ResponseRule},
    spelling::Pattern,
};

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
    names: BTreeMap<String, usize>,
    globs: Vec<(Pattern, usize)>,
}

impl Rules {
    /// The first rule that has one of the names.
    pub(crate) fn find(&self, models: &[Option<&str>]) -> Option<&Rule> {
        let first = models
            .iter()
            .flatten()
            .filter_map(|model| self.place(model))
            .min()?;
        self.list.get(first)
    }

    pub(crate) fn iter(&self) -> std::slice::Iter<'_, Rule> {
        self.list.iter()
    }

    fn place(&self, model: &str) -> Option<usize> {
        let by_name = self.names.get(model).copied();
        let by_glob = self
            .globs
            .iter()
            .take_while(|(_, place)| by_name.is_none_or(|named| *place < named))
            .find(|(glob, _)| glob.has(model))
            .map(|(_, place)| *place);
        by_glob.or(by_name)
    }
}

impl From<Vec<Rule>> for Rules {
    fn from(list: Vec<Rule>) -> Self {
        let mut names = BTreeMap::new();
        let mut globs = Vec::new();
        for (place, rule) in list.iter().enumerate() {
            for pattern in &rule.models {
                if pattern.is_glob() {
                    globs.push((pattern.clone(), place));
                } else {
                    names.entry(pattern.as_str().to_owned()).or_insert(place);
                }
            }
        }
        Self { list, names, globs }
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
