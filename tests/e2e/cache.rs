//! `cache` on real traffic: what is kept and given again, for whom, and what never is.

#[path = "cache/forms.rs"]
mod forms;
#[path = "cache/sharing.rs"]
mod sharing;
#[path = "cache/streams.rs"]
mod streams;

use serde_json::json;

use crate::{
    client::{Answer, Ask},
    fixture::{Site, chat_through, either_way},
    standard_plugins::{ADA, BOB, callers},
};

/// The policy `answers`, in the format of the configuration.
fn policy(isolation: &str, settings: &str) -> String {
    format!(
        "\n  answers: {{ plugin: cache, on_error: refuse, isolation: {isolation}, grants: {{ cache: true }}, settings: {{ ttl: 10m, {settings} }} }}"
    )
}

/// Chats through it alone, shared by everybody.
fn kept() -> String {
    chat_through("answers", &policy("exchange", "by: []"))
}

/// A chat that comes out the same again.
fn chat(site: &Site) -> Ask {
    site.chat().set("temperature", 0)
}

fn cached(answer: &Answer) -> Option<&str> {
    answer.header("x-cache")
}

async fn ask(ask: &Ask, expected: &str) -> Answer {
    let answer = ask.send().await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(cached(&answer), Some(expected), "{}", answer.text());
    answer
}

#[test]
fn an_answer_is_given_again_without_the_upstream() {
    either_way(async |isolation| {
        let site = Site::start(&chat_through("answers", &policy(isolation, "by: []"))).await;
        let first = ask(&chat(&site), "miss").await;
        assert_eq!(first.header("age"), None);
        let upstreams = "header=set-cookie:a=1,header=x-ratelimit-limit-requests:7";
        let again = ask(&chat(&site).behaving(upstreams), "hit").await;
        assert_eq!(again.body, first.body);
        assert_eq!(again.header("content-type"), first.header("content-type"));
        assert_eq!(again.header("age"), Some("0"));
        assert_ne!(again.header("x-request-id"), first.header("x-request-id"));
        // Another order, other spaces, and what does not matter.
        let spelt = r#"{ "messages" : [{"content":"Name three\u0020rivers.","role":"user"}], "user":"u", "temperature":0.0, "model":"small"}"#;
        let spelt = site.ask("POST", "/v1/chat/completions").body(spelt);
        ask(&spelt.header("content-type", "application/json"), "hit").await;
        ask(&chat(&site).set("max_tokens", 5), "miss").await;
        assert_eq!(site.standin.seen().requests, 2, "{isolation}");

        let log = site.exchanges(4).await;
        let of = |cached: &str| log.iter().find(|line| line["cache"] == cached).unwrap();
        let (miss, hit) = (of("miss"), of("hit"));
        assert_eq!(
            (&miss["upstream"], &miss["attempts"]),
            (&json!("standin"), &json!(1))
        );
        assert!(miss["output_tokens"].as_u64().unwrap() > 0);
        assert_eq!(
            (&hit["upstream"], &hit["attempts"]),
            (&json!(null), &json!(0))
        );
        assert_eq!(hit["output_tokens"], 0, "nothing was used");
        let count =
            |cached| format!(r#"tollgate_cache_exchanges_total{{route="chat",cache="{cached}"}}"#);
        site.metric_becomes(&count("hit"), 2.0).await;
        site.metric_becomes(&count("miss"), 2.0).await;
        site.metric_becomes("tollgate_cache_stored_total", 2.0)
            .await;
        site.metric_becomes("tollgate_cache_answers", 2.0).await;
        assert!(site.metric("tollgate_cache_bytes").await > 500.0);
    });
}

#[tokio::test]
async fn nobody_is_given_anothers_answer_unless_the_settings_say_so() {
    let through = |settings: &str| {
        let policies = format!("{}{}", callers(), policy("exchange", settings));
        chat_through("callers, answers", &policies)
    };
    let site = Site::start(&through("by: [ caller ]")).await;
    let by = |key: &str| chat(&site).header("authorization", key);
    ask(&by(ADA), "miss").await;
    ask(&by(BOB), "miss").await;
    ask(&by(ADA), "hit").await;
    site.reconfigure(&through("by: []")).await;
    ask(&by(ADA), "miss").await;
    ask(&by(BOB), "hit").await;
    // Nobody knows whose it would be.
    site.reconfigure(&chat_through(
        "answers",
        &policy("exchange", "by: [ caller ]"),
    ))
    .await;
    for _ in 0..2 {
        assert_eq!(cached(&chat(&site).send().await), None);
    }
}

#[tokio::test]
async fn clients_and_settings_say_what_is_not_cached() {
    let site = Site::start(&kept()).await;
    let asks = |control: &str| chat(&site).header("cache-control", control);
    assert_eq!(cached(&asks("no-store").send().await), None);
    ask(&chat(&site), "miss").await;
    let fresh = ask(&asks("no-cache").behaving("usage=7/9"), "miss").await;
    assert_eq!(fresh.json()["usage"]["completion_tokens"], 9);
    let again = ask(&asks("max-age=60"), "hit").await;
    assert_eq!(again.body, fresh.body, "the newer one took its place");
    ask(&asks("max-age=0"), "miss").await;
    assert_eq!(cached(&asks("no-store").send().await), None);
    for range in ["range", "if-none-match"] {
        assert_eq!(cached(&chat(&site).header(range, "x").send().await), None);
    }
    let twice = r#"{"model":"small","temperature":0,"messages":[],"messages":[{"role":"user","content":"x"}]}"#;
    let twice = site.ask("POST", "/v1/chat/completions").body(twice);
    let twice = twice.header("content-type", "application/json");
    for _ in 0..2 {
        assert_eq!(cached(&twice.send().await), None, "it says two things");
        assert_eq!(cached(&site.chat().send().await), None, "it is drawn");
    }
}

#[tokio::test]
async fn an_answer_has_its_time() {
    let site = Site::start(&kept().replace("ttl: 10m", "ttl: 1ms")).await;
    ask(&chat(&site), "miss").await;
    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    ask(&chat(&site), "miss").await;
    site.metric_becomes("tollgate_cache_stored_total", 2.0)
        .await;
}

#[tokio::test]
async fn errors_and_what_is_not_whole_are_never_kept() {
    let site = Site::start(&kept()).await;
    let mut asked = 0;
    for behaviour in [
        "fail=500",
        "fail=400",
        "status=201",
        "status=429",
        "malformed-json",
        "cut-headers",
        "header=vary:*",
    ] {
        for _ in 0..2 {
            let answer = chat(&site).behaving(behaviour).send().await;
            assert!(
                cached(&answer).is_none_or(|cached| cached == "miss"),
                "{behaviour}"
            );
            asked += 1;
        }
        assert_eq!(site.standin.seen().requests, asked, "{behaviour}");
    }
    assert_eq!(site.metric("tollgate_cache_stored_total").await, 0.0);
    // One that ends too early, while it passes.
    let mut broken = chat(&site)
        .behaving("big=200000,cut-after=1000")
        .stream()
        .await;
    assert_eq!(broken.next().await, None);
    ask(&chat(&site), "miss").await;
    ask(&chat(&site), "hit").await;
}

#[tokio::test]
async fn an_answer_longer_than_is_kept_passes_whole() {
    let site = Site::start(&format!("{}limits: {{ answer: 4KiB }}\n", kept())).await;
    for streaming in [false, true, false, true] {
        let ask = chat(&site).set("stream", streaming).behaving("big=300000");
        if streaming {
            let stream = ask.stream().await;
            assert_eq!(stream.header("x-cache"), Some("miss"));
            let all = stream.collect().await;
            assert!(all.is_complete() && all.text().len() > 300_000);
        } else {
            let answer = self::ask(&ask, "miss").await;
            assert!(
                answer.json()["choices"][0]["message"]["content"]
                    .to_string()
                    .len()
                    > 300_000
            );
        }
    }
    assert_eq!(site.metric("tollgate_cache_stored_total").await, 0.0);
}

/// A rule of `model-rules` that sets this header of requests.
fn rule(header: &str) -> String {
    format!(
        "\n  rules: {{ plugin: model-rules, on_error: refuse, settings: {{ rules: [ {{ models: [ \"*\" ], request: {{ headers: {{ set: {{ x-rule: {header} }} }} }} }} ] }} }}"
    )
}

#[tokio::test]
async fn after_a_swap_that_may_change_it_yesterdays_answer_is_not_given() {
    let with = |header: &str, order: &str| {
        chat_through(
            order,
            &format!("{}{}", policy("exchange", "by: []"), rule(header)),
        )
    };
    for order in ["rules, answers", "answers, rules"] {
        let site = Site::start(&with("a", order)).await;
        ask(&chat(&site), "miss").await;
        ask(&chat(&site), "hit").await;
        site.reconfigure(&with("b", order)).await;
        ask(&chat(&site), "miss").await;
        ask(&chat(&site), "hit").await;
        // Another target, or another name for the model there.
        let moved = with("b", order).replace(
            "upstream: standin } ]",
            "upstream: standin, model: other } ]",
        );
        site.reconfigure(&moved).await;
        let answer = ask(&chat(&site), "miss").await;
        assert!(answer.text().contains("other"), "{}", answer.text());
        // What it was before is what it was before.
        site.reconfigure(&with("a", order)).await;
        ask(&chat(&site), "hit").await;
    }
}

#[tokio::test]
async fn after_a_secret_changed_the_answers_of_the_old_one_are_not_given() {
    let config = kept().replace(
        "endpoints: [ \"http://UPSTREAM\" ]",
        "endpoints: [ \"http://UPSTREAM\" ], headers: { x-key: \"${secret:upstream-key}\" }",
    ) + "secrets: { upstream-key: { file: canary.txt } }\n";
    let site = Site::start(&config).await;
    ask(&chat(&site), "miss").await;
    ask(&chat(&site), "hit").await;
    let before = site.gateway.generation();
    std::fs::write(site.folder.path().join("canary.txt"), "another").unwrap();
    site.after_generation(before).await;
    ask(&chat(&site), "miss").await;
}

#[tokio::test]
async fn a_swap_that_cannot_change_it_keeps_what_is_there() {
    let site = Site::start(&kept()).await;
    ask(&chat(&site), "miss").await;
    site.reconfigure(&format!("{}timeouts: {{ idle: 59s }}\n", kept()))
        .await;
    ask(&chat(&site), "hit").await;
    let least = format!("{}limits: {{ answers: 64KiB }}\n", kept());
    site.reconfigure(&least).await;
    assert!(site.metric("tollgate_cache_bytes").await <= 65536.0);
}

const ONE_AN_HOUR: &str = "\n  limits: { plugin: rate-limit, on_error: refuse, grants: { limits: true }, settings: { limits: [ { name: one, by: [], requests: 1, period: 1h } ] } }";

#[tokio::test]
async fn policies_behind_are_spared_a_hit_and_those_before_are_not() {
    let through = |order: &str| {
        let policies = format!("{}{ONE_AN_HOUR}", policy("exchange", "by: []"));
        chat_through(order, &policies)
    };
    let site = Site::start(&through("answers, limits")).await;
    for expected in ["miss", "hit", "hit"] {
        ask(&chat(&site), expected).await;
    }
    let refused = chat(&site).set("max_tokens", 5);
    for _ in 0..2 {
        let answer = refused.send().await;
        assert_eq!(answer.refusal(), (429, "rate_limit_exceeded".to_owned()));
    }
    assert_eq!(site.standin.seen().requests, 1);
    let log = site.exchanges(5).await;
    let line = log.iter().find(|line| line["status"] == 429).unwrap();
    assert_eq!(line["facts"]["limited_by"], "one", "{line}");
    assert_eq!(line["policies"][1]["policy"], "limits", "{line}");

    let site = Site::start(&through("limits, answers")).await;
    ask(&chat(&site), "miss").await;
    assert_eq!(chat(&site).send().await.status, 429);
}
