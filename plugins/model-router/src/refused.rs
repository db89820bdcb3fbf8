//! Why a request is refused, and how the client is told.

use tollgate_sdk::{Refusal, metrics};

/// A name is shown up to here; a client may have made it long.
const SHOWN_MAX: usize = 128;
/// The names of all models, in bytes: the gateway sends messages of 4 KiB.
const LIST_MAX: usize = 2048;

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// No rule is for this model, and it is not among those that are known; those that the
    /// client may be told.
    Unknown { model: String, known: Vec<String> },
    /// The model is there, and this version of it is not.
    NoVersion { model: String, version: String },
    /// The request names no model.
    NoModel,
    /// The model's name pins one version and the header another.
    TwoVersions,
    /// Nothing is known of the request that the rule splits by.
    NoKey { rule: String },
}

impl Refused {
    pub(crate) fn unknown(model: &str) -> Self {
        Self::Unknown {
            model: model.to_owned(),
            known: Vec::new(),
        }
    }

    /// Stable, for programs.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Unknown { .. } | Self::NoVersion { .. } => "model_not_found",
            Self::NoModel => "model_required",
            Self::TwoVersions => "conflicting_model_versions",
            Self::NoKey { .. } => "routing_key_required",
        }
    }

    fn status(&self) -> u16 {
        match self {
            Self::Unknown { .. } | Self::NoVersion { .. } => 404,
            Self::NoModel | Self::TwoVersions | Self::NoKey { .. } => 400,
        }
    }

    pub(crate) fn message(&self) -> String {
        let what = match self {
            Self::Unknown { model, known } => {
                let (model, known) = (shown(model), list(known));
                format!("the model `{model}` does not exist.{known}")
            }
            Self::NoVersion { model, version } if version.is_empty() => {
                format!("the model `{}` has no such version.", shown(model))
            }
            Self::NoVersion { model, version } => {
                let (model, version) = (shown(model), shown(version));
                format!("the model `{model}` has no version `{version}`.")
            }
            Self::NoModel => "the request names no model.".to_owned(),
            Self::TwoVersions => {
                "the request asks for two versions of the model, by its name and by a header."
                    .to_owned()
            }
            Self::NoKey { rule } => {
                format!("the rule `{rule}` needs to know who asks, and the request does not say.")
            }
        };
        format!("model-router: {what}")
    }

    /// Counts it, and tells the client.
    pub(crate) fn into_refusal(self) -> Refusal {
        metrics::count("refused", &[("code", self.code())], 1);
        Refusal::new(self.status(), self.code(), self.message())
    }
}

/// As it may stand in a message.
fn shown(name: &str) -> String {
    let plain = |char: char| if char.is_control() { '\u{fffd}' } else { char };
    let mut shown: String = name.chars().take(SHOWN_MAX).map(plain).collect();
    if name.chars().nth(SHOWN_MAX).is_some() {
        shown.push('…');
    }
    shown
}

fn list(names: &[String]) -> String {
    if names.is_empty() {
        return String::new();
    }
    let mut list = String::new();
    for (nth, name) in names.iter().enumerate() {
        let name = shown(name);
        if list.len() + name.len() > LIST_MAX {
            return format!(" Known: {list} and {} more.", names.len() - nth);
        }
        let comma = if nth == 0 { "" } else { ", " };
        list.push_str(&format!("{comma}`{name}`"));
    }
    format!(" Known: {list}.")
}
