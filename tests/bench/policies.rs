//! What each standard policy costs in one exchange, without sockets: a chat of some
//! hundred bytes and its answer, or one event of a stream.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use criterion::Criterion;
use http::HeaderValue;
use serde_json::{Value, json};
use tollgate::demo::plugins_build::build_guests;
use tollgate_capabilities::{EmbeddedSecrets, NoGeo};
use tollgate_config::{
    CompileLimits, Grants, HttpCallGrant, Isolation, Location, OnError, SandboxLimits,
};
use tollgate_sandbox::{
    ExchangeContext, Message, Policy, PolicySpec, Session, Side,
    contract::{Event, Hooks, Target, Verdict},
};

use crate::{BOTH, Bench, event, head, outcome};

/// Keys, and tokens that they signed.
const SIGNED: &str = include_str!("../../sdk/testkit/tests/standard/tokens.json");

const NAMES: [&str; 11] = [
    "anthropic",
    "api-keys",
    "cache",
    "jwt",
    "model-router",
    "model-rules",
    "prompt-template",
    "rate-limit",
    "redact",
    "schema-guard",
    "token-budget",
];

/// One row: a plugin, what of it is measured, its settings, the request's credentials.
struct Row {
    plugin: &'static str,
    what: &'static str,
    settings: Value,
    authorization: String,
}

fn row(plugin: &'static str, what: &'static str, settings: Value) -> Row {
    Row {
        plugin,
        what,
        settings,
        authorization: "Bearer bench-key".to_owned(),
    }
}

fn rows() -> Vec<Row> {
    let key = "1131fd5a4e9e7c0e5d59b3bb9e9a4a4c6c0d5b9b8c0d2c4b5fd1b6bcf1d7a7e1";
    let key = json!({ "sha256": key, "caller": "other" });
    let ours = json!({ "sha256": hash(), "caller": "bench" });
    let listed = json!({ "sha256": hash(), "caller": "bench", "models": ["llama-*"], "expires": "2099-12-31" });
    let window =
        json!({ "name": "bench", "by": ["caller"], "requests": 1_000_000_000_u64, "period": "1h" });
    let schema = json!({ "properties": { "temperature": { "type": "number" } } });
    let mut rows = vec![
        row(
            "anthropic",
            "request and answer",
            json!({ "client": "openai" }),
        ),
        row("api-keys", "two keys", json!({ "keys": [key, ours] })),
        row("api-keys", "models and an end", json!({ "keys": [listed] })),
        row(
            "cache",
            "a key",
            json!({ "ttl": "10m", "by": [], "deterministic_only": false }),
        ),
        row(
            "model-router",
            "a rule",
            json!({ "rules": [{ "name": "next", "when": { "models": ["llama-*"] }, "then": { "model": "llama-next" } }] }),
        ),
        row(
            "model-router",
            "a split of two",
            json!({ "rules": [{ "name": "canary", "then": {
                "by": [{ "header": "authorization" }],
                "split": [{ "name": "old", "model": "llama-3", "weight": 9 }, { "name": "new", "model": "llama-4", "weight": 1 }],
            } }] }),
        ),
        row(
            "prompt-template",
            "a request without",
            json!({ "without_template": "pass", "templates": [{ "name": "hello", "messages": [{ "role": "user", "content": "hi" }] }] }),
        ),
        row(
            "model-rules",
            "a bound and a default",
            json!({ "rules": [{
            "models": ["llama-*"],
            "request": { "clamp": { "/temperature": { "max": 1 } }, "default": { "/max_tokens": 256 } },
        }] }),
        ),
        row("rate-limit", "one limit", json!({ "limits": [window] })),
        row("redact", "request and answer", json!({})),
        row(
            "schema-guard",
            "a bound",
            json!({ "other_models": "allow", "rules": [{ "models": ["llama-*"], "max_tokens": { "max": 1000 } }] }),
        ),
        row(
            "schema-guard",
            "a schema",
            json!({ "other_models": "allow", "rules": [{ "models": ["llama-*"], "schema": schema }] }),
        ),
        row(
            "token-budget",
            "one budget",
            json!({ "tiers": { "gold": { "tokens": 1_000_000_000_000_u64, "period": "1h" } } }),
        ),
    ];
    rows.extend(token_rows());
    rows
}

fn token_rows() -> Vec<Row> {
    let signed: Value = serde_json::from_str(SIGNED).expect("it is JSON");
    let settings = json!({ "keys": signed["jwks"]["keys"], "issuer": "https://idp.example", "audience": "gateway" });
    let mut remembering = settings.clone();
    remembering["remember"] = "1h".into();
    [
        ("RS256", "RS256", &settings),
        ("ES256", "ES256", &settings),
        ("EdDSA", "EdDSA", &settings),
        ("remembered", "RS256", &remembering),
    ]
    .into_iter()
    .map(|(what, token, settings)| {
        let token = signed["good"][token].as_str().unwrap_or_default();
        Row {
            authorization: format!("Bearer {token}"),
            ..row("jwt", what, settings.clone())
        }
    })
    .collect()
}

pub(crate) fn policies(bench: &Bench, criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a folder");
    let files = build_guests(&NAMES, folder.path()).expect("the plugins build");
    let wasm: BTreeMap<&str, Bytes> = NAMES
        .into_iter()
        .zip(
            files
                .iter()
                .map(|file| std::fs::read(file).expect("it was built").into()),
        )
        .collect();
    for row in rows() {
        let mut group = criterion.benchmark_group(format!("policy {}, {}", row.plugin, row.what));
        for (how, isolation) in BOTH {
            let policy = load(bench, &row, wasm[row.plugin].clone(), isolation);
            group.bench_function(how, |bencher| {
                bencher.iter_custom(|times| exchanges(bench, &policy, &row, times));
            });
        }
        group.finish();
    }
    for (plugin, settings, event) in [
        ("anthropic", json!({ "client": "anthropic" }), event()),
        ("redact", json!({}), event()),
    ] {
        let mut group = criterion.benchmark_group(format!("policy {plugin}, an event"));
        for (how, isolation) in BOTH {
            let row = row(plugin, "an event", settings.clone());
            let policy = load(bench, &row, wasm[plugin].clone(), isolation);
            let mut session = Some(begun(bench, &policy, &row));
            group.bench_function(how, |bencher| {
                let session = session.as_mut().expect("a session");
                bencher.iter_custom(|times| events(bench, session, &event, times));
            });
            drop(session.take());
        }
        group.finish();
    }
}

fn hash() -> String {
    use sha2::{Digest, Sha256};
    let digest = Sha256::digest(b"bench-key");
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn grants(plugin: &str) -> Grants {
    let idp = HttpCallGrant {
        hosts: vec!["https://idp.example:443".to_owned()],
        timeout: Duration::from_millis(500),
        max_response_bytes: 64 << 10,
        max_calls: 4,
    };
    Grants {
        limits: ["token-budget", "rate-limit"].contains(&plugin),
        kv: plugin == "jwt",
        cache: plugin == "cache",
        http_call: Some(idp).filter(|_| plugin == "jwt"),
        ..Grants::default()
    }
}

fn load(bench: &Bench, row: &Row, wasm: Bytes, isolation: Isolation) -> Arc<Policy> {
    let spec = PolicySpec {
        name: row.plugin.to_owned(),
        wasm,
        config: tollgate_config::Policy {
            plugin: row.plugin.to_owned(),
            on_error: OnError::Refuse,
            isolation,
            grants: grants(row.plugin),
            settings: row.settings.clone(),
            settings_at: Location::default(),
            sandbox: SandboxLimits {
                exchange_time: Duration::from_secs(3600),
                ..SandboxLimits::default()
            },
        },
        compile: CompileLimits::default(),
        secrets: Arc::new(EmbeddedSecrets::new(BTreeMap::new())),
        geo: Arc::new(NoGeo),
    };
    let loaded = bench.runtime.block_on(bench.sandbox.load(spec));
    loaded.expect("the plugin loads")
}

/// A request that speaks what the plugin's client does.
fn request(row: &Row) -> Message {
    let text = "a prompt of some length ".repeat(16);
    let body = json!({ "model": "llama-3", "max_tokens": 100, "temperature": 0.5, "messages": [{ "role": "user", "content": text }] });
    let mut message = Message {
        method: http::Method::POST,
        path: path(row).to_owned(),
        body: Some(body.to_string().into()),
        ..Message::default()
    };
    let headers = &mut message.headers;
    headers.insert("content-type", HeaderValue::from_static("application/json"));
    let authorization = HeaderValue::from_str(&row.authorization).expect("a header");
    headers.insert("authorization", authorization);
    message
}

fn path(row: &Row) -> &'static str {
    match row.settings["client"].as_str() {
        Some("anthropic") => "/v1/messages",
        _ => "/v1/chat/completions",
    }
}

/// Of an upstream that speaks Anthropic's Messages, or OpenAI's chats.
fn answer(row: &Row) -> Message {
    let text = "an answer of some length ".repeat(8);
    let body = match row.settings["client"].as_str() {
        Some("openai") => json!({
            "id": "m", "type": "message", "role": "assistant", "model": "m", "content": [{ "type": "text", "text": text }],
            "stop_reason": "end_turn", "usage": { "input_tokens": 90, "output_tokens": 40 },
        }),
        _ => json!({
            "id": "c", "object": "chat.completion", "created": 1, "model": "m",
            "choices": [{ "index": 0, "message": { "role": "assistant", "content": text }, "finish_reason": "stop" }],
            "usage": { "prompt_tokens": 90, "completion_tokens": 40, "total_tokens": 130 },
        }),
    };
    let mut message = Message {
        status: 200,
        body: Some(body.to_string().into()),
        ..Message::default()
    };
    let json = HeaderValue::from_static("application/json");
    message.headers.insert("content-type", json);
    message
}

/// Every hook up to the target's.
async fn ask(policy: &Arc<Policy>, row: &Row, message: &mut Message) -> Session {
    let head = tollgate_sandbox::contract::Head {
        path: path(row).to_owned(),
        ..head()
    };
    let opened = policy.open(&head, &ExchangeContext::default()).await;
    let mut session = opened.expect("a session");
    if policy.hooks().contains(Hooks::REQUEST) {
        let decision = session.on_request(message).await.expect("a decision");
        let goes_on = matches!(decision.verdict, Verdict::Next | Verdict::GoTo(_));
        assert!(goes_on, "{}", row.what);
        let applied = message.apply(decision.edits, Side::Request);
        applied.expect("its edits hold");
    }
    if policy.hooks().contains(Hooks::ATTEMPT) {
        let target = Target {
            upstream: "vllm".to_owned(),
            dialect: "openai".to_owned(),
            model: None,
            attempt: 1,
        };
        let decision = session.on_attempt(&target, message).await;
        let decision = decision.expect("a decision");
        assert!(matches!(decision.verdict, Verdict::Next), "{}", row.what);
        let applied = message.apply(decision.edits, Side::Request);
        applied.expect("its edits hold");
    }
    session
}

fn exchanges(bench: &Bench, policy: &Arc<Policy>, row: &Row, times: u64) -> Duration {
    let (request, answer, outcome) = (request(row), answer(row), outcome());
    let fresh = |message: &Message| Message {
        method: message.method.clone(),
        path: message.path.clone(),
        status: message.status,
        headers: message.headers.clone(),
        body: message.body.clone(),
        ..Message::default()
    };
    bench.runtime.block_on(async {
        let started = std::time::Instant::now();
        for _ in 0..times {
            let mut session = ask(policy, row, &mut fresh(&request)).await;
            if policy.hooks().contains(Hooks::RESPONSE) {
                let mut answer = fresh(&answer);
                let decided = session.on_response(200, &mut answer).await;
                let applied = answer.apply(decided.expect("a decision").edits, Side::Response);
                applied.expect("its edits hold");
            }
            session.on_finish(&outcome).await.expect("an end");
            session.close().await;
        }
        started.elapsed()
    })
}

fn begun(bench: &Bench, policy: &Arc<Policy>, row: &Row) -> Session {
    bench.runtime.block_on(ask(policy, row, &mut request(row)))
}

fn events(bench: &Bench, session: &mut Session, event: &Event, times: u64) -> Duration {
    let batch = [event.clone()];
    bench.runtime.block_on(async {
        let started = std::time::Instant::now();
        for _ in 0..times {
            let decided = session.on_events(&batch, false).await;
            std::hint::black_box(decided).expect("a decision");
        }
        started.elapsed()
    })
}
