//! What an operator writes about the requests for some models.

use std::num::NonZeroU64;

use schemars::JsonSchema;
use serde::Deserialize;
use tollgate_settings::Pattern;

use crate::{
    check::{Check, Judge},
    pointer::Pointer,
    schema::Node,
};

/// What requests for some models have to be like. A rule that says nothing but its models
/// lets them through, and keeps them from the rules below it. In requests, `null` is as
/// good as missing, except to `schema`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rule {
    /// The models, by exact name or with `*` for any text: `llama-3`, `gpt-*`.
    #[schemars(length(min = 1))]
    pub(crate) models: Vec<Pattern>,
    /// The longest body, in bytes, as the client sent it. Default: 1048576 if the rule has
    /// anything but numbers, since a plugin's memory and time are for no more; else the
    /// gateway's limit.
    #[serde(default)]
    pub(crate) body_bytes_max: Option<NonZeroU64>,
    /// The output that may be asked for: `max_tokens`, `max_completion_tokens` and
    /// `max_output_tokens`, each. Default: any.
    #[serde(default)]
    pub(crate) max_tokens: Option<Range>,
    /// How many answers may be asked for: `n` and `best_of`, each. Default: any.
    #[serde(default)]
    pub(crate) n: Option<Range>,
    /// The most messages: elements of `messages`, or of `input`. Default: any number.
    #[serde(default)]
    pub(crate) messages_max: Option<u32>,
    /// The longest prompt, by an estimate. Default: any.
    #[serde(default)]
    pub(crate) prompt: Option<Prompt>,
    /// Images in `messages` and `input`. Default: any.
    #[serde(default)]
    pub(crate) images: Option<Images>,
    /// Which tools may be given to the model. Default: any.
    #[serde(default)]
    pub(crate) tools: Option<Tools>,
    /// What `response_format` (or `text/format`) may have as its `type`, such as `text`,
    /// `json_object` and `json_schema`. A request without one passes. Default: any.
    #[serde(default)]
    pub(crate) response_formats: Option<Vec<String>>,
    /// Fields that have to be there. Default: none.
    #[serde(default)]
    pub(crate) required: Vec<Pointer>,
    /// Fields that must not be there. Default: none.
    #[serde(default)]
    pub(crate) forbidden: Vec<Pointer>,
    /// A JSON schema for the whole body, of the keywords listed here; any other is refused.
    /// Default: none.
    #[serde(default)]
    pub(crate) schema: Option<Node>,
}

/// Bounds of a whole number.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Range {
    /// The smallest that is allowed. Default: 0.
    #[serde(default)]
    pub(crate) min: u64,
    /// The largest that is allowed. Default: any.
    #[serde(default)]
    pub(crate) max: Option<u64>,
    /// Whether it has to be stated. Default: `false`.
    #[serde(default)]
    pub(crate) required: bool,
}

/// Tokens are estimated: the bytes of what the model is given to read, tools included and
/// inline files left out, divided by a number.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Prompt {
    /// The most tokens.
    pub(crate) tokens_max: u64,
    /// How many bytes are estimated to be one token. Default: 4.
    #[serde(default = "bytes_per_token")]
    pub(crate) bytes_per_token: NonZeroU64,
}

/// Images that are sent along, by URL or inline.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Images {
    /// The most images of a request; 0: none.
    pub(crate) max: u64,
    /// The largest inline file, in bytes once decoded; audio and documents count, too. 0:
    /// none. Default: any size.
    #[serde(default)]
    pub(crate) inline_bytes_max: Option<u64>,
}

/// Tools by the names that the client gives them.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tools {
    /// The allowed ones, by exact name or with `*` for any text; a tool without a name goes
    /// by its `type`, such as `web_search`. `[]`: none. Default: any.
    #[serde(default)]
    pub(crate) allow: Option<Vec<Pattern>>,
    /// The most tools. Default: any number.
    #[serde(default)]
    pub(crate) max: Option<u64>,
}

fn bytes_per_token() -> NonZeroU64 {
    NonZeroU64::new(4).unwrap_or(NonZeroU64::MIN)
}

/// What is read of a body may be there three times, as the whole, as a part and as a tree,
/// and be walked through twice.
const READ_BYTES_MAX: u64 = 1 << 20;

impl Rule {
    /// The longest body that its checks are made for.
    pub(crate) fn bytes_max(&self) -> Option<u64> {
        let reads = self.prompt.is_some()
            || self.images.is_some()
            || self.tools.is_some()
            || self.response_formats.is_some()
            || self.schema.is_some()
            || !self.required.is_empty()
            || !self.forbidden.is_empty();
        let stated = self.body_bytes_max.map(NonZeroU64::get);
        stated.or(reads.then_some(READ_BYTES_MAX))
    }

    /// The checks of its fields, the cheapest first.
    pub(crate) fn checks(&self) -> Vec<Check> {
        let mut checks = Vec::new();
        let mut add = |asks: &[&str], judge| checks.push(Check::new(asks, judge));
        if let Some(range) = self.max_tokens {
            let fields = [
                "/max_tokens",
                "/max_completion_tokens",
                "/max_output_tokens",
            ];
            add(&fields, Judge::Number(range));
        }
        if let Some(range) = self.n {
            add(&["/n", "/best_of"], Judge::Number(range));
        }
        for pointer in &self.required {
            add(&[pointer.as_str()], Judge::Required);
        }
        for pointer in &self.forbidden {
            add(&[pointer.as_str()], Judge::Forbidden);
        }
        if let Some(max) = self.messages_max {
            let beyond = [format!("/messages/{max}"), format!("/input/{max}")];
            add(&beyond.each_ref().map(String::as_str), Judge::Messages(max));
        }
        if let Some(formats) = &self.response_formats {
            let fields = [
                "/response_format",
                "/response_format/type",
                "/text/format",
                "/text/format/type",
            ];
            add(&fields, Judge::Formats(formats.clone()));
        }
        if let Some(tools) = &self.tools {
            add(&["/tools", "/functions"], Judge::Tools(tools.clone()));
        }
        if self.prompt.is_some() || self.images.is_some() {
            let fields = [
                "/messages",
                "/input",
                "/prompt",
                "/system",
                "/instructions",
                "/tools",
                "/functions",
            ];
            add(&fields, Judge::Content(self.prompt, self.images));
        }
        if let Some(schema) = &self.schema {
            add(&[""], Judge::Schema(schema.clone()));
        }
        checks
    }

    /// Each with its pointer from here.
    pub(crate) fn mistakes(&self) -> Vec<String> {
        let mut mistakes = Vec::new();
        if self.models.is_empty() {
            mistakes.push("/models: expected at least one model; `*` stands for all".to_owned());
        }
        for (name, range) in [("max_tokens", self.max_tokens), ("n", self.n)] {
            let Some(Range { min, max, required }) = range else {
                continue;
            };
            if max.is_some_and(|max| max < min) {
                mistakes.push(format!(
                    "/{name}/min: expected no more than `max`, found {min}"
                ));
            }
            if min == 0 && max.is_none() && !required {
                mistakes.push(format!(
                    "/{name}: expected `min`, `max` or `required: true`"
                ));
            }
        }
        if let Some(Tools {
            allow: None,
            max: None,
        }) = &self.tools
        {
            mistakes.push("/tools: expected `allow`, `max` or both".to_owned());
        }
        for (place, pointer) in self.forbidden.iter().enumerate() {
            if self.required.contains(pointer) {
                let pointer = pointer.as_str();
                mistakes.push(format!(
                    "/forbidden/{place}: `{pointer}` is in `required`, too"
                ));
            }
        }
        if let Some(schema) = &self.schema {
            schema.mistakes("/schema", &mut mistakes);
        }
        mistakes
    }
}
