//! What one and the same rule costs in Rust, in JavaScript and in Python.
//!
//! The plugins of the examples have to be there: `examples/policy-in-javascript/build` and
//! `examples/policy-in-python/build`. `TOLLGATE_FOREIGN` is the folder that they are in,
//! if it is not `target/foreign`.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;
use criterion::Criterion;
use serde_json::{Value, json};
use tollgate::demo::plugins_build::build_guests;
use tollgate_capabilities::{EmbeddedSecrets, NoGeo};
use tollgate_config::{CompileLimits, Grants, Isolation, Location, OnError, SandboxLimits};
use tollgate_sandbox::{
    ExchangeContext, Message, Policy, PolicySpec, Session, Side,
    contract::{Event, EventAction},
};

use crate::{BOTH, Bench, head};

const PLUGINS: [(&str, &str); 2] = [
    ("javascript", "model-rules-js"),
    ("python", "model-rules-py"),
];

/// Only when it is asked for by this word: to compile them takes half a minute.
const WORD: &str = "language";

pub(crate) fn languages(bench: &Bench, criterion: &mut Criterion) {
    if !std::env::args().any(|argument| argument.contains(WORD)) {
        return;
    }
    let built = tempfile::tempdir().expect("a folder");
    let files = build_guests(&["model-rules"], built.path()).expect("the plugin builds");
    let mut plugins = vec![("rust", files[0].clone())];
    for (language, name) in PLUGINS {
        let file = folder().join(name).with_extension("wasm");
        match file.exists() {
            true => plugins.push((language, file)),
            false => eprintln!("without {language}: there is no {}", file.display()),
        }
    }
    for (language, file) in plugins {
        let wasm = Bytes::from(std::fs::read(&file).expect("it was built"));
        for (how, isolation) in BOTH {
            let started = std::time::Instant::now();
            let policy = load(bench, &wasm, isolation);
            eprintln!(
                "{language}, {how}: {} KiB, compiled, configured and proven in {:.2?}, snapshot: {}",
                wasm.len() >> 10,
                started.elapsed(),
                policy.is_snapshot(),
            );
            let mut group = criterion.benchmark_group(format!("{WORD} {language}"));
            group.bench_function(format!("a request, {how}"), |bencher| {
                bencher.iter_custom(|times| requests(bench, &policy, times));
            });
            group.bench_function(format!("its hook alone, {how}"), |bencher| {
                bencher.iter_custom(|times| hooks(bench, &policy, times));
            });
            for (what, text) in [("kept", "a piece of text "), ("changed", "made by ACME ")] {
                group.bench_function(format!("an event {what}, {how}"), |bencher| {
                    bencher.iter_custom(|times| events(bench, &policy, text, times));
                });
            }
            group.finish();
            eprintln!(
                "{language}, {how}: {} KiB of memory an instance",
                policy.stats().memory_peak_bytes >> 10
            );
        }
    }
}

fn folder() -> PathBuf {
    let root = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    std::env::var_os("TOLLGATE_FOREIGN").map_or_else(|| root.join("target/foreign"), PathBuf::from)
}

fn settings() -> Value {
    json!({ "rules": [{
        "models": ["llama-*"],
        "request": { "clamp": { "/max_tokens": { "max": 4096 }, "/temperature": { "min": 0, "max": 1 } } },
        "events": { "replace_text": [{ "from": "ACME", "to": "Acme" }] },
    }] })
}

fn load(bench: &Bench, wasm: &Bytes, isolation: Isolation) -> Arc<Policy> {
    let spec = PolicySpec {
        name: "rules".to_owned(),
        wasm: wasm.clone(),
        config: tollgate_config::Policy {
            plugin: "rules".to_owned(),
            on_error: OnError::Refuse,
            isolation,
            grants: Grants::default(),
            settings: settings(),
            settings_at: Location::default(),
            sandbox: SandboxLimits {
                memory_bytes: 64 << 20,
                hook_time: Duration::from_millis(100),
                exchange_time: Duration::from_secs(3600),
                ..SandboxLimits::default()
            },
        },
        compile: CompileLimits {
            input_bytes: 32 << 20,
            ..CompileLimits::default()
        },
        secrets: Arc::new(EmbeddedSecrets::new(BTreeMap::new())),
        geo: Arc::new(NoGeo),
    };
    let loaded = bench.runtime.block_on(bench.sandbox.load(spec));
    loaded.unwrap_or_else(|error| panic!("{error}"))
}

fn request() -> Message {
    let text = "a prompt of some length ".repeat(16);
    let body = json!({ "model": "llama-3", "max_tokens": 100, "temperature": 1.5, "stream": true,
        "messages": [{ "role": "user", "content": text }] });
    Message {
        method: http::Method::POST,
        path: "/v1/chat/completions".to_owned(),
        body: Some(body.to_string().into()),
        ..Message::default()
    }
}

/// A session that was asked about a request, and the request with its edits.
async fn begun(policy: &Arc<Policy>) -> (Session, Message) {
    let (head, exchange) = (head(), ExchangeContext::default());
    let mut session = policy.open(&head, &exchange).await.expect("a session");
    let mut request = request();
    let decision = session.on_request(&mut request).await.expect("a decision");
    assert_eq!(decision.edits.len(), 1, "the temperature");
    let applied = request.apply(decision.edits, Side::Request);
    applied.expect("its edits hold");
    (session, request)
}

/// The hook `on_request` by itself: the session is there, its end is not waited for.
fn hooks(bench: &Bench, policy: &Arc<Policy>, times: u64) -> Duration {
    bench.runtime.block_on(async {
        let mut took = Duration::ZERO;
        for _ in 0..times {
            let (head, exchange) = (head(), ExchangeContext::default());
            let mut session = policy.open(&head, &exchange).await.expect("a session");
            let mut request = request();
            let started = std::time::Instant::now();
            let decision = session.on_request(&mut request).await.expect("a decision");
            took += started.elapsed();
            assert_eq!(decision.edits.len(), 1, "the temperature");
            session.close().await;
        }
        took
    })
}

/// Session, hook and end.
fn requests(bench: &Bench, policy: &Arc<Policy>, times: u64) -> Duration {
    bench.runtime.block_on(async {
        let started = std::time::Instant::now();
        for _ in 0..times {
            let (session, request) = begun(policy).await;
            std::hint::black_box(request);
            session.close().await;
        }
        started.elapsed()
    })
}

/// Events of one stream; what a language's runtime does not give back is its own.
const EVENTS: u64 = 1_000;

/// In streams of so many events; only those are counted, not their beginnings.
fn events(bench: &Bench, policy: &Arc<Policy>, text: &str, times: u64) -> Duration {
    let chunk = json!({ "id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m",
        "choices": [{ "index": 0, "delta": { "content": text }, "finish_reason": null }] });
    let event = Event {
        name: None,
        data: chunk.to_string().into_bytes(),
    };
    let changes = text.contains("ACME");
    let batch = [event];
    bench.runtime.block_on(async {
        let (mut took, mut left) = (Duration::ZERO, times);
        while left > 0 {
            let mut session = begun(policy).await.0;
            let some = left.min(EVENTS);
            let started = std::time::Instant::now();
            for _ in 0..some {
                let decided = session.on_events(&batch, false).await.expect("a decision");
                let changed = matches!(decided.actions.first(), Some(EventAction::Replace(_)));
                assert_eq!(changed, changes);
            }
            took += started.elapsed();
            left -= some;
            session.close().await;
        }
        took
    })
}
