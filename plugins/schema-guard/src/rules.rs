//! The rules, and which of them a model falls under.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::{check::Check, pattern::Pattern, rule::Rule};

/// Rules in their order. Names are looked up, so thousands of them cost no more than a few.
#[derive(Debug, Deserialize)]
#[serde(from = "Vec<Rule>")]
pub(crate) struct Rules {
    list: Vec<(Rule, Vec<Check>)>,
    names: BTreeMap<String, usize>,
    globs: Vec<(Pattern, usize)>,
}

impl Rules {
    /// The first rule that has one of the names.
    pub(crate) fn find(&self, models: &[Option<&str>]) -> Option<(&Rule, &[Check])> {
        let models = models.iter().flatten();
        let first = models.filter_map(|model| self.place(model)).min()?;
        let (rule, checks) = self.list.get(first)?;
        Some((rule, checks))
    }

    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = &Rule> {
        self.list.iter().map(|(rule, _)| rule)
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
        let with_checks = |rule: Rule| {
            let checks = rule.checks();
            (rule, checks)
        };
        let list = list.into_iter().map(with_checks).collect();
        Self { list, names, globs }
    }
}
