//! What an Anthropic client is sent of OpenAI's streams.

use serde_json::{Value, json};
use tollgate_sdk::RawEvent;

use crate::stage::{begun, data, of_events, run, run_with, streamed};

fn chunk(delta: Value, finish: Value) -> RawEvent {
    RawEvent::json(&json!({
        "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m",
        "choices": [{ "index": 0, "delta": delta, "finish_reason": finish }],
    }))
}

fn say(text: &str) -> RawEvent {
    chunk(json!({ "content": text }), Value::Null)
}

fn call(index: u64, id: &str, name: &str, arguments: &str) -> RawEvent {
    chunk(
        json!({ "tool_calls": [{ "index": index, "id": id, "type": "function", "function": { "name": name, "arguments": arguments } }] }),
        Value::Null,
    )
}

fn more(index: u64, arguments: &str) -> RawEvent {
    chunk(
        json!({ "tool_calls": [{ "index": index, "function": { "arguments": arguments } }] }),
        Value::Null,
    )
}

fn finish(reason: &str) -> RawEvent {
    chunk(json!({}), reason.into())
}

fn usage() -> RawEvent {
    RawEvent::json(
        &json!({ "id": "chatcmpl-1", "model": "m", "choices": [], "usage": { "prompt_tokens": 105, "completion_tokens": 9, "prompt_tokens_details": { "cached_tokens": 100 } } }),
    )
}

fn text_stream() -> Vec<RawEvent> {
    let role = chunk(json!({ "role": "assistant", "content": "" }), Value::Null);
    vec![role, say("Hel"), say("lo"), finish("stop"), usage()]
}

fn kinds(events: &[Value]) -> Vec<&str> {
    events
        .iter()
        .map(|event| event["type"].as_str().unwrap())
        .collect()
}

#[test]
fn a_stream_of_text_is_sent_piece_by_piece() {
    let mut session = begun(&run("anthropic"), "anthropic");
    let sent = session.events(text_stream()).events;
    for event in &sent {
        let said: Value = serde_json::from_slice(&event.data).unwrap();
        assert_eq!(event.name.as_deref(), said["type"].as_str());
    }
    assert!(session.end().events.is_empty());
    let none = json!({ "input_tokens": 0, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": 0 });
    let message = json!({ "id": "chatcmpl-1", "type": "message", "role": "assistant", "model": "m", "content": [], "stop_reason": null, "stop_sequence": null, "usage": none });
    let delta = |text: &str| json!({ "type": "content_block_delta", "index": 0, "delta": { "type": "text_delta", "text": text } });
    assert_eq!(
        data(&sent),
        [
            json!({ "type": "message_start", "message": message }),
            json!({ "type": "content_block_start", "index": 0, "content_block": { "type": "text", "text": "" } }),
            delta("Hel"),
            delta("lo"),
            json!({ "type": "content_block_stop", "index": 0 }),
            json!({ "type": "message_delta", "delta": { "stop_reason": "end_turn", "stop_sequence": null }, "usage": { "input_tokens": 5, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 100, "output_tokens": 9 } }),
            json!({ "type": "message_stop" }),
        ]
    );
}

#[test]
fn only_the_end_is_held_back_until_the_usage_is_known() {
    let mut session = begun(&run("anthropic"), "anthropic");
    let sent: Vec<_> = text_stream()
        .into_iter()
        .map(|event| session.events([event]).events.len())
        .collect();
    assert_eq!(sent, [1, 2, 1, 1, 2]);
}

#[test]
fn a_stream_without_usage_ends_with_its_end_or_its_mark() {
    for mark in [None, Some(RawEvent::done())] {
        let events = text_stream().into_iter().take(4).chain(mark).collect();
        let sent = streamed(&mut begun(&run("anthropic"), "anthropic"), events);
        assert_eq!(kinds(&sent)[5..], ["message_delta", "message_stop"]);
    }
}

#[test]
fn each_tool_call_is_a_block_and_so_is_text_before_and_after() {
    let events = vec![
        say("I look."),
        call(0, "a", "f", ""),
        more(0, "{\"x\":"),
        more(0, "1}"),
        call(1, "b", "g", "{}"),
        say("Now?"),
        finish("tool_calls"),
        usage(),
    ];
    let message = of_events(&streamed(
        &mut begun(&run("anthropic"), "anthropic"),
        events,
    ));
    assert_eq!(message["stop_reason"], "tool_use");
    assert_eq!(
        message["content"],
        json!([
            { "type": "text", "text": "I look." },
            { "type": "tool_use", "id": "a", "name": "f", "input": { "x": 1 } },
            { "type": "tool_use", "id": "b", "name": "g", "input": {} },
            { "type": "text", "text": "Now?" },
        ])
    );
}

#[test]
fn a_tool_call_without_an_id_gets_one() {
    let events = vec![call(0, "", "f", "{}"), finish("tool_calls")];
    let message = of_events(&streamed(
        &mut begun(&run("anthropic"), "anthropic"),
        events,
    ));
    let id = message["content"][0]["id"].as_str().unwrap();
    assert!(id.starts_with("toolu_") && id.len() == 22, "{id}");
}

#[test]
fn a_refusal_of_the_model_is_text_that_ended_so() {
    let events = vec![
        chunk(json!({ "refusal": "No." }), Value::Null),
        finish("stop"),
        usage(),
    ];
    let message = of_events(&streamed(
        &mut begun(&run("anthropic"), "anthropic"),
        events,
    ));
    assert_eq!(
        message["content"],
        json!([{ "type": "text", "text": "No." }])
    );
    assert_eq!(message["stop_reason"], "refusal");
}

#[test]
fn thinking_is_a_block_where_it_is_to_pass() {
    let signed = json!({ "thinking_blocks": [{ "type": "thinking", "thinking": "", "signature": "s" }, { "type": "redacted_thinking", "data": "d" }] });
    let events = vec![
        chunk(json!({ "reasoning_content": "h" }), Value::Null),
        chunk(json!({ "reasoning": "m" }), Value::Null),
        chunk(signed, Value::Null),
        say("a"),
        finish("stop"),
    ];
    let run = run_with("anthropic", json!({ "thinking": "pass" }));
    let message = of_events(&streamed(&mut begun(&run, "anthropic"), events.clone()));
    assert_eq!(
        message["content"],
        json!([
            { "type": "thinking", "thinking": "hm", "signature": "s" },
            { "type": "redacted_thinking", "data": "d" },
            { "type": "text", "text": "a" },
        ])
    );
    let message = of_events(&streamed(
        &mut begun(&crate::stage::run("anthropic"), "anthropic"),
        events,
    ));
    assert_eq!(message["content"], json!([{ "type": "text", "text": "a" }]));
}

#[test]
fn chunks_that_say_nothing_are_passed_over() {
    let mut events = vec![RawEvent::json(
        &json!({ "choices": [], "prompt_filter_results": [] }),
    )];
    events.push(RawEvent::json(
        &json!({ "choices": [{ "index": 1, "delta": { "content": "another" } }] }),
    ));
    events.extend(text_stream());
    events.push(RawEvent::done());
    let message = of_events(&streamed(
        &mut begun(&run("anthropic"), "anthropic"),
        events,
    ));
    assert_eq!(
        message["content"],
        json!([{ "type": "text", "text": "Hello" }])
    );
}

#[test]
fn an_error_in_a_stream_is_told_and_ends_it() {
    let error = RawEvent::json(
        &json!({ "error": { "message": "Overloaded", "type": "server_error", "code": "overloaded" } }),
    );
    let sent = begun(&run("anthropic"), "anthropic").events([say("a"), error, say("b")]);
    assert!(sent.ended);
    let last = sent.events.last().unwrap();
    assert_eq!(last.name.as_deref(), Some("error"));
    assert_eq!(
        data(std::slice::from_ref(last)),
        [
            json!({ "type": "error", "error": { "type": "overloaded_error", "message": "Overloaded" } })
        ]
    );
}

#[test]
fn a_call_that_goes_on_after_another_began_breaks_the_stream() {
    let sent = begun(&run("anthropic"), "anthropic").events([
        call(0, "a", "f", "{"),
        call(1, "b", "g", "{"),
        more(0, "}"),
    ]);
    assert!(sent.ended);
    assert_eq!(sent.events.last().unwrap().name.as_deref(), Some("error"));
}

#[test]
fn a_stream_that_stops_short_never_looks_complete() {
    for length in 0..=2 {
        let mut session = begun(&run("anthropic"), "anthropic");
        session.events(text_stream().into_iter().take(length));
        let last = data(&session.end().events);
        assert_eq!(kinds(&last), ["error"]);
    }
}
