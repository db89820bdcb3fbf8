//! Tokens that nobody signed, or not as they say.

use serde_json::{Value, json};
use tollgate_sdk::testing::logged;

use crate::{
    Signer, all_three, ask, claims, is_refused, refused,
    signer::{RSA_N, base64},
};

#[test]
fn a_token_without_a_signature_is_refused() {
    let run = all_three();
    for alg in ["none", "None", "NONE", "nOnE", ""] {
        let head = base64(json!({ "alg": alg }).to_string());
        let body = base64(claims().to_string());
        is_refused(
            &run,
            format!("{head}.{body}."),
            "invalid_token",
            "algorithm",
        );
    }
    let token = Signer::P256.token("p", &claims());
    let (unsigned, _) = token.rsplit_once('.').unwrap();
    is_refused(&run, unsigned, "invalid_token", "malformed");
    is_refused(&run, format!("{unsigned}."), "invalid_token", "signature");
}

#[test]
fn a_public_key_is_no_shared_secret() {
    let run = all_three();
    for alg in [
        "HS256", "HS384", "HS512", "RS384", "RS512", "PS256", "ES384",
    ] {
        let message = format!(
            "{}.{}",
            base64(json!({ "alg": alg, "kid": "r" }).to_string()),
            base64(claims().to_string())
        );
        // The checksum that a confused reader would compute of the public key.
        let token = format!(
            "{message}.{}",
            base64(hmac(RSA_N.as_bytes(), message.as_bytes()))
        );
        is_refused(&run, token, "invalid_token", "algorithm");
    }
}

fn hmac(key: &[u8], message: &[u8]) -> Vec<u8> {
    use sha2::{Digest, Sha256};
    let mut block = [0; 64];
    block[..32].copy_from_slice(&Sha256::digest(key));
    let pad = |byte: u8| block.map(|of_key| of_key ^ byte);
    let inner = Sha256::new().chain_update(pad(0x36)).chain_update(message);
    let outer = Sha256::new().chain_update(pad(0x5c));
    outer.chain_update(inner.finalize()).finalize().to_vec()
}

#[test]
fn an_algorithm_belongs_to_its_key_and_not_to_the_token() {
    let run = all_three();
    for (signer, alg, kid) in [
        (Signer::Rsa, "ES256", "r"),
        (Signer::Rsa, "EdDSA", "r"),
        (Signer::P256, "EdDSA", "p"),
        (Signer::P256, "RS256", "p"),
        (Signer::Ed25519, "ES256", "e"),
    ] {
        let token = signer.sign(&json!({ "alg": alg, "kid": kid }), &claims());
        is_refused(&run, token, "invalid_token", "unknown_key");
    }
}

#[test]
fn an_unknown_key_and_a_strangers_signature_are_refused_alike() {
    let run = all_three();
    let unknown = Signer::Ed25519.token("x", &claims());
    let forged = Signer::Stranger.token("e", &claims());
    let (one, other) = (ask(&run, &unknown), ask(&run, &forged));
    assert_eq!(one.refusal(), other.refusal());
    is_refused(&run, unknown, "invalid_token", "unknown_key");
    is_refused(&run, forged, "invalid_token", "signature");
}

#[test]
fn a_token_that_brings_its_own_key_or_rules_is_refused() {
    let run = all_three();
    for (name, value) in [
        ("jwk", Signer::Stranger.jwk("e")),
        ("jku", "https://evil.example/jwks".into()),
        ("x5u", "https://evil.example/cert".into()),
        ("x5c", json!(["MIIB"])),
        ("crit", json!(["exp"])),
        ("crit", json!([])),
        ("b64", Value::Bool(false)),
    ] {
        let mut header = json!({ "alg": "EdDSA", "kid": "e" });
        header[name] = value;
        for signer in [Signer::Ed25519, Signer::Stranger] {
            is_refused(
                &run,
                signer.sign(&header, &claims()),
                "invalid_token",
                "header",
            );
        }
    }
}

#[test]
fn what_is_signed_cannot_be_changed() {
    let run = all_three();
    for (signer, kid) in [
        (Signer::Rsa, "r"),
        (Signer::P256, "p"),
        (Signer::Ed25519, "e"),
    ] {
        let token = signer.token(kid, &claims());
        let [head, _, signature] = token.split('.').collect::<Vec<_>>()[..] else {
            panic!("a token has three parts")
        };
        let other = base64(claims().to_string().replace("ann", "root"));
        let token = format!("{head}.{other}.{signature}");
        is_refused(&run, token, "invalid_token", "signature");
    }
}

#[test]
fn what_is_no_token_is_refused_within_bounds() {
    let run = all_three();
    let good = Signer::Ed25519.token("e", &claims());
    let twice = Signer::Ed25519.sign_text(r#"{"alg":"EdDSA","kid":"e","alg":"none"}"#, "{}");
    let same = Signer::Ed25519.sign_text(r#"{"alg":"EdDSA","kid":"e","\u006bid":"e"}"#, "{}");
    let deep = Signer::Ed25519.sign_text(
        &format!(r#"{{"alg":"EdDSA","x":{}"#, "[".repeat(8000)),
        "{}",
    );
    let cases: Vec<Vec<u8>> = vec![
        b"x".to_vec(),
        b"..".to_vec(),
        b"a.b.c.d.e".to_vec(),
        b"e30.e30.e30".to_vec(),
        b"\xff\xfe.\xff.\xff".to_vec(),
        b"W10.e30.AA".to_vec(),
        twice.into_bytes(),
        same.into_bytes(),
        deep.into_bytes(),
        format!("{good}=").into_bytes(),
        format!("{good} ").into_bytes(),
        format!("{good},Bearer {good}").into_bytes(),
        format!("{good}.{good}").into_bytes(),
        base64(r#"{"alg":"EdDSA","kid":7}"#).into_bytes(),
        Signer::Ed25519
            .sign_text("{\"alg\":\"EdDSA\",\"kid\":\"\u{1}\"", "{}")
            .into_bytes(),
        Signer::Ed25519
            .sign(&json!({ "alg": ["EdDSA"] }), &claims())
            .into_bytes(),
    ];
    for token in cases {
        let shown = String::from_utf8_lossy(&token[..token.len().min(60)]).into_owned();
        let (_, code, reason) = refused(&run, token);
        assert_eq!(
            (code.as_str(), reason.as_str()),
            ("invalid_token", "malformed"),
            "{shown}"
        );
    }
    is_refused(&run, "e".repeat(64 * 1024), "invalid_token", "too_long");
    is_refused(&run, ".".repeat(64 * 1024), "invalid_token", "too_long");
}

#[test]
fn claims_that_two_readers_could_read_differently_are_refused_though_they_are_signed() {
    let run = all_three();
    let text = claims().to_string();
    let twice = text.replace("\"sub\"", "\"sub\":\"root\",\"sub\"");
    let deep = format!("{{\"x\":{}", "{\"x\":".repeat(1500));
    for payload in [
        twice.as_bytes(),
        deep.as_bytes(),
        b"\"ann\"",
        b"",
        b"{\"sub\":\"\xff\"}",
    ] {
        let token = Signer::Ed25519.sign_text(r#"{"alg":"EdDSA","kid":"e"}"#, payload);
        is_refused(&run, token, "invalid_token", "malformed");
    }
}

#[test]
fn no_part_of_a_token_is_logged_or_shown() {
    let run = all_three();
    for token in [
        Signer::Stranger.token("e", &claims()),
        Signer::Ed25519.token("secret-kid", &claims()),
    ] {
        let decided = ask(&run, &token);
        let message = &decided.refusal().unwrap().message;
        assert_eq!(message, "This token is not accepted.");
    }
    assert!(logged().is_empty());
}
