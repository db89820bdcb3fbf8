//! What an operator writes.

mod mapping;

use schemars::JsonSchema;
use serde::Deserialize;

pub(crate) use mapping::{
    Body, Completions, Dimensions, Embeddings, FIELDS, Input, Seldon, SeldonForm, Source, UsageAt,
};

use crate::path::{Endpoint, Family, Operation, segment};

/// What clients and the upstream speak, and how the one's words are the other's.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// What clients speak: `open-inference` (V2, and KServe's V1 where nothing is
    /// translated), `openai` (embeddings and completions) or `seldon` (its V1).
    pub(crate) client: Protocol,
    /// What the upstream speaks. Where it is the same, requests and answers pass as they
    /// are. One of the two has to be `open-inference`, or both the same.
    pub(crate) upstream: Protocol,
    /// Whether the model that the path names is the one that the gateway serves the
    /// request with: to be set where the policy stands on a route, and again at the targets.
    /// Default: `false`.
    #[serde(default)]
    pub(crate) choose_model: bool,
    /// The model's version, for paths of V2 that name none. Default: none is named.
    #[serde(default)]
    pub(crate) version: Option<String>,
    /// What becomes of a field that the other side does not have: it is left out and the
    /// metric `dropped` counts it (`drop`), or the request is refused with its name
    /// (`refuse`). Default: `drop`.
    #[serde(default)]
    pub(crate) unsupported: Unsupported,
    /// How OpenAI's embeddings are tensors. Default: they are not served.
    #[serde(default)]
    pub(crate) embeddings: Option<Embeddings>,
    /// How OpenAI's completions are texts or tensors. Default: they are not served.
    #[serde(default)]
    pub(crate) completions: Option<Completions>,
    /// How Seldon's messages are tensors. Default: as its own fields say.
    #[serde(default)]
    pub(crate) seldon: Option<Seldon>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
pub(crate) enum Protocol {
    /// KServe's V2, and its V1.
    #[serde(rename = "open-inference")]
    OpenInference,
    /// Embeddings and completions.
    #[serde(rename = "openai")]
    OpenAi,
    /// `/api/v1.0/predictions`.
    #[serde(rename = "seldon")]
    Seldon,
}

impl Protocol {
    /// As errors call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::OpenInference => "the Open Inference Protocol",
            Self::OpenAi => "OpenAI's API",
            Self::Seldon => "Seldon's V1",
        }
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Unsupported {
    /// It is left out and counted.
    #[default]
    Drop,
    /// The request is refused.
    Refuse,
}

impl Settings {
    /// Whether anything but names and paths is changed.
    pub(crate) fn translates(&self) -> bool {
        self.client != self.upstream
    }

    pub(crate) fn seldon(&self) -> &Seldon {
        static DEFAULT: Seldon = Seldon::DEFAULT;
        self.seldon.as_ref().unwrap_or(&DEFAULT)
    }

    /// Whether a client may ask for this.
    pub(crate) fn serves(&self, endpoint: &Endpoint) -> bool {
        use Operation::{Completions, Embeddings, Generate, GenerateStream, Infer, Predict};
        let operation = endpoint.operation;
        if !self.translates() {
            return match self.client {
                Protocol::OpenInference => matches!(endpoint.family, Family::V1 | Family::V2),
                Protocol::Seldon => endpoint.family == Family::Seldon,
                Protocol::OpenAi => false,
            };
        }
        match (self.client, endpoint.family) {
            (Protocol::OpenAi, Family::OpenAi) => match operation {
                Embeddings => self.embeddings.is_some(),
                Completions => self.completions.is_some(),
                _ => false,
            },
            (Protocol::Seldon, Family::Seldon) => operation == Predict,
            (Protocol::OpenInference, Family::V2) if self.upstream == Protocol::Seldon => {
                operation == Infer
            }
            (Protocol::OpenInference, Family::V2) => match (operation, &self.completions) {
                (Infer, Some(completions)) => {
                    self.embeddings.is_some() || completions.body == Body::Tensors
                }
                (Infer, None) => self.embeddings.is_some(),
                (Generate, Some(completions)) => completions.body == Body::Text,
                (GenerateStream, Some(_)) => true,
                _ => false,
            },
            _ => false,
        }
    }

    pub(crate) fn check(&self) -> Result<(), Vec<String>> {
        let mut errors = Vec::new();
        self.check_sides(&mut errors);
        if let Some(version) = &self.version
            && segment(version).is_none()
        {
            errors.push("/version: expected a version such as `1`, without `/`".to_owned());
        }
        if let Some(embeddings) = &self.embeddings {
            embeddings.check("/embeddings", &mut errors);
        }
        if let Some(completions) = &self.completions {
            completions.check("/completions", &mut errors);
        }
        if let Some(seldon) = &self.seldon {
            seldon.check("/seldon", &mut errors);
        }
        if errors.is_empty() {
            Ok(())
        } else {
            Err(errors)
        }
    }

    fn check_sides(&self, errors: &mut Vec<String>) {
        let speaks = |protocol| self.client == protocol || self.upstream == protocol;
        match (self.client, self.upstream) {
            (Protocol::OpenAi, Protocol::OpenAi) => errors.push(
                "/upstream: expected `open-inference`: between OpenAI's clients and servers there is nothing to translate"
                    .to_owned(),
            ),
            (Protocol::OpenAi, Protocol::Seldon) | (Protocol::Seldon, Protocol::OpenAi) => errors
                .push("/upstream: expected `open-inference` or what `client` says".to_owned()),
            _ => {}
        }
        let maps = self.embeddings.is_some() || self.completions.is_some();
        if speaks(Protocol::OpenAi) && !maps {
            errors.push(
                "/embeddings: expected this or `completions`, where one side is `openai`"
                    .to_owned(),
            );
        }
        if !speaks(Protocol::OpenAi) {
            for (name, is_there) in [
                ("embeddings", self.embeddings.is_some()),
                ("completions", self.completions.is_some()),
            ] {
                if is_there {
                    errors.push(format!("/{name}: expected only where one side is `openai`"));
                }
            }
        }
        if self.seldon.is_some() && !speaks(Protocol::Seldon) {
            errors.push("/seldon: expected only where one side is `seldon`".to_owned());
        }
        if self.choose_model && self.client == Protocol::OpenAi {
            errors.push(
                "/choose_model: expected `false` where `client` is `openai`: its bodies name the model"
                    .to_owned(),
            );
        }
    }
}
