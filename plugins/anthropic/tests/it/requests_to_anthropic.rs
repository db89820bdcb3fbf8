//! What an Anthropic upstream is asked for an OpenAI client.

use serde_json::{Value, json};

use crate::stage::{asked, asked_with, exchange, run, run_with, target, try_asked};

fn with(field: &str, value: Value) -> Value {
    let mut body = json!({ "model": "m", "messages": [{ "role": "user", "content": "hi" }] });
    body[field] = value;
    body
}

fn said(messages: Value) -> Value {
    asked("openai", &with("messages", messages))["messages"].take()
}

#[test]
fn a_plain_chat_becomes_a_message_at_the_other_path() {
    let decided = run("openai")
        .open(exchange("openai", &with("x", Value::Null)))
        .attempt(&target());
    assert_eq!(decided.path(), "/v1/messages");
    assert_eq!(
        String::from_utf8_lossy(decided.body()),
        r#"{"model":"m","max_tokens":4096,"messages":[{"role":"user","content":"hi"}]}"#
    );
}

#[test]
fn system_and_developer_messages_stand_above_the_conversation() {
    let one = json!([{ "role": "system", "content": "a" }, { "role": "user", "content": "b" }]);
    assert_eq!(asked("openai", &with("messages", one))["system"], "a");
    let two = json!([
        { "role": "system", "content": "a" },
        { "role": "user", "content": "b" },
        { "role": "developer", "content": [{ "type": "text", "text": "c" }] },
    ]);
    let asked = asked("openai", &with("messages", two));
    assert_eq!(
        asked["system"],
        json!([{ "type": "text", "text": "a" }, { "type": "text", "text": "c" }])
    );
    assert_eq!(
        asked["messages"],
        json!([{ "role": "user", "content": "b" }])
    );
}

#[test]
fn images_and_files_become_sources() {
    let content = json!([
        { "type": "text", "text": "a" },
        { "type": "image_url", "image_url": { "url": "data:image/png;base64,AAAA", "detail": "auto" } },
        { "type": "image_url", "image_url": { "url": "https://example.com/a.png" } },
        { "type": "file", "file": { "filename": "a.pdf", "file_data": "data:application/pdf;base64,BBBB" } },
    ]);
    let said = said(json!([{ "role": "user", "content": content }]));
    assert_eq!(
        said[0]["content"],
        json!([
            { "type": "text", "text": "a" },
            { "type": "image", "source": { "type": "base64", "media_type": "image/png", "data": "AAAA" } },
            { "type": "image", "source": { "type": "url", "url": "https://example.com/a.png" } },
            { "type": "document", "source": { "type": "base64", "media_type": "application/pdf", "data": "BBBB" }, "title": "a.pdf" },
        ])
    );
}

#[test]
fn tool_calls_and_their_results_become_blocks_and_results_one_turn() {
    let call = |id: &str, arguments: &str| json!({ "id": id, "type": "function", "function": { "name": "f", "arguments": arguments } });
    let said = said(json!([
        { "role": "user", "content": "hi" },
        { "role": "assistant", "content": "I look.", "tool_calls": [call("a", "{\"x\": 1}"), call("b", "")] },
        { "role": "tool", "tool_call_id": "b", "content": "2" },
        { "role": "tool", "tool_call_id": "a", "content": [{ "type": "text", "text": "1" }] },
        { "role": "assistant", "content": "", "tool_calls": [call("c", "{}")] },
        { "role": "tool", "tool_call_id": "c", "content": "3" },
        { "role": "user", "content": "so?" },
    ]));
    let result = |id: &str, content: Value| json!({ "type": "tool_result", "tool_use_id": id, "content": content });
    let call = |id: &str, input: Value| json!({ "type": "tool_use", "id": id, "name": "f", "input": input });
    assert_eq!(
        said,
        json!([
            { "role": "user", "content": "hi" },
            { "role": "assistant", "content": [{ "type": "text", "text": "I look." }, call("a", json!({ "x": 1 })), call("b", json!({}))] },
            { "role": "user", "content": [result("b", "2".into()), result("a", json!([{ "type": "text", "text": "1" }]))] },
            { "role": "assistant", "content": [call("c", json!({}))] },
            { "role": "user", "content": [result("c", "3".into())] },
            { "role": "user", "content": "so?" },
        ])
    );
}

#[test]
fn arguments_that_a_model_got_wrong_do_not_stop_the_conversation() {
    let call = json!({ "id": "a", "type": "function", "function": { "name": "f", "arguments": "{\"x\": " } });
    let said = said(json!([{ "role": "assistant", "tool_calls": [call] }]));
    assert_eq!(
        said[0]["content"][0]["input"],
        json!({ "INVALID_JSON": "{\"x\": " })
    );
}

#[test]
fn tools_and_the_choice_among_them_are_kept() {
    let tool = json!({ "type": "function", "function": { "name": "f", "description": "d", "parameters": { "type": "object", "properties": {} }, "strict": true } });
    for (choice, parallel, expected) in [
        (json!("auto"), None, json!({ "type": "auto" })),
        (
            json!("required"),
            Some(false),
            json!({ "type": "any", "disable_parallel_tool_use": true }),
        ),
        (json!("none"), Some(true), json!({ "type": "none" })),
        (
            Value::Null,
            Some(false),
            json!({ "type": "auto", "disable_parallel_tool_use": true }),
        ),
        (Value::Null, None, Value::Null),
        (
            json!({ "type": "function", "function": { "name": "f" } }),
            Some(true),
            json!({ "type": "tool", "name": "f", "disable_parallel_tool_use": false }),
        ),
    ] {
        let mut body = with("tools", json!([tool]));
        body["tool_choice"] = choice;
        body["parallel_tool_calls"] = parallel.into();
        let asked = asked("openai", &body);
        assert_eq!(asked["tool_choice"], expected);
        assert_eq!(
            asked["tools"],
            json!([{ "name": "f", "description": "d", "input_schema": { "type": "object", "properties": {} }, "strict": true }])
        );
    }
}

#[test]
fn a_choice_without_tools_is_not_sent() {
    let asked = asked("openai", &with("tool_choice", "auto".into()));
    assert_eq!(asked.get("tool_choice"), None);
}

#[test]
fn each_parameter_goes_where_it_belongs() {
    for (field, value, pointer, expected) in [
        ("max_tokens", json!(7), "/max_tokens", json!(7)),
        ("max_completion_tokens", json!(8), "/max_tokens", json!(8)),
        ("stop", json!("x"), "/stop_sequences", json!(["x"])),
        (
            "stop",
            json!(["x", "y"]),
            "/stop_sequences",
            json!(["x", "y"]),
        ),
        ("temperature", json!(0.5), "/temperature", json!(0.5)),
        ("temperature", json!(1.5), "/temperature", json!(1)),
        ("top_p", json!(0.9), "/top_p", json!(0.9)),
        ("top_k", json!(40), "/top_k", json!(40)),
        ("user", json!("u"), "/metadata/user_id", json!("u")),
        ("stream", json!(true), "/stream", json!(true)),
        (
            "service_tier",
            json!("default"),
            "/service_tier",
            json!("standard_only"),
        ),
        (
            "response_format",
            json!({ "type": "json_schema", "json_schema": { "name": "n", "schema": { "type": "object" } } }),
            "/output_config",
            json!({ "format": { "type": "json_schema", "schema": { "type": "object" } } }),
        ),
    ] {
        let asked = asked("openai", &with(field, value));
        assert_eq!(asked.pointer(pointer), Some(&expected), "{field}");
    }
}

#[test]
fn thinking_passes_where_it_is_to() {
    let mut body = with("reasoning_effort", "high".into());
    body["thinking"] = json!({ "type": "adaptive" });
    body["messages"] = json!([
        { "role": "assistant", "content": "a", "reasoning_content": "t", "thinking_blocks": [{ "type": "thinking", "thinking": "t", "signature": "s" }] },
    ]);
    let asked = asked_with(
        &run_with("openai", json!({ "thinking": "pass" })),
        "openai",
        &body,
    );
    assert_eq!(asked["output_config"], json!({ "effort": "high" }));
    assert_eq!(asked["thinking"], json!({ "type": "adaptive" }));
    assert_eq!(
        asked["messages"][0]["content"],
        json!([{ "type": "thinking", "thinking": "t", "signature": "s" }, { "type": "text", "text": "a" }])
    );
    let asked = crate::stage::asked("openai", &body);
    assert_eq!(asked.get("output_config"), None);
    assert_eq!(asked.get("thinking"), None);
    assert_eq!(asked["messages"][0]["content"], "a");
}

#[test]
fn what_cannot_be_said_is_refused_by_name() {
    for (messages, place) in [
        (
            json!([{ "role": "user", "content": [{ "type": "input_audio", "input_audio": {} }] }]),
            "messages[0].content[0]",
        ),
        (
            json!([{ "role": "user", "content": [{ "type": "file", "file": { "file_id": "f" } }] }]),
            "messages[0].content[0].file",
        ),
        (
            json!([{ "role": "function", "name": "f", "content": "x" }]),
            "messages[0].role",
        ),
        (
            json!([{ "role": "assistant", "tool_calls": [{ "type": "custom", "id": "c" }] }]),
            "messages[0].tool_calls[0]",
        ),
    ] {
        let decided = try_asked(&run("openai"), "openai", &with("messages", messages)).unwrap_err();
        let refusal = decided.refusal().unwrap();
        assert_eq!(
            (refusal.status, refusal.code.as_str()),
            (400, "unsupported_field")
        );
        let expected = format!(
            "This request cannot be translated: `{place}`: there is no such thing in Anthropic's Messages."
        );
        assert_eq!(refusal.message, expected);
    }
}
