//! The policy on tokens that the tests sign themselves, natively.

#![allow(
    clippy::unwrap_used,
    reason = "clippy sees only `#[test]` functions as tests"
)]

#[path = "it/claims.rs"]
mod claims;
#[cfg(feature = "url")]
#[path = "it/fetched.rs"]
mod fetched;
#[path = "it/forged.rs"]
mod forged;
#[cfg(feature = "url")]
#[path = "it/remembered.rs"]
mod remembered;
#[cfg(feature = "secret")]
#[path = "it/secret.rs"]
mod secret;
#[path = "it/settings.rs"]
mod settings;
#[path = "it/signer.rs"]
mod signer;

use jwt::Jwt;
use serde_json::{Value, json};
use signer::Signer;
use tollgate_sdk::testing::{Decided, Exchange, Run};

/// The time at which the tests begin, 2026-01-01T00:00:00Z, in seconds.
const NOW: u64 = 1_767_225_600;

fn settings(keys: Value) -> Value {
    json!({ "keys": keys, "issuer": "https://idp.example", "audience": "gateway" })
}

fn all_three() -> Run<Jwt> {
    Run::new(settings(json!([
        Signer::Rsa.jwk("r"),
        Signer::P256.jwk("p"),
        Signer::Ed25519.jwk("e")
    ])))
}

fn claims() -> Value {
    json!({ "iss": "https://idp.example", "aud": "gateway", "sub": "ann", "exp": NOW + 300 })
}

fn claims_with(name: &str, value: impl Into<Value>) -> Value {
    let mut claims = claims();
    claims[name] = value.into();
    claims
}

fn ask(run: &Run<Jwt>, token: impl AsRef<[u8]>) -> Decided {
    let value = [b"Bearer ", token.as_ref()].concat();
    run.open(Exchange::chat().header("authorization", value))
        .request()
}

/// Status, code and the reason that the operator sees.
fn refused(run: &Run<Jwt>, token: impl AsRef<[u8]>) -> (u16, String, String) {
    let decided = ask(run, token);
    let refusal = decided.refusal().expect("it is refused");
    assert_eq!(decided.fact("caller"), None);
    let reason = decided.fact("token_refused").unwrap();
    (refusal.status, refusal.code.clone(), reason)
}

fn is_refused(run: &Run<Jwt>, token: impl AsRef<[u8]>, code: &str, reason: &str) {
    let expected = (401, code.to_owned(), reason.to_owned());
    assert_eq!(refused(run, token), expected);
}

#[test]
fn a_good_token_of_each_kind_tells_who_calls_and_goes_no_further() {
    let run = all_three();
    for (signer, kid) in [
        (Signer::Rsa, "r"),
        (Signer::P256, "p"),
        (Signer::Ed25519, "e"),
    ] {
        let decided = ask(&run, signer.token(kid, &claims()));
        assert!(decided.is_next(), "{signer:?}");
        assert_eq!(decided.fact("caller").as_deref(), Some("ann"));
        assert_eq!(decided.header("authorization"), None);
    }
}

#[test]
fn a_request_without_a_token_is_told_how_to_send_one() {
    let run = all_three();
    let decided = run.open(Exchange::chat()).request();
    let refusal = decided.refusal().unwrap();
    assert_eq!(
        (refusal.status, refusal.code.as_str()),
        (401, "missing_token")
    );
    assert_eq!(
        refusal.message,
        "Send a token in the header `authorization: Bearer TOKEN`."
    );
    for value in ["", "Bearer", "bearer  "] {
        let decided = run
            .open(Exchange::chat().header("authorization", value))
            .request();
        assert_eq!(
            decided.refusal().unwrap().code,
            "missing_token",
            "{value:?}"
        );
    }
}

#[test]
fn another_header_can_carry_the_token_and_stay() {
    let mut written = settings(json!([Signer::Ed25519.jwk("e")]));
    written["header"] = "X-Token".into();
    written["strip"] = false.into();
    let run = Run::<Jwt>::new(written);
    let token = Signer::Ed25519.token("e", &claims());
    let exchange = Exchange::chat()
        .header("x-token", token.clone())
        .header("x-token", "another");
    let decided = run.open(exchange).request();
    assert!(decided.is_next());
    assert_eq!(decided.header("x-token"), Some(token));
    run.prove();
}

#[test]
fn its_samples_hold() {
    all_three().prove();
}
