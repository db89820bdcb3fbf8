//! Signs tokens, with keys that are good for nothing else.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use crypto_bigint::{
    BoxedUint, Odd,
    modular::{BoxedMontyForm, BoxedMontyParams},
};
use ed25519_dalek::Signer as _;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

pub(crate) const RSA_N: &str = include_str!("keys/rsa.n");
const RSA_D: &str = include_str!("keys/rsa.d");

#[derive(Debug, Clone, Copy)]
pub(crate) enum Signer {
    Rsa,
    P256,
    Ed25519,
    /// Of the same kind, and not on the list.
    Stranger,
}

pub(crate) fn base64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

impl Signer {
    fn alg(self) -> &'static str {
        match self {
            Self::Rsa => "RS256",
            Self::P256 => "ES256",
            Self::Ed25519 | Self::Stranger => "EdDSA",
        }
    }

    pub(crate) fn jwk(self, kid: &str) -> Value {
        let mut jwk = match self {
            Self::Rsa => json!({ "kty": "RSA", "n": RSA_N, "e": "AQAB" }),
            Self::P256 => {
                let point = p256_key().verifying_key().to_sec1_point(false);
                let bytes = point.as_bytes();
                json!({ "kty": "EC", "crv": "P-256", "x": base64(&bytes[1..33]), "y": base64(&bytes[33..]) })
            }
            Self::Ed25519 | Self::Stranger => {
                let key = self.ed25519_key().verifying_key();
                json!({ "kty": "OKP", "crv": "Ed25519", "x": base64(key.as_bytes()) })
            }
        };
        jwk["kid"] = kid.into();
        jwk
    }

    pub(crate) fn token(self, kid: &str, claims: &Value) -> String {
        self.sign(
            &json!({ "alg": self.alg(), "typ": "JWT", "kid": kid }),
            claims,
        )
    }

    pub(crate) fn sign(self, header: &Value, claims: &Value) -> String {
        self.sign_text(&header.to_string(), claims.to_string())
    }

    pub(crate) fn sign_text(self, header: &str, payload: impl AsRef<[u8]>) -> String {
        let message = format!("{}.{}", base64(header), base64(payload));
        let signature = self.signature(message.as_bytes());
        format!("{message}.{}", base64(signature))
    }

    fn signature(self, message: &[u8]) -> Vec<u8> {
        match self {
            Self::Rsa => rsa(message),
            Self::P256 => {
                let signature: p256::ecdsa::Signature = p256_key().sign(message);
                signature.to_bytes().to_vec()
            }
            Self::Ed25519 | Self::Stranger => self.ed25519_key().sign(message).to_bytes().to_vec(),
        }
    }

    fn ed25519_key(self) -> ed25519_dalek::SigningKey {
        let seed = match self {
            Self::Stranger => [8; 32],
            _ => [7; 32],
        };
        ed25519_dalek::SigningKey::from_bytes(&seed)
    }
}

fn p256_key() -> p256::ecdsa::SigningKey {
    p256::ecdsa::SigningKey::from_slice(&[7; 32]).unwrap()
}

fn rsa(message: &[u8]) -> Vec<u8> {
    let info = [
        0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01,
        0x05, 0x00, 0x04, 0x20,
    ];
    let mut encoded = vec![0, 1];
    encoded.resize(256 - 52, 0xff);
    encoded.push(0);
    encoded.extend(info);
    encoded.extend(Sha256::digest(message));
    let number = |text: &str| {
        BoxedUint::from_be_slice(&URL_SAFE_NO_PAD.decode(text).unwrap(), 2048).unwrap()
    };
    let params = BoxedMontyParams::new_vartime(Odd::new(number(RSA_N)).into_option().unwrap());
    let encoded = BoxedUint::from_be_slice(&encoded, 2048).unwrap();
    let signed = BoxedMontyForm::new(encoded, &params).pow(&number(RSA_D));
    signed.retrieve().to_be_bytes().to_vec()
}
