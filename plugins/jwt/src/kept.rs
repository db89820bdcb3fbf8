//! Keys from an address, kept in the store of all exchanges.
//!
//! A set that is old, or lacks the key of a token, is fetched again by the one exchange that
//! gets the lease; the others go on with what is kept. The lease runs out by itself, and is
//! the pause between two fetches: no number of strange tokens asks more often.

use std::time::Duration;

use sha2::{Digest, Sha256};
use tollgate_sdk::{http, kv, log, metrics};
use tollgate_settings::Period;

use crate::{
    key::{Jwk, Key},
    keys::pick,
    refused::Refused,
    set,
    settings::Settings,
    token::Unproven,
};

/// While there is no set at all, it is tried again so soon.
const FIRST_PAUSE: Duration = Duration::from_secs(2);
/// A value in the store is 64 KiB at most.
const SET_MAX: usize = 60 * 1024;

/// A set and when it was fetched.
struct Kept {
    fetched_ms: u64,
    keys: Vec<Key>,
}

pub(crate) fn for_token(
    url: &'static str,
    settings: &Settings,
    token: &Unproven<'_>,
    now_ms: u64,
) -> Result<Vec<Key>, Refused> {
    let place = Place::of(url);
    let kept = place
        .kept()
        .filter(|kept| kept.age(now_ms) < settings.keep.ms());
    let found = kept.as_ref().map(|kept| pick(&kept.keys, token));
    let is_fine = kept.as_ref().is_some_and(|kept| {
        let is_fresh = kept.age(now_ms) < settings.refresh.ms();
        is_fresh && found.as_ref().is_some_and(|found| !found.is_empty())
    });
    if !is_fine
        && place.is_ours_to_fetch(kept.is_some(), settings.pause)
        && let Some(keys) = place.fetch(settings.keep, now_ms)
    {
        return Ok(pick(&keys, token));
    }
    found.ok_or(Refused::NoKeys)
}

impl Kept {
    fn age(&self, now_ms: u64) -> u64 {
        now_ms.saturating_sub(self.fetched_ms)
    }

    fn read(value: &[u8]) -> Option<Self> {
        let (time, keys) = value.split_first_chunk::<8>()?;
        let keys: Vec<Key> = serde_json::from_slice(keys).ok()?;
        Some(Self {
            fetched_ms: u64::from_be_bytes(*time),
            keys,
        })
    }
}

/// Where in the store the keys of an address are.
struct Place {
    url: &'static str,
    set: String,
    lease: String,
}

impl Place {
    fn of(url: &'static str) -> Self {
        let name: String = Sha256::digest(url)
            .iter()
            .take(16)
            .map(|byte| format!("{byte:02x}"))
            .collect();
        Self {
            url,
            set: format!("set:{name}"),
            lease: format!("lease:{name}"),
        }
    }

    fn kept(&self) -> Option<Kept> {
        kv::get(&self.set)
            .ok()?
            .and_then(|value| Kept::read(&value))
    }

    fn is_ours_to_fetch(&self, has_set: bool, pause: Period) -> bool {
        let pause = Duration::from_millis(pause.ms());
        let pause = if has_set {
            pause
        } else {
            pause.min(FIRST_PAUSE)
        };
        kv::compare_and_put(&self.lease, None, b"1", Some(pause)).unwrap_or(false)
    }

    /// The new set, kept; nothing if there is none, and then what was kept stays.
    fn fetch(&self, keep: Period, now_ms: u64) -> Option<Vec<Key>> {
        let fetched = self.get().and_then(|text| {
            let keys = set::read(&text).ok_or("no usable keys")?;
            self.keep(&keys, keep, now_ms)?;
            Ok(keys)
        });
        let outcome = fetched.as_ref().err().copied().unwrap_or("ok");
        metrics::count("fetches", &[("outcome", outcome)], 1);
        if fetched.is_err() {
            log::write(
                log::Level::Warn,
                "the keys were not fetched",
                &[("why", outcome)],
            );
        }
        fetched.ok()
    }

    fn get(&self) -> Result<Vec<u8>, &'static str> {
        let sent = http::get(self.url)
            .header("accept", "application/jwk-set+json, application/json")
            .send();
        match sent {
            Ok(response) if response.status == 200 => Ok(response.body),
            Ok(_) => Err("another status than 200"),
            Err(http::Error::Denied(_)) => Err("not granted"),
            Err(http::Error::TimedOut) => Err("timed out"),
            Err(http::Error::TooLarge) => Err("too large"),
            Err(http::Error::TooMany) => Err("too many calls"),
            Err(http::Error::Failed(_)) => Err("failed"),
        }
    }

    fn keep(&self, keys: &[Key], keep: Period, now_ms: u64) -> Result<(), &'static str> {
        let keys: Vec<Jwk> = keys.iter().map(Key::to_jwk).collect();
        let mut value = now_ms.to_be_bytes().to_vec();
        serde_json::to_writer(&mut value, &keys).map_err(|_| "cannot be kept")?;
        if value.len() > SET_MAX {
            return Err("too large to keep");
        }
        let lives = Duration::from_millis(keep.ms());
        kv::put(&self.set, &value, Some(lives)).map_err(|_| "the store is full or away")
    }
}
