//! Mistakes of the operator.

use jwt::Jwt;
use serde_json::{Value, json};
use tollgate_sdk::testing::Run;

use crate::{Signer, ask, claims, is_refused, settings};

fn errors(settings: Value) -> Vec<String> {
    Run::<Jwt>::try_new(settings).err().unwrap()
}

fn with(field: &str, value: impl Into<Value>) -> Value {
    let mut written = settings(json!([Signer::Ed25519.jwk("e")]));
    written[field] = value.into();
    written
}

#[test]
fn mistakes_name_the_field_and_what_was_expected() {
    let cases = [
        (with("keys", json!([])), "/keys: expected at least one key"),
        (
            with("keys", Value::Null),
            "/: expected exactly one of `keys`, `secret` and `jwks_url`",
        ),
        (
            with("keys", json!([{ "kty": "oct" }])),
            "/keys/0: expected a key of RSA, of EC on P-256, or of OKP on Ed25519",
        ),
        (
            with("issuer", ""),
            "/issuer: expected the `iss` of the tokens",
        ),
        (
            with("audience", json!([])),
            "/audience: expected the `aud` of the tokens, one or more",
        ),
        (
            with("audience", 7),
            "/audience: expected a text or a list of texts",
        ),
        (
            with("algorithms", json!([])),
            "/algorithms: expected at least one",
        ),
        (
            with("clock_skew", "11m"),
            "/clock_skew: expected at most `10m`",
        ),
        (with("keep", "31d"), "/keep: expected at most `30d`"),
        (with("refresh", "2d"), "/refresh: expected less than `keep`"),
        (with("pause", "11m"), "/pause: expected at most `refresh`"),
        (
            with("header", "a b"),
            "/header: expected the name of a header",
        ),
        (
            with("header", "host"),
            "/header: expected the name of a header",
        ),
        (with("facts", json!({})), "/facts: expected 1 to 32 facts"),
        (
            with("facts", json!({ "": "/sub" })),
            "/facts/: expected a name of 1 to 64 bytes",
        ),
        (
            with("facts", json!({ "caller": "sub" })),
            "/facts/caller: `sub` is no JSON pointer: expected one such as `/sub`",
        ),
    ];
    for (written, expected) in cases {
        assert_eq!(errors(written), [expected]);
    }
    let both = errors(with("jwks_url", "http://idp.example/keys"));
    assert!(
        both.contains(&"/: expected exactly one of `keys`, `secret` and `jwks_url`".to_owned())
    );
    assert!(both.contains(&"/jwks_url: expected an address of `https://`".to_owned()));
    assert!(
        errors(with("algorithms", json!(["HS256"])))[0]
            .starts_with("/algorithms/0: unknown variant `HS256`")
    );
    assert!(errors(with("isuer", "x"))[0].starts_with("/isuer: unknown field"));
}

#[test]
fn whose_tokens_for_whom_has_no_default() {
    for field in ["issuer", "audience"] {
        let mut written = settings(json!([Signer::Ed25519.jwk("e")]));
        written.as_object_mut().unwrap().remove(field);
        assert_eq!(errors(written), [format!("/: missing field `{field}`")]);
    }
}

#[test]
fn an_algorithm_that_is_not_on_the_list_is_refused() {
    let keys = json!([Signer::Ed25519.jwk("e"), Signer::Rsa.jwk("r")]);
    let mut written = settings(keys);
    written["algorithms"] = json!(["EdDSA"]);
    let run = Run::<Jwt>::new(written);
    assert!(ask(&run, Signer::Ed25519.token("e", &claims())).is_next());
    let token = Signer::Rsa.token("r", &claims());
    is_refused(&run, token, "invalid_token", "algorithm");
}

#[test]
fn a_token_without_a_key_name_needs_the_one_key_of_its_algorithm() {
    let nameless = |signer: Signer| signer.sign(&json!({ "alg": "EdDSA" }), &claims());
    let one = Run::<Jwt>::new(settings(json!([
        Signer::Ed25519.jwk("e"),
        Signer::Rsa.jwk("r")
    ])));
    assert!(ask(&one, nameless(Signer::Ed25519)).is_next());
    let two = Run::<Jwt>::new(settings(json!([
        Signer::Ed25519.jwk("e"),
        Signer::Stranger.jwk("s")
    ])));
    is_refused(
        &two,
        nameless(Signer::Ed25519),
        "invalid_token",
        "unknown_key",
    );
}

#[test]
fn the_schema_describes_the_settings() {
    let schema = Run::<Jwt>::settings_schema();
    for word in [
        "jwks_url",
        "issuer",
        "audience",
        "clock_skew",
        "facts",
        "remember",
        "kty",
    ] {
        assert!(schema.contains(word), "{word}");
    }
}
