//! What an operator writes.

use schemars::JsonSchema;
use serde::Deserialize;

/// Which way is translated, and what has no counterpart.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// What clients speak; the upstream speaks the other: `openai` (chat completions) or
    /// `anthropic` (Messages).
    pub(crate) client: Side,
    /// The header `anthropic-version` for an Anthropic upstream. Default: `2023-06-01`.
    #[serde(default = "version")]
    pub(crate) version: String,
    /// The most tokens of an answer where an OpenAI client does not say: Anthropic has to
    /// be told. At least 1. Default: 4096.
    #[serde(default = "max_tokens")]
    pub(crate) max_tokens: u64,
    /// What an OpenAI upstream is told the most tokens by: `max_completion_tokens`, or
    /// `max_tokens`, which older servers need. Default: `max_completion_tokens`.
    #[serde(default)]
    pub(crate) max_tokens_as: MaxTokensAs,
    /// What becomes of the client's key: it goes from `authorization: Bearer` to
    /// `x-api-key` or back (`carry`), stays in the header that it came in (`keep`), or is
    /// not sent (`drop`). What the upstream's `headers` say stands above it. Default:
    /// `carry`.
    #[serde(default)]
    pub(crate) key: Key,
    /// What becomes of a field that the other side does not have: it is left out and the
    /// metric `dropped` counts it (`drop`), or the request is refused with its name
    /// (`refuse`). Default: `drop`.
    #[serde(default)]
    pub(crate) unsupported: Unsupported,
    /// Whether thinking passes: as `reasoning_content` and `thinking_blocks`, which
    /// OpenAI's own API does not have though many servers and clients do, and
    /// `reasoning_effort` as `output_config.effort`, which older models of Anthropic refuse
    /// (`pass`); or is left out (`drop`). Default: `drop`.
    #[serde(default)]
    pub(crate) thinking: Thinking,
    /// The path of chat completions, as clients or the upstream have it. Default:
    /// `/v1/chat/completions`.
    #[serde(default = "openai_path")]
    pub(crate) openai_path: String,
    /// The path of Messages, as clients or the upstream have it. Default: `/v1/messages`.
    #[serde(default = "anthropic_path")]
    pub(crate) anthropic_path: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Side {
    /// Chat completions.
    OpenAi,
    /// Messages.
    Anthropic,
}

impl Side {
    pub(crate) fn other(self) -> Self {
        match self {
            Self::OpenAi => Self::Anthropic,
            Self::Anthropic => Self::OpenAi,
        }
    }

    /// As errors call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::OpenAi => "OpenAI's chat completions",
            Self::Anthropic => "Anthropic's Messages",
        }
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum MaxTokensAs {
    /// What OpenAI's own API wants.
    #[default]
    MaxCompletionTokens,
    /// What it wanted before.
    MaxTokens,
}

impl MaxTokensAs {
    pub(crate) fn field(self) -> &'static str {
        match self {
            Self::MaxCompletionTokens => "max_completion_tokens",
            Self::MaxTokens => "max_tokens",
        }
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Key {
    /// To the header of the other side.
    #[default]
    Carry,
    /// In the header that it came in.
    Keep,
    /// Not at all.
    Drop,
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

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Thinking {
    /// It is left out.
    #[default]
    Drop,
    /// It passes.
    Pass,
}

impl Settings {
    pub(crate) fn check(&self) -> Result<(), Vec<String>> {
        let mut errors = Vec::new();
        let is_visible = |byte: u8| byte.is_ascii_graphic();
        if self.version.is_empty() || !self.version.bytes().all(is_visible) {
            errors.push("/version: expected a version such as `2023-06-01`".to_owned());
        }
        if self.max_tokens == 0 {
            errors.push("/max_tokens: is 0; expected 1 or more".to_owned());
        }
        for (name, path) in [
            ("openai_path", &self.openai_path),
            ("anthropic_path", &self.anthropic_path),
        ] {
            if !path.starts_with('/') || !path.bytes().all(is_visible) || path.contains('#') {
                errors.push(format!(
                    "/{name}: expected a path that starts with `/`, such as `/v1/messages`"
                ));
            }
        }
        if errors.is_empty() {
            Ok(())
        } else {
            Err(errors)
        }
    }

    /// Where clients send what is translated.
    pub(crate) fn client_path(&self) -> &str {
        self.path(self.client)
    }

    pub(crate) fn upstream_path(&self) -> &str {
        self.path(self.client.other())
    }

    fn path(&self, side: Side) -> &str {
        match side {
            Side::OpenAi => &self.openai_path,
            Side::Anthropic => &self.anthropic_path,
        }
    }
}

fn version() -> String {
    "2023-06-01".to_owned()
}

fn max_tokens() -> u64 {
    4096
}

fn openai_path() -> String {
    "/v1/chat/completions".to_owned()
}

fn anthropic_path() -> String {
    "/v1/messages".to_owned()
}
