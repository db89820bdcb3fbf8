//! What is inside one event of a chat completion, in OpenAI's dialect. Those of APIs that
//! name their events are read in [`named`](super::named).

use std::{borrow::Cow, ops::Range};

use serde::Deserialize;
use serde_json::value::RawValue;

use super::named;
use crate::Usage;

/// One choice's part of an event. Most streams have one choice.
///
/// ```
/// use tollgate_sdk::{Event, RawEvent};
///
/// let event = Event::from(RawEvent::text("hi"));
/// assert_eq!(event.choices()[0].text.as_deref(), Some("hi"));
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Choice {
    /// Which of the choices that were asked for.
    pub index: u32,
    /// The role, said once at the start.
    pub role: Option<String>,
    /// The next piece of text.
    pub text: Option<String>,
    /// The next pieces of tool calls.
    pub tool_calls: Vec<ToolCallDelta>,
    /// Why the choice is finished, such as `stop` or `length`.
    pub finish: Option<String>,
    pub(crate) text_at: Option<Range<usize>>,
}

/// A piece of a tool call. Name and id come with the first piece of a call.
///
/// ```
/// use tollgate_sdk::ToolCallDelta;
///
/// fn is_start(delta: &ToolCallDelta) -> bool {
///     delta.name.is_some()
/// }
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ToolCallDelta {
    /// Which call of this answer.
    pub index: u32,
    /// The call's id.
    pub id: Option<String>,
    /// The name of the function.
    pub name: Option<String>,
    /// The next piece of the arguments, which together are JSON.
    pub arguments: String,
}

#[derive(Debug, Default)]
pub(crate) struct Chunk {
    pub(crate) choices: Vec<Choice>,
    pub(crate) usage: Option<Usage>,
}

impl Chunk {
    /// Nothing is found in data that is no chunk.
    pub(crate) fn parse(data: &[u8]) -> Self {
        let Some(text) = std::str::from_utf8(data)
            .ok()
            .filter(|text| text.trim_start().starts_with('{'))
        else {
            return Self::default();
        };
        let Ok(written) = serde_json::from_str::<WrittenChunk<'_>>(text) else {
            return Self::default();
        };
        let Some(choices) = written.choices else {
            return match written.kind {
                Some(_) => named::parse(text),
                None => Self {
                    choices: Vec::new(),
                    usage: written.usage.map(WrittenUsage::read),
                },
            };
        };
        Self {
            choices: choices
                .into_iter()
                .map(|choice| choice.read(text))
                .collect(),
            usage: written.usage.map(WrittenUsage::read),
        }
    }
}

#[derive(Deserialize)]
struct WrittenChunk<'a> {
    /// Of an API that names its events.
    #[serde(borrow, default, rename = "type")]
    kind: Option<&'a RawValue>,
    #[serde(borrow, default)]
    choices: Option<Vec<WrittenChoice<'a>>>,
    #[serde(default)]
    usage: Option<WrittenUsage>,
}

#[derive(Deserialize)]
struct WrittenChoice<'a> {
    #[serde(default)]
    index: u32,
    #[serde(borrow, default)]
    delta: Option<WrittenDelta<'a>>,
    /// Of the older completions.
    #[serde(borrow, default)]
    text: Option<&'a RawValue>,
    #[serde(default)]
    finish_reason: Option<String>,
}

#[derive(Default, Deserialize)]
struct WrittenDelta<'a> {
    #[serde(default)]
    role: Option<String>,
    #[serde(borrow, default)]
    content: Option<&'a RawValue>,
    #[serde(borrow, default)]
    tool_calls: Option<Vec<WrittenToolCall<'a>>>,
}

#[derive(Deserialize)]
struct WrittenToolCall<'a> {
    #[serde(default)]
    index: u32,
    #[serde(default)]
    id: Option<String>,
    #[serde(borrow, default)]
    function: Option<WrittenFunction<'a>>,
}

#[derive(Deserialize)]
struct WrittenFunction<'a> {
    #[serde(default)]
    name: Option<String>,
    #[serde(borrow, default)]
    arguments: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct WrittenUsage {
    #[serde(default)]
    prompt_tokens: u64,
    #[serde(default)]
    completion_tokens: u64,
    #[serde(default)]
    prompt_tokens_details: Option<WrittenDetails>,
}

#[derive(Deserialize)]
struct WrittenDetails {
    #[serde(default)]
    cached_tokens: Option<u64>,
}

impl WrittenChoice<'_> {
    fn read(self, chunk: &str) -> Choice {
        let delta = self.delta.unwrap_or_default();
        let (text, text_at) = named::text_of(delta.content.or(self.text), chunk);
        let tool_calls = delta
            .tool_calls
            .unwrap_or_default()
            .into_iter()
            .map(WrittenToolCall::read)
            .collect();
        Choice {
            index: self.index,
            role: delta.role,
            text,
            tool_calls,
            finish: self.finish_reason,
            text_at,
        }
    }
}

impl WrittenToolCall<'_> {
    fn read(self) -> ToolCallDelta {
        let (name, arguments) = self
            .function
            .map_or((None, None), |function| (function.name, function.arguments));
        let arguments = arguments.map(Cow::into_owned).unwrap_or_default();
        ToolCallDelta {
            index: self.index,
            id: self.id,
            name,
            arguments,
        }
    }
}

impl WrittenUsage {
    fn read(self) -> Usage {
        Usage {
            input_tokens: self.prompt_tokens,
            output_tokens: self.completion_tokens,
            cached_tokens: self
                .prompt_tokens_details
                .and_then(|details| details.cached_tokens)
                .unwrap_or(0),
        }
    }
}
