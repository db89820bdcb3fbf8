//! What nobody should send: never a panic, and a clear word instead.

use proptest::prelude::*;
use serde_json::{Value, json};
use tollgate_sdk::{Answer, RawEvent};

use crate::stage::{begun, exchange, plain, run, run_with, target, try_asked};

const CLIENTS: [&str; 2] = ["openai", "anthropic"];

#[test]
fn what_is_no_request_of_the_clients_is_refused_with_the_place() {
    for (client, field, value, expected) in [
        ("openai", "model", json!(1), "`model`: expected a string"),
        (
            "openai",
            "messages",
            Value::Null,
            "`messages`: expected an array",
        ),
        (
            "openai",
            "messages",
            json!([1]),
            "`messages[0]`: expected an object",
        ),
        (
            "openai",
            "messages",
            json!([{}]),
            "`messages[0].role`: expected a string",
        ),
        (
            "openai",
            "messages",
            json!([{ "role": "user" }]),
            "`messages[0].content`: expected a string or an array of parts",
        ),
        (
            "openai",
            "messages",
            json!([{ "role": "tool", "content": "x" }]),
            "`messages[0].tool_call_id`: expected a string",
        ),
        (
            "openai",
            "max_tokens",
            json!(-1),
            "`max_tokens`: expected a whole number",
        ),
        (
            "openai",
            "stop",
            json!(1),
            "`stop`: expected a string or an array of strings",
        ),
        (
            "openai",
            "tools",
            json!([{ "type": "function" }]),
            "`tools[0].function`: expected an object",
        ),
        (
            "anthropic",
            "messages",
            json!([{ "role": "user" }]),
            "`messages[0].content`: expected a string or an array of blocks",
        ),
        (
            "anthropic",
            "system",
            json!(1),
            "`system`: expected a string or an array of blocks",
        ),
        (
            "anthropic",
            "stream",
            json!("yes"),
            "`stream`: expected a boolean",
        ),
    ] {
        let mut body = plain(client);
        body[field] = value;
        let decided = try_asked(&run(client), client, &body).unwrap_err();
        let message = match (decided.refusal(), decided.answer()) {
            (Some(refusal), _) => refusal.message.clone(),
            (_, Some(answer)) => String::from_utf8(answer.body.clone()).unwrap(),
            _ => panic!("{field}"),
        };
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn what_is_no_json_or_too_deep_is_refused() {
    let deep = format!("{{\"messages\":{}{}}}", "[".repeat(100), "]".repeat(100));
    for body in ["", "x", "[]", "1", &deep] {
        let exchange = exchange("openai", &Value::Null).body(body);
        let decided = run("openai").open(exchange).attempt(&target());
        assert_eq!(decided.refusal().unwrap().status, 400, "{body}");
    }
}

#[test]
fn another_endpoint_or_method_is_refused() {
    for (client, method, path) in [
        ("openai", "POST", "/v1/embeddings"),
        ("openai", "GET", "/v1/chat/completions"),
        ("openai", "POST", "/v1/messages"),
        ("anthropic", "POST", "/v1/messages/count_tokens"),
    ] {
        let exchange = exchange(client, &plain(client)).to(method, path);
        let decided = run(client).open(exchange).attempt(&target());
        let status = match (decided.refusal(), decided.answer()) {
            (Some(refusal), _) => refusal.status,
            (_, Some(answer)) => answer.status,
            _ => panic!("{path}"),
        };
        assert_eq!(status, 404);
    }
}

#[test]
fn what_this_policy_did_not_ask_is_not_translated() {
    let mut session = run("openai").open(exchange("openai", &plain("openai")));
    let answer = Answer::new(200).json(&json!({ "x": 1 }));
    assert!(session.response(answer).is_untouched());
    assert_eq!(
        session.events([RawEvent::data("x")]).events,
        [RawEvent::data("x")]
    );
    assert!(session.end().events.is_empty());
}

#[test]
fn events_out_of_order_break_the_stream() {
    let start = json!({ "type": "message_start", "message": {} });
    let block = json!({ "type": "content_block_start", "index": 0, "content_block": { "type": "text", "text": "" } });
    let json_delta = json!({ "type": "content_block_delta", "index": 0, "delta": { "type": "input_json_delta", "partial_json": "{" } });
    for events in [
        vec![block.clone()],
        vec![start.clone(), start.clone()],
        vec![start.clone(), block.clone(), block.clone()],
        vec![start.clone(), json_delta.clone()],
        vec![start.clone(), block.clone(), json_delta],
        vec![
            start.clone(),
            json!({ "type": "content_block_stop", "index": 0 }),
        ],
        vec![start.clone(), json!({ "type": "message_stop" })],
        vec![start.clone(), json!({ "type": "content_block_start" })],
        vec![json!({ "type": 1 })],
        vec![json!([])],
        vec![json!({ "type": "error" })],
    ] {
        let mut session = begun(&run("openai"), "openai");
        let sent = session.events(events.iter().map(RawEvent::json));
        assert!(sent.ended, "{events:?}");
        let last: Value = serde_json::from_slice(&sent.events.last().unwrap().data).unwrap();
        assert_eq!(last["error"]["type"], "server_error");
    }
}

#[test]
fn blocks_without_end_break_the_stream() {
    let start = json!({ "type": "message_start", "message": {} });
    let block = |index: u64| json!({ "type": "content_block_start", "index": index, "content_block": { "type": "text" } });
    let events = std::iter::once(start).chain((0..100).map(block));
    let sent = begun(&run("openai"), "openai").events(events.map(|event| RawEvent::json(&event)));
    assert!(sent.ended);
}

const WORDS: [&str; 28] = [
    "user",
    "assistant",
    "tool",
    "system",
    "text",
    "image",
    "image_url",
    "tool_use",
    "tool_result",
    "thinking",
    "function",
    "base64",
    "url",
    "auto",
    "message",
    "message_start",
    "content_block_start",
    "content_block_delta",
    "content_block_stop",
    "message_delta",
    "message_stop",
    "text_delta",
    "input_json_delta",
    "error",
    "stop",
    "data:image/png;base64,AA",
    "{",
    "é",
];

const NAMES: [&str; 35] = [
    "type",
    "role",
    "content",
    "text",
    "messages",
    "model",
    "tools",
    "tool_calls",
    "function",
    "name",
    "id",
    "arguments",
    "input",
    "source",
    "image_url",
    "url",
    "choices",
    "delta",
    "message",
    "index",
    "content_block",
    "usage",
    "finish_reason",
    "stop_reason",
    "error",
    "partial_json",
    "tool_use_id",
    "tool_call_id",
    "system",
    "thinking",
    "thinking_blocks",
    "reasoning_content",
    "data",
    "media_type",
    "tool_choice",
];

/// JSON out of the words of both sides, so that it gets far.
fn json_value() -> impl Strategy<Value = Value> {
    let word = prop::sample::select(&WORDS[..]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (0..4_u64).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        word.prop_map(Value::from),
    ];
    let name = prop::sample::select(&NAMES[..]);
    leaf.prop_recursive(5, 48, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((name.clone(), inner), 0..6).prop_map(|fields| {
                Value::Object(
                    fields
                        .into_iter()
                        .map(|(name, value)| (name.to_owned(), value))
                        .collect(),
                )
            }),
        ]
    })
}

/// A request, answer or event with one of its values replaced.
fn damaged() -> impl Strategy<Value = Value> {
    let whole = prop::sample::select(vec![
        json!({ "model": "m", "messages": [{ "role": "user", "content": [{ "type": "text", "text": "a" }] }, { "role": "assistant", "tool_calls": [{ "id": "a", "type": "function", "function": { "name": "f", "arguments": "{}" } }] }], "tools": [{ "type": "function", "function": { "name": "f" } }] }),
        json!({ "model": "m", "max_tokens": 1, "system": [{ "type": "text", "text": "a" }], "messages": [{ "role": "user", "content": [{ "type": "tool_result", "tool_use_id": "a", "content": [{ "type": "image", "source": { "type": "url", "url": "https://a" } }] }] }] }),
        json!({ "type": "message", "content": [{ "type": "text", "text": "a" }, { "type": "tool_use", "id": "a", "name": "f", "input": {} }], "stop_reason": "end_turn", "usage": { "input_tokens": 1 } }),
        json!({ "choices": [{ "index": 0, "message": { "content": "a", "tool_calls": [] }, "delta": { "content": "a", "tool_calls": [{ "index": 0, "id": "a", "function": { "name": "f", "arguments": "{" } }] }, "finish_reason": "stop" }], "usage": {} }),
        json!({ "type": "content_block_delta", "index": 0, "delta": { "type": "text_delta", "text": "a" } }),
    ]);
    (whole, any::<prop::sample::Index>(), json_value()).prop_map(|(mut whole, place, value)| {
        let mut places = Vec::new();
        walk(&whole, String::new(), &mut places);
        let place: &String = place.get(&places);
        *whole.pointer_mut(place).unwrap() = value;
        whole
    })
}

fn walk(value: &Value, at: String, places: &mut Vec<String>) {
    match value {
        Value::Object(fields) => fields
            .iter()
            .for_each(|(name, inner)| walk(inner, format!("{at}/{name}"), places)),
        Value::Array(list) => list
            .iter()
            .enumerate()
            .for_each(|(place, inner)| walk(inner, format!("{at}/{place}"), places)),
        _ => {}
    }
    places.push(at);
}

proptest! {
    #[test]
    fn nothing_that_is_asked_makes_it_panic(body in prop_oneof![json_value(), damaged()], refuse: bool) {
        let settings = json!({ "thinking": "pass", "unsupported": if refuse { "refuse" } else { "drop" } });
        for client in CLIENTS {
            let _ = try_asked(&run_with(client, settings.clone()), client, &body);
        }
    }

    #[test]
    fn nothing_that_is_answered_makes_it_panic(body in prop_oneof![json_value(), damaged()], status in 200..600_u16) {
        for client in CLIENTS {
            let run = run_with(client, json!({ "thinking": "pass" }));
            begun(&run, client).response(Answer::new(status).json(&body));
        }
    }

    #[test]
    fn nothing_that_is_streamed_makes_it_panic(bodies in prop::collection::vec(prop_oneof![json_value(), damaged()], 1..8)) {
        for client in CLIENTS {
            let run = run_with(client, json!({ "thinking": "pass" }));
            let mut session = begun(&run, client);
            let start = json!({ "type": "message_start", "message": {} });
            let block = json!({ "type": "content_block_start", "index": 0, "content_block": { "type": "text" } });
            let events = [start, block].into_iter().chain(bodies.clone());
            let sent = session.events(events.map(|event| RawEvent::json(&event)));
            if !sent.ended {
                session.end();
            }
        }
    }
}
