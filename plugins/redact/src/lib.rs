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
mod refusal;
mod rules;
mod samples;
mod settings;
mod splice;
mod stream;
mod tally;
mod text;

#[cfg(test)]
mod tests;

use body::Search;
use refusal::Refused;
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
        hooks.attempt = hooks.request;
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
        let mut tally = Tally::of(&self.settings.rules, "request");
        let mut search = Search::new(&self.settings.rules, self.settings.text_max);
        let done = match self.settings.request {
            InRequest::Refuse => search
                .first(request, body::OF_REQUESTS)
                .map_err(Refused::Unread)
                .and_then(|first| first.map_or(Ok(()), |rule| Err(Refused::Holds(rule)))),
            InRequest::Replace | InRequest::Leave => search
                .replace(request, body::OF_REQUESTS, &mut |found| tally.add(found))
                .map_err(Refused::Unread),
        };
        tally.tell();
        match done {
            Ok(()) => Verdict::next(),
            Err(refused) => refused.request(&self.settings.rules),
        }
    }

    /// Attached to a target, it sees what that target is sent, and no other.
    fn on_attempt(&mut self, _target: &Target, request: &mut Request) -> Verdict {
        self.on_request(request)
    }

    fn on_response(&mut self, response: &mut Response) -> Verdict {
        let mut tally = Tally::of(&self.settings.rules, "response");
        let done = Search::new(&self.settings.rules, self.settings.text_max).replace(
            response,
            body::OF_RESPONSES,
            &mut |found| tally.add(found),
        );
        tally.tell();
        match done {
            Ok(()) => Verdict::next(),
            Err(unread) => refusal::response(unread),
        }
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
