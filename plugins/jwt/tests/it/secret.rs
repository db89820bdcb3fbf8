//! Keys from a secret.

use jwt::Jwt;
use serde_json::json;
use tollgate_sdk::testing::{Run, set_secret};

use crate::{Signer, ask, claims, refused};

fn run() -> Run<Jwt> {
    Run::new(json!({ "secret": "keys", "issuer": "https://idp.example", "audience": "gateway" }))
}

#[test]
fn a_secret_holds_a_jwks() {
    let run = run();
    let unusable = json!({ "kty": "oct", "k": "c2VjcmV0", "kid": "e" });
    let set = json!({ "keys": [ unusable, Signer::Ed25519.jwk("e") ] });
    set_secret("keys", set.to_string().as_bytes());
    assert!(ask(&run, Signer::Ed25519.token("e", &claims())).is_next());
}

#[test]
fn a_secret_holds_public_keys_in_pem_that_are_good_for_any_name() {
    let run = run();
    let pem = concat!(
        include_str!("keys/p256.pem"),
        include_str!("keys/ed25519.pem"),
        include_str!("keys/rsa.pem")
    );
    set_secret("keys", pem.as_bytes());
    assert!(ask(&run, Signer::Rsa.token("any", &claims())).is_next());
    let (_, _, reason) = refused(&run, Signer::Ed25519.token("any", &claims()));
    assert_eq!(reason, "signature");
}

#[test]
fn without_keys_nobody_is_let_in() {
    let run = run();
    let token = Signer::Rsa.token("r", &claims());
    let no_keys = (503, "keys_unavailable".to_owned(), "no_keys".to_owned());
    assert_eq!(refused(&run, &token), no_keys);
    let pem = include_str!("keys/rsa.pem");
    for content in [
        "",
        "{}",
        r#"{"keys":[]}"#,
        r#"{"keys":[{"kty":"oct","k":"AA"}]}"#,
        "-----BEGIN PUBLIC KEY-----",
        "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----",
        &pem.replace("MIIB", "MIIC"),
        &pem[..pem.len() / 2],
    ] {
        set_secret("keys", content.as_bytes());
        assert_eq!(refused(&run, &token), no_keys, "{content}");
    }
}
