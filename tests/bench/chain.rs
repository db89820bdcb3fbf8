//! A whole chat exchange through the three standard policies, without sockets: what
//! they cost themselves, each and together.

use std::{
    collections::BTreeMap,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use criterion::Criterion;
use http::{HeaderMap, HeaderValue};
use serde_json::{Value, json};
use tollgate::demo::plugins_build::build_guests;
use tollgate_capabilities::{EmbeddedSecrets, NoGeo};
use tollgate_config::{CompileLimits, Grants, Isolation, Location, OnError, SandboxLimits};
use tollgate_sandbox::{
    ExchangeContext, Message, Policy, PolicySpec, Side,
    contract::{Head, Hooks, Usage},
};

use crate::{BOTH, Bench, chat, head, outcome};

const NAMES: [&str; 3] = ["api-keys", "model-rules", "token-budget"];

fn built() -> Vec<Bytes> {
    let folder = tempfile::tempdir().expect("a folder");
    let files = build_guests(&NAMES, folder.path()).expect("the plugins build");
    let wasm = files.iter().map(std::fs::read);
    wasm.map(|bytes| bytes.expect("it was built").into())
        .collect()
}

fn all(bench: &Bench, wasm: &[Bytes], isolation: Isolation) -> Vec<Arc<Policy>> {
    let files = NAMES.iter().zip(wasm);
    files
        .map(|(name, wasm)| load(bench, name, wasm.clone(), isolation))
        .collect()
}

/// One exchange after the other, and nothing else, until the process is stopped.
pub(crate) fn forever(bench: &Bench, isolation: &str) {
    let isolation = match isolation {
        "shared" => Isolation::Shared,
        _ => Isolation::Exchange,
    };
    let policies = all(bench, &built(), isolation);
    println!("ready");
    loop {
        exchanges(bench, &policies, 1 << 20, &mut Between::Nothing);
    }
}

pub(crate) fn chain(bench: &Bench, criterion: &mut Criterion) {
    let wasm = built();
    let mut group = criterion.benchmark_group("a chat exchange");
    for (how, isolation) in BOTH {
        let policies = all(bench, &wasm, isolation);
        for policy in &policies {
            let only = [policy.clone()];
            group.bench_function(format!("{}/{how}", policy.name()), |bencher| {
                bencher.iter_custom(|times| exchanges(bench, &only, times, &mut Between::Nothing));
            });
        }
        group.bench_function(format!("all three/{how}"), |bencher| {
            bencher.iter_custom(|times| exchanges(bench, &policies, times, &mut Between::Nothing));
        });
        let mut between = Between::others();
        group.bench_function(format!("all three, caches cold/{how}"), |bencher| {
            bencher.iter_custom(|times| exchanges(bench, &policies, times, &mut between));
        });
    }
    group.finish();
}

fn settings(name: &str) -> Value {
    match name {
        "api-keys" => {
            json!({ "keys": [ { "sha256": hash(), "caller": "bench", "tier": "team" } ] })
        }
        "model-rules" => json!({ "rules": [ {
            "models": [ "llama-*" ],
            "request": { "clamp": { "/temperature": { "max": 1 } }, "default": { "/max_tokens": 256 } },
        } ] }),
        _ => json!({ "tiers": { "team": { "tokens": 1_000_000_000_000_u64, "period": "1h" } } }),
    }
}

fn hash() -> String {
    use sha2::{Digest, Sha256};
    let digest = Sha256::digest(b"bench-key");
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn load(bench: &Bench, name: &str, wasm: Bytes, isolation: Isolation) -> Arc<Policy> {
    let spec = PolicySpec {
        name: name.to_owned(),
        wasm,
        config: tollgate_config::Policy {
            plugin: name.to_owned(),
            on_error: OnError::Refuse,
            isolation,
            grants: Grants {
                limits: name == "token-budget",
                ..Grants::default()
            },
            settings: settings(name),
            settings_at: Location::default(),
            sandbox: SandboxLimits {
                // Who counts instructions is slow.
                hook_time: Duration::from_secs(3600),
                exchange_time: Duration::from_secs(3600),
                ..SandboxLimits::default()
            },
        },
        compile: CompileLimits::default(),
        secrets: Arc::new(EmbeddedSecrets::new(BTreeMap::new())),
        geo: Arc::new(NoGeo),
    };
    bench
        .runtime
        .block_on(bench.sandbox.load(spec))
        .expect("the plugin loads")
}

/// What the machine does between two exchanges; it is not counted.
enum Between {
    Nothing,
    /// As much memory as a second-level cache has and more, and four ways through the
    /// kernel's network: a busy machine leaves a policy no warmer.
    Others {
        memory: Vec<u8>,
        sockets: (TcpStream, TcpStream),
    },
}

impl Between {
    fn others() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("its address");
        let client = TcpStream::connect(address).expect("a connection");
        let (server, _) = listener.accept().expect("a connection");
        Self::Others {
            memory: vec![0; 4 << 20],
            sockets: (client, server),
        }
    }

    fn happen(&mut self) {
        let Self::Others {
            memory,
            sockets: (client, server),
        } = self
        else {
            return;
        };
        for line in memory.chunks_mut(64) {
            line[0] = line[0].wrapping_add(1);
        }
        let mut bytes = [0; 1024];
        for _ in 0..2 {
            client.write_all(&bytes).expect("it takes them");
            server.read_exact(&mut bytes).expect("they come");
            server.write_all(&bytes).expect("it takes them");
            client.read_exact(&mut bytes).expect("they come");
        }
    }
}

fn exchanges(
    bench: &Bench,
    policies: &[Arc<Policy>],
    times: u64,
    between: &mut Between,
) -> Duration {
    let body = chat(200);
    let (context, outcome) = (ExchangeContext::default(), finished());
    bench.runtime.block_on(async {
        let mut spent = Duration::ZERO;
        for _ in 0..times {
            between.happen();
            let started = Instant::now();
            let mut message = request(&body);
            let mut sessions = Vec::with_capacity(policies.len());
            for policy in policies {
                let head = introduction(&message);
                if !policy.hooks().contains(Hooks::REQUEST) {
                    let opened = policy.open(&head, &context).await;
                    sessions.push(opened.expect("a session"));
                    continue;
                }
                let opened = policy.open_and_request((&head, &context), &mut message);
                let (session, decided) = opened.await.expect("a session");
                let applied = message.apply(decided.expect("a decision").edits, Side::Request);
                applied.expect("its edits hold");
                sessions.push(session);
            }
            let mut response = Message {
                status: 200,
                ..Message::default()
            };
            for session in sessions.iter_mut().rev() {
                if session.policy().hooks().contains(Hooks::RESPONSE) {
                    let decided = session.on_response(200, &mut response).await;
                    decided.expect("a decision");
                }
            }
            for mut session in sessions {
                session.on_finish(&outcome).await.expect("an end");
                session.close().await;
            }
            spent += started.elapsed();
        }
        spent
    })
}

fn introduction(message: &Message) -> Head {
    let fact = |name: &str| message.fact(name).map(str::to_owned);
    Head {
        caller: fact("caller"),
        tier: fact("tier"),
        ..head()
    }
}

fn finished() -> tollgate_sandbox::contract::Outcome {
    tollgate_sandbox::contract::Outcome {
        usage: Some(Usage {
            input_tokens: 12,
            output_tokens: 9,
            cached_tokens: 0,
        }),
        ..outcome()
    }
}

/// Once in each exchange: `tests/bench/footprint` goes by it.
#[inline(never)]
fn request(body: &Bytes) -> Message {
    let mut headers = HeaderMap::new();
    headers.insert("content-type", HeaderValue::from_static("application/json"));
    headers.insert(
        "authorization",
        HeaderValue::from_static("Bearer bench-key"),
    );
    Message {
        method: http::Method::POST,
        path: "/v1/chat/completions".to_owned(),
        headers,
        body: Some(body.clone()),
        ..Message::default()
    }
}
