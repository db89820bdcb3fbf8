//! One rule: for which requests it is, and where they go.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::{names::Name, then::Then, when::When};

/// The first rule that is for a request leads it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rule {
    /// What logs, metrics and errors call it.
    pub(crate) name: Name,
    /// Which requests it is for. Default: all.
    #[serde(default)]
    pub(crate) when: When,
    /// Where they go.
    pub(crate) then: Then,
}

impl Rule {
    /// What its split is drawn by.
    pub(crate) fn seed(&self) -> &str {
        let split = self.then.split.as_ref();
        let own = split.and_then(|split| split.seed.as_ref());
        own.unwrap_or(&self.name).as_str()
    }

    /// Each with its pointer from here.
    pub(crate) fn mistakes(&self) -> Vec<String> {
        let when = self.when.mistakes().into_iter();
        let when = when.map(|mistake| format!("/when{mistake}"));
        let then = self.then.mistakes().into_iter();
        when.chain(then.map(|mistake| format!("/then{mistake}")))
            .collect()
    }
}
