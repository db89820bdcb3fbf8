//! Budgets of money, natively: what is held and charged, the calendar, and many requests
//! at once.

#![allow(
    clippy::unwrap_used,
    reason = "clippy sees only `#[test]` functions as tests"
)]

#[path = "it/at_once.rs"]
mod at_once;
#[path = "it/budgets.rs"]
mod budgets;
#[cfg(feature = "report")]
#[path = "it/report.rs"]
mod report;
#[path = "it/settings.rs"]
mod settings;

use serde_json::{Value, json};
use token_budget::TokenBudget;
use tollgate_sdk::{
    Outcome, Usage,
    testing::{Exchange, Run, complete},
};

/// Of prompt, by its bytes.
const INPUT: u64 = 1000;

/// A model `m` at 2 a million of input, 1 if cached, 10 of output; `free` costs nothing.
/// So 1,000 tokens of input are 2,000 millionths, and 100 of output 1,000.
fn prices() -> Value {
    json!({
        "currency": "USD",
        "other_models": "refuse",
        "models": [
            { "models": ["m", "m-*"], "input": "2.00", "cached_input": 1, "output": 10 },
            { "models": ["free"], "input": 0, "output": 0 },
        ],
    })
}

fn run(money: Value) -> Run<TokenBudget> {
    let budget = json!({ "tokens": 1_000_000_000, "period": "1h", "money": money });
    Run::new(json!({ "default": budget, "prices": prices() }))
}

fn chat(model: &str, caller: &str, max_tokens: u64) -> Exchange {
    let body =
        |pad: &str| json!({ "model": model, "max_tokens": max_tokens, "pad": pad }).to_string();
    let pad = usize::try_from(INPUT).unwrap() * 4 - body("").len();
    Exchange::chat()
        .body(body(&"x".repeat(pad)))
        .fact("caller", caller)
}

fn usage(input_tokens: u64, cached_tokens: u64, output_tokens: u64) -> Outcome {
    complete(Some(Usage {
        input_tokens,
        output_tokens,
        cached_tokens,
    }))
}

fn code(run: &Run<TokenBudget>, exchange: Exchange) -> Option<(u16, String)> {
    let decided = run.open(exchange).request();
    let refusal = decided.refusal()?;
    Some((refusal.status, refusal.code.clone()))
}

fn refused(status: u16, code: &str) -> Option<(u16, String)> {
    Some((status, code.to_owned()))
}

/// One request that is let through and uses so much.
fn spend(run: &Run<TokenBudget>, exchange: Exchange, used: &Outcome) {
    let mut session = run.open(exchange);
    let decided = session.request();
    assert!(decided.is_next(), "{:?}", decided.verdict);
    session.finish(used);
}
