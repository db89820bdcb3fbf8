//! `redact`: replaces personal data and secrets in requests, answers and streams.
//!
//! `json` finds the texts by the names of their fields, `find` what stands in them, and
//! `held` does so for a text that comes in pieces. Nothing but `stream` and `body` knows
//! of events and messages.

mod body;
mod find;
mod held;
mod json;
mod kinds;
mod rules;
mod samples;
mod settings;
mod splice;
mod stream;
mod tally;
mod text;

#[cfg(test)]
mod tests;

pub use settings::Settings;
use settings::{InAnswer, InRequest};
use stream::Stream;
use tally::Tally;
use tollgate_sdk::prelude::*;

/// The policy in one exchange.
pub struct Redact {
    settings: &'static Settings,
    stream: Stream,
}

#[policy(needs(request_json, response_json))]
impl Policy for Redact {
    type Settings = Settings;

    fn check(settings: &Settings) -> Result<(), Vec<String>> {
        settings.check()
    }

    /// What is left alone passes by, unread.
    fn narrow(settings: &Settings, hooks: &mut Hooks, needs: &mut Needs) {
        hooks.request = settings.request != InRequest::Leave;
        hooks.response = settings.response == InAnswer::Replace;
        hooks.events = settings.stream == InAnswer::Replace;
        needs.request_json = hooks.request;
        needs.response_json = hooks.response;
    }

    fn samples(settings: &Settings) -> Vec<Sample> {
        samples::of(settings)
    }

    fn open(settings: &'static Settings, _head: &Head) -> Self {
        Self {
            settings,
            stream: Stream::default(),
        }
    }

    fn on_request(&mut self, request: &mut Request) -> Verdict {
        let rules = &self.settings.rules;
        if self.settings.request == InRequest::Refuse {
            return match body::first(rules, request, body::OF_REQUESTS) {
                Some(rule) => {
                    Tally::of(rules, "request").refuse(rule);
                    refuse(rules.get(rule))
                }
                None => Verdict::next(),
            };
        }
        let mut tally = Tally::of(rules, "request");
        body::replace(rules, request, body::OF_REQUESTS, &mut |found| {
            tally.add(found);
        });
        tally.tell();
        Verdict::next()
    }

    fn on_response(&mut self, response: &mut Response) -> Verdict {
        let rules = &self.settings.rules;
        let mut tally = Tally::of(rules, "response");
        body::replace(rules, response, body::OF_RESPONSES, &mut |found| {
            tally.add(found);
        });
        tally.tell();
        Verdict::next()
    }

    fn on_event(&mut self, event: &mut Event) {
        let rules = &self.settings.rules;
        let mut tally = Tally::of(rules, "stream");
        self.stream
            .take(rules, event, &mut |found| tally.add(found));
        tally.tell();
    }

    fn on_end(&mut self) -> Vec<RawEvent> {
        let rules = &self.settings.rules;
        let mut tally = Tally::of(rules, "stream");
        let tails = self.stream.end(rules, &mut |found| tally.add(found));
        tally.tell();
        tails
    }
}

/// What an operator's own pattern is called stays with them.
fn refuse(rule: &rules::Rule) -> Verdict {
    let what = match &rule.look {
        rules::Look::For(known) => known.in_words(),
        rules::Look::Own(_) => "something that must not be sent",
    };
    let message = format!(
        "The policy `redact` refuses this request: it holds {what}. Take it out and send it again."
    );
    Verdict::refuse(400, "sensitive_data", message)
}
