//! The policy on requests, natively.

#![allow(
    clippy::unwrap_used,
    reason = "clippy sees only `#[test]` functions as tests"
)]

#[path = "it/asked.rs"]
mod asked;
#[path = "it/filled.rs"]
mod filled;
#[path = "it/hostile.rs"]
mod hostile;
#[path = "it/injection.rs"]
mod injection;
#[path = "it/settings.rs"]
mod settings;
#[path = "it/variables.rs"]
mod variables;

use prompt_template::PromptTemplate;
use serde_json::{Value, json};
use tollgate_sdk::testing::{Decided, Exchange, Run};

/// One template `greet` of these fields, and nothing else.
fn run(template: Value) -> Run<PromptTemplate> {
    run_with(template, json!({}))
}

/// The same with more settings.
fn run_with(mut template: Value, more: Value) -> Run<PromptTemplate> {
    template["name"] = "greet".into();
    let mut settings = json!({ "templates": [template], "without_template": "pass" });
    let more = more.as_object().unwrap().clone();
    settings.as_object_mut().unwrap().extend(more);
    Run::new(settings)
}

/// A body with a model and this field.
fn asking(asked: Value) -> Exchange {
    body(&json!({ "model": "m", "prompt_template": asked }))
}

/// The template `greet` with these variables.
fn greet(variables: Value) -> Exchange {
    asking(json!({ "name": "greet", "variables": variables }))
}

fn body(body: &Value) -> Exchange {
    Exchange::chat().body(body.to_string())
}

fn decide(run: &Run<PromptTemplate>, exchange: Exchange) -> Decided {
    run.open(exchange).request()
}

/// What the one message says.
fn said(run: &Run<PromptTemplate>, exchange: Exchange) -> String {
    let decided = decide(run, exchange);
    assert!(decided.is_next(), "{:?}", decided.verdict);
    let said = decided.json("/messages/0/content").unwrap();
    said.as_str().unwrap().to_owned()
}

fn refusal(run: &Run<PromptTemplate>, exchange: Exchange) -> (u16, String, String) {
    let decided = decide(run, exchange);
    let refusal = decided
        .refusal()
        .unwrap_or_else(|| panic!("{:?}", decided.verdict));
    let message = refusal.message.strip_prefix("prompt-template: ").unwrap();
    (refusal.status, refusal.code.clone(), message.to_owned())
}

/// Only why.
fn why(run: &Run<PromptTemplate>, exchange: Exchange) -> String {
    refusal(run, exchange).2
}
