//! What an operator writes, and what of it cannot be.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use tollgate_sdk::prelude::*;
use tollgate_settings::{Pattern, Period};

const NAMES_MAX: usize = 64;

/// Which answers are kept.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// How long an answer may be given to others: a whole number and `ms`, `s`, `m`, `h` or
    /// `d`, such as `10m`.
    pub(crate) ttl: Period,
    /// Who shares answers: requests with the same `caller`, `tier`, `route` or value of
    /// another fact; of several, of each. A request of which one is not known is not cached.
    /// `[]`: everybody shares, whoever it is. Default: `[caller]`.
    #[serde(default = "caller")]
    pub(crate) by: Vec<String>,
    /// Whether only requests are cached whose answer would come out the same again: of a
    /// temperature of 0, with a `seed`, or with a `top_k` of 1. Default: `true`.
    #[serde(default = "yes")]
    pub(crate) deterministic_only: bool,
    /// Exceptions by model and route; the first that has the request counts. Default: none.
    #[serde(default)]
    pub(crate) rules: Vec<WrittenRule>,
    /// Ends of paths whose requests are cached. Default: `/chat/completions`, `/completions`,
    /// `/embeddings`.
    #[serde(default = "paths")]
    pub(crate) paths: Vec<String>,
    /// Fields of the body's top that do not matter. Default: `user`, `metadata`, `store`,
    /// `safety_identifier`, `prompt_cache_key`.
    #[serde(default = "ignored")]
    pub(crate) ignored: Vec<String>,
    /// Headers that do matter. Default: `openai-organization`, `openai-project`,
    /// `openai-beta`.
    #[serde(default = "headers")]
    pub(crate) headers: Vec<String>,
    /// Whether a client's `cache-control` counts: `honour` or `ignore`. Default: `honour`.
    #[serde(default)]
    pub(crate) cache_control: CacheControl,
    /// The longest body of a request that is cached. Default: 262144.
    #[serde(default = "body_bytes")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(crate) body_bytes_max: u64,
}

/// What holds for some models or routes instead.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WrittenRule {
    /// Models as clients call them, exact or with `*` for any text. Default: all.
    #[serde(default)]
    models: Vec<Pattern>,
    /// Names of routes. Default: all.
    #[serde(default)]
    routes: Vec<String>,
    /// `false`: these are not cached. Default: `true`.
    #[serde(default = "yes")]
    cache: bool,
    /// Instead of the `ttl` of all. Default: that one.
    #[serde(default)]
    ttl: Option<Period>,
    /// Instead of the `deterministic_only` of all. Default: that one.
    #[serde(default)]
    deterministic_only: Option<bool>,
}

/// What holds for one request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rule {
    pub(crate) is_on: bool,
    pub(crate) ttl: Period,
    pub(crate) deterministic_only: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum CacheControl {
    /// `no-store`, `no-cache` and `max-age` do as they say.
    #[default]
    Honour,
    /// As if clients sent none.
    Ignore,
}

fn yes() -> bool {
    true
}

fn owned<const N: usize>(names: [&str; N]) -> Vec<String> {
    names.map(str::to_owned).into()
}

fn caller() -> Vec<String> {
    owned(["caller"])
}

fn paths() -> Vec<String> {
    owned(["/chat/completions", "/completions", "/embeddings"])
}

fn ignored() -> Vec<String> {
    owned([
        "user",
        "metadata",
        "store",
        "safety_identifier",
        "prompt_cache_key",
    ])
}

fn headers() -> Vec<String> {
    owned(["openai-organization", "openai-project", "openai-beta"])
}

fn body_bytes() -> u64 {
    256 << 10
}

impl WrittenRule {
    pub(crate) fn has(&self, model: Option<&str>, route: &str) -> bool {
        let has_model = || model.is_some_and(|model| self.models.iter().any(|one| one.has(model)));
        (self.models.is_empty() || has_model())
            && (self.routes.is_empty() || self.routes.iter().any(|name| name == route))
    }

    pub(crate) fn of(&self, settings: &Settings) -> Rule {
        let deterministic_only = self.deterministic_only;
        Rule {
            is_on: self.cache,
            ttl: self.ttl.unwrap_or(settings.ttl),
            deterministic_only: deterministic_only.unwrap_or(settings.deterministic_only),
        }
    }
}

impl Settings {
    pub(crate) fn default_rule(&self) -> Rule {
        Rule {
            is_on: true,
            ttl: self.ttl,
            deterministic_only: self.deterministic_only,
        }
    }

    pub(crate) fn has_path(&self, path: &str) -> bool {
        self.paths.iter().any(|end| path.ends_with(end.as_str()))
    }

    /// What the types cannot say, each mistake with its JSON pointer.
    pub(crate) fn check(&self) -> Result<(), Vec<String>> {
        let mut mistakes = Vec::new();
        for (field, names) in [
            ("by", &self.by),
            ("paths", &self.paths),
            ("ignored", &self.ignored),
            ("headers", &self.headers),
        ] {
            if names.len() > NAMES_MAX {
                mistakes.push(format!("/{field}: expected at most {NAMES_MAX} names"));
            }
            for (at, name) in names.iter().enumerate() {
                let fits = match field {
                    "paths" => name.starts_with('/'),
                    "headers" => is_header(name),
                    _ => (1..=NAMES_MAX).contains(&name.len()),
                };
                if !fits {
                    let expected = match field {
                        "paths" => "the end of a path, from a `/` on",
                        "headers" => "a header's name in lower case",
                        _ => "a name of 1 to 64 bytes",
                    };
                    mistakes.push(format!("/{field}/{at}: expected {expected}"));
                }
            }
        }
        if self.rules.len() > NAMES_MAX {
            mistakes.push(format!("/rules: expected at most {NAMES_MAX} rules"));
        }
        if !(1..=1_000_000).contains(&self.body_bytes_max) {
            mistakes.push("/body_bytes_max: expected 1 to 1000000 bytes".to_owned());
        }
        if mistakes.is_empty() {
            Ok(())
        } else {
            Err(mistakes)
        }
    }

    /// Chats of each kind, all of which go on.
    pub(crate) fn samples(&self) -> Vec<Sample> {
        let facts = |sample: Sample| {
            let facts = self.by.iter().filter(|name| *name != "route");
            facts.fold(sample, |sample, name| sample.fact(name, "sample"))
        };
        let body = |model: &str, heat: f64| {
            json!({
                "model": model,
                "temperature": heat,
                "messages": [{ "role": "user", "content": "hello" }],
            })
        };
        let chat = |name: &str, model: &str, heat: f64| {
            facts(Sample::chat(name).body(&body(model, heat))).expect_forwarded()
        };
        let mut samples = vec![
            chat("a chat that is kept", "sample", 0.0),
            chat("a chat that is drawn", "sample", 0.7),
            Sample::chat("a chat of nobody").expect_forwarded(),
        ];
        let models = self.rules.iter().filter_map(|rule| rule.models.first());
        samples.extend(models.take(16).map(|model| {
            let model = model.example();
            chat(&format!("a chat with {model}"), &model, 0.0)
        }));
        samples
    }
}

fn is_header(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=NAMES_MAX).contains(&name.len()) && name.bytes().all(is_plain)
}
