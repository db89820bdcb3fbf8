//! What may be set, and how a mistake is told.

use anthropic::Anthropic;
use serde_json::{Value, json};
use tollgate_sdk::{
    Answer, Sample,
    testing::{Exchange, Run},
};

use crate::stage::{exchange, plain, run_with, target};

fn error(settings: Value) -> String {
    match Run::<Anthropic>::try_new(settings) {
        Ok(_) => panic!("they were taken"),
        Err(errors) => errors.join("\n"),
    }
}

#[test]
fn a_mistake_is_told_with_its_field() {
    for (settings, expected) in [
        (json!({}), "/: missing field `client`"),
        (
            json!({ "client": "x" }),
            "/client: unknown variant `x`, expected `openai` or `anthropic`",
        ),
        (
            json!({ "client": "openai", "max_tokens": 0 }),
            "/max_tokens: is 0; expected 1 or more",
        ),
        (
            json!({ "client": "openai", "version": "" }),
            "/version: expected a version such as `2023-06-01`",
        ),
        (
            json!({ "client": "openai", "openai_path": "v1" }),
            "/openai_path: expected a path that starts with `/`, such as `/v1/messages`",
        ),
    ] {
        assert_eq!(error(settings), expected);
    }
    assert!(
        error(json!({ "client": "openai", "keys": 1 })).starts_with("/keys: unknown field `keys`")
    );
}

#[test]
fn every_setting_is_described_with_its_default() {
    let schema: Value = serde_json::from_str(&Run::<Anthropic>::settings_schema()).unwrap();
    assert_eq!(schema["required"], json!(["client"]));
    for (name, property) in schema["properties"].as_object().unwrap() {
        let description = property["description"].as_str().unwrap();
        assert!(
            name == "client" || description.contains("Default:"),
            "{name}"
        );
    }
}

#[test]
fn the_paths_are_those_that_are_set() {
    let run = run_with(
        "openai",
        json!({ "openai_path": "/team/chat", "anthropic_path": "/v2/messages?beta=true" }),
    );
    let ours = exchange("openai", &plain("openai")).to("POST", "/team/chat?x=1");
    assert_eq!(
        run.open(ours).attempt(&target()).path(),
        "/v2/messages?beta=true"
    );
}

#[test]
fn the_samples_hold_with_every_setting() {
    for client in ["openai", "anthropic"] {
        for (field, value) in [
            ("unsupported", "refuse"),
            ("thinking", "pass"),
            ("key", "drop"),
            ("openai_path", "/a"),
            ("anthropic_path", "/b"),
        ] {
            let run = run_with(client, json!({ field: value }));
            let samples = run.samples();
            assert_eq!(samples.len(), 4);
            for sample in &samples {
                prove(&run, sample);
            }
            run.prove();
        }
    }
}

/// What the gateway's proof does and a native one leaves out: it asks about the attempt.
fn prove(run: &Run<Anthropic>, sample: &Sample) {
    let mut session = run.open(Exchange::of(sample));
    assert!(session.attempt(&target()).is_next(), "{}", sample.name);
    if sample.events.is_empty() {
        let body = sample.response_body.clone();
        let answer = Answer::new(sample.response_status);
        let answer = answer.header("content-type", "application/json").body(body);
        assert!(session.response(answer).is_next(), "{}", sample.name);
        return;
    }
    assert!(!session.events(sample.events.clone()).ended);
    for event in session.end().events {
        assert_ne!(event.name.as_deref(), Some("error"));
    }
}
