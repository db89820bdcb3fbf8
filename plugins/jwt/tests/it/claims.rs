//! What a token says: whose it is, for whom, when, and of whom.

use std::time::Duration;

use jwt::Jwt;
use serde_json::{Value, json};
use tollgate_sdk::testing::{Run, advance};

use crate::{NOW, Signer, all_three, ask, claims, claims_with, is_refused, settings};

fn token(claims: &Value) -> String {
    Signer::Ed25519.token("e", claims)
}

fn passes(run: &Run<Jwt>, claims: &Value) -> bool {
    ask(run, token(claims)).is_next()
}

fn without(name: &str) -> Value {
    let mut claims = claims();
    claims.as_object_mut().unwrap().remove(name);
    claims
}

#[test]
fn a_token_of_another_issuer_is_refused() {
    let run = all_three();
    for claims in [
        claims_with("iss", "https://idp.example/"),
        claims_with("iss", "https://IDP.example"),
        claims_with("iss", json!(["https://idp.example"])),
        without("iss"),
    ] {
        is_refused(&run, token(&claims), "wrong_issuer", "issuer");
    }
}

#[test]
fn a_token_for_another_audience_is_refused() {
    let run = all_three();
    assert!(passes(
        &run,
        &claims_with("aud", json!(["other", "gateway"]))
    ));
    for claims in [
        claims_with("aud", "other"),
        claims_with("aud", json!(["other"])),
        claims_with("aud", json!([])),
        claims_with("aud", json!(["gateway", 7])),
        claims_with("aud", json!({ "gateway": true })),
        without("aud"),
    ] {
        is_refused(&run, token(&claims), "wrong_audience", "audience");
    }
}

#[test]
fn a_token_ends_with_the_skew_of_clocks() {
    let run = all_three();
    let short = token(&claims_with("exp", NOW));
    advance(Duration::from_millis(59_999));
    assert!(ask(&run, &short).is_next());
    advance(Duration::from_millis(1));
    is_refused(&run, &short, "expired_token", "expired");
    assert!(passes(&run, &claims_with("exp", NOW as f64 + 60.5)));
}

#[test]
fn a_token_begins_with_the_skew_of_clocks() {
    let run = all_three();
    let early = token(&claims_with("nbf", NOW + 61));
    is_refused(&run, &early, "token_not_yet_valid", "not_yet_valid");
    advance(Duration::from_secs(1));
    assert!(ask(&run, &early).is_next());
}

#[test]
fn a_token_whose_times_are_none_is_refused() {
    let run = all_three();
    is_refused(&run, token(&without("exp")), "unusable_claims", "claim");
    for name in ["exp", "nbf"] {
        for value in [json!("2027"), json!(null), json!(-1), json!([NOW])] {
            let token = token(&claims_with(name, value));
            is_refused(&run, token, "invalid_token", "malformed");
        }
    }
    assert!(passes(&run, &claims_with("exp", json!(1e300))));
}

fn mapped() -> Run<Jwt> {
    let mut written = settings(json!([Signer::Ed25519.jwk("e")]));
    written["facts"] = json!({
        "caller": "/sub",
        "tier": "/app/plan~1tier",
        "groups": "/groups",
        "first": "/groups/0",
        "staff": "/staff",
    });
    Run::new(written)
}

#[test]
fn claims_become_facts_as_the_settings_say() {
    let run = mapped();
    let mut claims = claims_with("groups", json!(["a", "b c", 7]));
    claims["app"] = json!({ "plan/tier": "gold" });
    claims["staff"] = true.into();
    let decided = ask(&run, token(&claims));
    for (fact, value) in [
        ("caller", "ann"),
        ("tier", "gold"),
        ("groups", "a,b c,7"),
        ("first", "a"),
        ("staff", "true"),
    ] {
        assert_eq!(decided.fact(fact).as_deref(), Some(value), "{fact}");
    }
}

#[test]
fn a_claim_that_is_not_there_makes_no_fact_and_without_a_caller_nobody_passes() {
    let run = mapped();
    for claims in [
        claims(),
        claims_with("groups", json!([])),
        claims_with("groups", Value::Null),
        claims_with("app", "x"),
    ] {
        let decided = ask(&run, token(&claims));
        assert!(decided.is_next());
        assert_eq!(decided.fact("groups"), None);
        assert_eq!(decided.fact("tier"), None);
    }
    for claims in [
        without("sub"),
        claims_with("sub", Value::Null),
        claims_with("sub", ""),
    ] {
        is_refused(&run, token(&claims), "unusable_claims", "claim");
    }
}

#[test]
fn a_claim_that_would_look_like_another_is_refused() {
    let run = mapped();
    for claims in [
        claims_with("groups", json!(["a,admins"])),
        claims_with("groups", json!(["a", ["b"]])),
        claims_with("groups", json!([""])),
        claims_with("groups", json!({ "a": 1 })),
        claims_with("sub", "ann\nroot"),
        claims_with("sub", "a".repeat(1025)),
        claims_with("sub", json!({ "id": 1 })),
    ] {
        is_refused(&run, token(&claims), "unusable_claims", "claim");
    }
}
