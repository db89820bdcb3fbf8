//! A policy that does what its settings say, one deed a hook, so that the tests of the
//! whole gateway can see each hook at work from outside.
//!
//! It fails where the request header `x-probe` asks for it: `trap`, `loop`, `memory` or
//! `busy`, in the hook that follows an `@` (`trap@events`), or else in `on_request`. A
//! session that opens has seen no header: the query is `x-probe=trap@open` for it.

mod deed;
mod settings;

use tollgate_sdk::{clock, http, kv, metrics, prelude::*, secrets};

use deed::{Deed, Hook};
use settings::{Act, Edits, Settings};

/// How many exchanges ended, of all generations.
const FINISHED: &str = "finished";

/// See the crate.
pub struct Probe {
    settings: &'static Settings,
    caller: Option<String>,
    deed: Option<Deed>,
    held: Vec<RawEvent>,
    opened_us: u64,
}

#[policy(needs(request_json, response_json))]
impl Policy for Probe {
    type Settings = Settings;

    fn open(settings: &'static Settings, head: &Head) -> Self {
        assert!(
            !head.path.ends_with("?x-probe=trap@open"),
            "trapped when it opened, as told"
        );
        Self {
            settings,
            caller: head.caller.clone(),
            deed: None,
            held: Vec::new(),
            opened_us: clock::monotonic_us(),
        }
    }

    fn narrow(settings: &Settings, _hooks: &mut Hooks, needs: &mut Needs) {
        if settings.blind {
            *needs = Needs::NONE;
        }
    }

    fn on_request(&mut self, request: &mut Request) -> Verdict {
        self.listen(request);
        self.commit(Hook::Request);
        let Settings {
            mark,
            request: edits,
            seen,
            ..
        } = self.settings;
        if let Some(mark) = mark {
            request.set_header("x-standin-mark", mark.as_str());
        }
        edit(edits, request);
        for (name, fact) in seen {
            let value = request.fact(fact).unwrap_or_default();
            request.set_header(name.as_str(), value);
        }
        if !seen.is_empty() {
            request.set_header("x-caller-in-head", self.caller.clone().unwrap_or_default());
        }
        self.use_capabilities(request);
        self.verdict()
    }

    fn on_attempt(&mut self, target: &Target, request: &mut Request) -> Verdict {
        self.listen(request);
        self.commit(Hook::Attempt);
        let model = target.model.as_deref().unwrap_or("none");
        let Target {
            upstream,
            dialect,
            attempt,
            ..
        } = target;
        request.set_header(
            "x-attempt",
            format!("{upstream} {dialect} {model} {attempt}"),
        );
        edit(&self.settings.attempt, request);
        Verdict::next()
    }

    fn on_response(&mut self, response: &mut Response) -> Verdict {
        self.commit(Hook::Response);
        let Settings {
            mark,
            response: edits,
            status,
            reply_instead,
            ..
        } = self.settings;
        if let Some(reply) = reply_instead {
            return Verdict::reply(reply.answer());
        }
        if let Some(mark) = mark
            && response.json_str("/object").is_some()
        {
            response.set_json("/mark", mark.as_str());
        }
        edit(edits, response);
        if let Some(status) = status {
            response.set_status(*status);
        }
        Verdict::next()
    }

    fn on_event(&mut self, event: &mut Event) {
        self.commit(Hook::Events);
        let says = |rule: &&settings::EventRule| {
            event.text().is_some_and(|text| text.contains(&rule.text))
        };
        let act = self.settings.events.iter().find(says).map(|rule| &rule.act);
        if let (Some(mark), Some(fields)) = (&self.settings.mark, event.data().strip_prefix(b"{")) {
            let marked = [format!(r#"{{"mark":"{mark}","#).as_bytes(), fields].concat();
            event.set_data(marked);
        }
        match act {
            None if event.finish().is_some() => {
                for held in self.held.drain(..) {
                    event.send_before(held);
                }
            }
            None => {}
            Some(Act::Say(text)) => drop(event.set_text(text)),
            Some(Act::Drop) => event.discard(),
            Some(Act::Hold) => self.held.push(event.hold()),
            Some(Act::Twice) => event.send_after(event.raw().clone()),
            Some(Act::End) => event.end_stream(),
            Some(Act::Cut) => {
                event.discard();
                event.cut("length");
            }
        }
    }

    fn on_end(&mut self) -> Vec<RawEvent> {
        self.settings
            .farewell
            .iter()
            .map(|text| RawEvent::named("farewell", text.as_str()))
            .collect()
    }

    fn on_finish(&mut self, outcome: &Outcome) {
        self.commit(Hook::Finish);
        let (ending, status) = (format!("{:?}", outcome.ending), outcome.status.to_string());
        let labels = [("ending", ending.as_str()), ("status", status.as_str())];
        metrics::count("finishes", &labels, 1);
        if let Some(Usage {
            input_tokens,
            output_tokens,
            ..
        }) = outcome.usage
        {
            metrics::count("tokens", &[("kind", "input")], input_tokens);
            metrics::count("tokens", &[("kind", "output")], output_tokens);
        }
        // One that cannot be counted shows as one that is missing.
        let _ = kv::increment(FINISHED, 1, None);
    }
}

impl Probe {
    fn listen(&mut self, request: &Request) {
        self.deed = request
            .header_str("x-probe")
            .and_then(|text| Deed::parse(&text));
    }

    fn commit(&self, hook: Hook) {
        if let Some(deed) = self.deed.filter(|deed| deed.at == hook) {
            deed.commit(self.opened_us);
        }
    }

    fn use_capabilities(&self, request: &mut Request) {
        let Settings {
            finished_into,
            secret,
            secret_into,
            call,
            ..
        } = self.settings;
        if let Some(header) = finished_into {
            let count = kv::increment(FINISHED, 0, None).unwrap_or(-1);
            request.set_header(header.as_str(), count.to_string());
        }
        if let Some(header) = secret_into {
            match secrets::get(secret) {
                Ok(secret) => request.set_header(header.as_str(), secret),
                Err(error) => request.set_header(header.as_str(), format!("{error:?}")),
            }
        }
        if let Some(url) = call {
            let came = match http::get(url).send() {
                Ok(response) => response.status.to_string(),
                Err(error) => format!("{error:?}"),
            };
            request.set_header("x-called", came);
        }
        if let Some(text) = &self.settings.log {
            log::info(text);
        }
    }

    fn verdict(&self) -> Verdict {
        let Settings {
            refuse,
            reply,
            go_to,
            ..
        } = self.settings;
        if let Some(refuse) = refuse {
            let verdict =
                Verdict::refuse(refuse.status, refuse.code.as_str(), refuse.message.as_str());
            return match refuse.retry_after_ms {
                Some(pause) => verdict.retry_after_ms(pause),
                None => verdict,
            };
        }
        if let Some(reply) = reply {
            return Verdict::reply(reply.answer());
        }
        match (&go_to.model, &go_to.upstream) {
            (None, None) => Verdict::next(),
            (Some(model), None) => Verdict::go_to_model(model.as_str()),
            (None, Some(upstream)) => Verdict::go_to_upstream(upstream.as_str()),
            (Some(model), Some(upstream)) => {
                Verdict::go_to_model(model.as_str()).via_upstream(upstream.as_str())
            }
        }
    }
}

fn edit(edits: &Edits, message: &mut tollgate_sdk::Message<'_>) {
    for name in &edits.remove_headers {
        message.remove_header(name.as_str());
    }
    for (name, value) in &edits.set_headers {
        message.set_header(name.as_str(), value.as_str());
    }
    for (name, value) in &edits.append_headers {
        message.append_header(name.as_str(), value.as_str());
    }
    for pointer in &edits.remove_json {
        message.remove_json(pointer.as_str());
    }
    for (pointer, value) in &edits.set_json {
        message.set_json(pointer.as_str(), Value::of(value));
    }
    for (name, value) in &edits.facts {
        message.set_fact(name.as_str(), value.as_str());
    }
}
