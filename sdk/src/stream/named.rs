//! What is inside one event of an API that names its events: OpenAI's responses and
//! Anthropic's messages. Both say in `type` what an event is.

use std::{borrow::Cow, ops::Range};

use serde::Deserialize;
use serde_json::value::RawValue;

use super::chunk::{Choice, Chunk, ToolCallDelta};
use crate::Usage;

#[derive(Deserialize)]
struct Written<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    /// Anthropic's number of a block.
    #[serde(default)]
    index: u32,
    /// OpenAI's number of an item.
    #[serde(default)]
    output_index: u32,
    /// A text in OpenAI's events, an object in Anthropic's.
    #[serde(borrow, default)]
    delta: Option<&'a RawValue>,
    #[serde(borrow, default)]
    content_block: Option<Block<'a>>,
    #[serde(borrow, default)]
    item: Option<Block<'a>>,
    #[serde(default)]
    message: Option<Message>,
    #[serde(default)]
    response: Option<Response>,
    #[serde(default)]
    usage: Option<Reported>,
}

/// The start of a text or of a tool call.
#[derive(Deserialize)]
struct Block<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    call_id: Option<String>,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    role: Option<String>,
    #[serde(borrow, default)]
    text: Option<&'a RawValue>,
}

/// One of Anthropic's deltas.
#[derive(Deserialize)]
struct Delta<'a> {
    #[serde(borrow, default)]
    text: Option<&'a RawValue>,
    #[serde(borrow, default)]
    partial_json: Option<Cow<'a, str>>,
    #[serde(default)]
    stop_reason: Option<String>,
}

#[derive(Deserialize)]
struct Message {
    #[serde(default)]
    role: Option<String>,
    #[serde(default)]
    usage: Option<Reported>,
}

#[derive(Deserialize)]
struct Response {
    #[serde(default)]
    status: Option<String>,
    #[serde(default)]
    incomplete_details: Option<Reason>,
    #[serde(default)]
    usage: Option<Reported>,
}

#[derive(Deserialize)]
struct Reason {
    #[serde(default)]
    reason: Option<String>,
}

#[derive(Deserialize)]
struct Reported {
    #[serde(default)]
    input_tokens: u64,
    #[serde(default)]
    output_tokens: u64,
    #[serde(default)]
    input_tokens_details: Option<Cached>,
    /// Anthropic's, not part of its `input_tokens`.
    #[serde(default)]
    cache_read_input_tokens: Option<u64>,
    /// Anthropic's, not part of its `input_tokens`.
    #[serde(default)]
    cache_creation_input_tokens: Option<u64>,
}

#[derive(Deserialize)]
struct Cached {
    #[serde(default)]
    cached_tokens: u64,
}

/// Nothing is found in an event of an unknown type.
pub(super) fn parse(text: &str) -> Chunk {
    match serde_json::from_str::<Written<'_>>(text) {
        Ok(written) => written.read(text),
        Err(_) => Chunk::default(),
    }
}

impl Written<'_> {
    fn read(self, event: &str) -> Chunk {
        let mut choice = Choice::default();
        let mut usage = self.usage;
        match &*self.kind {
            "response.output_text.delta" => choice.say(self.delta, event),
            "response.function_call_arguments.delta" => {
                let arguments = self
                    .delta
                    .and_then(|delta| serde_json::from_str(delta.get()).ok());
                choice.tool_calls = vec![continued(self.output_index, arguments)];
            }
            "response.output_item.added" => choice.begin(self.item, self.output_index, event),
            "response.completed" | "response.incomplete" | "response.failed" => {
                if let Some(response) = self.response {
                    let reason = response.incomplete_details.and_then(|why| why.reason);
                    choice.finish = reason.or(response.status);
                    usage = response.usage;
                }
            }
            "message_start" => {
                if let Some(message) = self.message {
                    (choice.role, usage) = (message.role, message.usage);
                }
            }
            "content_block_start" => choice.begin(self.content_block, self.index, event),
            "content_block_delta" | "message_delta" => {
                let delta = self.delta.map(RawValue::get);
                let delta = delta.and_then(|delta| serde_json::from_str::<Delta<'_>>(delta).ok());
                if let Some(delta) = delta {
                    choice.say(delta.text, event);
                    choice.finish = delta.stop_reason;
                    if let Some(json) = delta.partial_json {
                        let arguments = Some(json.into_owned());
                        choice.tool_calls = vec![continued(self.index, arguments)];
                    }
                }
            }
            _ => {}
        }
        let is_empty = choice == Choice::default();
        Chunk {
            choices: Vec::from_iter((!is_empty).then_some(choice)),
            usage: usage.map(Reported::read),
        }
    }
}

fn continued(index: u32, arguments: Option<String>) -> ToolCallDelta {
    ToolCallDelta {
        index,
        arguments: arguments.unwrap_or_default(),
        ..ToolCallDelta::default()
    }
}

impl Choice {
    fn say(&mut self, written: Option<&RawValue>, event: &str) {
        (self.text, self.text_at) = text_of(written, event);
    }

    fn begin(&mut self, block: Option<Block<'_>>, index: u32, event: &str) {
        let Some(block) = block else { return };
        match &*block.kind {
            "function_call" | "tool_use" => {
                self.tool_calls = vec![ToolCallDelta {
                    index,
                    id: block.call_id.or(block.id),
                    name: block.name,
                    arguments: String::new(),
                }];
            }
            "text" => self.say(block.text, event),
            _ => self.role = block.role,
        }
    }
}

/// A text, and where in the event it is written.
pub(super) fn text_of(
    written: Option<&RawValue>,
    event: &str,
) -> (Option<String>, Option<Range<usize>>) {
    let written = written.map(RawValue::get);
    let written = written.filter(|text| text.starts_with('"'));
    let text: Option<String> = written.and_then(|text| serde_json::from_str(text).ok());
    let place = written.filter(|_| text.is_some()).map(|written| {
        let start = written.as_ptr().addr() - event.as_ptr().addr();
        start..start + written.len()
    });
    (text, place)
}

impl Reported {
    fn read(self) -> Usage {
        let read = self.cache_read_input_tokens.unwrap_or(0);
        let created = self.cache_creation_input_tokens.unwrap_or(0);
        let cached = self.input_tokens_details.map(|cached| cached.cached_tokens);
        Usage {
            input_tokens: self
                .input_tokens
                .saturating_add(read)
                .saturating_add(created),
            output_tokens: self.output_tokens,
            cached_tokens: cached.unwrap_or(read),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{Event, Kind, RawEvent, Usage};

    fn event(data: &str) -> Event {
        Event::from(RawEvent::data(data))
    }

    #[test]
    fn the_events_of_openais_responses_say_what_they_are() {
        for (data, kind) in [
            (
                r#"{"type":"response.output_item.added","output_index":0,"item":{"type":"message","role":"assistant","content":[]}}"#,
                Kind::Role("assistant"),
            ),
            (
                r#"{"type":"response.output_text.delta","output_index":0,"content_index":0,"delta":"h\u0069"}"#,
                Kind::Text("hi"),
            ),
            (
                r#"{"type":"response.completed","response":{"status":"completed"}}"#,
                Kind::Finish("completed"),
            ),
            (
                r#"{"type":"response.incomplete","response":{"status":"incomplete","incomplete_details":{"reason":"max_output_tokens"}}}"#,
                Kind::Finish("max_output_tokens"),
            ),
            (
                r#"{"type":"response.created","response":{"status":"in_progress"}}"#,
                Kind::Other,
            ),
            (r#"{"type":7,"delta":"x"}"#, Kind::Other),
            (
                r#"{"type":"response.output_text.delta","delta":{}}"#,
                Kind::Other,
            ),
        ] {
            assert_eq!(event(data).kind(), kind, "{data}");
        }
        let last = event(
            r#"{"type":"response.completed","response":{"usage":{"input_tokens":5,"output_tokens":2,"input_tokens_details":{"cached_tokens":3}}}}"#,
        );
        let usage = Usage {
            input_tokens: 5,
            output_tokens: 2,
            cached_tokens: 3,
        };
        assert_eq!(last.usage(), Some(usage));
    }

    #[test]
    fn the_events_of_anthropics_messages_say_what_they_are() {
        for (data, kind) in [
            (
                r#"{"type":"message_start","message":{"role":"assistant","usage":{"input_tokens":1}}}"#,
                Kind::Role("assistant"),
            ),
            (
                r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":"h"}}"#,
                Kind::Text("h"),
            ),
            (
                r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"hi"}}"#,
                Kind::Text("hi"),
            ),
            (
                r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":2}}"#,
                Kind::Finish("end_turn"),
            ),
            (
                r#"{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"hm"}}"#,
                Kind::Other,
            ),
            (r#"{"type":"message_stop"}"#, Kind::Other),
            (r#"{"type":"ping"}"#, Kind::Other),
        ] {
            assert_eq!(event(data).kind(), kind, "{data}");
        }
        let start = event(
            r#"{"type":"message_start","message":{"usage":{"input_tokens":1,"cache_read_input_tokens":4,"cache_creation_input_tokens":2}}}"#,
        );
        let usage = Usage {
            input_tokens: 7,
            output_tokens: 0,
            cached_tokens: 4,
        };
        assert_eq!(start.usage(), Some(usage));
    }

    #[test]
    fn a_tool_call_begins_with_its_name_and_goes_on_with_its_arguments() {
        for (start, more) in [
            (
                r#"{"type":"response.output_item.added","output_index":1,"item":{"type":"function_call","id":"i","call_id":"c","name":"f","arguments":""}}"#,
                r#"{"type":"response.function_call_arguments.delta","output_index":1,"item_id":"i","delta":"{\"a\":"}"#,
            ),
            (
                r#"{"type":"content_block_start","index":1,"content_block":{"type":"tool_use","id":"c","name":"f","input":{}}}"#,
                r#"{"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"{\"a\":"}}"#,
            ),
        ] {
            let start = event(start);
            let call = &start.choices()[0].tool_calls[0];
            assert_eq!(
                (call.index, call.id.as_deref(), call.name.as_deref()),
                (1, Some("c"), Some("f"))
            );
            let more = event(more);
            let call = &more.choices()[0].tool_calls[0];
            assert_eq!(
                (call.index, call.name.as_deref(), call.arguments.as_str()),
                (1, None, r#"{"a":"#)
            );
        }
    }

    #[test]
    fn text_is_replaced_in_place() {
        let mut openai =
            event(r#"{"type":"response.output_text.delta","delta":"hi","logprobs":[]}"#);
        assert!(openai.set_text("h\"o"));
        assert_eq!(
            openai.data(),
            br#"{"type":"response.output_text.delta","delta":"h\"o","logprobs":[]}"#
        );
        let mut anthropic = event(
            r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"hi"}}"#,
        );
        anthropic.map_text(|text| text.to_uppercase());
        assert_eq!(
            anthropic.data(),
            br#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"HI"}}"#
        );
    }
}
