//! Refuses requests that a model is not to be sent: bounds of their fields, and a JSON
//! schema, by model.
//!
//! The first rule that has the model is checked. Each of its checks asks for some fields,
//! all of them are fetched in one call of the host, and the first that does not fit is
//! told to the client by its JSON pointer. Checks know nothing of the gateway.

mod check;
mod document;
mod misfit;
mod pattern;
mod pointer;
mod rule;
mod rules;
mod samples;
mod schema;
mod settings;

use misfit::Misfit;
use settings::OtherModels;
pub use settings::Settings;
use tollgate_sdk::{metrics, prelude::*};

/// One exchange.
pub struct SchemaGuard {
    settings: &'static Settings,
    /// What the request was called by when the session opened.
    asked: Option<String>,
    body_bytes: Option<u64>,
}

#[policy(needs(request_json))]
impl Policy for SchemaGuard {
    type Settings = Settings;

    fn check(settings: &Settings) -> Result<(), Vec<String>> {
        settings.check()
    }

    fn samples(settings: &Settings) -> Vec<Sample> {
        samples::of(settings)
    }

    fn open(settings: &'static Settings, head: &Head) -> Self {
        let has_no_body = matches!(head.method.as_str(), "GET" | "HEAD" | "OPTIONS");
        Self {
            settings,
            asked: head.model.clone(),
            body_bytes: head.body_bytes.or(has_no_body.then_some(0)),
        }
    }

    fn on_request(&mut self, request: &mut Request) -> Verdict {
        let model = request.json_str("/model");
        self.judge(&[model.as_deref()], request)
    }

    fn on_attempt(&mut self, target: &Target, request: &mut Request) -> Verdict {
        let model = target.model.clone().or_else(|| request.json_str("/model"));
        self.judge(&[model.as_deref(), self.asked.as_deref()], request)
    }
}

impl SchemaGuard {
    /// What has no body asks no model.
    fn judge(&self, models: &[Option<&str>], request: &Request) -> Verdict {
        if self.body_bytes == Some(0) {
            return Verdict::next();
        }
        let Some((rule, checks)) = self.settings.rules.find(models) else {
            return self.other();
        };
        match check::all(rule, checks, self.body_bytes, request) {
            Ok(()) => Verdict::next(),
            Err(misfit) => {
                metrics::count("refused", &[("code", Misfit::CODE)], 1);
                misfit.into_verdict()
            }
        }
    }

    fn other(&self) -> Verdict {
        match self.settings.other_models {
            OtherModels::Allow => Verdict::next(),
            OtherModels::Refuse => {
                const CODE: &str = "model_not_allowed";
                metrics::count("refused", &[("code", CODE)], 1);
                let message = "schema-guard: /model: expected a model that is allowed here.";
                Verdict::refuse(400, CODE, message)
            }
        }
    }
}
