//! Keys from an address.

use std::{cell::Cell, rc::Rc, time::Duration};

use jwt::Jwt;
use serde_json::{Value, json};
use tollgate_sdk::{
    http, kv,
    testing::{Run, advance, answer_http, logged},
};

use crate::{NOW, Signer, ask, claims_with, refused};

/// How often the address was asked.
type Asked = Rc<Cell<u32>>;

fn run() -> Run<Jwt> {
    Run::new(json!({
        "jwks_url": "https://idp.example/jwks",
        "issuer": "https://idp.example",
        "audience": "gateway",
        "keep": "1h",
    }))
}

fn token(signer: Signer, kid: &str) -> String {
    signer.token(kid, &claims_with("exp", NOW + 86_400))
}

fn answers(status: u16, body: impl Into<Vec<u8>>) -> Asked {
    let body = body.into();
    asked(move || {
        Ok(http::Response {
            status,
            headers: Vec::new(),
            body: body.clone(),
        })
    })
}

fn asked(mut answer: impl FnMut() -> Result<http::Response, http::Error> + 'static) -> Asked {
    let count = Asked::default();
    let counted = count.clone();
    answer_http(move |call| {
        assert_eq!(
            (call.method.as_str(), call.url.as_str()),
            ("GET", "https://idp.example/jwks")
        );
        counted.set(counted.get() + 1);
        answer()
    });
    count
}

fn set(keys: &[Value]) -> String {
    json!({ "keys": keys }).to_string()
}

#[test]
fn keys_are_fetched_once_and_kept() {
    let asked = answers(200, set(&[Signer::Ed25519.jwk("e"), Signer::Rsa.jwk("r")]));
    let run = run();
    for (signer, kid) in [
        (Signer::Ed25519, "e"),
        (Signer::Rsa, "r"),
        (Signer::Ed25519, "e"),
    ] {
        assert!(ask(&run, token(signer, kid)).is_next());
    }
    advance(Duration::from_secs(599));
    assert!(ask(&run, token(Signer::Ed25519, "e")).is_next());
    assert_eq!(asked.get(), 1);
    advance(Duration::from_secs(1));
    assert!(ask(&run, token(Signer::Ed25519, "e")).is_next());
    assert_eq!(asked.get(), 2, "they are old enough to be fetched again");
}

#[test]
fn a_new_key_is_found_and_a_withdrawn_one_is_no_longer_good() {
    answers(200, set(&[Signer::Ed25519.jwk("old")]));
    let run = run();
    assert!(ask(&run, token(Signer::Ed25519, "old")).is_next());
    answers(200, set(&[Signer::Stranger.jwk("new")]));
    advance(Duration::from_secs(30));
    assert!(ask(&run, token(Signer::Stranger, "new")).is_next());
    assert_eq!(
        refused(&run, token(Signer::Ed25519, "old")).2,
        "unknown_key"
    );
}

#[test]
fn strange_tokens_cannot_make_it_hammer_the_address() {
    let asked = answers(200, set(&[Signer::Ed25519.jwk("e")]));
    let run = run();
    for n in 0..200 {
        let (status, ..) = refused(&run, token(Signer::Ed25519, &format!("strange-{n}")));
        assert_eq!(status, 401);
        advance(Duration::from_millis(300));
    }
    assert!(asked.get() <= 3, "{} fetches in a minute", asked.get());
}

#[test]
fn what_is_no_token_fetches_nothing() {
    let asked = answers(200, set(&[Signer::Ed25519.jwk("e")]));
    let run = run();
    refused(&run, "x.y.z");
    refused(&run, "eyJhbGciOiJub25lIn0.e30.");
    run.prove();
    assert_eq!(asked.get(), 0);
}

#[test]
fn an_outage_leaves_the_kept_keys_until_they_are_too_old() {
    answers(200, set(&[Signer::Ed25519.jwk("e")]));
    let run = run();
    assert!(ask(&run, token(Signer::Ed25519, "e")).is_next());
    let outage = asked(|| Err(http::Error::TimedOut));
    for _ in 0..5 {
        advance(Duration::from_secs(600));
        assert!(ask(&run, token(Signer::Ed25519, "e")).is_next());
    }
    assert_eq!(outage.get(), 5);
    advance(Duration::from_secs(600));
    let (status, code, _) = refused(&run, token(Signer::Ed25519, "e"));
    assert_eq!((status, code.as_str()), (503, "keys_unavailable"));
}

#[test]
fn an_answer_that_holds_no_keys_leaves_the_kept_ones() {
    answers(200, set(&[Signer::Ed25519.jwk("e")]));
    let run = run();
    assert!(ask(&run, token(Signer::Ed25519, "e")).is_next());
    let deep = format!("{{\"keys\":{}", "[".repeat(50_000));
    for (status, body) in [
        (500, set(&[Signer::Stranger.jwk("e")])),
        (200, "<html>".to_owned()),
        (200, set(&[])),
        (200, set(&[json!({ "kty": "oct", "k": "AA" })])),
        (200, deep),
    ] {
        let asked = answers(status, body);
        advance(Duration::from_secs(600));
        assert!(ask(&run, token(Signer::Ed25519, "e")).is_next());
        assert_eq!(asked.get(), 1);
        answers(200, set(&[Signer::Ed25519.jwk("e")]));
        advance(Duration::from_secs(31));
        assert!(ask(&run, token(Signer::Ed25519, "e")).is_next());
    }
    assert!(
        logged()
            .iter()
            .all(|line| line == "the keys were not fetched")
    );
}

#[test]
fn with_no_keys_at_all_nobody_is_let_in_and_it_is_tried_again_soon() {
    let run = run();
    let outage = asked(|| Err(http::Error::Failed("refused".to_owned())));
    let no_keys = (503, "keys_unavailable".to_owned(), "no_keys".to_owned());
    for _ in 0..10 {
        assert_eq!(refused(&run, token(Signer::Ed25519, "e")), no_keys);
    }
    assert_eq!(outage.get(), 1);
    advance(Duration::from_secs(2));
    answers(200, set(&[Signer::Ed25519.jwk("e")]));
    assert!(ask(&run, token(Signer::Ed25519, "e")).is_next());
}

#[test]
fn while_one_exchange_fetches_the_others_go_on_with_what_is_kept() {
    answers(200, set(&[Signer::Ed25519.jwk("e")]));
    let run = run();
    assert!(ask(&run, token(Signer::Ed25519, "e")).is_next());
    advance(Duration::from_secs(600));
    // In the middle of the fetch, another exchange comes by.
    let count = asked(|| {
        assert!(ask(&self::run(), token(Signer::Ed25519, "e")).is_next());
        Err(http::Error::TimedOut)
    });
    assert!(ask(&run, token(Signer::Ed25519, "e")).is_next());
    assert_eq!(count.get(), 1);
}

#[test]
fn a_store_with_something_else_in_it_is_as_good_as_empty() {
    answers(200, set(&[Signer::Ed25519.jwk("e")]));
    let run = run();
    use sha2::{Digest, Sha256};
    let digest = Sha256::digest("https://idp.example/jwks");
    let name: String = digest[..16]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    for value in [
        &b""[..],
        b"12345678",
        b"12345678[{}]",
        b"12345678{\"keys\":[]}",
    ] {
        kv::put(&format!("set:{name}"), value, None).unwrap();
        advance(Duration::from_secs(31));
        assert!(ask(&run, token(Signer::Ed25519, "e")).is_next());
    }
}
