//! What a client of V2 asks an OpenAI upstream: embeddings, or completions.

mod embeddings;
mod generate;
pub(crate) mod stream;

pub(crate) use embeddings::Embed;
pub(crate) use generate::Generate;

use crate::{json::Object, said::Usage, settings::UsageAt};

/// What a request of V2 says of itself, to be said in its answer.
#[derive(Debug, Clone, Default)]
pub(crate) struct Named {
    pub(crate) model: String,
    pub(crate) version: Option<String>,
    pub(crate) id: Option<String>,
}

impl Named {
    /// What an answer of V2 begins with.
    pub(crate) fn answer(&self) -> Object {
        let mut out = Object::default();
        out.put("model_name", &self.model);
        out.put_some("model_version", self.version.as_ref());
        out.put_some("id", self.id.as_ref());
        out
    }
}

/// Where the mapping has tokens as parameters, they are told there.
fn put_usage(out: &mut Object, usage: Usage, places: &UsageAt) {
    let counted = usage.parameters(places);
    if !counted.is_empty() {
        let mut parameters = Object::default();
        for (name, tokens) in counted {
            parameters.put(name, &tokens);
        }
        out.raw("parameters", &parameters.into_text());
    }
}
