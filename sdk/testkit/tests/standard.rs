//! Standard policies in the real sandbox, at both kinds of isolation: they load with the
//! grants that their pages name, and do there what they do natively.

#![allow(
    clippy::unwrap_used,
    reason = "clippy sees only `#[test]` functions as tests"
)]

#[path = "standard/anthropic.rs"]
mod anthropic;
#[path = "standard/api_keys.rs"]
mod api_keys;
#[path = "standard/cache.rs"]
mod cache;
#[path = "standard/jwt.rs"]
mod jwt;
#[path = "standard/model_router.rs"]
mod model_router;
#[path = "standard/open_inference.rs"]
mod open_inference;
#[path = "standard/prefix_affinity.rs"]
mod prefix_affinity;
#[path = "standard/prompt_template.rs"]
mod prompt_template;
#[path = "standard/rate_limit.rs"]
mod rate_limit;
#[path = "standard/redact.rs"]
mod redact;
#[path = "standard/schema_guard.rs"]
mod schema_guard;

use std::path::Path;

use serde_json::{Value, json};
use tollgate_testkit::{Exchange, Isolation, Plugin, Run, contract::Verdict};

const ISOLATIONS: [Isolation; 2] = [Isolation::Exchange, Isolation::Shared];

/// The standard policy of this name.
fn standard(name: &str) -> Plugin {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugins");
    Plugin::build(folder.join(name)).unwrap()
}

/// A chat request of one message.
fn chat(text: &str) -> Exchange {
    asking(&json!({ "messages": [{ "role": "user", "content": text }] }))
}

/// A chat request with these fields.
fn asking(fields: &Value) -> Exchange {
    let mut body = json!({ "model": "small" });
    let fields = fields.as_object().unwrap().clone();
    body.as_object_mut().unwrap().extend(fields);
    Exchange::post("/v1/chat/completions").json(body)
}

/// Status and code, once it is refused.
fn refusal(run: &Run) -> (u16, &str) {
    match run.verdict.as_ref().or(run.attempt_verdict.as_ref()) {
        Some(Verdict::Refuse(refusal)) => (refusal.status, &refusal.code),
        other => panic!("{other:?}"),
    }
}

/// What later policies and the log would see.
fn fact<'a>(run: &'a Run, name: &str) -> Option<&'a str> {
    let facts = run.request.facts.iter();
    let mut found = facts.filter(|(found, _)| found == name);
    found.next().map(|(_, value)| value.as_str())
}

fn is_let_through(run: &Run) -> bool {
    matches!(run.verdict, Some(Verdict::Next))
}

/// The body that would be sent.
fn sent(mut run: Run) -> Value {
    serde_json::from_slice(&run.request.take_body().unwrap()).unwrap()
}
