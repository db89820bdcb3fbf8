//! The policy on requests, natively: what it plans, and what it leaves alone.

#![allow(
    clippy::unwrap_used,
    reason = "clippy sees only `#[test]` functions as tests"
)]

#[path = "it/keys.rs"]
mod keys;
#[path = "it/plans.rs"]
mod plans;
#[path = "it/settings.rs"]
mod settings;

use cache::Cache;
use serde_json::{Value, json};
use tollgate_sdk::{
    cache::Plan,
    testing::{Exchange, Run, planned},
};

fn run(settings: Value) -> Run<Cache> {
    let mut all = json!({ "ttl": "10m" });
    all.as_object_mut()
        .unwrap()
        .extend(settings.as_object().unwrap().clone());
    Run::new(all)
}

/// A chat of Ada's that comes out the same again.
fn chat() -> Exchange {
    Exchange::chat()
        .fact("caller", "ada")
        .json("/temperature", 0.0)
}

/// What is planned for an exchange; it always goes on untouched.
fn plan(run: &Run<Cache>, exchange: Exchange) -> Option<Plan> {
    drop(planned());
    let decided = run.open(exchange).request();
    assert!(decided.is_next() && decided.is_untouched());
    planned()
}

fn key(run: &Run<Cache>, exchange: Exchange) -> Vec<u8> {
    plan(run, exchange).unwrap().key
}
