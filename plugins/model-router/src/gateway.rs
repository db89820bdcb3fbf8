//! Time, chance, memory, places and copies, as the gateway gives them.
//!
//! A module without the feature `kv` has no memory, one without `geo` knows no place and one
//! without `shadow` makes no copies, and settings that ask for one are refused in it. A native
//! build imports nothing, so it has all of them, for the tests.

use tollgate_sdk::{Destination, clock, random};

use tollgate_settings::Period;

use crate::choice::{Session, World};

#[cfg(any(feature = "kv", not(target_arch = "wasm32")))]
mod memory;

pub(crate) struct Gateway;

/// Country and region of an address, as far as they are known.
#[cfg(any(feature = "geo", not(target_arch = "wasm32")))]
pub(crate) fn locate(address: &str) -> (Option<String>, Option<String>) {
    match tollgate_sdk::geo::lookup(address) {
        Ok(Some(place)) => (place.country, place.region),
        // No place is no error: a rule that asks for one does not match.
        Ok(None) | Err(_) => (None, None),
    }
}

#[cfg(not(any(feature = "geo", not(target_arch = "wasm32"))))]
pub(crate) fn locate(_address: &str) -> (Option<String>, Option<String>) {
    (None, None)
}

/// Whether there will be a copy, as far as it is up to the policy.
#[cfg(any(feature = "shadow", not(target_arch = "wasm32")))]
pub(crate) fn shadow(to: Destination) -> bool {
    tollgate_sdk::shadow::send_to(to).is_ok()
}

#[cfg(not(any(feature = "shadow", not(target_arch = "wasm32"))))]
pub(crate) fn shadow(_to: Destination) -> bool {
    false
}

impl World for Gateway {
    fn now_ms(&self) -> u64 {
        clock::now_ms()
    }

    fn random(&self) -> u64 {
        random::next_u64()
    }

    #[cfg(any(feature = "kv", not(target_arch = "wasm32")))]
    fn recall(&self, session: &Session<'_>, lives: Period) -> Option<String> {
        memory::recall(session, lives)
    }

    #[cfg(any(feature = "kv", not(target_arch = "wasm32")))]
    fn remember(&self, session: &Session<'_>, arm: &str, lives: Period) {
        memory::remember(session, arm, lives);
    }

    #[cfg(not(any(feature = "kv", not(target_arch = "wasm32"))))]
    fn recall(&self, _session: &Session<'_>, _lives: Period) -> Option<String> {
        None
    }

    #[cfg(not(any(feature = "kv", not(target_arch = "wasm32"))))]
    fn remember(&self, _session: &Session<'_>, _arm: &str, _lives: Period) {}
}
