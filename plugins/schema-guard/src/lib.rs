//! Refuses requests that a model is not to be sent: bounds of their fields, and a JSON
//! schema, by model.
//!
//! The first rule that has the model is checked. Each of its checks asks for some fields,
//! all of them are fetched in one call of the host, and the first that does not fit is
//! told to the client by its JSON pointer. Checks know nothing of the gateway.

mod check;
mod document;
mod misfit;
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

/// No model is called by a longer name. It may be as long as a body, and copying that
/// would be the end of a plugin.
const NAME_MAX: usize = 1024;

/// One exchange.
pub struct SchemaGuard {
    settings: &'static Settings,
    /// What the request called its model when the session opened, if it is a name at all.
    asked: Option<String>,
    is_asked_too_long: bool,
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
        let asked = head.model.as_deref();
        let asked = asked.filter(|name| name.len() <= NAME_MAX);
        Self {
            settings,
            asked: asked.map(str::to_owned),
            is_asked_too_long: asked.is_none() && head.model.is_some(),
            body_bytes: head.body_bytes().or(has_no_body.then_some(0)),
        }
    }

    fn on_request(&mut self, request: &mut Request) -> Verdict {
        if self.is_asked_too_long {
            return refuse(too_long());
        }
        let model = request.json_str("/model");
        self.judge(&[model.as_deref()], request)
    }

    fn on_attempt(&mut self, target: &Target, request: &mut Request) -> Verdict {
        if self.is_asked_too_long {
            return refuse(too_long());
        }
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
            Err(misfit) => refuse(misfit),
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

fn refuse(misfit: Misfit) -> Verdict {
    metrics::count("refused", &[("code", Misfit::CODE)], 1);
    misfit.into_verdict()
}

fn too_long() -> Misfit {
    let expected = format!("a name of at most {NAME_MAX} bytes");
    Misfit::new("/model", expected, "a longer one")
}
