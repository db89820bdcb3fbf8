//! One public key, and the one algorithm that it is good for.
//!
//! The algorithm comes from the key, never from a token: a token that names another one
//! finds no key.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{rsa, strict::base64url};

/// Signatures that can be checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) enum Algorithm {
    /// RSA of 2048 to 4096 bits, PKCS #1 v1.5, SHA-256.
    #[serde(rename = "RS256")]
    Rs256,
    /// ECDSA on P-256, SHA-256.
    #[serde(rename = "ES256")]
    Es256,
    /// Ed25519.
    #[serde(rename = "EdDSA", alias = "Ed25519")]
    EdDsa,
}

impl Algorithm {
    /// As a token's header names it. `Ed25519` is the name of RFC 9864.
    pub(crate) fn named(name: &str) -> Option<Self> {
        match name {
            "RS256" => Some(Self::Rs256),
            "ES256" => Some(Self::Es256),
            "EdDSA" | "Ed25519" => Some(Self::EdDsa),
            _ => None,
        }
    }
}

/// A public key as RFC 7517 writes it. Fields that are not named here are left aside.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Jwk {
    /// `RSA`, `EC` or `OKP`.
    pub(crate) kty: String,
    /// The name by which tokens choose the key. Default: it is good for any token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) kid: Option<String>,
    /// `RS256`, `ES256` or `EdDSA`. Default: the one that fits the type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) alg: Option<String>,
    /// `sig`. Default: `sig`.
    #[serde(default, rename = "use", skip_serializing_if = "Option::is_none")]
    pub(crate) usage: Option<String>,
    /// With `verify` in it. Default: `verify`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) key_ops: Option<Vec<String>>,
    /// `P-256` of `EC`, `Ed25519` of `OKP`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) crv: Option<String>,
    /// Of `RSA`, the modulus, in base64url.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) n: Option<String>,
    /// Of `RSA`, the exponent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) e: Option<String>,
    /// Of `EC` and `OKP`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) x: Option<String>,
    /// Of `EC`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) y: Option<String>,
    /// Private, so never to be here.
    #[serde(default, skip_serializing)]
    #[schemars(skip)]
    pub(crate) d: Option<String>,
}

/// A key that signatures are checked with.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Jwk")]
pub(crate) struct Key {
    pub(crate) kid: Option<String>,
    pub(crate) material: Material,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Material {
    Rsa { n: Vec<u8>, e: u32 },
    P256 { x: [u8; 32], y: [u8; 32] },
    Ed25519([u8; 32]),
}

impl TryFrom<Jwk> for Key {
    type Error = &'static str;

    fn try_from(jwk: Jwk) -> Result<Self, Self::Error> {
        if jwk.d.is_some() {
            return Err("this is a private key: expected the public one");
        }
        let is_to_verify = jwk.usage.as_deref().is_none_or(|usage| usage == "sig")
            && jwk
                .key_ops
                .as_ref()
                .is_none_or(|ops| ops.iter().any(|op| op == "verify"));
        if !is_to_verify {
            return Err("expected a key to check signatures with: `use` is `sig`");
        }
        let material = Material::of(&jwk)?;
        let is_bound = jwk
            .alg
            .as_deref()
            .is_none_or(|name| Algorithm::named(name) == Some(material.algorithm()));
        if !is_bound {
            return Err("expected `alg` to be RS256 of RSA, ES256 of P-256, EdDSA of Ed25519");
        }
        Ok(Self {
            kid: jwk.kid,
            material,
        })
    }
}

impl Material {
    fn of(jwk: &Jwk) -> Result<Self, &'static str> {
        let bytes = |field: &Option<String>| base64url(field.as_deref()?.as_bytes());
        let point = |field| bytes(field).and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
        match (jwk.kty.as_str(), jwk.crv.as_deref()) {
            ("RSA", None) => match (bytes(&jwk.n), bytes(&jwk.e)) {
                (Some(n), Some(e)) => Self::rsa(n, &e),
                _ => Err("expected `n` and `e` of RSA in base64url"),
            },
            ("EC", Some("P-256")) => match (point(&jwk.x), point(&jwk.y)) {
                (Some(x), Some(y)) => Self::P256 { x, y }.if_sound(),
                _ => Err("expected `x` and `y` of P-256, 32 bytes each in base64url"),
            },
            ("OKP", Some("Ed25519")) => match point(&jwk.x) {
                Some(x) => Self::Ed25519(x).if_sound(),
                None => Err("expected `x` of Ed25519, 32 bytes in base64url"),
            },
            _ => Err("expected a key of RSA, of EC on P-256, or of OKP on Ed25519"),
        }
    }

    pub(crate) fn rsa(n: Vec<u8>, e: &[u8]) -> Result<Self, &'static str> {
        let e = e
            .iter()
            .try_fold(0_u32, |e, byte| {
                Some(e.checked_mul(256)? | u32::from(*byte))
            })
            .ok_or("expected an exponent of at most 32 bits")?;
        if rsa::is_sound(&n, e) {
            Ok(Self::Rsa { n, e })
        } else {
            Err("expected RSA of 2048 to 4096 bits, with an odd exponent from 3 on")
        }
    }

    pub(crate) fn if_sound(self) -> Result<Self, &'static str> {
        let is_sound = match &self {
            Self::Rsa { n, e } => rsa::is_sound(n, *e),
            Self::P256 { x, y } => p256_key(x, y).is_some(),
            Self::Ed25519(x) => {
                ed25519_dalek::VerifyingKey::from_bytes(x).is_ok_and(|key| !key.is_weak())
            }
        };
        is_sound
            .then_some(self)
            .ok_or("this is no point of the curve that a key could be")
    }

    pub(crate) fn algorithm(&self) -> Algorithm {
        match self {
            Self::Rsa { .. } => Algorithm::Rs256,
            Self::P256 { .. } => Algorithm::Es256,
            Self::Ed25519(_) => Algorithm::EdDsa,
        }
    }

    /// Whether this key signed that.
    pub(crate) fn signed(&self, message: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::Rsa { n, e } => rsa::signed(n, *e, message, signature),
            Self::P256 { x, y } => signed_by_p256(x, y, message, signature).is_some(),
            Self::Ed25519(x) => signed_by_ed25519(x, message, signature).is_some(),
        }
    }
}

fn p256_key(x: &[u8; 32], y: &[u8; 32]) -> Option<p256::ecdsa::VerifyingKey> {
    let mut point = [4; 65];
    point[1..33].copy_from_slice(x);
    point[33..].copy_from_slice(y);
    p256::ecdsa::VerifyingKey::from_sec1_bytes(&point).ok()
}

/// The signature is `r` and `s`, 32 bytes each; DER is none.
fn signed_by_p256(x: &[u8; 32], y: &[u8; 32], message: &[u8], signature: &[u8]) -> Option<()> {
    use p256::ecdsa::{Signature, signature::Verifier};
    let signature = Signature::from_slice(signature).ok()?;
    p256_key(x, y)?.verify(message, &signature).ok()
}

fn signed_by_ed25519(x: &[u8; 32], message: &[u8], signature: &[u8]) -> Option<()> {
    let key = ed25519_dalek::VerifyingKey::from_bytes(x).ok()?;
    let signature = ed25519_dalek::Signature::from_slice(signature).ok()?;
    key.verify_strict(message, &signature).ok()
}

#[cfg(any(feature = "url", test))]
impl Key {
    /// As it is kept: the fields that count, and no other.
    pub(crate) fn to_jwk(&self) -> Jwk {
        use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
        let text = |bytes: &[u8]| Some(URL_SAFE_NO_PAD.encode(bytes));
        let (kty, crv) = match &self.material {
            Material::Rsa { .. } => ("RSA", None),
            Material::P256 { .. } => ("EC", Some("P-256")),
            Material::Ed25519(_) => ("OKP", Some("Ed25519")),
        };
        let mut jwk = Jwk {
            kty: kty.to_owned(),
            crv: crv.map(str::to_owned),
            kid: self.kid.clone(),
            ..Jwk::default()
        };
        match &self.material {
            Material::Rsa { n, e } => (jwk.n, jwk.e) = (text(n), text(&e.to_be_bytes())),
            Material::P256 { x, y } => (jwk.x, jwk.y) = (text(x), text(y)),
            Material::Ed25519(x) => jwk.x = text(x),
        }
        jwk
    }
}

#[cfg(test)]
mod tests;
