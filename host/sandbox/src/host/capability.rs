//! The capabilities, as the contract words them.

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use bytes::Bytes;
use tollgate_capabilities as capability;
use wasmtime::component::Resource;

use super::{HeldReservation, Stage, State};
use crate::contract::tollgate::policy::{
    cache, clock, endpoints, geo, http_call, kv, limits, log, metrics, random, secrets, shadow,
    types,
};

const RANDOM_BYTES_MAX: u32 = 4096;
/// The longest key of an answer that is kept.
const CACHE_KEY_MAX: usize = 1 << 20;

impl log::Host for State {
    fn write(
        &mut self,
        level: log::Level,
        message: String,
        fields: Vec<(String, String)>,
    ) -> wasmtime::Result<()> {
        self.enter()?;
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
        Ok(self.shared.capabilities.clock.now_ms())
    }

    fn monotonic_us(&mut self) -> wasmtime::Result<u64> {
        self.enter()?;
        Ok(self.shared.capabilities.clock.monotonic_us())
    }
}

impl random::Host for State {
    fn next_u64(&mut self) -> wasmtime::Result<u64> {
        self.enter()?;
        self.shared
            .capabilities
            .random
            .u64()
            .map_err(wasmtime::Error::new)
    }

    fn bytes(&mut self, length: u32) -> wasmtime::Result<Vec<u8>> {
        self.enter()?;
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
        if !self.shared.grants.secrets.contains(&name) {
            return Ok(Err(secrets::Error::Denied));
        }
        Ok(match self.shared.capabilities.secrets.get(&name) {
            Ok(secret) => Ok(secret.expose().to_vec()),
            Err(capability::SecretError::Denied) => Err(secrets::Error::Denied),
            Err(capability::SecretError::Unavailable) => Err(secrets::Error::Unavailable),
        })
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
        let Ok(address) = address.parse::<IpAddr>() else {
            return Ok(Err(geo::Error::Invalid));
        };
        Ok(match self.shared.capabilities.geo.locate(address) {
            Ok(place) => Ok(place.map(Into::into)),
            Err(capability::GeoError::Unavailable) => Err(geo::Error::Unavailable),
        })
    }
}

impl State {
    /// Waits for a capability; the time is not held against the guest, whose budget
    /// counts only while it is polled.
    async fn wait<T>(&mut self, answer: capability::Answer<T>) -> T {
        answer.get().await
    }
}

impl From<capability::KvError> for kv::Error {
    fn from(error: capability::KvError) -> Self {
        match error {
            capability::KvError::Full => Self::Full,
            capability::KvError::TooLarge => Self::TooLarge,
            capability::KvError::NotANumber => Self::NotANumber,
            capability::KvError::Unavailable => Self::Unavailable,
        }
    }
}

fn ttl(ms: u32) -> Duration {
    Duration::from_millis(ms.into())
}

impl kv::Host for State {
    async fn get(&mut self, key: String) -> wasmtime::Result<Result<Option<Vec<u8>>, kv::Error>> {
        self.enter()?;
        let answer = self
            .shared
            .capabilities
            .kv
            .get(&self.shared.namespace, &key);
        Ok(self
            .wait(answer)
            .await
            .map(|value| value.map(Into::into))
            .map_err(Into::into))
    }

    async fn put(
        &mut self,
        key: String,
        value: Vec<u8>,
        ttl_ms: u32,
    ) -> wasmtime::Result<Result<(), kv::Error>> {
        self.enter()?;
        let answer =
            self.shared
                .capabilities
                .kv
                .put(&self.shared.namespace, &key, &value, ttl(ttl_ms));
        Ok(self.wait(answer).await.map_err(Into::into))
    }

    async fn remove(&mut self, key: String) -> wasmtime::Result<Result<(), kv::Error>> {
        self.enter()?;
        let answer = self
            .shared
            .capabilities
            .kv
            .remove(&self.shared.namespace, &key);
        Ok(self.wait(answer).await.map_err(Into::into))
    }

    async fn compare_and_put(
        &mut self,
        key: String,
        expected: Option<Vec<u8>>,
        value: Vec<u8>,
        ttl_ms: u32,
    ) -> wasmtime::Result<Result<bool, kv::Error>> {
        self.enter()?;
        let answer = self.shared.capabilities.kv.compare_and_put(
            &self.shared.namespace,
            &key,
            expected.as_deref(),
            &value,
            ttl(ttl_ms),
        );
        Ok(self.wait(answer).await.map_err(Into::into))
    }

    async fn increment(
        &mut self,
        key: String,
        by: i64,
        ttl_ms: u32,
    ) -> wasmtime::Result<Result<i64, kv::Error>> {
        self.enter()?;
        let answer =
            self.shared
                .capabilities
                .kv
                .increment(&self.shared.namespace, &key, by, ttl(ttl_ms));
        Ok(self.wait(answer).await.map_err(Into::into))
    }
}

impl From<limits::Limit> for capability::Limit {
    fn from(limit: limits::Limit) -> Self {
        Self {
            algorithm: match limit.algorithm {
                limits::Algorithm::TokenBucket => capability::Algorithm::TokenBucket,
                limits::Algorithm::SlidingWindow => capability::Algorithm::SlidingWindow,
            },
            amount: limit.amount,
            period_ms: limit.period_ms,
        }
    }
}

impl From<capability::LimitError> for limits::Error {
    fn from(error: capability::LimitError) -> Self {
        match error {
            capability::LimitError::Exceeded(exceeded) => Self::Exceeded(limits::Exceeded {
                retry_after_ms: exceeded.retry_after_ms,
                remaining: exceeded.remaining,
            }),
            capability::LimitError::Unavailable => Self::Unavailable,
            other => Self::Invalid(other.to_string()),
        }
    }
}

impl limits::HostReservation for State {
    async fn settle(
        &mut self,
        held: Resource<HeldReservation>,
        used: u64,
    ) -> wasmtime::Result<u64> {
        self.enter()?;
        match self.reservations.settle(&held) {
            Some(reservation) => {
                let answer = reservation.settle(used);
                Ok(self.wait(answer).await)
            }
            None => Err(wasmtime::Error::msg("the reservation was settled before")),
        }
    }

    fn drop(&mut self, held: Resource<HeldReservation>) -> wasmtime::Result<()> {
        self.reservations.release(&held);
        Ok(())
    }
}

impl limits::Host for State {
    async fn take(
        &mut self,
        bucket: String,
        amount: u64,
        limit: limits::Limit,
    ) -> wasmtime::Result<Result<u64, limits::Error>> {
        self.enter()?;
        let answer = self.shared.capabilities.limits.take(
            &self.shared.namespace,
            &bucket,
            amount,
            limit.into(),
        );
        Ok(self.wait(answer).await.map_err(Into::into))
    }

    async fn reserve(
        &mut self,
        bucket: String,
        amount: u64,
        limit: limits::Limit,
    ) -> wasmtime::Result<Result<Resource<HeldReservation>, limits::Error>> {
        self.enter()?;
        if !self.reservations.has_room() {
            return Ok(Err(limits::Error::Invalid(
                "too many reservations are held at once".to_owned(),
            )));
        }
        let answer = self.shared.capabilities.limits.reserve(
            &self.shared.namespace,
            &bucket,
            amount,
            limit.into(),
        );
        Ok(match self.wait(answer).await {
            Ok(reservation) => Ok(self.reservations.hold(reservation)),
            Err(error) => Err(error.into()),
        })
    }

    async fn remaining(
        &mut self,
        bucket: String,
        limit: limits::Limit,
    ) -> wasmtime::Result<Result<u64, limits::Error>> {
        self.enter()?;
        let answer = self.shared.capabilities.limits.remaining(
            &self.shared.namespace,
            &bucket,
            limit.into(),
        );
        Ok(self.wait(answer).await.map_err(Into::into))
    }
}

impl cache::Host for State {
    fn set_plan(&mut self, plan: cache::Plan) -> wasmtime::Result<Result<(), cache::Error>> {
        self.enter()?;
        Ok(self.take_plan(plan))
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
        Ok(self.take_shadow(to))
    }
}

impl State {
    /// Where the copy goes lies with the request and goes on with it.
    fn take_shadow(&mut self, to: types::Destination) -> Result<(), shadow::Error> {
        if self.stage != Stage::Request {
            return Err(shadow::Error::TooLate);
        }
        if to.model.is_none() && to.upstream.is_none() {
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
        Ok(candidates)
    }

    fn set_scores(&mut self, scores: Vec<f64>) -> wasmtime::Result<Result<(), endpoints::Error>> {
        self.enter()?;
        Ok(self.take_scores(scores))
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
        let is_sound = scores.iter().all(|score| score.is_finite());
        if scores.len() != candidates.len() || !is_sound {
            return Err(endpoints::Error::Invalid);
        }
        self.message.scores = Some(scores);
        Ok(())
    }
}

impl From<capability::HttpError> for http_call::Error {
    fn from(error: capability::HttpError) -> Self {
        match error {
            capability::HttpError::Denied(what) => Self::Denied(what),
            capability::HttpError::TimedOut => Self::TimedOut,
            capability::HttpError::TooLarge => Self::TooLarge,
            capability::HttpError::TooMany => Self::TooMany,
            capability::HttpError::Failed(what) => Self::Failed(what),
        }
    }
}

impl http_call::Host for State {
    async fn send(
        &mut self,
        request: http_call::Request,
    ) -> wasmtime::Result<Result<http_call::Response, http_call::Error>> {
        self.enter()?;
        let Some(grant) = &self.shared.grants.http_call else {
            return Ok(Err(http_call::Error::Denied(
                "http-call is not granted".to_owned(),
            )));
        };
        self.http_calls += 1;
        if self.http_calls > grant.max_calls {
            return Ok(Err(http_call::Error::TooMany));
        }
        let remaining = self
            .exchange
            .deadline
            .saturating_duration_since(Instant::now());
        let request = capability::HttpRequest {
            method: request.method,
            url: request.url,
            headers: request
                .headers
                .into_iter()
                .map(|h| (h.name, h.value))
                .collect(),
            body: Bytes::from(request.body),
            timeout: Duration::from_millis(request.timeout_ms.into()),
        };
        let answer = self
            .shared
            .capabilities
            .http
            .send(request, grant, remaining);
        Ok(match self.wait(answer).await {
            Ok(response) => Ok(http_call::Response {
                status: response.status,
                headers: response
                    .headers
                    .into_iter()
                    .map(|(name, value)| types::Header { name, value })
                    .collect(),
                body: response.body.into(),
            }),
            Err(error) => Err(error.into()),
        })
    }
}
