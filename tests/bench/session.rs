//! What a policy costs in the sandbox, hook by hook.
//!
//! ```console
//! $ cargo bench --bench session
//! $ cargo bench --bench session -- header
//! $ cargo bench --bench session -- policy
//! $ cargo bench --bench session -- language
//! ```
//! `fresh` is `isolation: exchange`: an instance serves one session, and clearing it
//! away and making the next one is counted. `reused` is `isolation: shared`.

#[path = "chain.rs"]
mod chain;
#[path = "foreign.rs"]
mod foreign;
#[path = "policies.rs"]
mod policies;

use std::{path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput};
use http::{HeaderMap, HeaderValue};
use tokio::runtime::Runtime;
use tollgate::demo::plugins_build::build_guests;
use tollgate_capabilities::{Capabilities, EmbeddedOptions, EmbeddedSecrets, NoGeo};
use tollgate_config::{CompileLimits, Grants, Isolation, Location, OnError, SandboxLimits};
use tollgate_sandbox::{
    ExchangeContext, Message, Policy, PolicySpec, Sandbox, SandboxOptions,
    contract::{Ending, Event, Head, Outcome},
};

/// As in the gateway.
#[global_allocator]
static ALLOCATOR: tollgate::allocator::Allocator = tollgate::allocator::Allocator;

/// Set to an isolation: one chat exchange is made after the other with it, for
/// `tests/bench/footprint` to count.
const COUNTED: &str = "TOLLGATE_COUNTED";
/// A folder for compiled plugins then, so that their functions have names.
const COUNTED_IN: &str = "TOLLGATE_COUNTED_IN";

struct Bench {
    runtime: Runtime,
    sandbox: Arc<Sandbox>,
    wasm: Bytes,
}

fn main() {
    if let Ok(isolation) = std::env::var(COUNTED) {
        let folder = std::env::var_os(COUNTED_IN).map(Into::into);
        return chain::forever(&Bench::new(folder), &isolation);
    }
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(3))
        .configure_from_args();
    let bench = Bench::new(None);
    sessions(&bench, &mut criterion);
    deeds(&bench, &mut criterion);
    body_sizes(&bench, &mut criterion);
    events(&bench, &mut criterion);
    chain::chain(&bench, &mut criterion);
    policies::policies(&bench, &mut criterion);
    foreign::languages(&bench, &mut criterion);
    criterion.final_summary();
}

impl Bench {
    fn new(cache: Option<PathBuf>) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let files = build_guests(&["measured"], folder.path()).expect("the guest builds");
        let wasm = Bytes::from(std::fs::read(&files[0]).expect("the guest is there"));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let sandbox = {
            let _inside = runtime.enter();
            let capabilities = Capabilities::embedded(EmbeddedOptions::default());
            Sandbox::new(
                SandboxOptions {
                    instances: 512,
                    cache,
                    ..SandboxOptions::default()
                },
                capabilities,
            )
            .expect("a sandbox")
        };
        Self {
            runtime,
            sandbox,
            wasm,
        }
    }

    fn policy(&self, isolation: Isolation, deed: &str) -> Arc<Policy> {
        let spec = PolicySpec {
            name: "measured".to_owned(),
            wasm: self.wasm.clone(),
            config: tollgate_config::Policy {
                plugin: "measured".to_owned(),
                on_error: OnError::Refuse,
                isolation,
                grants: Grants::default(),
                settings: serde_json::json!({ "deed": deed }),
                settings_at: Location::default(),
                sandbox: SandboxLimits {
                    exchange_time: Duration::from_secs(3600),
                    ..SandboxLimits::default()
                },
            },
            compile: CompileLimits::default(),
            secrets: Arc::new(EmbeddedSecrets::new(std::collections::BTreeMap::new())),
            geo: Arc::new(NoGeo),
        };
        self.runtime
            .block_on(self.sandbox.load(spec))
            .expect("the guest loads")
    }

    /// Opens `times` sessions, asks each and closes it, which clears up and makes the
    /// next instance.
    fn run(&self, policy: &Arc<Policy>, times: u64, request: impl Fn() -> Message) -> Duration {
        let (head, exchange) = (head(), ExchangeContext::default());
        self.runtime.block_on(async {
            let started = std::time::Instant::now();
            for _ in 0..times {
                let mut session = policy.open(&head, &exchange).await.expect("a session");
                let decision = session.on_request(&mut request()).await;
                decision.expect("a decision");
                session.close().await;
            }
            started.elapsed()
        })
    }

    /// As [`Bench::run`], with `on_finish` in place of `on_request`.
    fn finish(&self, policy: &Arc<Policy>, times: u64) -> Duration {
        let (head, exchange, outcome) = (head(), ExchangeContext::default(), outcome());
        self.runtime.block_on(async {
            let started = std::time::Instant::now();
            for _ in 0..times {
                let mut session = policy.open(&head, &exchange).await.expect("a session");
                session.on_finish(&outcome).await.expect("an end");
                session.close().await;
            }
            started.elapsed()
        })
    }
}

const BOTH: [(&str, Isolation); 2] = [
    ("fresh", Isolation::Exchange),
    ("reused", Isolation::Shared),
];

/// Opened, asked, closed: the figure to compare.
fn sessions(bench: &Bench, criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("session with one edit");
    for (name, isolation) in BOTH {
        let policy = bench.policy(isolation, "set-header");
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|times| bench.run(&policy, times, Message::default));
        });
    }
    group.finish();
    let mut group = criterion.benchmark_group("session with on_finish alone");
    for (name, isolation) in BOTH {
        let policy = bench.policy(isolation, "nothing");
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|times| bench.finish(&policy, times));
        });
    }
    group.finish();
}

fn deeds(bench: &Bench, criterion: &mut Criterion) {
    let body = chat(600);
    for deed in ["nothing", "read-header", "json-get", "json-set"] {
        let mut group = criterion.benchmark_group(format!("session: {deed}"));
        for (name, isolation) in BOTH {
            let policy = bench.policy(isolation, deed);
            group.bench_function(name, |bencher| {
                bencher.iter_custom(|times| bench.run(&policy, times, || request(&body)));
            });
        }
        group.finish();
    }
}

/// A policy that reads a header costs the same whatever the body; one that reads a
/// JSON field pays for parsing it once.
fn body_sizes(bench: &Bench, criterion: &mut Criterion) {
    for deed in ["read-header", "json-get"] {
        let mut group = criterion.benchmark_group(format!("{deed}, by body size"));
        let policy = bench.policy(Isolation::Shared, deed);
        for bytes in [1 << 10, 16 << 10, 128 << 10, 1 << 20] {
            let body = chat(bytes);
            group.throughput(Throughput::Bytes(bytes as u64));
            group.bench_function(BenchmarkId::from_parameter(bytes), |bencher| {
                bencher.iter_custom(|times| bench.run(&policy, times, || request(&body)));
            });
        }
        group.finish();
    }
}

/// One event a call, and sixteen.
fn events(bench: &Bench, criterion: &mut Criterion) {
    for (deed, what) in [("nothing", "untouched"), ("change-text", "changed")] {
        let mut group = criterion.benchmark_group(format!("stream event {what}"));
        for batch in [1_usize, 16] {
            let policy = bench.policy(Isolation::Exchange, deed);
            let events = vec![event(); batch];
            group.throughput(Throughput::Elements(batch as u64));
            let mut session = Some(
                bench
                    .runtime
                    .block_on(policy.open(&head(), &ExchangeContext::default()))
                    .expect("a session"),
            );
            group.bench_function(format!("{batch} a call"), |bencher| {
                let session = session.as_mut().expect("a session");
                bencher.iter_custom(|times| {
                    bench.runtime.block_on(async {
                        let started = std::time::Instant::now();
                        for _ in 0..times {
                            let decided = session.on_events(&events, false).await;
                            std::hint::black_box(decided).expect("a decision");
                        }
                        started.elapsed()
                    })
                });
            });
            drop(session.take());
        }
        group.finish();
    }
}

fn head() -> Head {
    Head {
        route: "chat".to_owned(),
        method: "POST".to_owned(),
        path: "/v1/chat/completions".to_owned(),
        model: Some("llama-3".to_owned()),
        caller: Some("team-a".to_owned()),
        tier: Some("gold".to_owned()),
        streaming: false,
        body_bytes: Some(600),
        deadline_ms: 60_000,
    }
}

fn outcome() -> Outcome {
    Outcome {
        ending: Ending::Complete,
        status: 200,
        upstream: Some("vllm".to_owned()),
        attempts: 1,
        first_byte_us: Some(1000),
        total_us: 2000,
        usage: None,
    }
}

fn request(body: &Bytes) -> Message {
    let mut headers = HeaderMap::new();
    headers.insert("content-type", HeaderValue::from_static("application/json"));
    headers.insert(
        "x-wanted",
        HeaderValue::from_static("a value of some length"),
    );
    Message {
        headers,
        body: Some(body.clone()),
        ..Message::default()
    }
}

/// A chat request of about so many bytes, with the model at its end.
fn chat(bytes: usize) -> Bytes {
    let text = "a prompt of some length ".repeat(bytes / 24);
    let body = serde_json::json!({
        "messages": [{ "role": "user", "content": text }],
        "temperature": 1.0,
        "model": "llama-3",
    });
    Bytes::from(body.to_string())
}

fn event() -> Event {
    let data = r#"{"id":"chatcmpl-1","object":"chat.completion.chunk","model":"llama-3","choices":[{"index":0,"delta":{"content":" river"},"finish_reason":null}]}"#;
    Event {
        name: None,
        data: data.as_bytes().to_vec(),
    }
}
