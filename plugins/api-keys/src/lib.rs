//! Knows callers by their keys: a request without a known key is refused, and who calls
//! is a fact for later policies.
//!
//! The configuration holds hashes only, and a key is never logged, shown, or sent on.

mod credentials;
mod keys;
mod settings;

use sha2::{Digest, Sha256};
use tollgate_sdk::prelude::*;

use credentials::Credentials;
pub use keys::{Key, KeyHash, Keys};
pub use settings::{Carrier, Settings};

/// One exchange.
pub struct ApiKeys {
    settings: &'static Settings,
}

#[policy]
impl Policy for ApiKeys {
    type Settings = Settings;

    fn check(settings: &Settings) -> Result<(), Vec<String>> {
        settings.check()
    }

    fn samples(_settings: &Settings) -> Vec<Sample> {
        vec![Sample::chat("a request without a key is refused").expect_answer(401)]
    }

    fn open(settings: &'static Settings, _head: &Head) -> Self {
        Self { settings }
    }

    fn on_request(&mut self, request: &mut Request) -> Verdict {
        let Settings {
            keys,
            header,
            strip,
        } = self.settings;
        let value = request.header(header.name());
        let presented = match Credentials::read(header, value.as_deref()) {
            Credentials::Key(presented) => presented,
            Credentials::Missing => {
                return Verdict::refuse(401, "missing_api_key", header.how_to());
            }
            Credentials::Malformed => {
                return Verdict::refuse(401, "invalid_api_key", header.how_to());
            }
        };
        let Some(key) = keys.find(&Sha256::digest(presented).into()) else {
            return Verdict::refuse(401, "invalid_api_key", "This API key is not known.");
        };

        request.set_fact("caller", key.caller.as_str());
        if let Some(tier) = &key.tier {
            request.set_fact("tier", tier.as_str());
        }
        // Only the first value was checked, so no other one may reach the upstream.
        match value {
            Some(value) if !strip => request.set_header(header.name(), value),
            _ => request.remove_header(header.name()),
        }
        Verdict::next()
    }
}

#[cfg(test)]
mod tests;
