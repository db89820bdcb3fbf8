//! Signatures that were good once.

use std::time::Duration;

use jwt::Jwt;
use serde_json::{Value, json};
use tollgate_sdk::testing::{Run, advance};

use crate::{NOW, Signer, ask, claims, claims_with, is_refused, settings};

fn remembering(keys: Value) -> Run<Jwt> {
    let mut written = settings(keys);
    written["remember"] = "1h".into();
    Run::new(written)
}

#[test]
fn a_token_that_is_remembered_still_ends() {
    let run = remembering(json!([Signer::Rsa.jwk("r")]));
    let token = Signer::Rsa.token("r", &claims());
    for _ in 0..3 {
        assert_eq!(ask(&run, &token).fact("caller").as_deref(), Some("ann"));
    }
    advance(Duration::from_secs(360));
    is_refused(&run, &token, "expired_token", "expired");
}

#[test]
fn what_is_remembered_is_of_this_token_and_this_key_alone() {
    let run = remembering(json!([Signer::Ed25519.jwk("e")]));
    let token = Signer::Ed25519.token("e", &claims());
    assert!(ask(&run, &token).is_next());
    let forged = Signer::Stranger.token("e", &claims());
    is_refused(&run, forged, "invalid_token", "signature");
    let (message, _) = token.rsplit_once('.').unwrap();
    is_refused(
        &run,
        format!("{message}.AAAA"),
        "invalid_token",
        "signature",
    );
    let other_key = remembering(json!([Signer::Stranger.jwk("e")]));
    is_refused(&other_key, &token, "invalid_token", "signature");
}

#[test]
fn another_policy_of_this_plugin_looks_at_the_claims_itself() {
    let keys = json!([Signer::Ed25519.jwk("e")]);
    let run = remembering(keys.clone());
    let token = Signer::Ed25519.token("e", &claims_with("exp", NOW + 1000));
    assert!(ask(&run, &token).is_next());
    let mut written = settings(keys);
    written["remember"] = "1h".into();
    written["audience"] = "another".into();
    is_refused(&Run::new(written), &token, "wrong_audience", "audience");
}
