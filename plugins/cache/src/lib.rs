//! Plans which answers are kept, for whom and how long; the host keeps them.
//!
//! A request is cached if a rule says so (`settings`), its answer would come out the same
//! again (`sampling`) and the client does not object (`control`). What tells requests
//! apart is their canonical form (`canonical`) and who shares answers (`scope`). Nothing
//! here sees an answer.

mod canonical;
mod control;
mod sampling;
mod scope;
mod settings;

use std::time::Duration;

use canonical::Canonical;
use control::Control;
use scope::Known;
pub use settings::Settings;
use settings::{CacheControl, Rule};
use tollgate_sdk::{
    cache::{self, Kind, Plan},
    metrics,
    prelude::*,
};

/// No model is called by a longer name.
const NAME_MAX: usize = 1024;

/// One exchange.
pub struct Cache {
    settings: &'static Settings,
    known: Known,
    is_post: bool,
    path: String,
    model: Option<String>,
    body_bytes: Option<u64>,
}

#[policy(needs(request_json))]
impl Policy for Cache {
    type Settings = Settings;

    fn check(settings: &Settings) -> Result<(), Vec<String>> {
        settings.check()
    }

    fn samples(settings: &Settings) -> Vec<Sample> {
        settings.samples()
    }

    fn open(settings: &'static Settings, head: &Head) -> Self {
        Self {
            settings,
            known: Known::of(head),
            is_post: head.method == "POST",
            path: head.path.clone(),
            model: head.model.clone().filter(|name| name.len() <= NAME_MAX),
            body_bytes: head.body_bytes(),
        }
    }

    fn on_request(&mut self, request: &mut Request) -> Verdict {
        match self.plan(request) {
            Ok(plan) => {
                let is_planned = cache::plan(plan).is_ok();
                metrics::count(if is_planned { "planned" } else { "too_large" }, &[], 1);
            }
            Err(why) => metrics::count("not_cached", &[("why", why)], 1),
        }
        Verdict::next()
    }
}

impl Cache {
    /// # Errors
    /// Why the answer is neither looked up nor kept.
    fn plan(&self, request: &Request) -> Result<Plan, &'static str> {
        let path = self.path.split('?').next().unwrap_or_default();
        if !self.is_post || !self.settings.has_path(path) {
            return Err("path");
        }
        let rule = self.rule().ok_or("rule")?;
        let control = match self.settings.cache_control {
            CacheControl::Honour => Control::of(request),
            CacheControl::Ignore => Control::default(),
        };
        if control.no_store {
            return Err("no_store");
        }
        if self
            .body_bytes
            .is_none_or(|bytes| bytes > self.settings.body_bytes_max)
        {
            return Err("too_large");
        }
        let scope = self
            .known
            .key(&self.settings.by, request)
            .ok_or("unknown_caller")?;
        let body = request.json_value("").ok_or("no_json")?;
        let body = Canonical::of(&body).ok_or("no_json")?;
        if rule.deterministic_only && !sampling::is_deterministic(path, &body) {
            return Err("not_deterministic");
        }
        let is_chat = path.ends_with("/chat/completions");
        let mut key = scope;
        for name in &self.settings.headers {
            let value = request.header(name).unwrap_or_default();
            scope::part(&mut key, &value);
        }
        body.write(&mut key, |field, value| {
            self.is_ignored(is_chat, field, value)
        });
        Ok(Plan {
            kind: if is_chat {
                Kind::ChatCompletion
            } else {
                Kind::AsItCame
            },
            look_up: !control.no_cache,
            max_age_ms: control.max_age_ms,
            stream_usage: is_chat
                && body
                    .at(&["stream_options", "include_usage"])
                    .is_some_and(Canonical::is_true),
            ..Plan::new(key, Duration::from_millis(rule.ttl.ms()))
        })
    }

    /// The first that has the model and the route.
    fn rule(&self) -> Option<Rule> {
        let model = self.model.as_deref();
        let route = self.known.route();
        let mut rules = self.settings.rules.iter();
        let found = rules.find(|rule| rule.has(model, route));
        let rule = found.map_or_else(
            || self.settings.default_rule(),
            |rule| rule.of(self.settings),
        );
        Some(rule).filter(|rule| rule.is_on)
    }

    /// A stream and a document are one answer where the host can make one of the other.
    fn is_ignored(&self, is_chat: bool, field: &str, value: &Canonical) -> bool {
        (field == "stream" && matches!(value, Canonical::Boolean(_)))
            || (is_chat && field == "stream_options")
            || self.settings.ignored.iter().any(|ignored| ignored == field)
    }
}
