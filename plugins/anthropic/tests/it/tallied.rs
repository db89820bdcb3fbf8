//! What is left out is counted, or refused by name.

use serde_json::{Value, json};
use tollgate_sdk::testing::counted;

use crate::stage::{asked, plain, run_with, try_asked};

fn with(client: &str, fields: &Value) -> Value {
    let mut body = plain(client);
    for (name, value) in fields.as_object().unwrap() {
        body[name] = value.clone();
    }
    body
}

#[test]
fn a_field_that_the_other_side_does_not_have_is_left_out_and_counted() {
    let fields = json!({ "seed": 1, "logit_bias": { "1": 2 }, "n": 2, "made_up": 1, "response_format": { "type": "json_object" } });
    let asked = asked("openai", &with("openai", &fields));
    assert_eq!(counted("dropped"), 5);
    let names: Vec<_> = asked.as_object().unwrap().keys().collect();
    assert_eq!(names, ["model", "max_tokens", "messages"]);
}

#[test]
fn a_field_that_says_what_is_so_anyway_is_not_missed() {
    let fields = json!({
        "n": 1, "logprobs": false, "presence_penalty": 0, "frequency_penalty": 0.0, "store": false, "seed": null,
        "logit_bias": {}, "modalities": ["text"], "response_format": { "type": "text" },
    });
    let run = run_with("openai", json!({ "unsupported": "refuse" }));
    assert!(try_asked(&run, "openai", &with("openai", &fields)).is_ok());
    let fields = json!({ "thinking": { "type": "disabled" } });
    let run = run_with("anthropic", json!({ "unsupported": "refuse" }));
    assert!(try_asked(&run, "anthropic", &with("anthropic", &fields)).is_ok());
    assert_eq!(counted("dropped"), 0);
}

#[test]
fn such_a_field_is_refused_by_name_where_that_is_set() {
    for (client, fields, place) in [
        ("openai", json!({ "seed": 1 }), "seed"),
        ("openai", json!({ "temperature": 1.5 }), "temperature"),
        (
            "openai",
            json!({ "reasoning_effort": "low" }),
            "reasoning_effort",
        ),
        (
            "openai",
            json!({ "tools": [{ "type": "custom", "custom": {} }] }),
            "tools[0]",
        ),
        (
            "openai",
            json!({ "messages": [{ "role": "user", "name": "ann", "content": "hi" }] }),
            "messages[0].name",
        ),
        (
            "anthropic",
            json!({ "messages": [{ "role": "user", "content": [{ "type": "text", "text": "a", "cache_control": {} }] }] }),
            "messages[0].content[0].cache_control",
        ),
        (
            "anthropic",
            json!({ "messages": [{ "role": "user", "content": [{ "type": "tool_result", "tool_use_id": "a", "is_error": true }] }] }),
            "messages[0].content[0].is_error",
        ),
        (
            "anthropic",
            json!({ "thinking": { "type": "adaptive" } }),
            "thinking",
        ),
    ] {
        let run = run_with(client, json!({ "unsupported": "refuse" }));
        let decided = try_asked(&run, client, &with(client, &fields)).unwrap_err();
        let message = match (decided.refusal(), decided.answer()) {
            (Some(refusal), _) => refusal.message.clone(),
            (_, Some(answer)) => String::from_utf8(answer.body.clone()).unwrap(),
            _ => panic!("{place}"),
        };
        assert!(
            message.contains(&format!("`{place}`: there is no such thing in")),
            "{message}"
        );
    }
}

#[test]
fn a_thousand_such_fields_are_counted_at_once() {
    let message = json!({ "role": "user", "name": "ann", "content": "hi" });
    asked(
        "openai",
        &with("openai", &json!({ "messages": vec![message; 2000] })),
    );
    assert_eq!(counted("dropped"), 2000);
}
