//! Requests and answers that are no streams, natively.

#![allow(
    clippy::unwrap_used,
    reason = "clippy sees only `#[test]` functions as tests"
)]

use redact::Redact;
use serde_json::{Value, json};
use tollgate_sdk::{
    Answer, RawEvent, Target,
    testing::{Decided, Exchange, Run, Session},
};

fn open(settings: Value) -> Session<Redact> {
    Run::<Redact>::new(settings).open(Exchange::chat())
}

/// A request with this body, after the policy.
fn requested(body: &Value) -> Decided {
    let exchange = Exchange::chat().body(body.to_string());
    Run::<Redact>::new(json!({})).open(exchange).request()
}

fn answered(body: &Value) -> Decided {
    open(json!({})).response(Answer::new(200).json(body))
}

fn body(decided: &Decided) -> Value {
    serde_json::from_slice(decided.body()).unwrap()
}

#[test]
fn the_texts_of_a_chat_are_replaced() {
    let decided = requested(&json!({ "model": "m", "user": "ada@x.org", "messages": [
        { "role": "system", "content": "Ask +49 30 1234567." },
        { "role": "user", "name": "ada@x.org", "content": [
            { "type": "text", "text": "I am ada@x.org" },
            { "type": "image_url", "image_url": { "url": "https://x.org/ada@x.org" } },
        ] },
        { "role": "assistant", "content": null, "tool_calls": [
            { "id": "1", "function": { "name": "pay", "arguments": "{\"card\":4111111111111111}" } },
        ] },
    ] }));
    assert!(decided.is_next());
    assert_eq!(
        body(&decided),
        json!({ "model": "m", "user": "ada@x.org", "messages": [
            { "role": "system", "content": "Ask [PHONE]." },
            { "role": "user", "name": "ada@x.org", "content": [
                { "type": "text", "text": "I am [EMAIL]" },
                { "type": "image_url", "image_url": { "url": "https://x.org/ada@x.org" } },
            ] },
            { "role": "assistant", "content": null, "tool_calls": [
                { "id": "1", "function": { "name": "pay", "arguments": "{\"card\":\"[CARD]\"}" } },
            ] },
        ] })
    );
}

#[test]
fn prompts_and_inputs_are_replaced_alone_or_in_lists() {
    for field in ["prompt", "input", "system", "instructions", "suffix"] {
        let decided = requested(&json!({ field: "ada@x.org" }));
        assert_eq!(body(&decided), json!({ field: "[EMAIL]" }));
        let decided = requested(&json!({ field: ["a", "ada@x.org", 3] }));
        assert_eq!(body(&decided), json!({ field: ["a", "[EMAIL]", 3] }));
    }
}

#[test]
fn blocks_of_the_other_dialects_are_replaced() {
    let decided = requested(&json!({
        "messages": [{ "role": "user", "content": [
            { "type": "tool_result", "tool_use_id": "t", "content": [{ "type": "text", "text": "ada@x.org" }] },
            { "type": "tool_use", "id": "t", "input": { "to": ["ada@x.org"], "n": 1 } },
        ] }],
        "input": [{ "role": "user", "content": [{ "type": "input_text", "text": "ada@x.org" }] },
            { "type": "function_call_output", "output": "ada@x.org" }],
    }));
    let text = String::from_utf8(decided.body().to_vec()).unwrap();
    assert_eq!(text.matches("[EMAIL]").count(), 4, "{text}");
    assert!(!text.contains('@'));
}

#[test]
fn an_escape_hides_nothing_and_what_is_not_replaced_stays_as_it_was_written() {
    let text = r#"{ "messages" : [ {"role":"user", "c\u006fntent":"\u0061da\u0040x.org"}, {"content" : "\u00fc" } ] }"#;
    let exchange = Exchange::chat().body(text);
    let decided = Run::<Redact>::new(json!({})).open(exchange).request();
    assert_eq!(decided.json("/messages/0/content"), Some("[EMAIL]".into()));
}

#[test]
fn a_request_in_which_nothing_is_found_is_untouched() {
    let decided = requested(&json!({ "messages": [{ "role": "user", "content": "hello" }] }));
    assert!(decided.is_untouched());
    let exchange = Exchange::chat().body("ada@x.org");
    assert!(
        Run::<Redact>::new(json!({}))
            .open(exchange)
            .request()
            .is_untouched()
    );
}

#[test]
fn many_findings_make_one_edit() {
    let message = json!({ "role": "user", "content": "ada@x.org" });
    let decided = requested(&json!({ "messages": vec![message; 500] }));
    let text = String::from_utf8(decided.body().to_vec()).unwrap();
    assert_eq!(text.matches("[EMAIL]").count(), 500);
}

#[test]
fn a_refusal_says_what_it_is_about_and_nothing_of_the_settings() {
    let settings = json!({ "request": "refuse", "patterns": [
        { "name": "project", "pattern": "Bluebird" },
    ] });
    let refused = |content: &str| {
        let exchange = Exchange::chat().json("/messages/0/content", content);
        let decided = Run::<Redact>::new(settings.clone())
            .open(exchange)
            .request();
        let refusal = decided.refusal().cloned()?;
        assert_eq!(
            (refusal.status, refusal.code.as_str()),
            (400, "sensitive_data")
        );
        Some(refusal.message)
    };
    assert_eq!(refused("hello"), None);
    assert_eq!(
        refused("ada@x.org").unwrap(),
        "The policy `redact` refuses this request: it holds an e-mail address."
    );
    let own = refused("the Bluebird").unwrap();
    assert!(own.contains("something that must not be sent"), "{own}");
    assert!(
        !own.contains("Bluebird") && !own.contains("project"),
        "{own}"
    );
}

#[test]
fn answers_are_replaced_and_their_logprobs_left_out() {
    let decided = answered(&json!({ "id": "1", "choices": [
        { "index": 0, "message": { "role": "assistant", "content": "ada@x.org", "refusal": null },
          "logprobs": { "content": [{ "token": "ada" }] }, "finish_reason": "stop" },
        { "index": 1, "text": "ada@x.org", "logprobs": null },
    ], "usage": { "prompt_tokens": 1 } }));
    assert_eq!(
        body(&decided),
        json!({ "id": "1", "choices": [
            { "index": 0, "message": { "role": "assistant", "content": "[EMAIL]", "refusal": null },
              "logprobs": null, "finish_reason": "stop" },
            { "index": 1, "text": "[EMAIL]", "logprobs": null },
        ], "usage": { "prompt_tokens": 1 } })
    );
}

#[test]
fn blocks_of_an_answer_are_replaced() {
    let decided = answered(&json!({ "type": "message", "content": [
        { "type": "text", "text": "ada@x.org" },
        { "type": "tool_use", "id": "t", "name": "mail", "input": { "to": "ada@x.org" } },
    ] }));
    assert_eq!(decided.json("/content/0/text"), Some("[EMAIL]".into()));
    assert_eq!(decided.json("/content/1/input/to"), Some("[EMAIL]".into()));
}

#[test]
fn attached_to_a_target_it_replaces_what_is_sent_there() {
    let target = Target {
        upstream: "far".to_owned(),
        dialect: "openai".to_owned(),
        model: None,
        attempt: 1,
    };
    let exchange = Exchange::chat().json("/messages/0/content", "ada@x.org");
    let decided = Run::<Redact>::new(json!({}))
        .open(exchange.clone())
        .attempt(&target);
    assert_eq!(decided.json("/messages/0/content"), Some("[EMAIL]".into()));
    let refuses = Run::<Redact>::new(json!({ "request": "refuse" }));
    assert!(refuses.open(exchange).attempt(&target).refusal().is_some());
}

#[test]
fn what_is_left_alone_is_not_even_shown_to_it() {
    let settings = json!({ "request": "leave", "response": "leave" });
    let exchange = Exchange::chat().json("/messages/0/content", "ada@x.org");
    let mut session = Run::<Redact>::new(settings).open(exchange);
    assert!(session.request().is_untouched());
    let answer = json!({ "choices": [{ "text": "ada@x.org" }] });
    assert!(
        session
            .response(Answer::new(200).json(&answer))
            .is_untouched()
    );
    let mut session = open(json!({ "stream": "leave" }));
    let event = RawEvent::text("ada@x.org");
    assert_eq!(session.events([event.clone()]).events, [event]);
}

#[test]
fn what_has_too_much_text_is_refused_rather_than_not_searched() {
    let small = json!({ "text_max": 1024 });
    let refused = |content: &str| {
        let exchange = Exchange::chat().json("/messages/0/content", content);
        let decided = Run::<Redact>::new(small.clone()).open(exchange).request();
        let refusal = decided.refusal()?;
        Some((refusal.status, refusal.code.clone()))
    };
    assert_eq!(refused("short"), None);
    assert_eq!(
        refused(&"long ".repeat(200)),
        Some((413, "text_too_long".to_owned()))
    );
    let answer = json!({ "choices": vec![json!({ "text": "" }); 50] });
    let decided = open(small.clone()).response(Answer::new(200).json(&answer));
    let refusal = decided.refusal().unwrap();
    assert_eq!(
        (refusal.status, refusal.code.as_str()),
        (502, "text_too_long")
    );
}

#[test]
fn images_do_not_count_as_text() {
    let image = json!({ "type": "image_url", "image_url": { "url": "A".repeat(5000) } });
    let exchange = Exchange::chat().json("/messages/0/content", Value::from(vec![image]));
    let decided = Run::<Redact>::new(json!({ "text_max": 1024 }))
        .open(exchange)
        .request();
    assert!(decided.is_untouched() && decided.is_next());
}
