//! Sets of keys as others write them: a JWKS, or public keys in PEM.
//!
//! A set may hold keys for other purposes, or of kinds that are not known here: those are
//! left aside, and a set without one that can be used is none.

use serde_json::Value;

use crate::{
    key::{Jwk, Key},
    pem,
};

/// More are not looked at.
const KEYS_MAX: usize = 64;

pub(crate) fn read(text: &[u8]) -> Option<Vec<Key>> {
    let keys = match text.trim_ascii_start().first()? {
        b'{' => jwks(text)?,
        _ => pem::keys(text)?,
    };
    (!keys.is_empty()).then_some(keys)
}

fn jwks(text: &[u8]) -> Option<Vec<Key>> {
    let mut set = crate::strict::object(text)?;
    let Value::Array(list) = set.remove("keys")? else {
        return None;
    };
    let keys = list.into_iter().take(KEYS_MAX).filter_map(|key| {
        let jwk: Jwk = serde_json::from_value(key).ok()?;
        Key::try_from(jwk).ok()
    });
    Some(keys.collect())
}
