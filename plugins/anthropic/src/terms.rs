//! The terms of one translation, and what was left out on them.

use serde_json::Value;
use tollgate_sdk::metrics;

use crate::{
    at::At,
    fault::Fault,
    fields::Fields,
    settings::{Settings, Side, Thinking, Unsupported},
};

/// See the module.
pub(crate) struct Terms<'a> {
    pub(crate) settings: &'a Settings,
    /// To which the request goes.
    to: Side,
    dropped: Vec<(&'static str, u64)>,
}

impl<'a> Terms<'a> {
    pub(crate) fn new(settings: &'a Settings) -> Self {
        Self {
            settings,
            to: settings.client.other(),
            dropped: Vec::new(),
        }
    }

    pub(crate) fn passes_thinking(&self) -> bool {
        self.settings.thinking == Thinking::Pass
    }

    /// A field that the other side does not have.
    ///
    /// # Errors
    /// Such a request is to be refused.
    pub(crate) fn lose(&mut self, at: At) -> Result<(), Fault> {
        if self.settings.unsupported == Unsupported::Refuse {
            return Err(self.unsupported(at));
        }
        self.note(label(at.name()));
        Ok(())
    }

    /// All that was not taken of an object, unless it says what is so anyway.
    ///
    /// # Errors
    /// As [`lose`](Self::lose).
    pub(crate) fn lose_rest(&mut self, fields: &Fields) -> Result<(), Fault> {
        for (name, value) in fields.rest() {
            if !says_nothing(name, value) {
                self.lose(fields.at.field(name))?;
            }
        }
        Ok(())
    }

    /// What cannot be left out without saying something else.
    pub(crate) fn unsupported(&self, at: At) -> Fault {
        Fault::unsupported(at, self.to.name())
    }

    pub(crate) fn note(&mut self, field: &'static str) {
        match self.dropped.iter_mut().find(|(name, _)| *name == field) {
            Some((_, count)) => *count += 1,
            None => self.dropped.push((field, 1)),
        }
    }

    /// Counts what was left out, one call for each name.
    pub(crate) fn tell(&mut self) {
        for (field, count) in self.dropped.drain(..) {
            metrics::count("dropped", &[("field", field)], count);
        }
    }
}

/// A client can make up names, so only known ones become labels.
fn label(name: &str) -> &'static str {
    const KNOWN: [&str; 48] = [
        "allowed_tools",
        "audio",
        "cache_control",
        "citations",
        "container",
        "content",
        "context",
        "context_management",
        "description",
        "detail",
        "effort",
        "format",
        "frequency_penalty",
        "function_call",
        "functions",
        "include_obfuscation",
        "inference_geo",
        "is_error",
        "logit_bias",
        "logprobs",
        "mcp_servers",
        "metadata",
        "modalities",
        "n",
        "name",
        "output_config",
        "parallel_tool_calls",
        "prediction",
        "presence_penalty",
        "prompt_cache_key",
        "prompt_cache_retention",
        "reasoning_content",
        "reasoning_effort",
        "response_format",
        "safety_identifier",
        "seed",
        "service_tier",
        "speed",
        "store",
        "strict",
        "temperature",
        "thinking",
        "thinking_blocks",
        "title",
        "tool_choice",
        "tools",
        "top_logprobs",
        "verbosity",
    ];
    KNOWN
        .into_iter()
        .find(|known| *known == name)
        .unwrap_or("other")
}

/// Whether a field has the value that it has anyway.
fn says_nothing(name: &str, value: &Value) -> bool {
    match name {
        "n" => value == 1,
        "logprobs" | "store" | "include_obfuscation" | "is_error" => value == false,
        "presence_penalty" | "frequency_penalty" => value.as_f64() == Some(0.0),
        "logit_bias" | "metadata" => value.as_object().is_some_and(serde_json::Map::is_empty),
        "modalities" => value.as_array().is_some_and(|kinds| {
            kinds.len() == 1 && kinds.first().is_some_and(|kind| kind == "text")
        }),
        "annotations" | "citations" => value.as_array().is_some_and(Vec::is_empty),
        "caller" => value.get("type").is_some_and(|kind| kind == "direct"),
        _ => false,
    }
}
