//! Several keys of one caller, and keys that end.

use std::time::Duration;

use serde_json::{Value, json};
use tollgate_sdk::testing::{Decided, Exchange, Run, advance, logged};

use super::hash;
use crate::ApiKeys;

/// The tests begin at 2026-01-01T00:00:00Z.
fn old_and_new() -> Run<ApiKeys> {
    Run::new(json!({ "callers": [ {
        "caller": "ann",
        "tier": "gold",
        "keys": [
            { "sha256": hash("old"), "expires": "2026-01-01T01:00:00Z" },
            { "sha256": hash("new") },
        ],
    } ] }))
}

fn with(run: &Run<ApiKeys>, key: &str) -> Decided {
    let exchange = Exchange::chat().header("authorization", format!("Bearer {key}"));
    run.open(exchange).request()
}

#[test]
fn while_one_key_takes_over_from_another_both_are_the_same_caller() {
    let run = old_and_new();
    for key in ["old", "new"] {
        let decided = with(&run, key);
        assert!(decided.is_next());
        assert_eq!(decided.fact("caller").as_deref(), Some("ann"));
        assert_eq!(decided.fact("tier").as_deref(), Some("gold"));
    }
}

#[test]
fn a_key_past_its_time_is_refused_and_the_other_one_goes_on() {
    let run = old_and_new();
    advance(Duration::from_millis(3_599_999));
    assert!(with(&run, "old").is_next());
    advance(Duration::from_millis(1));
    let decided = with(&run, "old");
    let refusal = decided.refusal().unwrap();
    assert_eq!(
        (refusal.status, refusal.code.as_str()),
        (401, "expired_api_key")
    );
    assert_eq!(refusal.message, "This API key has expired.");
    assert_eq!(decided.fact("caller"), None);
    assert!(with(&run, "new").is_next());
    assert!(logged().is_empty());
}

#[test]
fn a_date_is_good_through_its_day() {
    let key = |expires| json!({ "sha256": hash("k"), "caller": "ann", "expires": expires });
    let yesterday = Run::<ApiKeys>::new(json!({ "keys": [ key("2025-12-31") ] }));
    assert_eq!(
        with(&yesterday, "k").refusal().unwrap().code,
        "expired_api_key"
    );
    let today = Run::<ApiKeys>::new(json!({ "keys": [ key("2026-01-01") ] }));
    assert!(with(&today, "k").is_next());
    advance(Duration::from_secs(86_400));
    assert_eq!(with(&today, "k").refusal().unwrap().code, "expired_api_key");
}

#[test]
fn a_key_is_known_once_wherever_it_is_written() {
    let errors = |settings: Value| Run::<ApiKeys>::try_new(settings).err().unwrap();
    let lone = json!({ "sha256": hash("k"), "caller": "ann" });
    let twice =
        json!({ "caller": "bob", "keys": [ { "sha256": hash("k") }, { "sha256": hash("k") } ] });
    assert_eq!(
        errors(json!({ "keys": [ lone ], "callers": [ twice ] })),
        [
            "/callers/0/keys/0/sha256: the same key as /keys/0",
            "/callers/0/keys/1/sha256: the same key as /callers/0/keys/0",
        ]
    );
    assert_eq!(
        errors(json!({ "callers": [ { "caller": "ann", "keys": [] } ] })),
        ["/keys: at least one key is needed"]
    );
    assert_eq!(
        errors(
            json!({ "keys": [ { "sha256": hash("k"), "caller": "ann", "expires": "31.12.2026" } ] })
        ),
        [
            "/keys/0/expires: `31.12.2026` is no time: expected a date such as `2027-01-31`, or a time of \
          RFC 3339 such as `2027-01-31T18:00:00Z`"
        ]
    );
}
