//! A share that grows by a schedule.

use schemars::JsonSchema;
use serde::Deserialize;

use tollgate_settings::{Instant, Period};

use crate::then::Arm;

const STEPS_MAX: usize = 64;

/// Moves requests to one arm, step by step.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Shift {
    /// The arm, by its name; the others share what it leaves, by their weights.
    to: String,
    /// The time that `after` counts from, of RFC 3339. Default: each step says `at`.
    #[serde(default)]
    start: Option<Instant>,
    /// Its share from each time on; before the first, it has none.
    #[schemars(length(min = 1, max = 64))]
    steps: Vec<Step>,
}

/// A share from a time on.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Step {
    /// The time, of RFC 3339. Default: `after`.
    #[serde(default)]
    at: Option<Instant>,
    /// The time since `start`, such as `0s`, `12h` or `3d`. Default: `at`.
    #[serde(default)]
    after: Option<Since>,
    /// The arm's share of the requests, 0 to 100.
    percent: Percent,
}

/// A time since another, also none at all.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String")]
struct Since {
    ms: u64,
}

/// From 0 to 100.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Deserialize, JsonSchema)]
#[serde(try_from = "f64")]
#[schemars(with = "f64")]
struct Percent(f64);

impl Shift {
    pub(crate) fn shares(&self, arms: &[Arm], now_ms: u64) -> Vec<f64> {
        let percent = self.percent(now_ms);
        let others = arms.iter().filter(|arm| arm.name != self.to);
        let of_others: f64 = others.map(|arm| f64::from(arm.weight)).sum();
        let share = |arm: &Arm| {
            if arm.name == self.to {
                percent
            } else if of_others > 0.0 {
                (100.0 - percent) * f64::from(arm.weight) / of_others
            } else {
                0.0
            }
        };
        arms.iter().map(share).collect()
    }

    fn percent(&self, now_ms: u64) -> f64 {
        let mut latest_first = self.steps.iter().rev();
        let is_begun = |step: &&Step| {
            let begins = step.begins_ms(self.start);
            begins.is_some_and(|begins| begins <= now_ms)
        };
        let begun = latest_first.find(is_begun);
        begun.map_or(0.0, |step| step.percent.0)
    }

    /// Each with its pointer from here.
    pub(crate) fn mistakes(&self, arms: &[Arm]) -> Vec<String> {
        let mut mistakes = Vec::new();
        if !arms.iter().any(|arm| arm.name == self.to) {
            let names: Vec<_> = arms.iter().map(|arm| format!("`{}`", arm.name)).collect();
            mistakes.push(format!(
                "/to: there is no arm `{}`: expected one of {}",
                self.to,
                names.join(", ")
            ));
        }
        let mut others = arms.iter().filter(|arm| arm.name != self.to);
        let is_alone = others.all(|arm| arm.weight == 0);
        if is_alone {
            mistakes.push(": expected another arm with a weight, for what `to` leaves".to_owned());
        }
        if self.steps.is_empty() || self.steps.len() > STEPS_MAX {
            let found = self.steps.len();
            mistakes.push(format!(
                "/steps: expected 1 to {STEPS_MAX} steps, found {found}"
            ));
        }
        let mut before = None;
        for (place, step) in self.steps.iter().enumerate() {
            let mistake = match (step.at, step.after, self.start) {
                (Some(_), None, _) | (None, Some(_), Some(_)) => None,
                (None, Some(_), None) => Some("/after: expected `start` beside `to`"),
                (Some(_), Some(_), _) => Some(": expected `at` or `after`, not both"),
                (None, None, _) => Some(": expected `at` or `after`"),
            };
            let from = step.begins_ms(self.start);
            let is_late = from
                .zip(before)
                .is_some_and(|(from, before)| from <= before);
            let late = is_late.then_some(": expected a time after that of the step before");
            before = from.or(before);
            let mistake = mistake.or(late);
            mistakes.extend(mistake.map(|mistake| format!("/steps/{place}{mistake}")));
        }
        mistakes
    }
}

impl Step {
    fn begins_ms(&self, start: Option<Instant>) -> Option<u64> {
        match (self.at, self.after, start) {
            (Some(at), ..) => Some(at.ms()),
            (None, Some(after), Some(start)) => Some(start.ms().saturating_add(after.ms)),
            _ => None,
        }
    }
}

impl TryFrom<String> for Since {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if ["0ms", "0s", "0m", "0h", "0d"].contains(&text.as_str()) {
            return Ok(Self { ms: 0 });
        }
        let period = Period::try_from(text).map_err(|error| error.to_string())?;
        Ok(Self { ms: period.ms() })
    }
}

impl TryFrom<f64> for Percent {
    type Error = &'static str;

    fn try_from(number: f64) -> Result<Self, Self::Error> {
        if (0.0..=100.0).contains(&number) {
            Ok(Self(number))
        } else {
            Err("expected a number from 0 to 100")
        }
    }
}
