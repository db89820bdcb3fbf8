//! Where copies of a rule's requests go, whose answers nobody gets.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::names::Destination;

/// To a model, an upstream, or that model's target there.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Shadow {
    /// A model of the configuration. Default: the one that the client asks for.
    #[serde(default)]
    pub(crate) model: Option<Destination>,
    /// An upstream of the configuration. Default: as the model's targets say.
    #[serde(default)]
    pub(crate) upstream: Option<Destination>,
    /// How many of the rule's requests are copied, in percent; each is drawn. Default: 100.
    #[serde(default = "all")]
    #[schemars(range(min = 1, max = 100))]
    percent: u8,
}

fn all() -> u8 {
    100
}

impl Shadow {
    /// Each with its pointer from here.
    pub(crate) fn mistakes(&self) -> Vec<String> {
        let mut mistakes = Vec::new();
        if !cfg!(any(feature = "shadow", not(target_arch = "wasm32"))) {
            mistakes.push(
                ": this plugin was built without it: expected the feature `shadow`".to_owned(),
            );
        }
        if self.model.is_none() && self.upstream.is_none() {
            mistakes.push(": leads nowhere: expected a `model` or an `upstream`".to_owned());
        }
        if !(1..=100).contains(&self.percent) {
            mistakes.push("/percent: expected a number from 1 to 100".to_owned());
        }
        mistakes
    }

    pub(crate) fn is_drawn(&self, random: impl FnOnce() -> u64) -> bool {
        // The bias of a remainder of 64 bits is nothing.
        self.percent >= 100 || random() % 100 < u64::from(self.percent)
    }
}
