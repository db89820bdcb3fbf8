//! What an OpenAI upstream is asked for an Anthropic client.

use serde_json::{Value, json};

use crate::stage::{asked, asked_with, exchange, plain, run, run_with, target, try_asked};

fn with(field: &str, value: Value) -> Value {
    let mut body = plain("anthropic");
    body[field] = value;
    body
}

fn said(messages: Value) -> Value {
    asked("anthropic", &with("messages", messages))["messages"].take()
}

#[test]
fn a_plain_message_becomes_a_chat_at_the_other_path() {
    let exchange = exchange("anthropic", &plain("anthropic")).to("POST", "/v1/messages?beta=true");
    let decided = run("anthropic").open(exchange).attempt(&target());
    assert_eq!(decided.path(), "/v1/chat/completions");
    assert_eq!(
        String::from_utf8_lossy(decided.body()),
        r#"{"model":"m","messages":[{"role":"user","content":"hi"}],"max_completion_tokens":9}"#
    );
}

#[test]
fn the_system_prompt_is_the_first_message() {
    let text = asked("anthropic", &with("system", "a".into()));
    assert_eq!(
        text["messages"],
        json!([{ "role": "system", "content": "a" }, { "role": "user", "content": "hi" }])
    );
    let blocks = json!([{ "type": "text", "text": "a", "cache_control": { "type": "ephemeral" } }]);
    let blocks = asked("anthropic", &with("system", blocks));
    assert_eq!(
        blocks["messages"][0]["content"],
        json!([{ "type": "text", "text": "a" }])
    );
}

#[test]
fn images_and_documents_become_parts() {
    let content = json!([
        { "type": "image", "source": { "type": "base64", "media_type": "image/png", "data": "AAAA" } },
        { "type": "image", "source": { "type": "url", "url": "https://example.com/a.png" } },
        { "type": "document", "title": "a.pdf", "source": { "type": "base64", "media_type": "application/pdf", "data": "BBBB" } },
        { "type": "document", "source": { "type": "text", "media_type": "text/plain", "data": "t" } },
    ]);
    let said = said(json!([{ "role": "user", "content": content }]));
    assert_eq!(
        said[0]["content"],
        json!([
            { "type": "image_url", "image_url": { "url": "data:image/png;base64,AAAA" } },
            { "type": "image_url", "image_url": { "url": "https://example.com/a.png" } },
            { "type": "file", "file": { "filename": "a.pdf", "file_data": "data:application/pdf;base64,BBBB" } },
            { "type": "text", "text": "t" },
        ])
    );
}

#[test]
fn results_of_tools_are_messages_before_what_the_user_says() {
    let said = said(json!([
        { "role": "assistant", "content": [{ "type": "text", "text": "I look." }, { "type": "tool_use", "id": "a", "name": "f", "input": { "x": [1, null] } }] },
        { "role": "user", "content": [
            { "type": "tool_result", "tool_use_id": "a", "content": [{ "type": "text", "text": "1" }, { "type": "image", "source": { "type": "url", "url": "https://example.com/a.png" } }] },
            { "type": "tool_result", "tool_use_id": "b", "is_error": true },
            { "type": "text", "text": "so?" },
        ] },
    ]));
    assert_eq!(
        said,
        json!([
            { "role": "assistant", "content": "I look.", "tool_calls": [{ "id": "a", "type": "function", "function": { "name": "f", "arguments": "{\"x\":[1,null]}" } }] },
            { "role": "tool", "tool_call_id": "a", "content": [{ "type": "text", "text": "1" }] },
            { "role": "tool", "tool_call_id": "b", "content": "" },
            { "role": "user", "content": [{ "type": "image_url", "image_url": { "url": "https://example.com/a.png" } }, { "type": "text", "text": "so?" }] },
        ])
    );
}

#[test]
fn tools_and_the_choice_among_them_are_kept() {
    let tool = json!({ "name": "f", "description": "d", "input_schema": { "type": "object" } });
    for (choice, expected, parallel) in [
        (json!({ "type": "auto" }), json!("auto"), Value::Null),
        (
            json!({ "type": "any", "disable_parallel_tool_use": true }),
            json!("required"),
            json!(false),
        ),
        (json!({ "type": "none" }), json!("none"), Value::Null),
        (
            json!({ "type": "tool", "name": "f", "disable_parallel_tool_use": false }),
            json!({ "type": "function", "function": { "name": "f" } }),
            json!(true),
        ),
    ] {
        let mut body = with(
            "tools",
            json!([tool, { "type": "web_search_20250305", "name": "web_search" }]),
        );
        body["tool_choice"] = choice;
        let asked = asked("anthropic", &body);
        assert_eq!(asked["tool_choice"], expected);
        assert_eq!(asked["parallel_tool_calls"], parallel);
        assert_eq!(
            asked["tools"],
            json!([{ "type": "function", "function": { "name": "f", "description": "d", "parameters": { "type": "object" } } }])
        );
    }
}

#[test]
fn each_parameter_goes_where_it_belongs() {
    for (field, value, pointer, expected) in [
        ("stop_sequences", json!(["x"]), "/stop", json!(["x"])),
        ("temperature", json!(0.5), "/temperature", json!(0.5)),
        ("top_p", json!(0.9), "/top_p", json!(0.9)),
        ("top_k", json!(40), "/top_k", json!(40)),
        ("metadata", json!({ "user_id": "u" }), "/user", json!("u")),
        (
            "service_tier",
            json!("standard_only"),
            "/service_tier",
            json!("default"),
        ),
        ("stream", json!(true), "/stream", json!(true)),
        (
            "stream",
            json!(true),
            "/stream_options",
            json!({ "include_usage": true }),
        ),
        (
            "output_config",
            json!({ "format": { "type": "json_schema", "schema": { "type": "object" } } }),
            "/response_format",
            json!({ "type": "json_schema", "json_schema": { "name": "answer", "strict": true, "schema": { "type": "object" } } }),
        ),
    ] {
        let asked = asked("anthropic", &with(field, value));
        assert_eq!(asked.pointer(pointer), Some(&expected), "{field}");
    }
}

#[test]
fn an_older_server_is_told_the_most_tokens_by_their_older_name() {
    let run = run_with("anthropic", json!({ "max_tokens_as": "max_tokens" }));
    let asked = asked_with(&run, "anthropic", &plain("anthropic"));
    assert_eq!(asked["max_tokens"], 9);
    assert_eq!(asked.get("max_completion_tokens"), None);
}

#[test]
fn thinking_of_before_is_left_out_unless_it_is_to_pass() {
    let thinking = json!({ "type": "thinking", "thinking": "t", "signature": "s" });
    let mut body = with(
        "messages",
        json!([{ "role": "assistant", "content": [thinking, { "type": "text", "text": "a" }] }]),
    );
    body["output_config"] = json!({ "effort": "low" });
    let dropped = asked("anthropic", &body);
    assert_eq!(
        dropped["messages"],
        json!([{ "role": "assistant", "content": [{ "type": "text", "text": "a" }] }])
    );
    assert_eq!(dropped.get("reasoning_effort"), None);
    let passed = asked_with(
        &run_with("anthropic", json!({ "thinking": "pass" })),
        "anthropic",
        &body,
    );
    assert_eq!(passed["reasoning_effort"], "low");
    assert_eq!(passed["messages"][0]["reasoning_content"], "t");
    assert_eq!(passed["messages"][0]["thinking_blocks"], json!([thinking]));
}

#[test]
fn what_cannot_be_said_is_refused_in_the_clients_shape() {
    for block in [
        json!({ "type": "search_result", "source": "s" }),
        json!({ "type": "document", "source": { "type": "url", "url": "https://example.com/a.pdf" } }),
        json!({ "type": "image", "source": { "type": "file", "file_id": "f" } }),
    ] {
        let body = with("messages", json!([{ "role": "user", "content": [block] }]));
        let decided = try_asked(&run("anthropic"), "anthropic", &body).unwrap_err();
        let answer = decided.answer().unwrap();
        assert_eq!(answer.status, 400);
        let said: Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(said["error"]["type"], "invalid_request_error");
        let message = said["error"]["message"].as_str().unwrap();
        assert_eq!(
            message,
            "This request cannot be translated: `messages[0].content[0]`: there is no such thing in OpenAI's chat completions."
        );
    }
}
