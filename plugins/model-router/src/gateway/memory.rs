//! The arms that sessions had, in the store of all exchanges.
//!
//! A session is kept as a hash. Where the store does not answer or has no room, the arm that
//! the shares give is as good as it was without it.

use std::{fmt::Write, time::Duration};

use sha2::{Digest, Sha256};
use tollgate_sdk::{clock, kv, metrics};

use tollgate_settings::Period;

use crate::choice::Session;

/// A session that goes on is put anew once so much of its time is over, in parts of it.
const RENEWED: u64 = 4;

pub(crate) fn recall(session: &Session<'_>, lives: Period) -> Option<String> {
    let name = name(session);
    let value = match kv::get(&name) {
        Ok(value) => value?,
        Err(_) => {
            failed();
            return None;
        }
    };
    let (since, arm) = value.split_first_chunk::<8>()?;
    let arm = std::str::from_utf8(arm).ok()?.to_owned();
    let now_ms = clock::now_ms();
    let age_ms = now_ms.saturating_sub(u64::from_be_bytes(*since));
    if age_ms > lives.ms() / RENEWED {
        put(&name, &arm, now_ms, lives);
    }
    Some(arm)
}

pub(crate) fn remember(session: &Session<'_>, arm: &str, lives: Period) {
    put(&name(session), arm, clock::now_ms(), lives);
}

fn put(name: &str, arm: &str, now_ms: u64, lives: Period) {
    let value = [&now_ms.to_be_bytes()[..], arm.as_bytes()].concat();
    if kv::put(name, &value, Some(Duration::from_millis(lives.ms()))).is_err() {
        failed();
    }
}

fn failed() {
    metrics::count("not_remembered", &[], 1);
}

fn name(session: &Session<'_>) -> String {
    let mut hash = Sha256::new();
    hash.update(session.seed);
    hash.update([0]);
    hash.update(session.key);
    let mut name = "session:".to_owned();
    for byte in hash.finalize() {
        let _ = write!(name, "{byte:02x}");
    }
    name
}
