//! Answers that are no streams.

use serde_json::{Value, json};
use tollgate_sdk::Answer;

use crate::stage::{answered, answered_with, begun, run, run_with};

fn message(content: Value, reason: &str) -> Value {
    json!({
        "id": "msg_1", "type": "message", "role": "assistant", "model": "claude",
        "content": content, "stop_reason": reason, "stop_sequence": null,
        "usage": { "input_tokens": 5, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 100, "output_tokens": 9 },
    })
}

fn completion(message: Value, reason: &str) -> Value {
    json!({
        "id": "msg_1", "object": "chat.completion", "created": 1_767_225_600, "model": "claude",
        "choices": [{ "index": 0, "message": message, "logprobs": null, "finish_reason": reason }],
        "usage": { "prompt_tokens": 105, "completion_tokens": 9, "total_tokens": 114, "prompt_tokens_details": { "cached_tokens": 100 } },
    })
}

#[test]
fn text_is_answered_either_way() {
    let anthropic = message(json!([{ "type": "text", "text": "hi" }]), "end_turn");
    let openai = completion(
        json!({ "role": "assistant", "content": "hi", "refusal": null }),
        "stop",
    );
    assert_eq!(answered("openai", &anthropic), openai);
    assert_eq!(answered("anthropic", &openai), anthropic);
}

#[test]
fn tool_calls_are_answered_either_way() {
    let call = json!({ "id": "a", "type": "function", "function": { "name": "f", "arguments": "{\"x\":1}" } });
    let block = json!({ "type": "tool_use", "id": "a", "name": "f", "input": { "x": 1 } });
    let anthropic = message(json!([block]), "tool_use");
    let openai = completion(
        json!({ "role": "assistant", "content": null, "refusal": null, "tool_calls": [call] }),
        "tool_calls",
    );
    assert_eq!(answered("openai", &anthropic), openai);
    assert_eq!(answered("anthropic", &openai), anthropic);
}

#[test]
fn the_text_that_stopped_an_answer_is_kept() {
    let mut anthropic = message(json!([{ "type": "text", "text": "hi" }]), "stop_sequence");
    anthropic["stop_sequence"] = "END".into();
    let openai = answered("openai", &anthropic);
    assert_eq!(openai["choices"][0]["finish_reason"], "stop");
    assert_eq!(answered("anthropic", &openai), anthropic);
}

#[test]
fn a_refusal_of_the_model_is_text_that_ended_so() {
    let openai = completion(
        json!({ "role": "assistant", "content": null, "refusal": "No." }),
        "stop",
    );
    let anthropic = answered("anthropic", &openai);
    assert_eq!(
        anthropic,
        message(json!([{ "type": "text", "text": "No." }]), "refusal")
    );
}

#[test]
fn blocks_that_a_chat_does_not_have_are_passed_over() {
    let anthropic = message(
        json!([{ "type": "text", "text": "a" }, { "type": "server_tool_use", "id": "s" }, { "type": "text", "text": "b", "citations": [] }]),
        "pause_turn",
    );
    let openai = answered("openai", &anthropic);
    assert_eq!(
        openai,
        completion(
            json!({ "role": "assistant", "content": "ab", "refusal": null }),
            "stop"
        )
    );
    assert_eq!(tollgate_sdk::testing::counted("dropped"), 1);
}

#[test]
fn thinking_is_answered_where_it_is_to_pass() {
    let thinking = json!({ "type": "thinking", "thinking": "t", "signature": "s" });
    let anthropic = message(
        json!([thinking, { "type": "text", "text": "a" }]),
        "end_turn",
    );
    let pass = json!({ "thinking": "pass" });
    let openai = answered_with(&run_with("openai", pass.clone()), "openai", &anthropic);
    assert_eq!(openai["choices"][0]["message"]["reasoning_content"], "t");
    assert_eq!(
        answered_with(&run_with("anthropic", pass.clone()), "anthropic", &openai),
        anthropic
    );
    let openai = answered("openai", &anthropic);
    assert_eq!(
        openai["choices"][0]["message"].get("reasoning_content"),
        None
    );

    let bare = completion(
        json!({ "role": "assistant", "content": "a", "reasoning_content": "t" }),
        "stop",
    );
    let anthropic = answered_with(&run_with("anthropic", pass), "anthropic", &bare);
    assert_eq!(
        anthropic["content"][0],
        json!({ "type": "thinking", "thinking": "t", "signature": "" })
    );
}

#[test]
fn an_answer_that_makes_no_sense_is_refused() {
    for client in ["openai", "anthropic"] {
        for body in [
            json!({}),
            json!([]),
            json!("x"),
            json!({ "type": "message", "content": [{ "type": "tool_use" }] }),
            json!({ "choices": [] }),
            json!({ "choices": [{ "message": { "content": 1 } }] }),
        ] {
            let decided = begun(&run(client), client).response(Answer::new(200).json(&body));
            let status = match (decided.refusal(), decided.answer()) {
                (Some(refusal), _) => refusal.status,
                (_, Some(answer)) => answer.status,
                _ => panic!("{client} {body}"),
            };
            assert_eq!(status, 502);
        }
    }
}

#[test]
fn a_redirect_and_the_head_of_a_stream_are_left_alone() {
    for answer in [
        Answer::new(307).header("location", "/"),
        Answer::new(200).header("content-type", "text/event-stream; charset=utf-8"),
    ] {
        assert!(
            begun(&run("openai"), "openai")
                .response(answer)
                .is_untouched()
        );
    }
}
