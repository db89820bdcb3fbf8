//! `anthropic`: Anthropic's Messages and OpenAI's chat completions, either spoken to the
//! other.
//!
//! `to_anthropic` and `to_openai` translate requests, answers and streams, each from one
//! side's words to the other's; they know nothing of hooks. A request goes through one of
//! them and what is answered through the other.

mod arguments;
mod at;
mod chunk;
mod exchange;
mod fault;
mod fields;
mod headers;
mod json;
mod problem;
mod reason;
mod refusal;
mod samples;
mod settings;
mod source;
mod terms;
mod to_anthropic;
mod to_openai;
mod usage;

use exchange::Exchange;
pub use settings::Settings;
use tollgate_sdk::prelude::*;

/// The policy in one exchange.
pub struct Anthropic {
    settings: &'static Settings,
    /// Whether this is what can be translated.
    is_endpoint: bool,
    /// Once the request was translated.
    exchange: Option<Exchange>,
}

#[policy(needs(request_json, response_json))]
impl Policy for Anthropic {
    type Settings = Settings;

    fn check(settings: &Settings) -> Result<(), Vec<String>> {
        settings.check()
    }

    fn samples(settings: &Settings) -> Vec<Sample> {
        samples::of(settings)
    }

    fn open(settings: &'static Settings, head: &Head) -> Self {
        let path = head.path.split('?').next().unwrap_or_default();
        let expected = settings.client_path().split('?').next();
        Self {
            settings,
            is_endpoint: head.method == "POST" && Some(path) == expected,
            exchange: None,
        }
    }

    fn on_attempt(&mut self, _target: &Target, request: &mut Request) -> Verdict {
        if !self.is_endpoint {
            return refusal::endpoint(self.settings.client);
        }
        match Exchange::begin(self.settings, request) {
            Ok(exchange) => {
                self.exchange = Some(exchange);
                Verdict::next()
            }
            Err(fault) => refusal::request(&fault, self.settings.client),
        }
    }

    /// What was not asked by this policy is not answered to it.
    fn on_response(&mut self, response: &mut Response) -> Verdict {
        let Some(exchange) = &self.exchange else {
            return Verdict::next();
        };
        match exchange.answer(response) {
            Ok(()) => Verdict::next(),
            Err(fault) => refusal::answer(&fault, self.settings.client),
        }
    }

    fn on_event(&mut self, event: &mut Event) {
        if let Some(exchange) = &mut self.exchange {
            exchange.event(event);
        }
    }

    fn on_end(&mut self) -> Vec<RawEvent> {
        let exchange = self.exchange.as_mut();
        exchange.map(Exchange::end).unwrap_or_default()
    }
}
