//! What an operator writes, and what of it cannot be.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::limit::Limit;

/// Each limit of a request is a call of the host or two.
const LIMITS_MAX: usize = 64;

/// Which requests are let through.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The limits, in the order in which they are asked. A request needs room in all that
    /// apply to it; if one refuses it, it takes from none.
    #[schemars(length(min = 1, max = 64))]
    pub(crate) limits: Vec<Limit>,
    /// Whether clients are told how they stand: the headers `x-ratelimit-limit-requests`,
    /// `x-ratelimit-remaining-requests` and `x-ratelimit-reset-requests`, on answers and
    /// on refusals, of the limit that has the fewest requests left. Default: `true`.
    #[serde(default = "yes")]
    pub(crate) headers: bool,
}

fn yes() -> bool {
    true
}

impl Settings {
    /// What the types cannot say, each mistake with its JSON pointer.
    pub(crate) fn check(&self) -> Result<(), Vec<String>> {
        let mut mistakes = Vec::new();
        if self.limits.is_empty() || self.limits.len() > LIMITS_MAX {
            mistakes.push(format!(
                "/limits: expected 1 to {LIMITS_MAX} limits, found {}",
                self.limits.len()
            ));
        }
        let mut seen = BTreeMap::new();
        for (place, limit) in self.limits.iter().enumerate() {
            let name = limit.name.as_str();
            if let Some(first) = seen.insert(name, place) {
                mistakes.push(format!(
                    "/limits/{place}/name: `{name}` is the name of /limits/{first} already"
                ));
            }
            let at_limit = limit.mistakes().into_iter();
            mistakes.extend(at_limit.map(|mistake| format!("/limits/{place}{mistake}")));
        }
        if mistakes.is_empty() {
            Ok(())
        } else {
            Err(mistakes)
        }
    }
}
