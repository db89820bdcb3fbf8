//! A server that speaks Anthropic's Messages, and refuses what is none of them.

use serde_json::{Value, json};

use crate::scripted::{Heard, Said};

/// 11 tokens of input, 100 from the cache, 7 into it, 9 of output.
pub(super) const USED: [u64; 3] = [118, 9, 100];

/// Text with characters of every length, so that pieces split some.
pub(crate) const SAYS: &str = "Grüße, 世界: 😀 – fin.";

/// The calls of its tools: names and inputs.
pub(super) const CALLS: [(&str, &str); 2] = [
    ("look", r#"{"place":"Zürich \"😀\"","n":[1,2.5,null]}"#),
    ("wait", "{}"),
];

pub(crate) fn answer(heard: &Heard) -> Said {
    if let Err(fault) = is_messages(heard) {
        return error(400, "invalid_request_error", &fault);
    }
    let body = heard.json();
    let calls = body["tools"].is_array();
    match body["stream"] == true {
        true => Said::events(text_of(&events(calls))),
        false => Said::json(200, &message(calls)),
    }
}

/// As the API's reference has it, of what the tests send.
fn is_messages(heard: &Heard) -> Result<(), String> {
    let body = heard.json();
    let is = |holds: bool, what: &str| holds.then_some(()).ok_or_else(|| what.to_owned());
    is(
        heard.method == "POST" && heard.path == "/v1/messages",
        "the path",
    )?;
    is(
        heard.header("anthropic-version") == Some("2023-06-01"),
        "anthropic-version",
    )?;
    is(heard.header("x-api-key").is_some(), "x-api-key")?;
    is(heard.header("authorization").is_none(), "authorization")?;
    let kind = heard.header("content-type");
    is(kind == Some("application/json"), "content-type")?;
    is(body["model"].is_string(), "model")?;
    is(body["max_tokens"].as_u64() > Some(0), "max_tokens")?;
    for field in [
        "stream_options",
        "n",
        "frequency_penalty",
        "max_completion_tokens",
    ] {
        is(
            body.get(field).is_none(),
            &format!("{field}: Extra inputs are not permitted"),
        )?;
    }
    let messages = body["messages"].as_array().ok_or("messages")?;
    let roles: Vec<_> = messages.iter().map(|message| &message["role"]).collect();
    is(
        roles.first().is_some_and(|role| *role == "user"),
        "the first role",
    )?;
    is(
        roles
            .iter()
            .all(|role| *role == "user" || *role == "assistant"),
        "roles",
    )?;
    let tools = body["tools"].as_array().into_iter().flatten();
    is(
        tools
            .into_iter()
            .all(|tool| tool["input_schema"]["type"] == "object"),
        "tools",
    )
}

pub(super) fn error(status: u16, kind: &str, message: &str) -> Said {
    let error = json!({ "type": "error", "error": { "type": kind, "message": message }, "request_id": "req_1" });
    Said::json(status, &error)
}

fn usage(output: u64) -> Value {
    json!({ "input_tokens": 11, "cache_creation_input_tokens": 7, "cache_read_input_tokens": 100, "output_tokens": output, "service_tier": "standard" })
}

fn message(calls: bool) -> Value {
    let mut content = vec![json!({ "type": "text", "text": SAYS })];
    let calls = if calls { &CALLS[..] } else { &[] };
    content.extend(calls.iter().enumerate().map(|(nth, (name, input))| {
        let input: Value = serde_json::from_str(input).unwrap();
        json!({ "type": "tool_use", "id": format!("toolu_{nth}"), "name": name, "input": input })
    }));
    json!({
        "id": "msg_1", "type": "message", "role": "assistant", "model": "inner", "content": content,
        "stop_reason": reason(!calls.is_empty()), "stop_sequence": null, "usage": usage(9),
    })
}

fn reason(calls: bool) -> &'static str {
    if calls { "tool_use" } else { "end_turn" }
}

/// Three characters an event.
fn pieces(text: &str) -> Vec<String> {
    let characters: Vec<char> = text.chars().collect();
    characters
        .chunks(3)
        .map(|piece| piece.iter().collect())
        .collect()
}

pub(super) fn events(calls: bool) -> Vec<Value> {
    events_of(SAYS, calls)
}

pub(super) fn events_saying(text: &str) -> Vec<Value> {
    events_of(text, false)
}

fn events_of(text: &str, calls: bool) -> Vec<Value> {
    let mut start = message(false);
    start["content"] = json!([]);
    start["stop_reason"] = Value::Null;
    start["usage"] = usage(1);
    let mut events = vec![
        json!({ "type": "message_start", "message": start }),
        json!({ "type": "ping" }),
    ];
    block(
        &mut events,
        0,
        json!({ "type": "text", "text": "" }),
        "text_delta",
        "text",
        text,
    );
    let calls = if calls { &CALLS[..] } else { &[] };
    for (nth, (name, input)) in calls.iter().enumerate() {
        let tool =
            json!({ "type": "tool_use", "id": format!("toolu_{nth}"), "name": name, "input": {} });
        let input = if *input == "{}" { "" } else { input };
        block(
            &mut events,
            nth + 1,
            tool,
            "input_json_delta",
            "partial_json",
            input,
        );
    }
    let delta = json!({ "stop_reason": reason(!calls.is_empty()), "stop_sequence": null });
    events
        .push(json!({ "type": "message_delta", "delta": delta, "usage": { "output_tokens": 9 } }));
    events.push(json!({ "type": "message_stop" }));
    events
}

fn block(events: &mut Vec<Value>, index: usize, block: Value, kind: &str, field: &str, text: &str) {
    events.push(json!({ "type": "content_block_start", "index": index, "content_block": block }));
    events.extend(pieces(text).into_iter().map(|piece| {
        json!({ "type": "content_block_delta", "index": index, "delta": { "type": kind, field: piece } })
    }));
    events.push(json!({ "type": "content_block_stop", "index": index }));
}

/// As they are sent.
pub(super) fn text_of(events: &[Value]) -> String {
    let event = |event: &Value| {
        format!(
            "event: {}\ndata: {event}\n\n",
            event["type"].as_str().unwrap_or("?")
        )
    };
    events.iter().map(event).collect()
}
