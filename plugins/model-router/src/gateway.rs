//! Time, chance and memory, as the gateway gives them.
//!
//! A module without the feature `kv` has no memory, and settings that ask for one are refused
//! in it. A native build imports nothing, so it has it, for the tests.

use tollgate_sdk::{clock, random};

use crate::{
    choice::{Session, World},
    period::Period,
};

#[cfg(any(feature = "kv", not(target_arch = "wasm32")))]
mod memory;

pub(crate) struct Gateway;

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
