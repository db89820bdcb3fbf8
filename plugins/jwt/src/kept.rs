//! Keys from an address, kept in the store of all exchanges.
//!
//! The clock fetches a set that is old. One that lacks the key of a token is fetched by the
//! exchange that gets the lease, and so is the first if the clock got none; all others go on
//! with what is kept. The lease runs out by itself, and is the pause between two fetches:
//! no number of strange tokens asks more often, and two gateways with one store ask as one.
//! The clock has a lease of its own: it waits longer for a provider than an exchange does, and
//! strange tokens must not take its turn.

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
const FIRST_PAUSE_MS: u64 = 2_000;
/// Nobody waits for the clock: the grant's own timeout is what counts.
const UNHURRIED: Duration = Duration::from_secs(60);
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
    let kept = place.kept(settings, now_ms);
    let found = kept.map(|kept| pick(&kept.keys, token));
    let lacks_it = found.as_ref().is_none_or(Vec::is_empty);
    if lacks_it
        && place.is_ours_to_fetch(&place.lease, found.is_some(), settings.pause)
        && let Some(keys) = place.fetch(settings.keep, now_ms, http::TIMEOUT)
    {
        return Ok(pick(&keys, token));
    }
    found.ok_or(Refused::NoKeys)
}

/// Fetches the set if it is old, and says in how long to look again.
pub(crate) fn refresh(url: &'static str, settings: &Settings, now_ms: u64) -> Option<Duration> {
    let place = Place::of(url);
    let kept = place.kept(settings, now_ms);
    let age = kept.as_ref().map(|kept| kept.age(now_ms));
    let next = match age {
        Some(age) if age < settings.refresh.ms() => settings.refresh.ms() - age,
        _ if place.is_ours_to_fetch(&place.clock, age.is_some(), settings.pause)
            && place.fetch(settings.keep, now_ms, UNHURRIED).is_some() =>
        {
            settings.refresh.ms()
        }
        // It failed, or another one fetches.
        age => pause(age.is_some(), settings.pause),
    };
    Some(Duration::from_millis(next))
}

/// While there is no set at all, it is tried again sooner.
fn pause(has_set: bool, pause: Period) -> u64 {
    if has_set {
        pause.ms()
    } else {
        pause.ms().min(FIRST_PAUSE_MS)
    }
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
    /// The lease of the clock.
    clock: String,
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
            clock: format!("clock:{name}"),
        }
    }

    fn stored(&self) -> Option<Kept> {
        kv::get(&self.set)
            .ok()?
            .and_then(|value| Kept::read(&value))
    }

    /// The set, unless it is too old to be used.
    fn kept(&self, settings: &Settings, now_ms: u64) -> Option<Kept> {
        self.stored()
            .filter(|kept| kept.age(now_ms) < settings.keep.ms())
    }

    fn is_ours_to_fetch(&self, lease: &str, has_set: bool, pause: Period) -> bool {
        let lasts = Duration::from_millis(self::pause(has_set, pause));
        kv::compare_and_put(lease, None, b"1", Some(lasts)).unwrap_or(false)
    }

    /// The new set, kept; nothing if there is none, and then what was kept stays.
    fn fetch(&self, keep: Period, now_ms: u64, timeout: Duration) -> Option<Vec<Key>> {
        let fetched = self.get(timeout).and_then(|text| {
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

    fn get(&self, timeout: Duration) -> Result<Vec<u8>, &'static str> {
        let sent = http::get(self.url)
            .timeout(timeout)
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
        let is_late = |kept: Kept| kept.fetched_ms > now_ms;
        if self.stored().is_some_and(is_late) {
            return Err("came after a newer answer");
        }
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
