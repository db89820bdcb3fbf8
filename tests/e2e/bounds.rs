//! What a client could make long, and every policy would be handed.

use serde_json::json;

use crate::{
    client::Ask,
    fixture::{Site, chat_through, either_way, probing},
    framing::TIGHT,
};

#[test]
fn a_name_as_long_as_a_body_reaches_no_policy_and_quarantines_none() {
    either_way(async |isolation| {
        let policies = format!(
            r#"
  probe: {{ PROBE, on_error: refuse, isolation: {isolation}, limits: {{ memory: 2MiB }} }}
  guard: {{ plugin: schema-guard, on_error: refuse, isolation: {isolation}, settings: {{ other_models: allow, rules: [ {{ models: [ other ] }} ] }} }}"#
        );
        // For the route alone the model is read, and then all of the body.
        let site = Site::start(&chat_through("probe", &policies)).await;
        for order in ["probe", "probe, guard"] {
            site.write_config(&chat_through(order, &policies));
            site.gateway.reload().await.unwrap();
            let named = |bytes| site.chat().set("model", "m".repeat(bytes));
            for _ in 0..40 {
                for bytes in [1025, 3 << 20] {
                    let answer = named(bytes).send().await;
                    assert_eq!(answer.refusal(), (400, "model_name_too_long".to_owned()));
                    assert!(answer.body.len() < 500, "{} bytes", answer.body.len());
                }
            }
            site.metric_becomes("tollgate_policy_errors_total", 0.0)
                .await;
            site.metric_becomes("tollgate_policy_quarantined", 0.0)
                .await;
            let longest = named(1024).send().await;
            assert_eq!(longest.refusal(), (404, "model_not_found".to_owned()));
            assert_eq!(site.chat().send().await.status, 200, "{order}");
        }
        assert_eq!(site.standin.seen().requests, 2);
    });
}

#[tokio::test]
async fn a_long_method_or_query_is_as_bad_as_a_long_header() {
    let site = Site::start(&format!("{}{TIGHT}", probing(""))).await;
    let query = format!("/v1/chat/completions?{}", "q".repeat(9000));
    let method = "M".repeat(9000);
    for (method, path) in [("POST", &*query), (&method, "/v1/models")] {
        let answer = site.ask(method, path).send().await;
        assert_eq!(answer.refusal(), (431, "headers_too_large".to_owned()));
    }
    assert_eq!(site.standin.seen().requests, 0);
}

const HELD: &str = "tollgate_request_bodies_bytes";

/// Of about so many bytes.
fn long(site: &Site, bytes: usize) -> Ask {
    site.chat().set("user", "u".repeat(bytes))
}

/// With a second target in line, so that a body is kept until there is an answer.
fn in_line(config: &str, bounds: &str) -> String {
    let target = "targets: [ { upstream: standin } ]";
    let line = "fallback: [ { upstream: standin, model: spare } ]";
    let written = config.replace(target, &format!("{target}, {line}"));
    assert_ne!(written, config);
    format!("{written}limits: {{ {bounds} }}\n")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_that_are_held_have_room_for_so_many_bytes_together() {
    let bounds = "request_body: 100KiB, request_bodies: 90KiB";
    let site = Site::start(&in_line(&probing(""), bounds)).await;
    assert_eq!(long(&site, 50_000).send().await.status, 200);
    site.metric_becomes(HELD, 0.0).await;

    let held = long(&site, 50_000).behaving("stall-before").begin();
    site.seen("one that stays", |seen| seen.requests == 2).await;
    assert!(site.metric(HELD).await > 50_000.0);
    let refused = long(&site, 50_000).send().await;
    assert_eq!(refused.refusal(), (503, "overloaded".to_owned()));
    assert_eq!(refused.header("retry-after"), Some("1"));
    let refusals = "tollgate_request_bodies_refused_total";
    assert_eq!(site.metric(refusals).await, 1.0);
    // What passes by is not held, and what is short has room.
    let passing = site.ask("POST", "/v1/completions");
    let passing = passing.json(json!({ "model": "small", "prompt": "p".repeat(50_000) }));
    assert_eq!(passing.send().await.status, 200);
    assert_eq!(site.chat().send().await.status, 200);

    drop(held);
    site.metric_becomes(HELD, 0.0).await;
    assert_eq!(long(&site, 50_000).send().await.status, 200);
    // It would find no room if it were alone.
    let never = long(&site, 95_000).send().await;
    assert_eq!(never.refusal(), (413, "request_too_large".to_owned()));
    site.metric_becomes(HELD, 0.0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_finds_no_room_is_told_so_in_the_clients_words() {
    let config = probing("").replace("path: /v1/chat/completions", "path: /v1/*");
    let site = Site::start(&in_line(&config, "request_bodies: 90KiB")).await;
    let held = long(&site, 50_000).behaving("stall-before").begin();
    site.seen("one that stays", |seen| seen.requests == 1).await;
    let said = "u".repeat(50_000);
    let message = site.ask("POST", "/v1/messages").json(json!({
        "model": "small", "messages": [ { "role": "user", "content": said } ]
    }));
    let refused = message.send().await;
    let pause = refused.header("retry-after");
    assert_eq!((refused.status, pause), (503, Some("1")));
    assert_eq!(
        refused.json()["type"],
        "error",
        "as Anthropic's clients read it"
    );
    drop(held);
    site.metric_becomes(HELD, 0.0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_nobody_needs_again_is_let_go_when_it_is_sent() {
    let site = Site::start(&probing("")).await;
    let held = long(&site, 50_000).behaving("stall-before").begin();
    site.seen("one that stays", |seen| seen.requests == 1).await;
    site.metric_becomes(HELD, 0.0).await;
    assert_eq!(site.standin.seen().in_flight, 1);
    drop(held);
}
