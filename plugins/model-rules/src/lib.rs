//! `model-rules`: rewrites requests, responses and streams as the rules for a model say.
//!
//! The first rule that has the model is applied, and no other. Only the fields that the
//! rule names are asked for. What a rule does is in `edit` and `event`, which know
//! nothing of the gateway: the cases in the settings run through the same code.

use tollgate_sdk::prelude::*;

mod case;
mod edit;
mod event;
mod ordered;
mod rules;
mod samples;
mod settings;
mod spelling;

use rules::Rule;
pub use settings::Settings;

/// The policy in one exchange.
pub struct ModelRules {
    settings: &'static Settings,
    /// What the request was called by when the session opened.
    asked: Option<String>,
    requested: Option<&'static Rule>,
    attempted: Option<&'static Rule>,
}

#[policy(needs(request_json, response_json), stateless)]
impl Policy for ModelRules {
    type Settings = Settings;

    fn check(settings: &Settings) -> Result<(), Vec<String>> {
        settings.check()?;
        case::check(settings)
    }

    /// Rules that leave responses alone have them pass by, unread.
    fn narrow(settings: &Settings, hooks: &mut Hooks, needs: &mut Needs) {
        let any = |has: fn(&Rule) -> bool| settings.rules.iter().any(has);
        hooks.response = any(|rule| !rule.response.is_empty());
        hooks.events = any(|rule| !rule.events.is_empty());
        needs.response_json = any(|rule| rule.response.changes_body());
    }

    fn samples(settings: &Settings) -> Vec<Sample> {
        samples::of(settings)
    }

    fn open(settings: &'static Settings, head: &Head) -> Self {
        Self {
            settings,
            asked: head.model.clone(),
            requested: None,
            attempted: None,
        }
    }

    fn on_request(&mut self, request: &mut Request) -> Verdict {
        let model = request.json_str("/model");
        self.requested = self.settings.rules.find(&[model.as_deref()]);
        apply(self.requested, request)
    }

    fn on_attempt(&mut self, target: &Target, request: &mut Request) -> Verdict {
        let model = target.model.clone().or_else(|| request.json_str("/model"));
        let names = [model.as_deref(), self.asked.as_deref()];
        self.attempted = self.settings.rules.find(&names);
        apply(self.attempted, request)
    }

    fn on_response(&mut self, response: &mut Response) -> Verdict {
        if let Some(rule) = self.rule() {
            let status = response.status();
            edit::response(&rule.response, status, &mut **response);
        }
        Verdict::next()
    }

    fn on_event(&mut self, event: &mut Event) {
        if let Some(rule) = self.rule() {
            match event::edit(&rule.events, event) {
                event::Fate::Kept => {}
                event::Fate::Dropped => event.discard(),
            }
        }
    }
}

impl ModelRules {
    /// The rule of the last attempt, if the policy is attached to its target.
    fn rule(&self) -> Option<&'static Rule> {
        self.attempted.or(self.requested)
    }
}

fn apply(rule: Option<&Rule>, request: &mut Request) -> Verdict {
    let Some(rule) = rule else {
        return Verdict::next();
    };
    match edit::request(&rule.request, &mut **request) {
        Ok(()) => Verdict::next(),
        Err(misfit) => Verdict::refuse(400, edit::Misfit::CODE, misfit.to_string()),
    }
}
