//! What a route and a model say of tries, made ready: settings beside the state that bounds
//! them. That is shared with the generation before for as long as its settings stay.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::time::Instant;
use tollgate_config::{Cause, Retries, Waits};
use tollgate_upstreams::{
    hedge::{Hedge, HedgeSettings},
    retry::{Backoff, Budget, BudgetSettings},
};

/// How long a request counts in a budget.
const WINDOW: Duration = Duration::from_secs(10);
/// So many retries in that time need no requests: little traffic may retry at all.
const RETRIES_FLOOR: u32 = 3;
const HEDGES_FLOOR: u32 = 1;

/// What a route or a model says.
pub(in crate::serve) struct Manner {
    pub(in crate::serve) retry: Option<Retry>,
    pub(in crate::serve) hedges: Option<Hedges>,
    pub(in crate::serve) waits: Waits,
}

/// Retries, and how many of them there may be.
pub(in crate::serve) struct Retry {
    pub(in crate::serve) rules: Retries,
    pub(in crate::serve) backoff: Backoff,
    budget: Arc<Budget>,
}

impl Retry {
    /// What was spent of the same budget `before` is spent.
    pub(in crate::serve) fn new(rules: Retries, before: Option<&Self>) -> Self {
        let settings = BudgetSettings {
            share: f64::from(rules.budget_percent) / 100.0,
            floor: if rules.budget_percent == 0 {
                0
            } else {
                RETRIES_FLOOR
            },
            window: WINDOW,
        };
        let same = before.filter(|before| before.rules.budget_percent == rules.budget_percent);
        let made = || Arc::new(Budget::new(settings, Instant::now()));
        Self {
            backoff: Backoff {
                base: rules.backoff,
                max: rules.backoff_max,
            },
            budget: same.map_or_else(made, |before| before.budget.clone()),
            rules,
        }
    }

    /// A request came. Where nothing costs a retry, nothing is counted.
    pub(super) fn note_request(&self) {
        if self.rules.count > 0 && self.rules.on.iter().any(costs) {
            self.budget.note_request(Instant::now());
        }
    }

    /// Takes one retry out of the budget, if it costs one.
    pub(super) fn spend(&self, cause: Cause) -> bool {
        !costs(&cause) || self.budget.spend(Instant::now()).is_ok()
    }

    /// One that was taken is not made.
    pub(super) fn give_back(&self, cause: Cause) {
        if costs(&cause) {
            self.budget.give_back(Instant::now());
        }
    }
}

/// What was not sent is no more load when it is sent again.
fn costs(cause: &Cause) -> bool {
    *cause != Cause::Connect
}

/// What is known of each model on its own, streams and whole answers apart: how long a first
/// token takes says nothing of a whole answer.
pub(in crate::serve) struct Hedges {
    settings: HedgeSettings,
    by_model: HashMap<String, Arc<Pair>>,
    other: Arc<Pair>,
}

struct Pair {
    streams: Hedge,
    whole: Hedge,
}

impl Hedges {
    /// What was learnt `before` under the same settings goes on.
    pub(in crate::serve) fn new<'a>(
        hedge: &tollgate_config::Hedge,
        models: impl Iterator<Item = &'a String>,
        before: Option<&Self>,
    ) -> Self {
        let settings = HedgeSettings {
            quantile: f64::from(hedge.percentile) / 100.0,
            samples_min: hedge.samples,
            delay_min: hedge.min_delay,
            budget: BudgetSettings {
                share: f64::from(hedge.budget_percent) / 100.0,
                floor: if hedge.budget_percent == 0 {
                    0
                } else {
                    HEDGES_FLOOR
                },
                window: WINDOW,
            },
        };
        let pair = || {
            Arc::new(Pair {
                streams: Hedge::new(settings, Instant::now()),
                whole: Hedge::new(settings, Instant::now()),
            })
        };
        let before = before.filter(|before| before.settings == settings);
        let of = |model: &String| {
            let known = before.and_then(|before| before.by_model.get(model));
            (model.clone(), known.cloned().unwrap_or_else(pair))
        };
        Self {
            settings,
            by_model: models.map(of).collect(),
            other: before.map_or_else(pair, |before| before.other.clone()),
        }
    }

    pub(super) fn of(&self, model: Option<&str>, is_stream: bool) -> &Hedge {
        let pair = model.and_then(|model| self.by_model.get(model));
        let Pair { streams, whole } = &**pair.unwrap_or(&self.other);
        if is_stream { streams } else { whole }
    }
}

impl Manner {
    /// `models` are those that may be asked for this way; `before` is what the same route or
    /// model said in the generation before.
    pub(in crate::serve) fn new<'a>(
        (retries, hedge): (Option<&Retries>, Option<&tollgate_config::Hedge>),
        waits: &Waits,
        models: impl Iterator<Item = &'a String>,
        before: Option<&Self>,
    ) -> Self {
        let retry_before = before.and_then(|before| before.retry.as_ref());
        let hedges_before = before.and_then(|before| before.hedges.as_ref());
        Self {
            retry: retries.map(|rules| Retry::new(rules.clone(), retry_before)),
            hedges: hedge.map(|hedge| Hedges::new(hedge, models, hedges_before)),
            waits: waits.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manner(budget: u32, percentile: u32, before: Option<&Manner>, models: &[&str]) -> Manner {
        let models: Vec<_> = models.iter().map(|model| (*model).to_owned()).collect();
        let retries = Retries {
            on: vec![Cause::Reset],
            budget_percent: budget,
            ..Retries::default()
        };
        let hedge = tollgate_config::Hedge {
            percentile,
            samples: 1,
            ..Default::default()
        };
        let written = (Some(&retries), Some(&hedge));
        Manner::new(written, &Waits::default(), models.iter(), before)
    }

    fn delay(manner: &Manner, model: &str) -> Option<Duration> {
        let hedges = manner.hedges.as_ref().unwrap();
        hedges.of(Some(model), true).delay()
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_learnt_and_spent_stays_while_the_settings_do() {
        let first = manner(20, 95, None, &["a", "b"]);
        let retry = first.retry.as_ref().unwrap();
        while retry.spend(Cause::Reset) {}
        let hedges = first.hedges.as_ref().unwrap();
        for model in ["a", "none"] {
            let hedge = hedges.of(Some(model), true);
            hedge.note_first_byte(Duration::from_secs(1), Instant::now());
        }

        let same = manner(20, 95, Some(&first), &["a", "c"]);
        assert!(!same.retry.as_ref().unwrap().spend(Cause::Reset));
        assert!(delay(&same, "a").is_some());
        assert!(delay(&same, "none").is_some());
        assert!(delay(&same, "c").is_none());

        let other = manner(21, 94, Some(&same), &["a"]);
        assert!(other.retry.as_ref().unwrap().spend(Cause::Reset));
        assert!(delay(&other, "a").is_none());
        assert!(delay(&other, "none").is_none());
    }
}
