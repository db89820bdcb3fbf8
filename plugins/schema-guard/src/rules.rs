//! The rules, and which of them a model falls under.

use serde::Deserialize;
use tollgate_settings::FirstMatch;

use crate::{check::Check, rule::Rule};

/// Rules in their order. Names are looked up, so thousands of them cost no more than a few.
#[derive(Debug, Deserialize)]
#[serde(from = "Vec<Rule>")]
pub(crate) struct Rules {
    list: Vec<(Rule, Vec<Check>)>,
    first: FirstMatch,
}

impl Rules {
    /// The first rule that has one of the names.
    pub(crate) fn find(&self, models: &[Option<&str>]) -> Option<(&Rule, &[Check])> {
        let (rule, checks) = self.list.get(self.first.place_of_any(models)?)?;
        Some((rule, checks))
    }

    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = &Rule> {
        self.list.iter().map(|(rule, _)| rule)
    }
}

impl From<Vec<Rule>> for Rules {
    fn from(list: Vec<Rule>) -> Self {
        let first = FirstMatch::of(list.iter().map(|rule| &rule.models));
        let with_checks = |rule: Rule| {
            let checks = rule.checks();
            (rule, checks)
        };
        let list = list.into_iter().map(with_checks).collect();
        Self { list, first }
    }
}
