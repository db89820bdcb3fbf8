//! Exchanges that the gateway runs in the sandbox before the policy goes live.

use serde_json::{Value, json};
use tollgate_sdk::{RawEvent, Sample};

use crate::settings::{Settings, Side};

pub(crate) fn of(settings: &Settings) -> Vec<Sample> {
    let samples = match settings.client {
        Side::OpenAi => openai_clients(),
        Side::Anthropic => anthropic_clients(),
    };
    let path = settings.client_path();
    let samples = samples.into_iter().map(|mut sample| {
        path.clone_into(&mut sample.path);
        sample.expect_forwarded()
    });
    samples.collect()
}

fn openai_clients() -> Vec<Sample> {
    let tool = json!({ "type": "function", "function": { "name": "look", "parameters": { "type": "object" } } });
    let call =
        json!({ "id": "c", "type": "function", "function": { "name": "look", "arguments": "{}" } });
    let messages = json!([
        { "role": "system", "content": "Be brief." },
        { "role": "user", "content": "hello" },
        { "role": "assistant", "content": null, "tool_calls": [call] },
        { "role": "tool", "tool_call_id": "c", "content": "seen" },
    ]);
    let answer = anthropic_answer();
    vec![
        Sample::chat("a chat").response(200, &answer),
        Sample::chat("a chat with tools")
            .body(&json!({ "model": "sample", "messages": messages, "tools": [tool] }))
            .response(200, &answer),
        Sample::chat("a chat that fails").response(
            529,
            &json!({ "type": "error", "error": { "type": "overloaded_error", "message": "Overloaded" } }),
        ),
        Sample::chat("a stream").events(anthropic_events().map(|event| {
            let name = event["type"].as_str().unwrap_or_default();
            RawEvent::named(name, event.to_string())
        })),
    ]
}

fn anthropic_clients() -> Vec<Sample> {
    let tool = json!({ "name": "look", "input_schema": { "type": "object" } });
    let call = json!({ "type": "tool_use", "id": "c", "name": "look", "input": {} });
    let messages = json!([
        { "role": "user", "content": "hello" },
        { "role": "assistant", "content": [call] },
        { "role": "user", "content": [{ "type": "tool_result", "tool_use_id": "c", "content": "seen" }] },
    ]);
    let plain = json!({ "model": "sample", "max_tokens": 9, "messages": [messages[0]] });
    vec![
        Sample::chat("a message").body(&plain),
        Sample::chat("a message with tools").body(&json!({
            "model": "sample", "max_tokens": 9, "system": "Be brief.", "messages": messages, "tools": [tool],
        })),
        Sample::chat("a message that fails").body(&plain).response(
            429,
            &json!({ "error": { "message": "Slow down.", "type": "requests", "code": "rate_limit_exceeded" } }),
        ),
        Sample::chat("a stream").body(&plain).events([
            RawEvent::text("hi"),
            RawEvent::finish("stop"),
        ]),
    ]
}

fn anthropic_answer() -> Value {
    json!({
        "id": "msg_sample", "type": "message", "role": "assistant", "model": "sample",
        "content": [{ "type": "text", "text": "hi" }],
        "stop_reason": "end_turn", "stop_sequence": null,
        "usage": { "input_tokens": 5, "output_tokens": 1 },
    })
}

fn anthropic_events() -> impl Iterator<Item = Value> {
    let message = json!({ "id": "msg_sample", "type": "message", "role": "assistant", "model": "sample", "content": [], "usage": { "input_tokens": 5, "output_tokens": 1 } });
    [
        json!({ "type": "message_start", "message": message }),
        json!({ "type": "content_block_start", "index": 0, "content_block": { "type": "text", "text": "" } }),
        json!({ "type": "ping" }),
        json!({ "type": "content_block_delta", "index": 0, "delta": { "type": "text_delta", "text": "hi" } }),
        json!({ "type": "content_block_stop", "index": 0 }),
        json!({ "type": "message_delta", "delta": { "stop_reason": "end_turn", "stop_sequence": null }, "usage": { "output_tokens": 1 } }),
        json!({ "type": "message_stop" }),
    ]
    .into_iter()
}
