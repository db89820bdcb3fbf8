//! Knows callers by signed tokens (JWT): one that is signed by a known key, of this issuer,
//! for this audience and valid now, tells by its claims who calls.
//!
//! A token is read (`token`), keys that may have signed it are found (`keys`), its signature
//! is checked with the algorithm that belongs to the key (`key`), then its claims are
//! (`claims`) and become facts (`facts`). What does not pass each of these is refused; there
//! is no way around one. A token is never logged, shown, or kept.

mod carrier;
mod claims;
mod facts;
#[cfg(feature = "url")]
mod kept;
mod key;
mod keys;
#[cfg(any(feature = "url", feature = "secret"))]
mod pem;
mod refused;
mod remembered;
mod rsa;
#[cfg(any(feature = "url", feature = "secret"))]
mod set;
mod settings;
mod strict;
mod token;

use std::time::Duration;

use refused::Refused;
use serde_json::{Map, Value};
pub use settings::Settings;
use token::Unproven;
use tollgate_sdk::{clock, metrics, prelude::*};

/// One exchange.
pub struct Jwt {
    settings: &'static Settings,
}

#[policy]
impl Policy for Jwt {
    type Settings = Settings;

    fn check(settings: &Settings) -> Result<(), Vec<String>> {
        settings.check()
    }

    /// None with a good token: the keys may be out of reach while this is proven.
    fn samples(settings: &Settings) -> Vec<Sample> {
        let with = |name: &str, token: &str| {
            let value = match settings.header.name() {
                "authorization" => format!("Bearer {token}"),
                _ => token.to_owned(),
            };
            Sample::chat(name).header(settings.header.name(), value)
        };
        vec![
            Sample::chat("a request without a token is refused").expect_answer(401),
            with("what is no token is refused", "sample").expect_answer(401),
            with("an unsigned token is refused", "eyJhbGciOiJub25lIn0.e30.").expect_answer(401),
        ]
    }

    fn open(settings: &'static Settings, _head: &Head) -> Self {
        Self { settings }
    }

    fn on_request(&mut self, request: &mut Request) -> Verdict {
        let header = &self.settings.header;
        let value = request.header(header.name());
        match self.facts(value.as_deref()) {
            Ok(facts) => {
                for (name, fact) in facts {
                    request.set_fact(name, fact);
                }
            }
            Err(refused) => {
                metrics::count("refused", &[("reason", refused.reason())], 1);
                request.set_fact("token_refused", refused.reason());
                return refused.refusal(&header.how_to()).into();
            }
        }
        // Only the first value was checked, so no other one may reach the upstream.
        match value {
            Some(value) if !self.settings.strip => request.set_header(header.name(), value),
            _ => request.remove_header(header.name()),
        }
        Verdict::next()
    }

    /// Keeps the keys of an address fresh, so that no exchange has to.
    fn on_tick(settings: &'static Settings) -> Option<Duration> {
        keys::refresh(settings, clock::now_ms())
    }
}

impl Jwt {
    fn facts(&self, value: Option<&[u8]>) -> Result<Vec<(&'static str, String)>, Refused> {
        let token = Unproven::read(self.settings.header.token(value)?)?;
        if !self.settings.algorithms.contains(&token.algorithm) {
            return Err(Refused::Algorithm);
        }
        let now_ms = clock::now_ms();
        let claims = self.proven(&token, now_ms)?;
        claims::check(&claims, self.settings, now_ms)?;
        facts::of(claims, self.settings)
    }

    /// The claims, once a known key is found to have signed them.
    fn proven(&self, token: &Unproven<'_>, now_ms: u64) -> Result<Map<String, Value>, Refused> {
        let settings = self.settings;
        let keys = keys::for_token(settings, token, now_ms)?;
        if keys
            .iter()
            .any(|key| remembered::is_good(settings, &key.material, token))
        {
            return token.claims();
        }
        let signer = keys
            .iter()
            .find(|key| key.material.signed(token.message, &token.signature))
            .ok_or(Refused::Signature)?;
        let claims = token.claims()?;
        if let Some(left_ms) = claims::ends_ms(&claims)?.checked_sub(now_ms) {
            remembered::note(settings, &signer.material, token, left_ms);
        }
        Ok(claims)
    }
}
