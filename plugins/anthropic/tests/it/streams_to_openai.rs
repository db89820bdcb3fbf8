//! What an OpenAI client is sent of Anthropic's streams.

use serde_json::{Value, json};
use tollgate_sdk::RawEvent;

use crate::stage::{begun, begun_with, data, named, of_chunks, plain, run, run_with, streamed};

fn start() -> Value {
    let usage = json!({ "input_tokens": 5, "cache_read_input_tokens": 100, "cache_creation_input_tokens": 0, "output_tokens": 1 });
    let message = json!({ "id": "msg_1", "type": "message", "role": "assistant", "model": "claude", "content": [], "stop_reason": null, "stop_sequence": null, "usage": usage });
    json!({ "type": "message_start", "message": message })
}

fn block(index: u64, block: Value) -> Value {
    json!({ "type": "content_block_start", "index": index, "content_block": block })
}

fn delta(index: u64, kind: &str, field: &str, text: &str) -> Value {
    json!({ "type": "content_block_delta", "index": index, "delta": { "type": kind, field: text } })
}

fn stop(index: u64) -> Value {
    json!({ "type": "content_block_stop", "index": index })
}

fn end(reason: &str) -> [Value; 2] {
    [
        json!({ "type": "message_delta", "delta": { "stop_reason": reason, "stop_sequence": null }, "usage": { "output_tokens": 9 } }),
        json!({ "type": "message_stop" }),
    ]
}

fn text_stream() -> Vec<RawEvent> {
    let mut events = vec![
        start(),
        json!({ "type": "ping" }),
        block(0, json!({ "type": "text", "text": "" })),
        delta(0, "text_delta", "text", "Hel"),
        delta(0, "text_delta", "text", "lo"),
        stop(0),
    ];
    events.extend(end("end_turn"));
    events.iter().map(named).collect()
}

fn chunk(delta: Value, finish: Value) -> Value {
    json!({
        "id": "msg_1", "object": "chat.completion.chunk", "created": 1_767_225_600, "model": "claude",
        "choices": [{ "index": 0, "delta": delta, "logprobs": null, "finish_reason": finish }],
    })
}

#[test]
fn a_stream_of_text_is_sent_piece_by_piece() {
    let mut session = begun(&run("openai"), "openai");
    let sent = streamed(&mut session, text_stream());
    assert_eq!(
        sent,
        [
            chunk(json!({ "role": "assistant", "content": "" }), Value::Null),
            chunk(json!({ "content": "Hel" }), Value::Null),
            chunk(json!({ "content": "lo" }), Value::Null),
            chunk(json!({}), "stop".into()),
            "[DONE]".into(),
        ]
    );
}

#[test]
fn nothing_is_held_back() {
    let mut session = begun(&run("openai"), "openai");
    let sent: Vec<_> = text_stream()
        .into_iter()
        .map(|event| session.events([event]).events.len())
        .collect();
    assert_eq!(sent, [1, 0, 0, 1, 1, 0, 1, 1]);
}

#[test]
fn usage_is_sent_to_a_client_that_asked_for_it() {
    let mut body = plain("openai");
    body["stream"] = true.into();
    body["stream_options"] = json!({ "include_usage": true });
    let mut session = begun_with(&run("openai"), "openai", &body);
    let sent = streamed(&mut session, text_stream());
    let usage = &sent[sent.len() - 2];
    assert_eq!(usage["choices"], json!([]));
    assert_eq!(
        usage["usage"],
        json!({ "prompt_tokens": 105, "completion_tokens": 9, "total_tokens": 114, "prompt_tokens_details": { "cached_tokens": 100 } })
    );
}

#[test]
fn tool_calls_are_counted_on_their_own_and_get_their_arguments_in_pieces() {
    let tool = |id: &str| json!({ "type": "tool_use", "id": id, "name": "f", "input": {} });
    let mut events = vec![
        start(),
        block(0, json!({ "type": "text", "text": "" })),
        delta(0, "text_delta", "text", "I look."),
        stop(0),
        block(1, tool("a")),
        delta(1, "input_json_delta", "partial_json", ""),
        delta(1, "input_json_delta", "partial_json", "{\"x\":"),
        delta(1, "input_json_delta", "partial_json", "1}"),
        stop(1),
        block(2, tool("b")),
        delta(2, "input_json_delta", "partial_json", ""),
        stop(2),
    ];
    events.extend(end("tool_use"));
    let events = events.iter().map(named).collect();
    let sent = streamed(&mut begun(&run("openai"), "openai"), events);
    let calls: Vec<_> = sent
        .iter()
        .filter_map(|chunk| chunk.pointer("/choices/0/delta/tool_calls/0"))
        .collect();
    assert_eq!(
        calls,
        [
            &json!({ "index": 0, "id": "a", "type": "function", "function": { "name": "f", "arguments": "" } }),
            &json!({ "index": 0, "function": { "arguments": "{\"x\":" } }),
            &json!({ "index": 0, "function": { "arguments": "1}" } }),
            &json!({ "index": 1, "id": "b", "type": "function", "function": { "name": "f", "arguments": "" } }),
            &json!({ "index": 1, "function": { "arguments": "{}" } }),
        ]
    );
    assert_eq!(
        of_chunks(&sent)["choices"][0]["finish_reason"],
        "tool_calls"
    );
}

#[test]
fn thinking_is_left_out_unless_it_is_to_pass() {
    let mut events = vec![
        start(),
        block(
            0,
            json!({ "type": "thinking", "thinking": "", "signature": "" }),
        ),
        delta(0, "thinking_delta", "thinking", "hm"),
        delta(0, "signature_delta", "signature", "s"),
        stop(0),
        block(1, json!({ "type": "redacted_thinking", "data": "d" })),
        stop(1),
    ];
    events.extend(end("end_turn"));
    let events: Vec<_> = events.iter().map(named).collect();
    let sent = streamed(&mut begun(&run("openai"), "openai"), events.clone());
    assert_eq!(sent.len(), 3);
    let run = run_with("openai", json!({ "thinking": "pass" }));
    let sent = streamed(&mut begun(&run, "openai"), events);
    let deltas: Vec<_> = sent[1..4]
        .iter()
        .map(|chunk| &chunk["choices"][0]["delta"])
        .collect();
    assert_eq!(
        deltas,
        [
            &json!({ "reasoning_content": "hm" }),
            &json!({ "thinking_blocks": [{ "type": "thinking", "thinking": "", "signature": "s" }] }),
            &json!({ "thinking_blocks": [{ "type": "redacted_thinking", "data": "d" }] }),
        ]
    );
}

#[test]
fn events_and_blocks_that_nobody_knows_are_passed_over() {
    let mut events = vec![
        start(),
        json!({ "type": "content_block_sparkle" }),
        block(
            0,
            json!({ "type": "server_tool_use", "id": "s", "name": "web_search", "input": {} }),
        ),
        delta(0, "input_json_delta", "partial_json", "{}"),
        stop(0),
        block(1, json!({ "type": "text", "text": "a" })),
        json!({ "type": "content_block_delta", "index": 1, "delta": { "type": "citations_delta", "citation": {} } }),
        stop(1),
    ];
    events.extend(end("end_turn"));
    let sent = streamed(
        &mut begun(&run("openai"), "openai"),
        events.iter().map(named).collect(),
    );
    assert_eq!(of_chunks(&sent)["choices"][0]["message"]["content"], "a");
}

#[test]
fn an_error_in_a_stream_is_told_and_ends_it() {
    let error = json!({ "type": "error", "error": { "type": "overloaded_error", "message": "Overloaded" } });
    let mut session = begun(&run("openai"), "openai");
    let sent = session.events([
        named(&start()),
        named(&error),
        named(&json!({ "type": "message_stop" })),
    ]);
    assert!(sent.ended);
    assert_eq!(
        data(&sent.events)[1..],
        [
            json!({ "error": { "message": "Overloaded", "type": "server_error", "param": null, "code": "overloaded" } })
        ]
    );
}

#[test]
fn a_stream_that_stops_short_never_looks_complete() {
    for length in 0..text_stream().len() {
        let mut session = begun(&run("openai"), "openai");
        session.events(text_stream().into_iter().take(length));
        let last = data(&session.end().events);
        assert_eq!(last[0]["error"]["type"], "server_error", "{length}");
    }
}
