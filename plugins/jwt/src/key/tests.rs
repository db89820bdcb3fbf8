//! Vectors of RFC 7515, RFC 8037 and OpenSSL.

use ::base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::*;

const RSA_N: &str = include_str!("../../tests/it/keys/rsa.n");
const BY_OPENSSL: &str = include_str!("../../tests/it/keys/rsa.openssl-sha256");
const BY_OPENSSL_SHA1: &str = include_str!("../../tests/it/keys/rsa.openssl-sha1");
const SIGNED_BY_OPENSSL: &str = "eyJhbGciOiJSUzI1NiJ9.e30";

const P256_JWS: &str = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
const ED25519_JWS: &str = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";

fn rsa() -> Value {
    json!({ "kty": "RSA", "n": RSA_N, "e": "AQAB" })
}

fn p256() -> Value {
    json!({
        "kty": "EC",
        "crv": "P-256",
        "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
    })
}

fn ed25519() -> Value {
    json!({ "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" })
}

fn with(mut key: Value, field: &str, value: impl Into<Value>) -> Value {
    key[field] = value.into();
    key
}

fn key(jwk: Value) -> Result<Key, String> {
    serde_json::from_value(jwk).map_err(|error| error.to_string())
}

fn signed(jwk: Value, jws: &str) -> bool {
    let (message, signature) = jws.rsplit_once('.').unwrap();
    let signature = base64url(signature.as_bytes()).unwrap();
    let is = |signature: &[u8]| {
        let material = key(jwk.clone()).unwrap().material;
        material.signed(message.as_bytes(), signature)
    };
    for at in [0, signature.len() / 2, signature.len() - 1] {
        let mut other = signature.clone();
        other[at] ^= 1;
        assert!(!is(&other), "a bit of byte {at} makes no difference");
    }
    for length in [0, 1, signature.len() - 1] {
        assert!(!is(&signature[..length]));
    }
    assert!(!is(&[&signature[..], b"\0"].concat()));
    assert!(!is(&vec![0; signature.len()]));
    assert!(!is(&vec![0xff; signature.len()]));
    is(&signature)
}

#[test]
fn signatures_of_others_are_good() {
    assert!(signed(p256(), P256_JWS));
    assert!(signed(ed25519(), ED25519_JWS));
    assert!(signed(rsa(), &format!("{SIGNED_BY_OPENSSL}.{BY_OPENSSL}")));
}

#[test]
fn a_signature_over_a_digest_of_another_kind_is_none() {
    assert!(!signed(
        rsa(),
        &format!("{SIGNED_BY_OPENSSL}.{BY_OPENSSL_SHA1}")
    ));
}

#[test]
fn a_key_is_kept_as_it_is() {
    for jwk in [rsa(), p256(), with(ed25519(), "kid", "k")] {
        let read = key(jwk).unwrap();
        let kept = serde_json::to_value(read.to_jwk()).unwrap();
        assert_eq!(key(kept), Ok(read));
    }
}

#[test]
fn a_key_that_cannot_be_used_says_why() {
    let weak = base64(&[&[1][..], &[0; 31]].concat());
    let cases = [
        (
            json!({ "kty": "oct", "k": "c2VjcmV0" }),
            "expected a key of RSA",
        ),
        (with(rsa(), "alg", "RS512"), "expected `alg` to be RS256"),
        (with(rsa(), "alg", "ES256"), "expected `alg` to be RS256"),
        (with(rsa(), "alg", "none"), "expected `alg` to be RS256"),
        (with(rsa(), "use", "enc"), "expected a key to check"),
        (
            with(rsa(), "key_ops", json!(["sign"])),
            "expected a key to check",
        ),
        (with(rsa(), "d", "AQAB"), "this is a private key"),
        (with(rsa(), "e", "AQ"), "expected RSA of 2048"),
        (with(rsa(), "e", "BA"), "expected RSA of 2048"),
        (with(rsa(), "e", "AQAAAAE"), "expected an exponent"),
        (with(rsa(), "n", "AQAB"), "expected RSA of 2048"),
        (
            with(rsa(), "n", format!("AAAA{RSA_N}")),
            "expected RSA of 2048",
        ),
        (
            with(rsa(), "n", base64(&[0xff; 513])),
            "expected RSA of 2048",
        ),
        (with(rsa(), "n", "+/=="), "expected `n` and `e`"),
        (with(p256(), "crv", "P-384"), "expected a key of RSA"),
        (with(p256(), "y", base64(&[1; 32])), "this is no point"),
        (with(p256(), "x", base64(&[1; 31])), "expected `x` and `y`"),
        (with(ed25519(), "crv", "X25519"), "expected a key of RSA"),
        (with(ed25519(), "x", weak), "this is no point"),
        (
            with(ed25519(), "x", base64(&[1; 33])),
            "expected `x` of Ed25519",
        ),
    ];
    for (jwk, what) in cases {
        let error = key(jwk.clone()).unwrap_err();
        assert!(error.starts_with(what), "{jwk}: {error}");
    }
}

fn base64(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}
