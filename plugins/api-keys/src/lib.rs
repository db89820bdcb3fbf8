//! Knows callers by their keys: a request without a known key is refused, and who calls
//! is a fact for later policies. A key may end at a time and be good for some models only.
//!
//! The configuration holds hashes only, and a key is never logged, shown, or sent on.

mod credentials;
mod expiry;
mod hash;
mod keys;
mod settings;
mod written;

use sha2::{Digest, Sha256};
use tollgate_sdk::{Refusal, clock, prelude::*};

use credentials::Credentials;
use keys::Known;
pub use settings::Settings;

/// One exchange.
pub struct ApiKeys {
    settings: &'static Settings,
    /// What the client asks for, as far as the gateway read it.
    model: Option<String>,
}

#[policy(needs(request_json), stateless)]
impl Policy for ApiKeys {
    type Settings = Settings;

    fn check(settings: &Settings) -> Result<(), Vec<String>> {
        settings.check()
    }

    /// Only a list of models has the body read.
    fn narrow(settings: &Settings, _hooks: &mut Hooks, needs: &mut Needs) {
        needs.request_json = settings.keys.go_by_model();
    }

    fn samples(_settings: &Settings) -> Vec<Sample> {
        vec![
            Sample::chat("a request without a key is refused").expect_answer(401),
            Sample::chat("a key that nobody has is refused")
                .header("authorization", "Bearer sample")
                .header("x-api-key", "sample")
                .expect_answer(401),
        ]
    }

    fn open(settings: &'static Settings, head: &Head) -> Self {
        let model = head.model.as_ref();
        Self {
            settings,
            model: model.filter(|_| settings.keys.go_by_model()).cloned(),
        }
    }

    fn on_request(&mut self, request: &mut Request) -> Verdict {
        let header = &self.settings.header;
        let value = request.header(header.name());
        let known = match self.known(value.as_deref()) {
            Ok(known) => known,
            Err(refusal) => return refusal.into(),
        };
        request.set_fact("caller", known.holder.caller.as_str());
        if let Some(tier) = &known.holder.tier {
            request.set_fact("tier", tier.as_str());
        }
        if let Err(refusal) = self.check_model(known) {
            return refusal.into();
        }
        // Only the first value was checked, so no other one may reach the upstream.
        match value {
            Some(value) if !self.settings.strip => request.set_header(header.name(), value),
            _ => request.remove_header(header.name()),
        }
        Verdict::next()
    }
}

impl ApiKeys {
    fn known(&self, value: Option<&[u8]>) -> Result<Known<'static>, Refusal> {
        let Settings { keys, header, .. } = self.settings;
        let refuse = |code, message| Err(Refusal::new(401, code, message));
        let presented = match Credentials::read(header, value) {
            Credentials::Key(presented) => presented,
            Credentials::Missing => return refuse("missing_api_key", header.how_to()),
            Credentials::Malformed => return refuse("invalid_api_key", header.how_to()),
        };
        let Some(known) = keys.find(&Sha256::digest(presented).into()) else {
            return refuse("invalid_api_key", "This API key is not known.".to_owned());
        };
        let expires = known.key.expires;
        if expires.is_some_and(|expires| expires.is_past(clock::now_ms())) {
            return refuse("expired_api_key", "This API key has expired.".to_owned());
        }
        Ok(known)
    }

    /// Asked before anybody looks whether there is such a model: the answer tells nothing of
    /// what there is.
    fn check_model(&self, known: Known<'_>) -> Result<(), Refusal> {
        if !known.goes_by_model() {
            return Ok(());
        }
        let Some(model) = self.model.as_deref() else {
            return Err(Refusal::new(
                400,
                "model_required",
                "This API key is good for some models only, and the request names none.",
            ));
        };
        if known.may_use(model) {
            return Ok(());
        }
        Err(Refusal::new(
            403,
            "model_not_allowed",
            "This API key is not good for the requested model.",
        ))
    }
}

#[cfg(test)]
mod tests;
