//! Counts what was replaced, for the metric `redacted`.

use tollgate_sdk::metrics;

use crate::{find::Match, rules::Rules};

/// What was found in one hook.
pub(crate) struct Tally<'r> {
    rules: &'r Rules,
    place: &'static str,
    counts: [u32; Rules::MAX],
    is_empty: bool,
}

impl<'r> Tally<'r> {
    pub(crate) fn of(rules: &'r Rules, place: &'static str) -> Self {
        Self {
            rules,
            place,
            counts: [0; Rules::MAX],
            is_empty: true,
        }
    }

    pub(crate) fn add(&mut self, found: &Match) {
        self.counts[found.rule] += 1;
        self.is_empty = false;
    }

    /// One call for each kind that was found.
    pub(crate) fn tell(&self) {
        if self.is_empty {
            return;
        }
        for (rule, count) in self
            .counts
            .iter()
            .enumerate()
            .filter(|(_, count)| **count > 0)
        {
            let labels = [
                ("kind", self.rules.get(rule).name.as_str()),
                ("in", self.place),
            ];
            metrics::count("redacted", &labels, u64::from(*count));
        }
    }
}
