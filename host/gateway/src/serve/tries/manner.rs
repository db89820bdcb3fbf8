//! What a route and a model say of tries, made ready: settings beside the state that bounds
//! them.

use std::{collections::HashMap, time::Duration};

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
    budget: Budget,
}

impl Retry {
    pub(in crate::serve) fn new(rules: Retries) -> Self {
        let settings = BudgetSettings {
            share: f64::from(rules.budget_percent) / 100.0,
            floor: if rules.budget_percent == 0 {
                0
            } else {
                RETRIES_FLOOR
            },
            window: WINDOW,
        };
        Self {
            backoff: Backoff {
                base: rules.backoff,
                max: rules.backoff_max,
            },
            budget: Budget::new(settings, Instant::now()),
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
}

/// What was not sent is no more load when it is sent again.
fn costs(cause: &Cause) -> bool {
    *cause != Cause::Connect
}

/// What is known of each model on its own, streams and whole answers apart: how long a first
/// token takes says nothing of a whole answer.
pub(in crate::serve) struct Hedges {
    by_model: HashMap<String, Pair>,
    other: Pair,
}

struct Pair {
    streams: Hedge,
    whole: Hedge,
}

impl Hedges {
    pub(in crate::serve) fn new<'a>(
        hedge: &tollgate_config::Hedge,
        models: impl Iterator<Item = &'a String>,
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
        let pair = || Pair {
            streams: Hedge::new(settings, Instant::now()),
            whole: Hedge::new(settings, Instant::now()),
        };
        Self {
            by_model: models.map(|model| (model.clone(), pair())).collect(),
            other: pair(),
        }
    }

    pub(super) fn of(&self, model: Option<&str>, is_stream: bool) -> &Hedge {
        let pair = model.and_then(|model| self.by_model.get(model));
        let Pair { streams, whole } = pair.unwrap_or(&self.other);
        if is_stream { streams } else { whole }
    }
}

impl Manner {
    /// `models` are those that may be asked for this way.
    pub(in crate::serve) fn new<'a>(
        retries: Option<&Retries>,
        hedge: Option<&tollgate_config::Hedge>,
        waits: &Waits,
        models: impl Iterator<Item = &'a String>,
    ) -> Self {
        Self {
            retry: retries.cloned().map(Retry::new),
            hedges: hedge.map(|hedge| Hedges::new(hedge, models)),
            waits: waits.clone(),
        }
    }
}
