//! Limits of requests in a time, and of requests at once, for each caller, model, route
//! or any fact.
//!
//! A request has to have room in every limit that applies to it: what it counts by is
//! found (`subject`), all is taken or nothing (`admit`), and the client is told how it
//! stands (`standing`, `refusal`). Counts are the host's: nothing is kept here beyond an
//! exchange but the places that it gives back at its end.

mod admit;
mod limit;
mod refusal;
mod samples;
mod settings;
mod standing;
mod subject;
mod words;

use admit::Admitted;
use refusal::Refused;
pub use settings::Settings;
use subject::Known;
use tollgate_sdk::{metrics, prelude::*};

/// One exchange: what is known of it, and what it took.
pub struct RateLimit {
    settings: &'static Settings,
    known: Known,
    /// Once it was let through.
    admitted: Option<Admitted>,
}

#[policy(needs(request_json))]
impl Policy for RateLimit {
    type Settings = Settings;

    fn check(settings: &Settings) -> Result<(), Vec<String>> {
        settings.check()
    }

    /// Only a limit that looks at the model has the body read for it, and only requests
    /// that count while they run have an end that matters.
    fn narrow(settings: &Settings, hooks: &mut Hooks, needs: &mut Needs) {
        let limits = &settings.limits;
        hooks.response = settings.headers && limits.iter().any(|limit| limit.requests.is_some());
        hooks.finish = limits.iter().any(|limit| limit.concurrency.is_some());
        needs.request_json = limits.iter().any(limit::Limit::goes_by_model);
    }

    fn samples(settings: &Settings) -> Vec<Sample> {
        samples::of(settings)
    }

    fn open(settings: &'static Settings, head: &Head) -> Self {
        Self {
            settings,
            known: Known::of(head),
            admitted: None,
        }
    }

    fn on_request(&mut self, request: &mut Request) -> Verdict {
        self.ask(request)
    }

    /// For a policy that is attached to a target; an exchange counts once.
    fn on_attempt(&mut self, _target: &Target, request: &mut Request) -> Verdict {
        self.ask(request)
    }

    fn on_response(&mut self, response: &mut Response) -> Verdict {
        let standing = self.admitted.as_ref().and_then(Admitted::standing);
        for (name, value) in standing.into_iter().flat_map(|standing| standing.headers()) {
            response.set_header(name, value);
        }
        Verdict::next()
    }

    fn on_finish(&mut self, _outcome: &Outcome) {
        if let Some(admitted) = self.admitted.take() {
            admitted.leave();
        }
    }
}

impl RateLimit {
    fn ask(&mut self, request: &mut Request) -> Verdict {
        if self.admitted.is_some() {
            return Verdict::next();
        }
        match self.admit(request) {
            Ok(admitted) => {
                self.admitted = Some(admitted);
                Verdict::next()
            }
            Err(refused) => {
                let labels = [("limit", refused.limit()), ("code", refused.code())];
                metrics::count("refused", &labels, 1);
                request.set_fact("limited_by", refused.limit());
                refused.into_verdict(self.settings.headers)
            }
        }
    }

    fn admit(&self, request: &Request) -> Result<Admitted, Refused> {
        admit::admit(&self.known.steps(&self.settings.limits, request)?)
    }
}
