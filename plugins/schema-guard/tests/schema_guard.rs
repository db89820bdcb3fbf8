//! The policy on requests, natively.

#![allow(
    clippy::unwrap_used,
    reason = "clippy sees only `#[test]` functions as tests"
)]

#[path = "it/fields.rs"]
mod fields;
#[path = "it/hostile.rs"]
mod hostile;
#[path = "it/images.rs"]
mod images;
#[path = "it/models.rs"]
mod models;
#[path = "it/schemas.rs"]
mod schemas;
#[path = "it/settings.rs"]
mod settings;
#[path = "it/tools.rs"]
mod tools;

use schema_guard::SchemaGuard;
use serde_json::{Value, json};
use tollgate_sdk::testing::{Exchange, Run};

/// One rule for every model.
fn guard(rule: &Value) -> Run<SchemaGuard> {
    let mut rule = rule.clone();
    rule["models"] = json!(["*"]);
    Run::new(json!({ "rules": [rule], "other_models": "refuse" }))
}

/// A body with a model and these fields.
fn with(fields: &Value) -> Exchange {
    let mut body = json!({ "model": "m" });
    let fields = fields.as_object().unwrap().clone();
    body.as_object_mut().unwrap().extend(fields);
    Exchange::chat().body(body.to_string())
}

/// What the client is told, or nothing if it fits.
fn told(run: &Run<SchemaGuard>, exchange: Exchange) -> Option<String> {
    let decided = run.open(exchange).request();
    assert!(decided.is_untouched());
    let Some(refusal) = decided.refusal() else {
        assert!(decided.is_next());
        return None;
    };
    assert_eq!(refusal.status, 400);
    assert!(refusal.message.len() < 1024, "{}", refusal.message);
    assert!(!refusal.message.contains(char::is_control));
    let told = refusal.message.strip_prefix("schema-guard: ").unwrap();
    Some(told.to_owned())
}

/// Tries each body; `""` stands for one that fits.
fn assert_told<const N: usize>(rule: &Value, cases: [(Value, &str); N]) {
    let run = guard(rule);
    for (fields, expected) in cases {
        let told = told(&run, with(&fields)).unwrap_or_default();
        assert_eq!(told, expected, "{fields}");
    }
}
