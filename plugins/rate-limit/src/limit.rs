//! One limit: what counts together, how much of it there is, and for whom.

use std::num::NonZeroU64;

use schemars::JsonSchema;
use serde::Deserialize;
use tollgate_sdk::limits;
use tollgate_settings::{Name, Pattern, Period};

mod fact;
mod rate;

pub(crate) use fact::Fact;
pub(crate) use rate::Rate;

/// How soon a place is free again if an exchange could not give it back.
const HEALS_MS: u64 = 1000;

/// Requests in a time, requests at once, or both.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Limit {
    /// What errors and metrics call it: letters, digits, `-`, `_` and `.`. Limits of the
    /// same name in several policies of this plugin count together.
    pub(crate) name: Name,
    /// What counts together: requests of the same `caller`, `tier`, `model` (as the client
    /// calls it), `route`, or with the same value of any other fact. Of several, each
    /// combination counts for itself; with `[]`, all requests count together.
    pub(crate) by: Vec<Fact>,
    /// A request for which something in `by` is not known is refused (`refuse`), counts
    /// together with all others of which it is not known (`share`), or passes this limit
    /// by (`skip`). Default: `refuse`.
    #[serde(default)]
    pub(crate) on_missing: OnMissing,
    /// Which requests it applies to. Default: all.
    #[serde(default, rename = "match")]
    pub(crate) applies: Match,
    /// How many requests there are in a `period`. Default: as many as come.
    #[serde(default)]
    pub(crate) requests: Option<NonZeroU64>,
    /// The time for `requests`: a whole number and `ms`, `s`, `m`, `h` or `d`, such as `1m`.
    #[serde(default)]
    pub(crate) period: Option<Period>,
    /// How requests come back. Default: `sliding-window`.
    #[serde(default)]
    pub(crate) algorithm: Algorithm,
    /// How many requests of a `token-bucket` may come at a stretch, after a rest. Default:
    /// as many as `requests`.
    #[serde(default)]
    pub(crate) burst: Option<NonZeroU64>,
    /// How many requests may run at once, until the last byte of their answer. Default: as
    /// many as come.
    #[serde(default)]
    pub(crate) concurrency: Option<NonZeroU64>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum OnMissing {
    /// With an error.
    #[default]
    Refuse,
    /// One count for all of them.
    Share,
    /// The limit does not apply.
    Skip,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Algorithm {
    /// At most `requests` in any window of `period`.
    #[default]
    SlidingWindow,
    /// At most `burst` at a stretch, refilled evenly: `requests` in each `period`.
    TokenBucket,
}

/// All of its lists have to hold; an empty one holds for every request.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Match {
    /// Models as the client calls them, by exact name or with `*` for any text. A request
    /// without a model is none of them. Default: all.
    pub(crate) models: Vec<Pattern>,
    /// Values of the fact `tier`. Default: all, and those without one.
    pub(crate) tiers: Vec<String>,
    /// Names of routes. Default: all.
    pub(crate) routes: Vec<String>,
}

impl Match {
    pub(crate) fn holds(&self, model: Option<&str>, tier: Option<&str>, route: &str) -> bool {
        let has = |names: &[String], name: &str| names.iter().any(|listed| listed == name);
        let has_model = |model| self.models.iter().any(|pattern| pattern.has(model));
        (self.models.is_empty() || model.is_some_and(has_model))
            && (self.tiers.is_empty() || tier.is_some_and(|tier| has(&self.tiers, tier)))
            && (self.routes.is_empty() || has(&self.routes, route))
    }
}

impl Limit {
    /// The requests in a time, if they are limited.
    pub(crate) fn rate(&self) -> Option<Rate> {
        let (requests, period) = self.requests.zip(self.period)?;
        Some(match self.algorithm {
            Algorithm::SlidingWindow => Rate::window(requests, period),
            Algorithm::TokenBucket => Rate::bucket(requests, period, self.burst),
        })
    }

    /// The places of requests at once. The host holds one for however long it is taken, and
    /// gives it back within this time if whoever took it went down with it.
    pub(crate) fn places(&self) -> Option<limits::Limit> {
        Some(limits::Limit {
            algorithm: limits::Algorithm::TokenBucket,
            amount: self.concurrency?.get(),
            period_ms: HEALS_MS,
        })
    }

    pub(crate) fn goes_by_model(&self) -> bool {
        let counts_models = self.by.iter().any(|fact| fact.as_str() == "model");
        counts_models || !self.applies.models.is_empty()
    }

    /// Each with its pointer from here.
    pub(crate) fn mistakes(&self) -> Vec<String> {
        let mut mistakes = Vec::new();
        let mut say = |mistake: &str| mistakes.push(mistake.to_owned());
        match (self.requests, self.period) {
            (Some(_), None) => say("/period: is missing: expected the time for `requests`"),
            (None, Some(_)) => say("/requests: is missing: expected how many in this `period`"),
            (None, None) if self.concurrency.is_none() => {
                say(": limits nothing: expected `requests` and `period`, `concurrency`, or both");
            }
            (Some(_), Some(_)) | (None, None) => {}
        }
        match (self.algorithm, self.burst, self.requests.zip(self.period)) {
            (_, None, _) => {}
            (Algorithm::SlidingWindow, ..) => {
                say("/burst: only a limit with `algorithm: token-bucket` has one");
            }
            (_, _, None) => say("/burst: expected `requests` and `period` beside it"),
            (Algorithm::TokenBucket, Some(burst), Some((requests, period))) => {
                if let Some(mistake) = rate::mistake(requests, period, burst) {
                    say(&format!("/burst: {mistake}"));
                }
            }
        }
        for (place, fact) in self.by.iter().enumerate() {
            if self.by[..place].contains(fact) {
                say(&format!(
                    "/by/{place}: `{}` is listed before",
                    fact.as_str()
                ));
            }
        }
        mistakes
    }
}
