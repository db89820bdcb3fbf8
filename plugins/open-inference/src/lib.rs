//! `open-inference`: the Open Inference Protocol (KServe's V2, and its V1), and OpenAI's and
//! Seldon's words for it.
//!
//! `path` tells what is asked for and of which model. Where both sides speak alike, nothing
//! else is looked at. Otherwise `embeddings` and `completions` are what an OpenAI client
//! asks, `of_tensors` what a client of V2 asks OpenAI, and `seldon` both ways of Seldon's
//! V1; they know nothing of hooks. Numbers stay the text that they came as.

mod array;
mod at;
mod base64;
mod broken;
mod completions;
mod datatype;
mod embeddings;
mod exchange;
mod fault;
mod input;
mod json;
mod of_tensors;
mod path;
mod problem;
mod said;
mod samples;
mod seldon;
mod settings;
mod tensor;
mod terms;

use exchange::{Asked, BINARY, Exchange};
use path::Endpoint;
use problem::Problem;
use settings::Protocol;
pub use settings::Settings;
use tollgate_sdk::prelude::*;

/// The policy in one exchange.
pub struct OpenInference {
    settings: &'static Settings,
    endpoint: Option<Endpoint>,
    /// As the client calls it.
    model: Option<String>,
    /// Once the request was translated.
    exchange: Option<Exchange>,
}

#[policy(needs(request_body, response_body))]
impl Policy for OpenInference {
    type Settings = Settings;

    fn check(settings: &Settings) -> Result<(), Vec<String>> {
        settings.check()
    }

    /// Where nothing is translated, bodies stream past. The name of the model that the
    /// gateway writes into a body is taken out again, if it does that.
    fn narrow(settings: &Settings, hooks: &mut Hooks, needs: &mut Needs) {
        hooks.request = settings.client != Protocol::OpenAi;
        if !settings.translates() {
            hooks.response = false;
            hooks.events = false;
            *needs = Needs::NONE;
            needs.request_body = settings.choose_model;
        }
    }

    fn samples(settings: &Settings) -> Vec<Sample> {
        samples::of(settings)
    }

    fn open(settings: &'static Settings, head: &Head) -> Self {
        Self {
            settings,
            endpoint: Endpoint::read(&head.method, &head.path),
            model: head.model.clone(),
            exchange: None,
        }
    }

    fn on_request(&mut self, request: &mut Request) -> Verdict {
        self.tell(request);
        if !self.settings.choose_model {
            return Verdict::next();
        }
        let Some(model) = self.named_model() else {
            return Verdict::next();
        };
        // The gateway would have to write the model's name into it.
        if request.header(BINARY).is_some() {
            return Problem::binary().verdict(self.settings.client);
        }
        Verdict::go_to_model(model)
    }

    fn on_attempt(&mut self, target: &Target, request: &mut Request) -> Verdict {
        if !self.settings.translates() {
            return self.pass(target, request);
        }
        self.tell(request);
        let client = self.settings.client;
        let endpoint = self.endpoint.as_ref();
        let Some(endpoint) = endpoint.filter(|endpoint| self.settings.serves(endpoint)) else {
            return Problem::endpoint(client).verdict(client);
        };
        let asked = Asked {
            endpoint,
            model: self.model.as_deref(),
            target,
        };
        match Exchange::begin(self.settings, &asked, request) {
            Ok(exchange) => {
                self.exchange = Some(exchange);
                Verdict::next()
            }
            Err(problem) => problem.verdict(client),
        }
    }

    /// What was not asked by this policy is not answered to it.
    fn on_response(&mut self, response: &mut Response) -> Verdict {
        let Some(exchange) = &self.exchange else {
            return Verdict::next();
        };
        match exchange.answer(response) {
            Ok(()) => Verdict::next(),
            Err(problem) => problem.verdict(self.settings.client),
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

impl OpenInference {
    /// What the path says, as facts for later policies and the log.
    fn tell(&self, request: &mut Request) {
        let Some(endpoint) = self.endpoint.as_ref().filter(|_| self.is_told_by_path()) else {
            return;
        };
        request.set_fact("protocol", endpoint.family.name());
        request.set_fact("operation", endpoint.operation.name());
        if let Some(model) = self.named_model() {
            request.set_fact("model", model);
        }
        if let Some(version) = &endpoint.version {
            request.set_fact("model_version", version.as_str());
        }
    }

    fn is_told_by_path(&self) -> bool {
        self.settings.client != Protocol::OpenAi
    }

    fn named_model(&self) -> Option<&str> {
        let endpoint = self.endpoint.as_ref()?;
        let of_seldon = || match self.settings.client {
            Protocol::Seldon => self.settings.seldon().model.as_deref(),
            Protocol::OpenInference | Protocol::OpenAi => None,
        };
        endpoint.model.as_deref().or_else(of_seldon)
    }

    /// The request as it is, but for the model's name and version in the path.
    fn pass(&self, target: &Target, request: &mut Request) -> Verdict {
        self.tell(request);
        let Some(endpoint) = &self.endpoint else {
            return Verdict::next();
        };
        let chosen = target
            .model
            .as_deref()
            .filter(|_| self.settings.choose_model);
        if let Some(named) = &endpoint.model {
            let model = chosen.unwrap_or(named);
            let own = self.settings.version.as_deref();
            let version = endpoint.version.as_deref().or(own);
            let is_same = model == named && version == endpoint.version.as_deref();
            match (is_same, endpoint.renamed(model, version)) {
                (true, _) => {}
                (false, Some(path)) => request.set_path(path),
                (false, None) if endpoint.family == path::Family::Seldon => {}
                (false, None) => return Problem::model().verdict(self.settings.client),
            }
        }
        if chosen.is_some() && begins_an_object(&request.body(64)) {
            request.remove_json("/model");
        }
        Verdict::next()
    }
}

/// Then it is one: the gateway has read it, to write the model's name into it.
fn begins_an_object(body: &[u8]) -> bool {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    body.trim_ascii_start().first() == Some(&b'{')
}
