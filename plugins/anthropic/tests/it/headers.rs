//! Keys, and the headers that only one side knows.

use serde_json::json;
use tollgate_sdk::testing::Decided;

use crate::stage::{exchange, plain, run_with, target};

fn sent(client: &str, key: &str, headers: &[(&str, &str)]) -> Decided {
    let mut exchange = exchange(client, &plain(client));
    for (name, value) in headers {
        exchange = exchange.header(*name, *value);
    }
    let run = run_with(client, json!({ "key": key }));
    let decided = run.open(exchange).attempt(&target());
    assert!(decided.is_next());
    decided
}

/// `authorization` and `x-api-key`.
fn keys(decided: &Decided) -> (Option<String>, Option<String>) {
    (decided.header("authorization"), decided.header("x-api-key"))
}

#[test]
fn a_key_is_carried_to_the_header_of_the_other_side() {
    let decided = sent("openai", "carry", &[("authorization", "bearer  k")]);
    assert_eq!(keys(&decided), (None, Some("k".to_owned())));
    let decided = sent("anthropic", "carry", &[("x-api-key", "k")]);
    assert_eq!(keys(&decided), (Some("Bearer k".to_owned()), None));
}

#[test]
fn credentials_of_another_kind_are_not_carried() {
    let decided = sent("openai", "carry", &[("authorization", "Basic abc")]);
    assert_eq!(keys(&decided), (None, None));
}

#[test]
fn a_bearer_of_an_anthropic_client_stays_where_it_is() {
    let decided = sent("anthropic", "carry", &[("authorization", "Bearer k")]);
    assert_eq!(keys(&decided), (Some("Bearer k".to_owned()), None));
}

#[test]
fn a_key_is_kept_or_dropped_as_it_is_set() {
    let headers = [("authorization", "Bearer k"), ("x-api-key", "l")];
    for client in ["openai", "anthropic"] {
        let kept = (Some("Bearer k".to_owned()), Some("l".to_owned()));
        assert_eq!(keys(&sent(client, "keep", &headers)), kept);
        assert_eq!(keys(&sent(client, "drop", &headers)), (None, None));
    }
}

#[test]
fn the_version_is_the_one_that_is_set_and_what_only_one_side_knows_stays_behind() {
    let decided = sent(
        "openai",
        "carry",
        &[
            ("anthropic-version", "1"),
            ("openai-organization", "o"),
            ("anthropic-beta", "b"),
        ],
    );
    assert_eq!(
        decided.header("anthropic-version").as_deref(),
        Some("2023-06-01")
    );
    assert_eq!(decided.header("anthropic-beta").as_deref(), Some("b"));
    assert_eq!(decided.header("openai-organization"), None);
    let decided = sent(
        "anthropic",
        "carry",
        &[("anthropic-version", "1"), ("anthropic-beta", "b")],
    );
    assert_eq!(decided.header("anthropic-version"), None);
    assert_eq!(decided.header("anthropic-beta"), None);
}
