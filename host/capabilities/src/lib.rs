//! What a plugin may be granted: one trait each, with the embedded default.
//!
//! State lives here, outside any generation, so it survives a swap. Each trait can
//! be put on a shared store; those whose store may be far answer with an [`Answer`].
//! Whether a policy was granted a capability is the sandbox's business; knows
//! nothing of wasm, routes or exchanges.

mod answer;
pub mod cache;
pub mod clock;
pub mod geo;
pub mod http;
pub mod kv;
pub mod limits;
pub mod log;
pub mod metrics;
pub mod random;
pub mod secrets;
mod spaces;

use std::{collections::BTreeMap, fmt, sync::Arc};

use tollgate_config::SecretSource;

pub use answer::Answer;
pub use cache::{
    AnswerCache, CacheError, CacheKey, CacheOptions, CacheStats, EmbeddedCache, Found, KeptAnswer,
};
pub use clock::{Clock, ManualClock, OsClock};
pub use geo::{EmbeddedGeo, GeoError, GeoFileError, GeoLocator, NoGeo, Place};
pub use http::{EmbeddedHttp, HttpCaller, HttpError, HttpRequest, HttpResponse, RefusedHttp};
pub use kv::{EmbeddedKv, KvError, KvOptions, KvStore};
pub use limits::{
    Algorithm, EmbeddedLimits, Exceeded, Limit, LimitError, LimitOptions, LimitStore, Reservation,
    Reserve, Settle,
};
pub use log::{Level, LogLine, LogOptions, LogSink, NoLog, TracingLog};
pub use metrics::{MetricOptions, MetricRow, MetricSink, MetricValue, NoMetrics, PluginMetrics};
pub use random::{FixedRandom, OsRandom, Random, RandomError};
pub use secrets::{EmbeddedSecrets, Secret, SecretError, SecretStore};

/// Whose state it is: every policy of one plugin shares one namespace.
///
/// A store keeps it as a key part of its own, never joined with the key by a
/// separator, so that no choice of names reaches another plugin's entries.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Namespace(Arc<str>);

impl Namespace {
    /// The namespace of the plugin of this name.
    #[must_use]
    pub fn of_plugin(plugin: &str) -> Self {
        Self(plugin.into())
    }

    /// The plugin's name.
    #[must_use]
    pub fn plugin(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Namespace {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Namespace({})", self.0)
    }
}

/// One implementation of every capability. Cloning shares the state.
#[derive(Clone)]
pub struct Capabilities {
    /// Lines for the gateway's log.
    pub log: Arc<dyn LogSink>,
    /// The plugins' own metrics.
    pub metrics: Arc<dyn MetricSink>,
    /// Wall and monotonic time.
    pub clock: Arc<dyn Clock>,
    /// Unpredictable bytes.
    pub random: Arc<dyn Random>,
    /// Secrets by name.
    pub secrets: Arc<dyn SecretStore>,
    /// Where addresses are.
    pub geo: Arc<dyn GeoLocator>,
    /// Keys and values, per plugin.
    pub kv: Arc<dyn KvStore>,
    /// Budgets, per plugin.
    pub limits: Arc<dyn LimitStore>,
    /// Calls to listed hosts.
    pub http: Arc<dyn HttpCaller>,
    /// Answers that are kept. Plugins plan for it; the data path reads and writes it.
    pub cache: Arc<dyn AnswerCache>,
}

/// What [`Capabilities::embedded`] is made of. The default reads the operating
/// system's clock and random source, knows no secrets and has the documented bounds.
#[derive(Clone)]
pub struct EmbeddedOptions {
    /// The time that everything goes by.
    pub clock: Arc<dyn Clock>,
    /// The source of randomness.
    pub random: Arc<dyn Random>,
    /// Secrets by name; usually replaced per generation: [`Capabilities::with_secrets`].
    pub secrets: BTreeMap<String, SecretSource>,
    /// Bounds of the key-value store.
    pub kv: KvOptions,
    /// Bounds of the limits.
    pub limits: LimitOptions,
    /// Bounds of the answers that are kept.
    pub cache: CacheOptions,
    /// Bounds of the log.
    pub log: LogOptions,
    /// Bounds of the metrics.
    pub metrics: MetricOptions,
}

impl Default for EmbeddedOptions {
    fn default() -> Self {
        Self {
            clock: Arc::new(OsClock::new()),
            random: Arc::new(OsRandom),
            secrets: BTreeMap::new(),
            kv: KvOptions::default(),
            limits: LimitOptions::default(),
            cache: CacheOptions::default(),
            log: LogOptions::default(),
            metrics: MetricOptions::default(),
        }
    }
}

impl Capabilities {
    /// Everything within this process.
    #[must_use]
    pub fn embedded(options: EmbeddedOptions) -> Self {
        let clock = options.clock;
        Self {
            log: Arc::new(TracingLog::new(clock.clone(), options.log)),
            metrics: Arc::new(PluginMetrics::new(options.metrics)),
            random: options.random,
            secrets: Arc::new(EmbeddedSecrets::new(options.secrets)),
            geo: Arc::new(NoGeo),
            kv: Arc::new(EmbeddedKv::new(clock.clone(), options.kv)),
            limits: Arc::new(EmbeddedLimits::new(clock.clone(), options.limits)),
            http: Arc::new(EmbeddedHttp::new()),
            cache: Arc::new(EmbeddedCache::new(clock.clone(), &options.cache)),
            clock,
        }
    }

    /// Throwaway state to prove a candidate with: its own empty kv and limits, a
    /// log and metrics that go nowhere, and an `http-call` that refuses. Clock,
    /// random, secrets and places are these.
    #[must_use]
    pub fn scratch(&self) -> Self {
        Self {
            log: Arc::new(NoLog),
            metrics: Arc::new(NoMetrics),
            clock: self.clock.clone(),
            random: self.random.clone(),
            secrets: self.secrets.clone(),
            geo: self.geo.clone(),
            kv: Arc::new(EmbeddedKv::new(self.clock.clone(), KvOptions::default())),
            limits: Arc::new(EmbeddedLimits::new(
                self.clock.clone(),
                LimitOptions::default(),
            )),
            http: Arc::new(RefusedHttp {
                reason: "not while proving",
            }),
            // Only the data path has to do with it, and a proof has none.
            cache: self.cache.clone(),
        }
    }

    /// The same state with other secrets: those of a new generation.
    #[must_use]
    pub fn with_secrets(&self, secrets: Arc<dyn SecretStore>) -> Self {
        Self {
            secrets,
            ..self.clone()
        }
    }
}

impl Capabilities {
    /// The same state with other places: those of a new generation's file.
    #[must_use]
    pub fn with_geo(&self, geo: Arc<dyn GeoLocator>) -> Self {
        Self {
            geo,
            ..self.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn scratch_state_is_empty_and_leaves_the_real_one_alone() {
        let real = Capabilities::embedded(EmbeddedOptions::default());
        let plugin = Namespace::of_plugin("p");
        real.kv
            .put(&plugin, "k", b"v", Duration::ZERO)
            .get()
            .await
            .unwrap();
        let scratch = real.scratch();
        assert_eq!(scratch.kv.get(&plugin, "k").get().await, Ok(None));
        scratch
            .kv
            .put(&plugin, "k", b"other", Duration::ZERO)
            .get()
            .await
            .unwrap();
        scratch.metrics.count("p", "n", &[], 1);
        let limit = Limit {
            algorithm: Algorithm::TokenBucket,
            amount: 1,
            period_ms: 60_000,
        };
        scratch
            .limits
            .take(&plugin, "b", 1, limit)
            .get()
            .await
            .unwrap();
        assert_eq!(real.kv.get(&plugin, "k").get().await.unwrap().unwrap(), "v");
        assert_eq!(
            real.limits.remaining(&plugin, "b", limit).get().await,
            Ok(1)
        );
        let mut text = String::new();
        real.metrics.render(&mut text);
        assert!(text.is_empty());
    }

    #[tokio::test]
    async fn a_candidate_calls_nobody_while_it_is_proven() {
        let scratch = Capabilities::embedded(EmbeddedOptions::default()).scratch();
        let grant = tollgate_config::HttpCallGrant {
            hosts: vec!["http://127.0.0.1:80".into()],
            timeout: Duration::from_secs(1),
            max_response_bytes: 1,
            max_calls: 1,
        };
        let request = HttpRequest {
            method: "GET".into(),
            url: "http://127.0.0.1/".into(),
            headers: Vec::new(),
            body: bytes::Bytes::new(),
            timeout: Duration::from_secs(1),
        };
        let error = scratch
            .http
            .send(request, &grant, Duration::MAX)
            .get()
            .await
            .unwrap_err();
        assert_eq!(error, HttpError::Failed("not while proving".into()));
    }

    #[tokio::test]
    async fn an_answer_may_be_there_or_be_waited_for() {
        assert_eq!(Answer::Ready(1).get().await, 1);
        let later = Answer::later(async { 2 }).now().unwrap_err();
        assert_eq!(later.get().await, 2);
    }
}
