//! The capabilities, as the contract words them.

mod http_call;
mod kv;
mod limits;

use std::{net::IpAddr, time::Instant};

use serde_json::{Value, json};
use tollgate_capabilities as capability;

use super::State;
use crate::{
    contract::tollgate::policy::{
        cache, clock, endpoints, geo, log, metrics, random, secrets, shadow, types,
    },
    edit,
    observed::Stage,
    recording::{Note, case, outcome, pairs, text},
};

/// How the SDK begins to tell of a panic.
const PANIC: &str = "panicked at ";
const RANDOM_BYTES_MAX: u32 = 4096;
/// In place of what nobody may see who watches.
const NOT_SHOWN: &str = "(hidden)";
/// Scores of one call that are written down.
const SCORES_SHOWN_MAX: usize = 256;
/// The longest key of an answer that is kept.
pub(crate) const CACHE_KEY_MAX: usize = 1 << 20;

impl log::Host for State {
    fn write(
        &mut self,
        level: log::Level,
        message: String,
        fields: Vec<(String, String)>,
    ) -> wasmtime::Result<()> {
        self.enter()?;
        self.recorded.note(|to| {
            let message = text(message.as_bytes());
            let line =
                json!({ "level": case(&level), "message": message, "fields": pairs(&fields) });
            to.call("log.write", line, Value::Null);
        });
        if matches!(level, log::Level::Error) && message.starts_with(PANIC) {
            self.heard(&message);
        }
        self.log_lines += 1;
        if self.log_lines > self.shared.bounds.log_lines {
            self.shared
                .counters
                .log_dropped
                .fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            return Ok(());
        }
        self.shared.capabilities.log.write(capability::LogLine {
            policy: &self.shared.policy,
            level: match level {
                log::Level::Debug => capability::Level::Debug,
                log::Level::Info => capability::Level::Info,
                log::Level::Warn => capability::Level::Warn,
                log::Level::Error => capability::Level::Error,
            },
            message: &message,
            fields: &fields,
            request_id: Some(&self.exchange.request_id),
        });
        Ok(())
    }
}

impl metrics::Host for State {
    fn count(
        &mut self,
        name: String,
        labels: Vec<(String, String)>,
        by: u64,
    ) -> wasmtime::Result<()> {
        self.enter()?;
        self.recorded.note(|to| {
            let what = json!({ "name": text(name.as_bytes()), "labels": pairs(&labels), "by": by });
            to.call("metrics.count", what, Value::Null);
        });
        self.shared
            .capabilities
            .metrics
            .count(&self.shared.policy, &name, &labels, by);
        Ok(())
    }

    fn gauge(
        &mut self,
        name: String,
        labels: Vec<(String, String)>,
        value: f64,
    ) -> wasmtime::Result<()> {
        self.enter()?;
        self.recorded.note(|to| {
            let name = text(name.as_bytes());
            let what = json!({ "name": name, "labels": pairs(&labels), "value": value });
            to.call("metrics.gauge", what, Value::Null);
        });
        self.shared
            .capabilities
            .metrics
            .gauge(&self.shared.policy, &name, &labels, value);
        Ok(())
    }
}

impl clock::Host for State {
    fn now_ms(&mut self) -> wasmtime::Result<u64> {
        self.enter()?;
        let now = self.shared.capabilities.clock.now_ms();
        self.recorded
            .note(|to| to.call("clock.now-ms", json!({}), json!(now)));
        Ok(now)
    }

    fn monotonic_us(&mut self) -> wasmtime::Result<u64> {
        self.enter()?;
        let now = self.shared.capabilities.clock.monotonic_us();
        self.recorded
            .note(|to| to.call("clock.monotonic-us", json!({}), json!(now)));
        Ok(now)
    }
}

impl random::Host for State {
    fn next_u64(&mut self) -> wasmtime::Result<u64> {
        self.enter()?;
        self.recorded
            .note(|to| to.call("random.next-u64", json!({}), json!(NOT_SHOWN)));
        self.shared
            .capabilities
            .random
            .u64()
            .map_err(wasmtime::Error::new)
    }

    fn bytes(&mut self, length: u32) -> wasmtime::Result<Vec<u8>> {
        self.enter()?;
        self.recorded.note(|to| {
            let what = json!({ "length": length });
            to.call("random.bytes", what, json!(NOT_SHOWN));
        });
        if length > RANDOM_BYTES_MAX {
            return Err(wasmtime::Error::msg(
                "random.bytes gives at most 4096 bytes",
            ));
        }
        let mut bytes = vec![0; length as usize];
        self.shared
            .capabilities
            .random
            .fill(&mut bytes)
            .map_err(wasmtime::Error::new)?;
        Ok(bytes)
    }
}

impl secrets::Host for State {
    fn get(&mut self, name: String) -> wasmtime::Result<Result<Vec<u8>, secrets::Error>> {
        self.enter()?;
        let got = if self.shared.grants.secrets.contains(&name) {
            match self.shared.capabilities.secrets.get(&name) {
                Ok(secret) => Ok(secret.expose().to_vec()),
                Err(capability::SecretError::Denied) => Err(secrets::Error::Denied),
                Err(capability::SecretError::Unavailable) => Err(secrets::Error::Unavailable),
            }
        } else {
            Err(secrets::Error::Denied)
        };
        self.recorded.note(|to| {
            to.secrets.extend(got.iter().cloned());
            let what = json!({ "name": text(name.as_bytes()) });
            to.call("secrets.get", what, outcome(&got, |_| json!(NOT_SHOWN)));
        });
        Ok(got)
    }
}

impl From<capability::Place> for geo::Place {
    fn from(place: capability::Place) -> Self {
        Self {
            country: place.country,
            region: place.region,
            continent: place.continent,
            city: place.city,
        }
    }
}

impl geo::Host for State {
    fn lookup(
        &mut self,
        address: String,
    ) -> wasmtime::Result<Result<Option<geo::Place>, geo::Error>> {
        self.enter()?;
        let found: Result<Option<geo::Place>, _> = match address.parse::<IpAddr>() {
            Ok(address) => match self.shared.capabilities.geo.locate(address) {
                Ok(place) => Ok(place.map(Into::into)),
                Err(capability::GeoError::Unavailable) => Err(geo::Error::Unavailable),
            },
            Err(_) => Err(geo::Error::Invalid),
        };
        self.recorded.note(|to| {
            let what = json!({ "address": text(address.as_bytes()) });
            to.call(
                "geo.lookup",
                what,
                outcome(&found, |place| match place {
                    Some(place) => json!({
                        "country": place.country, "region": place.region,
                        "continent": place.continent, "city": place.city,
                    }),
                    None => Value::Null,
                }),
            );
        });
        Ok(found)
    }
}

impl State {
    /// Waits for a capability; the time is not held against the guest, whose budget
    /// counts only while it is polled.
    async fn wait<T>(&mut self, answer: capability::Answer<T>) -> T {
        if self.recorded.is_none() {
            return answer.get().await;
        }
        let asked = Instant::now();
        let answer = answer.get().await;
        self.recorded.note(|to| to.waited(asked.elapsed()));
        answer
    }
}

fn named(name: &Option<String>) -> Option<Value> {
    name.as_ref().map(|name| text(name.as_bytes()))
}

fn nothing(_: &()) -> Value {
    Value::Null
}

impl cache::Host for State {
    fn set_plan(&mut self, plan: cache::Plan) -> wasmtime::Result<Result<(), cache::Error>> {
        self.enter()?;
        let what = self.recorded.is_some().then(|| {
            json!({
                "key": text(&plan.key), "kind": case(&plan.kind), "ttl-ms": plan.ttl_ms,
                "look-up": plan.look_up, "max-age-ms": plan.max_age_ms, "store": plan.store,
                "stream-usage": plan.stream_usage,
            })
        });
        let taken = self.take_plan(plan);
        self.recorded.note(|to| {
            let what = what.unwrap_or_default();
            to.call("cache.set-plan", what, outcome(&taken, nothing));
        });
        Ok(taken)
    }
}

impl State {
    /// The plan lies with the request and goes on with it.
    fn take_plan(&mut self, plan: cache::Plan) -> Result<(), cache::Error> {
        if self.stage != Stage::Request {
            return Err(cache::Error::TooLate);
        }
        if plan.key.len() > CACHE_KEY_MAX {
            return Err(cache::Error::TooLarge);
        }
        self.message.plan = Some(Box::new(plan));
        Ok(())
    }
}

impl shadow::Host for State {
    fn send_to(&mut self, to: types::Destination) -> wasmtime::Result<Result<(), shadow::Error>> {
        self.enter()?;
        let what = self
            .recorded
            .is_some()
            .then(|| json!({ "model": named(&to.model), "upstream": named(&to.upstream) }));
        let taken = self.take_shadow(to);
        self.recorded.note(|to| {
            let what = what.unwrap_or_default();
            to.call("shadow.send-to", what, outcome(&taken, nothing));
        });
        Ok(taken)
    }
}

impl State {
    /// Where the copy goes lies with the request and goes on with it.
    fn take_shadow(&mut self, to: types::Destination) -> Result<(), shadow::Error> {
        if self.stage != Stage::Request {
            return Err(shadow::Error::TooLate);
        }
        let names = || [&to.model, &to.upstream].into_iter().flatten();
        if names().next().is_none() || names().any(|name| edit::check_destination(name).is_err()) {
            return Err(shadow::Error::Nowhere);
        }
        self.message.shadow = Some(Box::new(to));
        Ok(())
    }
}

impl endpoints::Host for State {
    fn candidates(&mut self) -> wasmtime::Result<Vec<endpoints::Endpoint>> {
        self.enter()?;
        let candidates = match self.stage {
            Stage::Attempt => self.message.endpoints.clone().unwrap_or_default(),
            Stage::Request | Stage::Response => Vec::new(),
        };
        self.enter_for(candidates.len())?;
        self.recorded.note(|to| {
            let known = candidates.iter().map(|endpoint| endpoint.address.as_str());
            let known: Value = known.collect();
            to.call(
                "endpoints.candidates",
                Value::Null,
                outcome(&Ok::<_, ()>(()), |()| known),
            );
        });
        Ok(candidates)
    }

    fn set_scores(&mut self, scores: Vec<f64>) -> wasmtime::Result<Result<(), endpoints::Error>> {
        self.enter()?;
        self.enter_for(scores.len())?;
        let shown = &scores[..scores.len().min(SCORES_SHOWN_MAX)];
        let what = self.recorded.is_some().then(|| json!(shown));
        let taken = self.take_scores(scores);
        self.recorded.note(|to| {
            let what = what.unwrap_or_default();
            to.call("endpoints.set-scores", what, outcome(&taken, nothing));
        });
        Ok(taken)
    }
}

impl State {
    /// What the policy thinks lies with the request until an endpoint is picked.
    fn take_scores(&mut self, scores: Vec<f64>) -> Result<(), endpoints::Error> {
        let Some(candidates) = self.message.endpoints.as_ref() else {
            return Err(endpoints::Error::NotNow);
        };
        if self.stage != Stage::Attempt {
            return Err(endpoints::Error::NotNow);
        }
        if scores.len() != candidates.len() || !scores.iter().all(|score| score.is_finite()) {
            return Err(endpoints::Error::Invalid);
        }
        self.message.scores = Some(scores);
        Ok(())
    }
}
