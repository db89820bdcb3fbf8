//! What it does to the host and to itself, whatever it returns afterwards.

use std::{cell::RefCell, fmt::Debug, hint::black_box};

use crate::{
    Scene, forgery,
    tollgate::policy::{
        cache, clock, endpoints, exchange::Message, geo, http_call, kv, limits, log, metrics,
        random, secrets, shadow, types::Destination,
    },
};

thread_local! {
    static LEFT_BEHIND: RefCell<String> = const { RefCell::new(String::new()) };
}

/// What came of it, as text.
pub fn commit(scene: &Scene<'_>) -> String {
    let amount = scene.plan.amount;
    let text = scene.plan.text.as_str();
    match scene.plan.mode.as_str() {
        "loop" => loop {
            black_box(());
        },
        "fill" => {
            let mut bytes = vec![0_u8; 4 << 20];
            loop {
                black_box(&mut bytes).fill(black_box(1));
            }
        }
        "spin" => {
            (0..amount).for_each(|n| {
                black_box(n);
            });
            String::new()
        }
        "recursion" => dive(1).to_string(),
        "indirect" => DEEPER[black_box(0)](1).to_string(),
        "unreachable" => core::arch::wasm32::unreachable(),
        "panic" => panic!("{}", "x".repeat(amount as usize)),
        #[expect(clippy::disallowed_methods, reason = "it is what is tried")]
        "exit" => std::process::exit(0),
        "memory-bomb" => loop {
            std::mem::forget(black_box(vec![1_u8; 1 << 20]));
        },
        "memory-grow" => {
            let before = core::arch::wasm32::memory_size(0);
            while core::arch::wasm32::memory_grow(0, 16) != usize::MAX {}
            (core::arch::wasm32::memory_size(0) - before).to_string()
        }
        "leave-behind" => LEFT_BEHIND.with(|left| left.replace(scene.path.to_owned())),
        mode if mode.starts_with("forge-") => forgery::commit(mode, scene),
        mode => import(mode, text, amount, scene.message),
    }
}

fn import(mode: &str, text: &str, amount: u64, message: Option<&Message>) -> String {
    match mode {
        "log" => repeat(amount, |_| log::write(log::Level::Error, text, &[])),
        "log-long" => {
            let long = text.repeat(amount as usize);
            log::write(log::Level::Error, &long, &[(long.clone(), long.clone())]);
            String::new()
        }
        "metric-names" => repeat(amount, |n| metrics::count(&format!("m{n}"), &[], 1)),
        "metric-labels" => repeat(amount, |n| {
            metrics::count("m", &[("l".to_owned(), format!("v{n}"))], 1)
        }),
        "metric-text" => repeat(1, |_| {
            metrics::count(text, &[(text.to_owned(), text.to_owned())], 1);
            metrics::gauge(text, &[], f64::NAN);
        }),
        "kv-flood" => first_error(amount, |n| kv::put(&format!("k{n}"), &[0; 1024], 0)),
        "kv-huge-value" => said(kv::put("k", &vec![0; amount as usize], 0)),
        "kv-huge-key" => said(kv::put(&"k".repeat(amount as usize), b"v", 0)),
        "kv-put" => said(kv::put(text, b"mine", 0)),
        "kv-get" => said(kv::get(text)),
        "kv-not-a-number" => said(kv::put("n", b"abc", 0).and_then(|()| kv::increment("n", 1, 0))),
        "kv-overflow" => {
            said(kv::increment("o", i64::MAX, 0).and_then(|_| kv::increment("o", 1, 0)))
        }
        "random" => random::bytes(amount as u32).len().to_string(),
        "host-calls" => repeat(amount, |_| {
            clock::now_ms();
        }),
        "secret" => said(secrets::get(text)),
        "place" => said(geo::lookup(text)),
        "http" => said(http_call::send(&http_call::Request {
            method: "GET".to_owned(),
            url: text.to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
            timeout_ms: u32::MAX,
        })),
        "cache-plan" => said(cache::set_plan(&cache::Plan {
            key: vec![b'k'; amount as usize],
            kind: cache::Kind::ChatCompletion,
            ttl_ms: u64::MAX,
            look_up: true,
            max_age_ms: Some(amount),
            store: false,
            stream_usage: true,
        })),
        "shadow" => said(shadow::send_to(&Destination {
            model: (amount > 0).then(|| "m".repeat(amount as usize)),
            upstream: (!text.is_empty()).then(|| text.to_owned()),
        })),
        "score" => {
            let candidates = endpoints::candidates();
            let scores: Vec<f64> = match text {
                "none" => Vec::new(),
                "no-number" => candidates.iter().map(|_| f64::NAN).collect(),
                "too-many" => vec![1.0; candidates.len() + 1],
                "flood" => vec![1.0; amount as usize],
                _ => (0..candidates.len()).map(|nth| nth as f64).collect(),
            };
            format!("{candidates:?} {:?}", endpoints::set_scores(&scores))
        }
        "settle-twice" => match limits::reserve("b", 1, limit(10)) {
            Ok(held) => format!("{} {}", held.settle(1), held.settle(1)),
            Err(error) => format!("{error:?}"),
        },
        "reserve-flood" => first_error(amount, |n| {
            limits::reserve(&format!("b{n}"), 1, limit(10)).map(std::mem::forget)
        }),
        "hold-tokens" => hold_tokens(text, amount, 4),
        "hold-tokens-of-nothing" => hold_tokens(text, amount, 0),
        "hold-tokens-labels" => {
            let counter = limits::Counter {
                name: "held".to_owned(),
                labels: vec![(String::new(), String::new()); amount as usize],
            };
            let tokens = limits::Tokens {
                bytes_per_token: 1,
                output: 0,
            };
            said(limits::hold_tokens(
                text,
                limit(1000),
                tokens,
                Some(&counter),
            ))
        }
        "hold-tokens-flood" => first_error(amount, |_| {
            let tokens = limits::Tokens {
                bytes_per_token: 1,
                output: 0,
            };
            limits::hold_tokens(text, limit(1000), tokens, None)
        }),
        "limit-of-nothing" => said(limits::take("b", 1, limit(0))),
        "json-many" => {
            let pointers = vec![text.to_owned(); amount as usize];
            message
                .map(|m| m.json_many(&pointers).len())
                .unwrap_or(0)
                .to_string()
        }
        "headers-many" => {
            let names = vec![text.to_owned(); amount as usize];
            message
                .map(|m| m.headers(&names).len())
                .unwrap_or(0)
                .to_string()
        }
        "read-all" => message
            .map(|m| {
                let names = |names: [&str; 2]| names.map(str::to_owned);
                said((
                    m.header("x-a"),
                    m.headers(&names(["x-b", "x-c"])),
                    m.json("/a"),
                    m.json_many(&names(["/b", "/c"])),
                    m.fact("f"),
                ))
            })
            .unwrap_or_default(),
        "body-past-end" => message
            .map(|m| m.body(u64::MAX, u32::MAX).len())
            .unwrap_or(0)
            .to_string(),
        _ => String::new(),
    }
}

fn hold_tokens(bucket: &str, amount: u64, bytes_per_token: u64) -> String {
    let limit = limits::Limit {
        algorithm: limits::Algorithm::SlidingWindow,
        period_ms: 3_600_000,
        ..limit(amount)
    };
    let tokens = limits::Tokens {
        bytes_per_token,
        output: 7,
    };
    let counter = limits::Counter {
        name: "held".to_owned(),
        labels: vec![("of".to_owned(), bucket.to_owned())],
    };
    said(limits::hold_tokens(bucket, limit, tokens, Some(&counter)))
}

fn limit(amount: u64) -> limits::Limit {
    limits::Limit {
        algorithm: limits::Algorithm::TokenBucket,
        amount,
        period_ms: 1000,
    }
}

fn said(what: impl Debug) -> String {
    format!("{what:?}")
}

fn repeat(times: u64, act: impl Fn(u64)) -> String {
    (0..times).for_each(act);
    String::new()
}

fn first_error<E: Debug>(times: u64, act: impl Fn(u64) -> Result<(), E>) -> String {
    (0..times)
        .find_map(|n| act(n).err().map(|error| format!("{n}: {error:?}")))
        .unwrap_or_default()
}

#[expect(
    unconditional_recursion,
    reason = "it is what the stack's bound is tried with"
)]
fn dive(depth: u64) -> u64 {
    dive(black_box(depth + 1)).wrapping_mul(black_box(3)) + depth
}

static DEEPER: [fn(u64) -> u64; 2] = [even, odd];

fn even(depth: u64) -> u64 {
    DEEPER[black_box(1)](depth + 1).wrapping_mul(black_box(3)) + depth
}

fn odd(depth: u64) -> u64 {
    DEEPER[black_box(0)](depth + 1).wrapping_mul(black_box(5)) + depth
}
