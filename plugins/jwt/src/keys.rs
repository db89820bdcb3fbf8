//! The keys that may have signed a token.

use std::time::Duration;

#[cfg(feature = "secret")]
use tollgate_sdk::secrets;

#[cfg(feature = "secret")]
use crate::set;
use crate::{
    key::Key,
    refused::Refused,
    settings::{Settings, Source},
    token::Unproven,
};

/// Each one tried costs a check of a signature.
const TRIES_MAX: usize = 4;

/// Those that fit the token's algorithm and `kid`, at least one.
pub(crate) fn for_token(
    settings: &'static Settings,
    token: &Unproven<'_>,
    now_ms: u64,
) -> Result<Vec<Key>, Refused> {
    let found = match settings.source().ok_or(Refused::NoKeys)? {
        Source::Inline(keys) => pick(keys, token),
        Source::Secret(name) => pick(&secret(name)?, token),
        Source::Url(url) => fetched(url, settings, token, now_ms)?,
    };
    if found.is_empty() {
        return Err(Refused::UnknownKey);
    }
    Ok(found)
}

/// A token without `kid` needs the one key of its algorithm; a key without is for any token.
pub(crate) fn pick(keys: &[Key], token: &Unproven<'_>) -> Vec<Key> {
    let fit = || {
        keys.iter()
            .filter(|key| key.material.algorithm() == token.algorithm)
    };
    let is_only_one = fit().count() == 1;
    fit()
        .filter(|key| match (&key.kid, &token.kid) {
            (Some(of_key), Some(of_token)) => of_key == of_token,
            (Some(_), None) => is_only_one,
            (None, _) => true,
        })
        .take(TRIES_MAX)
        .cloned()
        .collect()
}

#[cfg(feature = "secret")]
fn secret(name: &str) -> Result<Vec<Key>, Refused> {
    let content = secrets::get(name).map_err(|_| Refused::NoKeys)?;
    set::read(&content).ok_or(Refused::NoKeys)
}

#[cfg(not(feature = "secret"))]
fn secret(_name: &str) -> Result<Vec<Key>, Refused> {
    Err(Refused::NoKeys)
}

/// Fetches keys that are old, and says when to look again; never, if none are fetched.
pub(crate) fn refresh(settings: &'static Settings, now_ms: u64) -> Option<Duration> {
    match settings.source()? {
        Source::Inline(_) | Source::Secret(_) => None,
        Source::Url(url) => refreshed(url, settings, now_ms),
    }
}

#[cfg(feature = "url")]
use crate::kept::{for_token as fetched, refresh as refreshed};

#[cfg(not(feature = "url"))]
fn refreshed(_url: &str, _settings: &Settings, _now_ms: u64) -> Option<Duration> {
    None
}

#[cfg(not(feature = "url"))]
fn fetched(
    _url: &str,
    _settings: &Settings,
    _token: &Unproven<'_>,
    _now_ms: u64,
) -> Result<Vec<Key>, Refused> {
    Err(Refused::NoKeys)
}
