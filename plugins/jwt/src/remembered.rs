//! Signatures that were good once are not checked again.
//!
//! What is remembered is that this key signed this token, which stays true whatever becomes
//! of the settings. Whether the key is still among the keys, and what the claims say, is
//! looked at every time. Tokens are kept as hashes.

use crate::{key::Material, settings::Settings, token::Unproven};

#[cfg(feature = "url")]
pub(crate) fn is_good(settings: &Settings, key: &Material, token: &Unproven<'_>) -> bool {
    use tollgate_sdk::kv;
    settings.remember.is_some() && matches!(kv::get(&name(key, token)), Ok(Some(_)))
}

#[cfg(feature = "url")]
pub(crate) fn note(settings: &Settings, key: &Material, token: &Unproven<'_>, left_ms: u64) {
    use tollgate_sdk::kv;
    let Some(longest) = settings.remember else {
        return;
    };
    let lives = std::time::Duration::from_millis(longest.ms().min(left_ms).max(1));
    // Where there is no room, it is checked again.
    let _ = kv::put(&name(key, token), b"", Some(lives));
}

#[cfg(feature = "url")]
fn name(key: &Material, token: &Unproven<'_>) -> String {
    use sha2::{Digest, Sha256};
    let mut hash = Sha256::new();
    let mut part = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_be_bytes());
        hash.update(bytes);
    };
    match key {
        Material::Rsa { n, e } => [&b"rsa"[..], n, &e.to_be_bytes()].map(&mut part),
        Material::P256 { x, y } => [&b"p256"[..], x, y].map(&mut part),
        Material::Ed25519(x) => [&b"ed25519"[..], x, b""].map(&mut part),
    };
    part(token.whole());
    let digest = hash.finalize();
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("good:{hex}")
}

#[cfg(not(feature = "url"))]
pub(crate) fn is_good(_settings: &Settings, _key: &Material, token: &Unproven<'_>) -> bool {
    let _ = token.whole();
    false
}

#[cfg(not(feature = "url"))]
pub(crate) fn note(_settings: &Settings, _key: &Material, _token: &Unproven<'_>, _left_ms: u64) {}
