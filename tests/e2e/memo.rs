//! Decisions that are remembered, on real traffic.

use std::collections::HashSet;

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::{
    client::Ask,
    fixture::{Site, chat_through, either_way},
    standard_plugins::{ADA, BOB, callers},
};

/// Who calls is known by a key, temperatures are held down, and a policy behind both shows the
/// upstream who it was.
fn config(isolation: &str) -> String {
    let callers = callers().replace(
        "    settings",
        &format!("    isolation: {isolation}\n    settings"),
    );
    let behind = format!(
        r#"
  rules:
    plugin: model-rules
    on_error: refuse
    isolation: {isolation}
    settings: {{ rules: [ {{ models: [ "*" ], request: {{ clamp: {{ /temperature: {{ max: 1 }} }} }} }} ] }}
  probe: {{ PROBE, on_error: refuse, settings: {{ seen: {{ x-caller: caller, x-tier: tier }} }} }}"#
    );
    chat_through("callers, rules, probe", &(callers + &behind))
}

async fn remembered(site: &Site, policy: &str) -> f64 {
    let name = format!("tollgate_policy_remembered_total{{policy=\"{policy}\"}}");
    site.metric(&name).await
}

#[test]
fn remembered_or_not_each_request_gets_what_is_its_own() {
    either_way(async |isolation| {
        let site = Site::start(&config(isolation)).await;
        for n in 0..40 {
            let (key, caller, tier) = match n % 2 {
                0 => (ADA, "ada", "team"),
                _ => (BOB, "bob", "trial"),
            };
            let (asked, sent) = match n % 4 {
                0 | 1 => (json!(0.5), json!(0.5)),
                _ => (json!(2.5), json!(1)),
            };
            let ask = site
                .chat()
                .header("authorization", key)
                .set("temperature", asked)
                .set("user", format!("somebody-{n}"));
            assert_eq!(ask.send().await.status, 200);
            let seen = site.standin.seen();
            let request = seen.newest().unwrap();
            let facts = (request.header("x-caller"), request.header("x-tier"));
            assert_eq!(facts, (Some(caller), Some(tier)), "{n} {isolation}");
            assert_eq!(request.json()["temperature"], sent, "{n} {isolation}");
            assert_eq!(request.json()["user"], format!("somebody-{n}"));
            let stranger = site.chat().header("authorization", "Bearer nobody");
            assert_eq!(stranger.send().await.error_code(), "invalid_api_key");
        }
        assert_eq!(remembered(&site, "callers").await, 38.0, "{isolation}");
        assert_eq!(remembered(&site, "rules").await, 36.0, "{isolation}");
        assert_eq!(remembered(&site, "probe").await, 0.0, "{isolation}");
    });
}

#[tokio::test]
async fn a_policy_that_is_replaced_forgets() {
    let site = Site::start(&config("exchange")).await;
    let by = |key: &str| site.chat().header("authorization", key);
    for _ in 0..3 {
        assert_eq!(by(BOB).send().await.status, 200);
        assert_eq!(by(ADA).send().await.status, 200);
    }
    assert_eq!(remembered(&site, "callers").await, 4.0);
    let without_bob = config("exchange").replace("caller: bob", "caller: ben");
    site.reconfigure(&without_bob).await;
    for _ in 0..3 {
        assert_eq!(by(BOB).send().await.status, 200);
        let seen = site.standin.seen();
        assert_eq!(seen.newest().unwrap().header("x-caller"), Some("ben"));
    }
}

#[tokio::test]
async fn the_access_log_tells_the_same_of_a_policy_that_is_remembered() {
    let site = Site::start(&config("exchange")).await;
    for _ in 0..3 {
        let asked = site.chat().header("authorization", ADA).send().await;
        assert_eq!(asked.status, 200);
    }
    let lines = site.exchanges(3).await;
    let of_both = |line: &Value| [line["policies"][0].clone(), line["policies"][1].clone()];
    assert_eq!(of_both(&lines[1]), of_both(&lines[2]), "written once");
    let first = |line: &Value| line["policies"][0].clone();
    let (mut asked, mut remembered) = (first(&lines[0]), first(&lines[1]));
    assert_eq!(remembered["remembered"], true);
    assert!(remembered["us"].is_number() && asked["host_calls"].is_number());
    for (line, only) in [(&mut asked, "host_calls"), (&mut remembered, "remembered")] {
        let fields = line.as_object_mut().unwrap();
        fields.remove(only);
        fields.remove("us");
    }
    assert_eq!(asked, remembered);
    assert_eq!(lines[0]["facts"], lines[1]["facts"]);
}

#[tokio::test]
async fn where_no_decisions_are_to_be_kept_each_request_is_asked_about() {
    let text = format!(
        "sandbox: {{ remembered_decisions: 0 }}\n{}",
        config("exchange")
    );
    let site = Site::start(&text).await;
    for _ in 0..3 {
        let asked = site.chat().header("authorization", ADA).send().await;
        assert_eq!(asked.status, 200);
    }
    assert_eq!(remembered(&site, "callers").await, 0.0);
}

/// What the SDK says that a session saw is what the gateway takes it for.
#[tokio::test]
async fn who_asks_for_the_bodys_length_or_the_time_that_is_left_is_told_each_time() {
    for (deed, of_length, of_time) in [
        ("tell-body-bytes", true, false),
        ("tell-deadline", false, true),
    ] {
        let policy = format!(
            "\n  told: {{ plugin: measured, on_error: refuse, settings: {{ deed: {deed} }} }}"
        );
        let site = Site::start(&chat_through("told", &policy)).await;
        let mut told = HashSet::new();
        for n in 1..=4 {
            let ask = site
                .chat()
                .header("x-request-timeout-ms", (n * 100_000).to_string());
            let ask = ask.set("user", "x".repeat(n));
            assert_eq!(ask.send().await.status, 200);
            let seen = site.standin.seen();
            let value = seen.newest().unwrap().header("x-measured").unwrap();
            let value: usize = value.parse().unwrap();
            told.insert(if of_time { value / 50_000 } else { value });
        }
        assert_eq!(told.len(), 4, "{deed}: {told:?}");
        // And each is looked at apart: what nobody asked for may be another.
        let before = remembered(&site, "told").await;
        let ask = site
            .chat()
            .header("x-request-timeout-ms", "77777")
            .set("user", "x");
        assert_eq!(ask.send().await.status, 200);
        let was_remembered = remembered(&site, "told").await > before;
        assert_eq!(was_remembered, of_length, "{deed}");
    }
}

/// Callers that are known, and a budget behind them.
fn budget(isolation: &str, tokens: u64) -> String {
    budget_and("", "", (isolation, tokens))
}

/// With more policies behind it.
fn budget_and(order: &str, more: &str, (isolation, tokens): (&str, u64)) -> String {
    let budget = format!(
        r#"
  budget:
    plugin: token-budget
    on_error: refuse
    isolation: {isolation}
    grants: {{ limits: true }}
    settings: {{ tiers: {{ team: {{ tokens: {tokens}, period: 1h }} }}, bytes_per_token: 1000000 }}"#
    );
    chat_through(
        &format!("callers, budget{order}"),
        &(callers() + &budget + more),
    )
}

#[test]
fn a_budget_is_held_and_charged_each_time_though_its_policy_is_not_asked() {
    either_way(async |isolation| {
        let site = Site::start(&budget(isolation, 200)).await;
        let ask = |n: usize| {
            let ask = site.chat().header("authorization", ADA);
            ask.set("max_tokens", 60).set("user", "x".repeat(n))
        };
        // 61 are held of each, and what failed upstream costs nothing.
        for n in 1..=5 {
            let usage = format!("usage={n}/{n}");
            assert_eq!(ask(n).behaving(&usage).send().await.status, 200);
            assert_eq!(ask(n).behaving("fail=503").send().await.status, 503);
            site.metric_becomes("tollgate_exchanges_open", 0.0).await;
        }
        // The first shows that nothing else is asked, and of the second it is known.
        assert_eq!(remembered(&site, "budget").await, 8.0, "{isolation}");
        let rows = site.look("/metrics/tokens").await.json();
        let row = json!({ "policy": "budget", "labels": { "tier": "team" }, "value": 30 });
        assert_eq!(rows["rows"], json!([row]));
        // Of 170 two can be held, and not three.
        let slow = || ask(7).behaving("stall-before=1s,usage=50/50");
        let asks = [slow(), slow(), slow()];
        let answers = join_all(asks.iter().map(Ask::send)).await;
        let mut answers: Vec<_> = answers.iter().map(|answer| answer.status).collect();
        answers.sort_unstable();
        assert_eq!(answers, [200, 200, 429]);
        site.metric_becomes("tollgate_exchanges_open", 0.0).await;
        // By then it is overdrawn, and the policy says so itself.
        let before = remembered(&site, "budget").await;
        let spent = ask(9).send().await;
        assert_eq!(spent.refusal(), (429, "token_budget_exceeded".to_owned()));
        let message = spent.json()["error"]["message"].to_string();
        assert!(message.contains("has 0 left"), "{message}");
        assert_eq!(remembered(&site, "budget").await, before);
    });
}

#[tokio::test]
async fn what_a_client_that_left_had_held_is_given_back() {
    let site = Site::start(&budget("exchange", 200)).await;
    let ask = || {
        let ask = site.chat().header("authorization", ADA);
        ask.set("max_tokens", 150)
    };
    for n in 1..=6 {
        let waiting = ask().behaving("stall-before").begin();
        site.seen("the request arrives", |seen| seen.requests == n)
            .await;
        // Nobody has answered by then: it pays for the prompt alone, a token.
        drop(waiting);
        site.metric_becomes("tollgate_exchanges_open", 0.0).await;
    }
    assert!(remembered(&site, "budget").await >= 4.0);
    // Asked or remembered, the log tells who it was.
    for line in site.exchanges(6).await {
        assert_eq!(line["ending"], "client_gone", "{line}");
        assert_eq!(line["status"], 0, "{line}");
        assert_eq!(line["facts"]["caller"], "ada", "{line}");
        assert_eq!(line["policies"][1]["decided"], "next", "{line}");
    }
    assert_eq!(ask().send().await.status, 200);
}

#[tokio::test]
async fn who_left_while_it_waited_for_its_turn_is_charged_nothing_asked_or_remembered() {
    let endpoints = r#"endpoints: [ "http://UPSTREAM" ]"#;
    let one = format!("{endpoints}, concurrency: {{ total: 1, queue: {{ timeout: 10m }} }}");
    let text = budget("exchange", 100_000).replace(endpoints, &one);
    let site = Site::start(&text.replace("bytes_per_token: 1000000", "bytes_per_token: 1")).await;
    let ask = |n: usize| {
        let ask = site.chat().header("authorization", ADA);
        ask.set("max_tokens", 10).set("user", "x".repeat(n))
    };
    for n in 1..=3 {
        assert_eq!(ask(n).behaving("usage=1/1").send().await.status, 200);
    }
    site.metric_becomes("tollgate_exchanges_open", 0.0).await;
    let before = remembered(&site, "budget").await;
    assert!(before >= 1.0);
    let busy = ask(1).behaving("stall-before").begin();
    site.seen("it arrives", |seen| seen.requests == 4).await;
    let waiting = ask(5000).begin();
    site.metric_becomes(r#"tollgate_gate_waiting{upstream="standin"}"#, 1.0)
        .await;
    drop(waiting);
    site.metric_becomes("tollgate_exchanges_open", 1.0).await;
    assert_eq!(remembered(&site, "budget").await, before + 2.0);
    let line = site.exchanges(4).await.pop().unwrap();
    assert_eq!(
        (&line["ending"], &line["attempts"]),
        (&json!("client_gone"), &json!(0)),
        "{line}"
    );
    let rows = site.look("/metrics/tokens").await.json();
    assert_eq!(rows["rows"][0]["value"], 6, "of three that were answered");
    drop(busy);
}

/// The route leads to no policy but its own; the model does to which its policy sends requests.
#[tokio::test]
async fn a_policy_of_the_target_ends_with_a_client_that_left_though_the_routes_were_remembered() {
    let config = r#"
policies:
  router: { plugin: model-router, on_error: refuse, settings: { rules: [ { name: on, then: { model: large } } ] } }
  last: { PROBE, on_error: refuse, settings: { attempt: { set_json: { /adapted: true } } } }
upstreams: { standin: { endpoints: [ "http://UPSTREAM" ] } }
models: { large: { targets: [ { upstream: standin, policies: [ last ] } ] } }
routes: [ { name: chat, match: { path: "/*" }, policies: [ router ], upstream: standin } ]
"#;
    let site = Site::start(config).await;
    for n in 1..=4 {
        let waiting = site.chat().behaving("stall-before").begin();
        site.seen("the request arrives", |seen| seen.requests == n)
            .await;
        let seen = site.standin.seen();
        assert_eq!(seen.newest().unwrap().json()["adapted"], true);
        drop(waiting);
        site.metric_becomes("tollgate_exchanges_open", 0.0).await;
    }
    assert!(remembered(&site, "router").await >= 2.0);
    let gone = r#"tollgate_plugin_finishes{policy="last",ending="Ending::ClientGone",status="0"}"#;
    site.metric_becomes(gone, 4.0).await;
}

/// A policy behind the budget asks for it; an upstream could send one, too, as it likes.
#[test]
fn a_stream_that_nobody_asked_for_is_counted_and_cut_by_a_policy_that_had_left() {
    either_way(async |isolation| {
        let rules = r#"
  rules: { plugin: model-rules, on_error: refuse, settings: { rules: [ { models: [ "*" ], request: { set: { /stream: true } } } ] } }"#;
        let text = budget_and(", rules", rules, (isolation, 100));
        for n in 1..=4 {
            let site = Site::start(&text).await;
            let ask = || {
                let ask = site.chat().header("authorization", ADA);
                ask.set("max_tokens", 9)
            };
            let behave = "pace=1ms,usage=none,tokens";
            // The first shows that it leaves, the second is kept, and later ones are remembered.
            for _ in 1..n {
                let few = ask().behaving(&format!("{behave}=1")).stream().await;
                assert!(few.collect().await.is_complete());
                site.metric_becomes("tollgate_exchanges_open", 0.0).await;
            }
            let many = ask().behaving(&format!("{behave}=500")).stream().await;
            let many = many.collect().await;
            let words = many.text().split_whitespace().count();
            assert!((40..100).contains(&words), "{n}: {words} words");
            site.metric_becomes("tollgate_exchanges_open", 0.0).await;
            assert_eq!(site.exchanges(n).await[n - 1]["ending"], "cut");
            let next = ask().send().await;
            assert_eq!(next.refusal(), (429, "token_budget_exceeded".to_owned()));
            let kept = n.saturating_sub(2) as f64;
            assert_eq!(remembered(&site, "budget").await, kept, "{isolation}");
        }
    });
}

#[tokio::test]
async fn a_stream_is_counted_by_its_policy_as_it_passes() {
    let site = Site::start(&budget("exchange", 100_000)).await;
    for n in 0..6 {
        let ask = site.chat().header("authorization", ADA);
        match n % 2 {
            0 => assert_eq!(ask.send().await.status, 200),
            _ => {
                let stream = ask.set("stream", true).stream().await;
                assert!(stream.collect().await.is_complete());
            }
        }
    }
    site.metric_becomes("tollgate_exchanges_open", 0.0).await;
    let hooks = r#"policy="budget",hook="finish""#;
    let finished = format!("tollgate_policy_calls_total{{{hooks}}}");
    assert_eq!(site.metric(&finished).await, 3.0);
    assert_eq!(remembered(&site, "budget").await, 1.0);
}

#[tokio::test]
async fn no_request_of_one_client_has_a_budget_asked_for_those_of_others() {
    let site = Site::start(&budget("exchange", 100_000)).await;
    let by_ada = |ask: Ask| ask.header("authorization", ADA);
    let odd = by_ada(site.ask("GET", "/v1/chat/completions"));
    odd.json(json!({ "model": "small" })).send().await;
    for n in 0..20 {
        let ask = by_ada(site.chat()).set("user", "x".repeat(n));
        assert_eq!(ask.clone().send().await.status, 200);
        // Most ask for streams, which are never remembered.
        for _ in 0..5 {
            let stream = ask.clone().set("stream", true).behaving("tokens=1");
            assert!(stream.stream().await.collect().await.is_complete());
        }
    }
    assert!(remembered(&site, "budget").await >= 17.0);
}
