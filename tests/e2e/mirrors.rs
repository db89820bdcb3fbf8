//! Copies of requests: what they are, what is recorded of their answers, what bounds them,
//! and that no client feels any of it.

use serde_json::Value;
use tollgate::demo::standin::{Standin, StandinOptions};

use crate::fixture::{PATIENCE, Site};

/// A second model server, which gets the copies.
async fn shadow(behaviour: &str) -> Standin {
    let options = StandinOptions {
        keep: 64,
        ..StandinOptions::behaving(behaviour).unwrap()
    };
    Standin::start(([127, 0, 0, 1], 0).into(), options)
        .await
        .unwrap()
}

fn config(shadow: &Standin, mirror: &str, more: &str) -> String {
    format!(
        r#"policies:
  route: {{ PROBE, on_error: refuse, settings: {{ mark: main, request: {{ set_headers: {{ x-policy: was-here }}, set_json: {{ /temperature: 0.5 }}, facts: {{ caller: ann }} }} }} }}
  target: {{ PROBE, on_error: refuse }}
upstreams:
  standin: {{ endpoints: [ "http://UPSTREAM" ] }}
  shadow: {{ endpoints: [ "http://{}" ], headers: {{ authorization: "Bearer of-the-shadow" }} }}
models:
  small: {{ targets: [ {{ upstream: standin }} ] }}
  next: {{ targets: [ {{ upstream: shadow, model: org/next, policies: [ target ] }} ] }}
routes:
  - {{ name: chat, match: {{ path: /v1/chat/completions }}, policies: [ route ], mirror: {{ {mirror} }} }}
  - {{ name: rest, upstream: standin, mirror: {{ upstream: shadow }} }}
{more}
"#,
        shadow.addr
    )
}

async fn seen(shadow: &Standin, count: u64) -> tollgate::demo::standin::Seen {
    shadow
        .wait_for(PATIENCE, |seen| seen.requests >= count)
        .await
        .unwrap()
}

/// The lines of copies and of what clients asked, once there are so many of both together.
async fn lines(site: &Site, count: usize) -> (Vec<Value>, Vec<Value>) {
    let all = site.exchanges(count).await;
    all.into_iter().partition(|line| line["mirror"] == true)
}

#[tokio::test]
async fn a_copy_is_the_request_as_the_policies_left_it_and_its_answer_is_only_recorded() {
    let shadow = shadow("tokens=3,usage=11/7").await;
    let site = Site::start(&config(&shadow, "model: next", "")).await;
    let ask = site.chat().header("authorization", "Bearer of-the-client");
    let answer = ask.send().await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json()["mark"], "main");
    let seen = seen(&shadow, 1).await;
    let copy = seen.newest().unwrap();
    assert_eq!(copy.header("x-policy"), Some("was-here"));
    assert_eq!(copy.header("authorization"), Some("Bearer of-the-shadow"));
    assert_eq!(copy.header("x-tollgate-mirror"), Some("true"));
    assert_eq!(copy.header("x-attempt"), Some("shadow openai org/next 1"));
    let body: Value = serde_json::from_slice(&copy.body).unwrap();
    assert_eq!(
        (&body["model"], &body["temperature"]),
        (&"org/next".into(), &0.5.into())
    );
    let original = site.standin.seen();
    let original = original.newest().unwrap();
    assert_eq!(original.header("x-tollgate-mirror"), None);
    assert_eq!(
        original.header("authorization"),
        Some("Bearer of-the-client")
    );
    let (copies, clients) = lines(&site, 2).await;
    let (copy, client) = (&copies[0], &clients[0]);
    assert_eq!(copy["id"], client["id"]);
    assert_eq!(
        (&copy["status"], &copy["ending"]),
        (&200.into(), &"complete".into())
    );
    assert_eq!(
        (&copy["upstream"], &copy["target_model"]),
        (&"shadow".into(), &"org/next".into())
    );
    assert_eq!(
        (&copy["input_tokens"], &copy["output_tokens"]),
        (&11.into(), &7.into())
    );
    assert_eq!(copy["facts"]["caller"], "ann");
    assert!(
        copy["bytes_out"].as_u64().unwrap() > 0 && copy["first_byte_us"].is_u64(),
        "{copy}"
    );
    assert_eq!(
        copy["policies"].as_array().unwrap().len(),
        1,
        "those of its target alone"
    );
    for (sample, value) in [
        (
            "tollgate_mirror_exchanges_total{route=\"chat\",status=\"2xx\",ending=\"complete\"}",
            1.0,
        ),
        ("tollgate_mirror_seconds_count{route=\"chat\"}", 1.0),
        (
            "tollgate_mirror_tokens_total{route=\"chat\",kind=\"output\"}",
            7.0,
        ),
        ("tollgate_exchanges_total{route=\"chat\"", 1.0),
        ("tollgate_exchange_seconds_count{route=\"chat\"}", 1.0),
        (
            "tollgate_upstream_attempts_total{upstream=\"shadow\",reason=\"first\"}",
            1.0,
        ),
        ("tollgate_mirrors_open", 0.0),
    ] {
        site.metric_becomes(sample, value).await;
    }
    let tokens = site.metric("tollgate_tokens_total{").await;
    let own = clients[0]["input_tokens"].as_f64().unwrap()
        + clients[0]["output_tokens"].as_f64().unwrap()
        + clients[0]["cached_tokens"].as_f64().unwrap();
    assert_eq!(tokens, own, "what a copy used counts for no model");
}

#[tokio::test]
async fn the_stream_of_a_copy_is_taken_to_its_end() {
    let shadow = shadow("tokens=5,usage=3/5").await;
    let site = Site::start(&config(&shadow, "model: next", "")).await;
    let usage = serde_json::json!({ "include_usage": true });
    let ask = site.streamed().set("stream_options", usage);
    assert!(ask.stream().await.collect().await.is_complete());
    let (copies, _) = lines(&site, 2).await;
    assert_eq!(
        (&copies[0]["stream"], &copies[0]["ending"]),
        (&true.into(), &"complete".into())
    );
    assert_eq!(copies[0]["output_tokens"], 5);
    let finishes = "tollgate_plugin_finishes{policy=\"target\"";
    site.metric_becomes(finishes, 1.0).await;
    site.metric_becomes("tollgate_streams_open", 0.0).await;
}

#[tokio::test]
async fn a_mirror_that_fails_stalls_or_is_not_there_is_not_felt() {
    for (behaviour, timeout, status, ending) in [
        ("fail=503", "60s", 503, "complete"),
        ("stall-before", "50ms", 504, "timed_out"),
        ("cut-after=1", "60s", 200, "upstream_failed"),
    ] {
        let shadow = shadow(behaviour).await;
        let mirror = format!("model: next, timeout: {timeout}");
        let site = Site::start(&config(&shadow, &mirror, "")).await;
        let answer = site
            .chat()
            .set("stream", true)
            .stream()
            .await
            .collect()
            .await;
        assert!(answer.is_complete(), "{behaviour}");
        let (copies, clients) = lines(&site, 2).await;
        assert_eq!(clients[0]["ending"], "complete", "{behaviour}");
        assert_eq!(copies[0]["ending"], ending, "{behaviour}: {}", copies[0]);
        if status != 504 {
            assert_eq!(copies[0]["status"], status, "{behaviour}");
        }
        site.metric_becomes("tollgate_mirrors_open", 0.0).await;
    }
}

#[tokio::test]
async fn there_is_room_for_so_many_copies_and_the_client_waits_for_none() {
    let shadow = shadow("stall-before").await;
    let config = config(&shadow, "model: next", "limits: { mirrors: 1 }");
    let site = Site::start(&config).await;
    for _ in 0..3 {
        assert_eq!(site.chat().send().await.status, 200);
    }
    assert_eq!(
        site.metric("tollgate_mirror_left_out_total{reason=\"count\"}")
            .await,
        2.0
    );
    assert_eq!(site.metric("tollgate_mirrors_open").await, 1.0);
    // One that nobody waits for holds up no stop.
    let (whole, lines) = site.stop_within(PATIENCE).await;
    assert!(whole);
    let copy = lines.iter().find(|line| line["mirror"] == true).unwrap();
    assert_eq!(copy["ending"], "client_gone");
}

const AT_ONCE: &str = "stall-before=0ms";

/// Clients that wait for an answer, one after the other; it does not come, as the stand-in
/// behaves. A header that says so would have the shadow stall too.
async fn hold(site: &Site, count: u64) -> Vec<crate::client::Waiting> {
    let mut held = Vec::new();
    for _ in 0..count {
        let before = site.standin.seen().requests;
        held.push(site.chat().begin());
        site.seen("one that stays", |seen| seen.requests == before + 1)
            .await;
    }
    held
}

#[tokio::test]
async fn a_copy_takes_no_clients_place() {
    let shadow = shadow("stall-before").await;
    let config = config(&shadow, "model: next", "overload: { exchanges: 2 }");
    let site = Site::start_with(&config, "stall-before").await;
    let held = hold(&site, 1).await;
    seen(&shadow, 1).await;
    site.metric_becomes("tollgate_exchanges_open", 2.0).await;
    assert_eq!(site.chat().behaving(AT_ONCE).send().await.status, 200);
    drop(held);
}

#[tokio::test]
async fn where_there_is_much_to_do_for_clients_nothing_is_copied() {
    for bound in ["exchanges: 4", "concurrency: 4, queue: { timeout: 10m }"] {
        let shadow = shadow("tokens=1").await;
        let config = config(&shadow, "model: next", &format!("overload: {{ {bound} }}"));
        let site = Site::start_with(&config, "stall-before").await;
        let held = hold(&site, 3).await;
        site.metric_becomes("tollgate_mirrors_open", 0.0).await;
        let busy = "tollgate_mirror_left_out_total{reason=\"busy\"}";
        let before = (site.metric(busy).await, shadow.seen().requests);
        assert_eq!(
            site.chat().behaving(AT_ONCE).send().await.status,
            200,
            "{bound}"
        );
        assert_eq!(site.metric(busy).await, before.0 + 1.0, "{bound}");
        drop(held);
        site.metric_becomes("tollgate_exchanges_open", 0.0).await;
        assert_eq!(shadow.seen().requests, before.1, "{bound}");
        assert_eq!(site.chat().behaving(AT_ONCE).send().await.status, 200);
        seen(&shadow, before.1 + 1).await;
        assert_eq!(site.metric(busy).await, before.0 + 1.0, "{bound}");
    }
}

#[tokio::test]
async fn copies_are_bounded_in_bytes_and_made_of_what_is_at_hand() {
    let shadow = shadow("tokens=1").await;
    let config = config(&shadow, "model: next", "limits: { mirror_bodies: 1KiB }");
    let site = Site::start(&config).await;
    let long = site.chat().set("user", "x".repeat(2000));
    assert_eq!(long.send().await.status, 200);
    assert_eq!(
        site.metric("tollgate_mirror_left_out_total{reason=\"bytes\"}")
            .await,
        1.0
    );
    assert_eq!(
        site.ask("POST", "/echo")
            .body("passes by")
            .send()
            .await
            .text(),
        "passes by"
    );
    assert_eq!(
        site.metric("tollgate_mirror_left_out_total{reason=\"streamed\"}")
            .await,
        1.0
    );
    assert_eq!(shadow.seen().requests, 0);
    // Without a body there is nothing to wait for.
    site.ask("GET", "/v1/models").send().await;
    assert_eq!(seen(&shadow, 1).await.newest().unwrap().path, "/v1/models");
}

#[tokio::test]
async fn what_never_goes_to_an_upstream_is_not_copied() {
    let shadow = shadow("tokens=1").await;
    let refusing = config(&shadow, "model: next", "").replace(
        "mark: main",
        "refuse: { status: 403, code: no, message: none }",
    );
    let site = Site::start(&refusing).await;
    assert_eq!(site.chat().send().await.status, 403);
    site.metric_becomes("tollgate_exchanges_open", 0.0).await;
    assert_eq!(shadow.seen().requests, 0);
    assert_eq!(lines(&site, 1).await.0.len(), 0);
}

/// Two policies that ask for copies, before the one that marks the request.
fn by_policy(shadow: &Standin, first: &str, second: &str) -> String {
    config(shadow, "model: next, percent: 0.01", "")
        .replace(
            "policies:\n",
            &format!(
                "policies:\n  first: {{ plugin: shadower, on_error: bypass, grants: {{ shadow: true }}, settings: {{ {first} }} }}\n  second: {{ plugin: shadower, on_error: bypass, grants: {{ shadow: true }}, settings: {{ {second} }} }}\n"
            ),
        )
        .replace("policies: [ route ]", "policies: [ first, second, route ]")
}

#[tokio::test]
async fn a_policy_says_where_a_copy_goes_and_the_last_one_is_heard() {
    let shadow = shadow("tokens=1").await;
    let site = Site::start(&by_policy(&shadow, "upstream: standin", "model: next")).await;
    assert_eq!(site.chat().send().await.json()["mark"], "main");
    let copy = seen(&shadow, 1).await;
    let copy = copy.newest().unwrap();
    // As all policies left it, those behind too.
    assert_eq!(copy.header("x-policy"), Some("was-here"));
    assert_eq!(copy.header("x-attempt"), Some("shadow openai org/next 1"));
    let (copies, clients) = lines(&site, 2).await;
    assert_eq!((copies.len(), clients.len()), (1, 1));
    assert_eq!(copies[0]["target_model"], "org/next");
    // Nowhere is no place: the route's own mirror is as good as off here.
    site.reconfigure(&by_policy(&shadow, "", "upstream: shadow"))
        .await;
    site.chat().send().await;
    let copy = seen(&shadow, 2).await;
    assert_eq!(
        copy.newest().unwrap().header("x-attempt"),
        None,
        "no target of a model"
    );
}

#[tokio::test]
async fn a_policy_that_fails_takes_back_its_own_copy_and_no_other() {
    let shadow = shadow("tokens=1").await;
    let config = by_policy(&shadow, "model: next", "upstream: nowhere, traps: true");
    let site = Site::start(&config).await;
    let ask = site.chat().header("x-fails", "1");
    assert_eq!(ask.send().await.status, 200);
    let copy = seen(&shadow, 1).await;
    assert_eq!(
        copy.newest().unwrap().header("x-attempt"),
        Some("shadow openai org/next 1")
    );
    // An upstream that is not there is the copy's failure, and not the client's.
    assert_eq!(site.chat().send().await.status, 200);
    let (copies, _) = lines(&site, 4).await;
    assert_eq!(copies[1]["error"], "upstream_unreachable");
}

#[tokio::test]
async fn a_mirror_that_waits_for_little_ejects_nobody() {
    let (late, other) = (shadow("stall-before=1s").await, shadow("").await);
    let config = format!(
        "upstreams:
  standin: {{ endpoints: [ \"http://UPSTREAM\" ] }}
  late: {{ endpoints: [ \"{}\", \"{}\" ], health: {{ passive: {{ consecutive_errors: 1 }} }} }}
models: {{ small: {{ targets: [ {{ upstream: standin }} ] }} }}
routes: [ {{ match: {{ path: /v1/chat/completions }}, mirror: {{ upstream: late, timeout: 200ms }} }} ]
",
        late.url(),
        other.url()
    );
    let site = Site::start(&config).await;
    for _ in 0..4 {
        assert_eq!(site.chat().send().await.status, 200);
    }
    let (copies, _) = lines(&site, 8).await;
    let cut = copies
        .iter()
        .filter(|line| line["error"] == "exchange_timeout");
    assert!(cut.count() > 0, "{copies:?}");
    let page = site.look("/upstreams").await.json();
    let upstreams = page["upstreams"].as_array().unwrap();
    let late = upstreams.iter().find(|one| one["upstream"] == "late");
    for endpoint in late.unwrap()["endpoints"].as_array().unwrap() {
        assert_eq!(endpoint["state"], "in", "{page}");
    }
}
