//! An identity provider: keys of each kind, tokens that they sign, and the address where
//! the public ones are.

use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, PublicKeyData, SigningKey};
use serde_json::{Value, json};

use crate::{
    client::Ask,
    fixture::{Site, chat_through},
    scripted::{Said, Scripted},
};

/// Of RSA, 2048 bits; made for these tests and good for nothing else.
const RSA: &str = include_str!("keys/rsa.pem");

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

pub(crate) fn base64url(bytes: impl AsRef<[u8]>) -> String {
    let mut out = String::new();
    for three in bytes.as_ref().chunks(3) {
        let at = |index: usize| u32::from(three.get(index).copied().unwrap_or(0));
        let group = at(0) << 16 | at(1) << 8 | at(2);
        for nth in 0..=three.len() {
            let six = group >> (18 - 6 * nth) & 63;
            out.push(char::from(ALPHABET[six as usize]));
        }
    }
    out
}

pub(crate) fn now() -> u64 {
    let since = std::time::UNIX_EPOCH.elapsed().unwrap();
    since.as_secs()
}

/// A key and the name that it goes by.
pub(crate) struct Key {
    pub(crate) kid: String,
    alg: &'static str,
    pair: KeyPair,
}

impl Key {
    pub(crate) fn rsa(kid: &str) -> Self {
        Self::of(kid, "RS256", KeyPair::from_pem(RSA).unwrap())
    }

    pub(crate) fn p256(kid: &str) -> Self {
        let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        Self::of(kid, "ES256", pair)
    }

    pub(crate) fn ed25519(kid: &str) -> Self {
        let pair = KeyPair::generate_for(&PKCS_ED25519).unwrap();
        Self::of(kid, "EdDSA", pair)
    }

    fn of(kid: &str, alg: &'static str, pair: KeyPair) -> Self {
        let kid = kid.to_owned();
        Self { kid, alg, pair }
    }

    /// The public half, as a JWKS lists it.
    pub(crate) fn jwk(&self) -> Value {
        let bytes = self.pair.der_bytes();
        let mut jwk = match self.alg {
            // PKCS #1: a sequence, the modulus behind a zero byte, the exponent 65537.
            "RS256" => json!({ "kty": "RSA", "n": base64url(&bytes[9..265]), "e": "AQAB" }),
            "ES256" => {
                let (x, y) = (base64url(&bytes[1..33]), base64url(&bytes[33..65]));
                json!({ "kty": "EC", "crv": "P-256", "x": x, "y": y })
            }
            _ => json!({ "kty": "OKP", "crv": "Ed25519", "x": base64url(bytes) }),
        };
        jwk["kid"] = self.kid.as_str().into();
        jwk["use"] = "sig".into();
        jwk
    }

    pub(crate) fn public_bytes(&self) -> &[u8] {
        self.pair.der_bytes()
    }

    pub(crate) fn token(&self, claims: &Value) -> String {
        let header = json!({ "alg": self.alg, "typ": "JWT", "kid": self.kid });
        self.sign(&header.to_string(), claims.to_string())
    }

    /// Whatever it is that is signed.
    pub(crate) fn sign(&self, header: &str, payload: impl AsRef<[u8]>) -> String {
        let message = format!("{}.{}", base64url(header), base64url(payload));
        let mut signature = self.pair.sign(message.as_bytes()).unwrap();
        if self.alg == "ES256" {
            signature = r_and_s(&signature);
        }
        format!("{message}.{}", base64url(signature))
    }
}

/// DER has two integers; a token has 32 bytes of each.
fn r_and_s(der: &[u8]) -> Vec<u8> {
    let mut rest = &der[2..];
    let mut out = Vec::new();
    for _ in 0..2 {
        let length = usize::from(rest[1]);
        let (number, after) = rest[2..].split_at(length);
        let digits: Vec<u8> = number
            .iter()
            .copied()
            .skip_while(|byte| *byte == 0)
            .collect();
        out.resize(out.len() + 32 - digits.len(), 0);
        out.extend(digits);
        rest = after;
    }
    out
}

/// What nearly every token of the tests says.
pub(crate) fn claims() -> Value {
    json!({
        "iss": "https://idp.example", "aud": [ "gateway", "another" ], "sub": "ada",
        "iat": now(), "exp": now() + 3600,
        "app": { "tier": "team" }, "groups": [ "rivers", "lakes" ],
    })
}

pub(crate) fn claims_with(name: &str, value: impl Into<Value>) -> Value {
    let mut claims = claims();
    claims[name] = value.into();
    claims
}

/// The address of these keys.
pub(crate) fn jwks<'a>(keys: impl IntoIterator<Item = &'a Key>) -> Said {
    let keys: Vec<Value> = keys.into_iter().map(Key::jwk).collect();
    Said::json(200, &json!({ "keys": keys }))
}

/// `jwt` with keys from this provider, and `probe` behind it, which shows the facts to the
/// upstream. `more` are further settings.
pub(crate) fn trusting(provider: &Scripted, isolation: &str, more: &str) -> String {
    let host = format!("http://localhost:{}", provider.addr.port());
    let policies = format!(
        r#"
  callers:
    plugin: jwt
    on_error: refuse
    isolation: {isolation}
    grants: {{ kv: true, http-call: {{ hosts: [ "{host}" ], timeout: 5s }} }}
    limits: {{ hook_time: 2s, exchange_time: 20s }}
    settings:
      jwks_url: {host}/keys
      issuer: https://idp.example
      audience: gateway
      facts: {{ caller: /sub, tier: /app/tier, groups: /groups }}
      {more}
  probe: {{ PROBE, on_error: refuse, settings: {{ seen: {{ x-caller: caller, x-tier: tier, x-groups: groups }} }} }}"#
    );
    chat_through("callers, probe", &policies)
}

pub(crate) fn with_token(site: &Site, token: &str) -> Ask {
    site.chat()
        .header("authorization", format!("Bearer {token}"))
}
