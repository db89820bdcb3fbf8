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

const SECOND: Duration = Duration::from_secs(1);
/// As they are by default.
const REFRESH: Duration = Duration::from_secs(600);
const PAUSE: Duration = Duration::from_secs(30);

#[test]
fn keys_are_fetched_by_the_clock_and_an_exchange_waits_for_none() {
    let asked = answers(200, set(&[Signer::Ed25519.jwk("e")]));
    let run = run();
    assert_eq!(run.tick(), Some(REFRESH));
    assert_eq!(asked.get(), 1, "before any exchange");
    for _ in 0..3 {
        advance(REFRESH - SECOND);
        assert_eq!(run.tick(), Some(SECOND), "they are fresh");
        let before = asked.get();
        advance(SECOND * 2);
        assert!(ask(&run, token(Signer::Ed25519, "e")).is_next());
        assert_eq!(asked.get(), before, "old keys are no exchange's business");
        assert_eq!(run.tick(), Some(REFRESH));
        assert_eq!(asked.get(), before + 1);
    }
}

#[test]
fn what_the_clock_found_is_what_exchanges_go_by() {
    answers(200, set(&[Signer::Ed25519.jwk("e")]));
    let run = run();
    let _ = run.tick();
    answers(200, set(&[Signer::Stranger.jwk("e")]));
    advance(REFRESH);
    let _ = run.tick();
    let nobody = asked(|| Err(http::Error::TimedOut));
    assert!(ask(&run, token(Signer::Stranger, "e")).is_next());
    assert_eq!(refused(&run, token(Signer::Ed25519, "e")).2, "signature");
    assert_eq!(nobody.get(), 0);
}

#[test]
fn after_a_fetch_that_fails_it_is_tried_again_soon_and_not_at_once() {
    let outage = asked(|| Err(http::Error::TimedOut));
    let run = run();
    assert_eq!(run.tick(), Some(SECOND * 2), "there are no keys at all");
    assert_eq!(run.tick(), Some(SECOND * 2));
    assert_eq!(outage.get(), 1, "another one has just asked");
    advance(SECOND * 2);
    answers(200, set(&[Signer::Ed25519.jwk("e")]));
    assert_eq!(run.tick(), Some(REFRESH));
    let outage = asked(|| Err(http::Error::TimedOut));
    advance(REFRESH);
    assert_eq!(run.tick(), Some(PAUSE));
    advance(PAUSE);
    assert_eq!(run.tick(), Some(PAUSE));
    assert_eq!(outage.get(), 2);
    assert!(ask(&run, token(Signer::Ed25519, "e")).is_next());
}

#[test]
fn keys_that_are_written_down_need_no_clock() {
    let asked = answers(200, set(&[Signer::Ed25519.jwk("e")]));
    let run = Run::<Jwt>::new(json!({
        "keys": [Signer::Ed25519.jwk("e")],
        "issuer": "https://idp.example",
        "audience": "gateway",
    }));
    assert_eq!(run.tick(), None);
    assert_eq!(asked.get(), 0);
}

#[test]
fn keys_that_the_clock_did_not_get_are_fetched_once_and_kept() {
    let asked = answers(200, set(&[Signer::Ed25519.jwk("e"), Signer::Rsa.jwk("r")]));
    let run = run();
    for (signer, kid) in [
        (Signer::Ed25519, "e"),
        (Signer::Rsa, "r"),
        (Signer::Ed25519, "e"),
    ] {
        assert!(ask(&run, token(signer, kid)).is_next());
    }
    advance(REFRESH);
    assert!(ask(&run, token(Signer::Ed25519, "e")).is_next());
    assert_eq!(asked.get(), 1);
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
fn strange_tokens_do_not_take_the_clocks_turn() {
    let outage = asked(|| Err(http::Error::TimedOut));
    let run = run();
    refused(&run, token(Signer::Ed25519, "strange"));
    assert_eq!(outage.get(), 1, "it has the lease");
    let asked = answers(200, set(&[Signer::Ed25519.jwk("e")]));
    assert_eq!(run.tick(), Some(REFRESH));
    assert_eq!(asked.get(), 1);
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
        advance(REFRESH);
        let _ = run.tick();
        assert!(ask(&run, token(Signer::Ed25519, "e")).is_next());
    }
    assert_eq!(outage.get(), 5);
    advance(REFRESH);
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
        advance(REFRESH);
        assert_eq!(run.tick(), Some(PAUSE));
        assert!(ask(&run, token(Signer::Ed25519, "e")).is_next());
        assert_eq!(asked.get(), 1);
        answers(200, set(&[Signer::Ed25519.jwk("e")]));
        advance(PAUSE);
        assert_eq!(run.tick(), Some(REFRESH));
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
    advance(REFRESH);
    // In the middle of the fetch, other exchanges come by.
    let count = asked(|| {
        assert!(ask(&self::run(), token(Signer::Ed25519, "e")).is_next());
        let strange = refused(&self::run(), token(Signer::Ed25519, "strange"));
        assert_eq!(strange.2, "unknown_key");
        Err(http::Error::TimedOut)
    });
    let strange = refused(&run, token(Signer::Ed25519, "another"));
    assert_eq!(strange.2, "unknown_key");
    assert_eq!(count.get(), 1);
}

#[test]
fn an_answer_that_comes_late_does_not_replace_a_newer_one() {
    answers(200, set(&[Signer::Ed25519.jwk("e")]));
    let run = run();
    let _ = run.tick();
    advance(REFRESH);
    // It takes longer than the lease lasts, and meanwhile another one is quicker.
    let slow = asked(|| {
        advance(PAUSE);
        answers(200, set(&[Signer::Stranger.jwk("e")]));
        assert_eq!(self::run().tick(), Some(REFRESH));
        Ok(http::Response {
            status: 200,
            headers: Vec::new(),
            body: set(&[Signer::Ed25519.jwk("e")]).into(),
        })
    });
    let _ = run.tick();
    assert_eq!(slow.get(), 1);
    assert!(ask(&run, token(Signer::Stranger, "e")).is_next());
    assert_eq!(refused(&run, token(Signer::Ed25519, "e")).2, "signature");
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
