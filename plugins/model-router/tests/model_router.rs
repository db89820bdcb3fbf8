//! The policy from request to verdict, natively.

#![allow(
    clippy::unwrap_used,
    reason = "clippy sees only `#[test]` functions as tests"
)]

#[path = "it/cases.rs"]
mod cases;
#[path = "it/conditions.rs"]
mod conditions;
#[path = "it/hostile.rs"]
mod hostile;
#[path = "it/models.rs"]
mod models;
#[path = "it/places.rs"]
mod places;
#[path = "it/reach.rs"]
mod reach;
#[path = "it/remembered.rs"]
mod remembered;
#[path = "it/settings.rs"]
mod settings;
#[path = "it/shadows.rs"]
mod shadows;
#[path = "it/shift.rs"]
mod shift;
#[path = "it/splits.rs"]
mod splits;
#[path = "it/versions.rs"]
mod versions;

use model_router::ModelRouter;
use serde_json::{Value, json};
use tollgate_sdk::testing::{Decided, Exchange, Run};

fn run(settings: Value) -> Run<ModelRouter> {
    Run::new(settings)
}

fn errors(settings: Value) -> Vec<String> {
    Run::<ModelRouter>::try_new(settings).err().unwrap()
}

fn ask(model: &str) -> Exchange {
    Exchange::chat().json("/model", model)
}

fn decide(run: &Run<ModelRouter>, exchange: Exchange) -> Decided {
    run.open(exchange).request()
}

/// The model that it goes to; `-`: as it was asked for.
fn led(run: &Run<ModelRouter>, exchange: Exchange) -> String {
    let decided = decide(run, exchange);
    match decided.destination() {
        Some(to) => to.model.clone().unwrap_or_else(|| "-".to_owned()),
        None => {
            assert!(decided.is_next(), "{:?}", decided.verdict);
            "-".to_owned()
        }
    }
}

/// Status, code and message.
fn refused(run: &Run<ModelRouter>, exchange: Exchange) -> (u16, String, String) {
    let decided = decide(run, exchange);
    let refusal = decided.refusal().unwrap();
    (
        refusal.status,
        refusal.code.clone(),
        refusal.message.clone(),
    )
}
