//! Public keys in PEM: `BEGIN PUBLIC KEY` (RFC 7468, 13), of the three kinds.

use base64::{Engine, engine::general_purpose::STANDARD};

use crate::key::{Key, Material};

const BEGIN: &str = "-----BEGIN PUBLIC KEY-----";
const END: &str = "-----END PUBLIC KEY-----";
const KEYS_MAX: usize = 4;

/// What comes before the bits of the key, by its kind. There is one way to write each in DER.
const P256: [u8; 27] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04,
];
const ED25519: [u8; 12] = [
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];
const RSA: [u8; 15] = [
    0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00,
];

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;

/// All of them; one that cannot be read makes the whole text none.
pub(crate) fn keys(text: &[u8]) -> Option<Vec<Key>> {
    let mut rest = std::str::from_utf8(text).ok()?;
    let mut keys = Vec::new();
    while let Some((_, after)) = rest.split_once(BEGIN) {
        let (body, after) = after.split_once(END)?;
        let body: String = body.split_ascii_whitespace().collect();
        let material = spki(&STANDARD.decode(body).ok()?)?;
        keys.push(Key {
            kid: None,
            material: material.if_sound().ok()?,
        });
        rest = after;
    }
    (keys.len() <= KEYS_MAX).then_some(keys)
}

fn spki(der: &[u8]) -> Option<Material> {
    if let Some(point) = der.strip_prefix(&P256) {
        let (x, y) = point.split_at_checked(32)?;
        return Some(Material::P256 {
            x: x.try_into().ok()?,
            y: y.try_into().ok()?,
        });
    }
    if let Some(point) = der.strip_prefix(&ED25519) {
        return Some(Material::Ed25519(point.try_into().ok()?));
    }
    rsa(der)
}

fn rsa(der: &[u8]) -> Option<Material> {
    let key = whole(SEQUENCE, der)?.strip_prefix(&RSA)?;
    let key = whole(SEQUENCE, whole(BIT_STRING, key)?.strip_prefix(&[0])?)?;
    let (n, rest) = element(INTEGER, key)?;
    let e = whole(INTEGER, rest)?;
    Material::rsa(n.strip_prefix(&[0])?.to_vec(), e).ok()
}

/// The content of the one element that there is.
fn whole(tag: u8, der: &[u8]) -> Option<&[u8]> {
    element(tag, der)
        .filter(|(_, rest)| rest.is_empty())
        .map(|(content, _)| content)
}

/// Content of the first element, and what comes after it.
fn element(tag: u8, der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = match der {
        [found, ..] if *found != tag => return None,
        [_, length @ 0..=0x7f, rest @ ..] => (usize::from(*length), rest),
        [_, 0x81, length, rest @ ..] => (usize::from(*length), rest),
        [_, 0x82, high, low, rest @ ..] => (usize::from(*high) << 8 | usize::from(*low), rest),
        _ => return None,
    };
    rest.split_at_checked(length)
}
