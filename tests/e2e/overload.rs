//! More requests than are let in at once: they wait in turn, or are refused at once, and
//! whoever leaves leaves nothing behind.

use tokio::task::JoinHandle;

use crate::{
    client::{Answer, Ask, Waiting},
    fixture::{Site, chat_through},
    standard_plugins::{ADA, BOB, callers},
};

const WAITING: &str = r#"tollgate_gate_waiting{upstream="standin"}"#;
const IN_USE: &str = r#"tollgate_gate_in_use{upstream="standin"}"#;

/// With bounds at the upstream, and more at the end.
fn bounded(config: &str, bounds: &str, more: &str) -> String {
    let endpoints = "endpoints: [ \"http://UPSTREAM\" ]";
    let written = config.replace(endpoints, &format!("{endpoints}, concurrency: {bounds}"));
    assert_ne!(written, config);
    format!("{written}{more}\n")
}

fn one_at_a_time(bounds: &str) -> String {
    let bounds = format!("{{ endpoint: 1, {bounds} }}");
    bounded(&chat_through("", ""), &bounds, "")
}

/// Takes a place and keeps it until it is dropped.
async fn hold(site: &Site) -> Waiting {
    let before = site.standin.seen().requests;
    let held = site.chat().behaving("stall-before").begin();
    site.seen("one that stays", |seen| seen.requests == before + 1)
        .await;
    held
}

fn ask(ask: &Ask) -> JoinHandle<Answer> {
    let ask = ask.clone();
    tokio::spawn(async move { ask.send().await })
}

/// Each waits before the next one comes.
async fn ask_in_order(site: &Site, asks: impl IntoIterator<Item = Ask>) -> Vec<JoinHandle<Answer>> {
    let mut waiting = Vec::new();
    for one in asks {
        waiting.push(ask(&one));
        site.metric_becomes(WAITING, waiting.len() as f64).await;
    }
    waiting
}

/// The values of a header, in the order in which requests came through.
fn order(site: &Site, header: &str) -> String {
    let last = site.standin.seen().last;
    last.iter()
        .filter_map(|request| request.header(header))
        .collect()
}

async fn is_clear(site: &Site) {
    for gauge in [
        "tollgate_gate_waiting",
        "tollgate_gate_in_use",
        "tollgate_exchanges_open",
    ] {
        site.metric_becomes(gauge, 0.0).await;
    }
}

fn told_to_come_back(answer: &Answer) -> (u16, String) {
    let pause: u64 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=30).contains(&pause), "{pause}");
    answer.refusal()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_more_waits_for_its_turn_and_is_served() {
    let site = Site::start(&one_at_a_time("queue: { length: 4, timeout: 10m }")).await;
    let held = hold(&site).await;
    let waiting = ask_in_order(&site, [site.chat()]).await;
    assert_eq!(site.standin.seen().requests, 1);
    drop(held);
    for answer in waiting {
        assert_eq!(answer.await.unwrap().status, 200);
    }
    let lines = site.exchanges(2).await;
    let queued = |line: &serde_json::Value| line["queue_us"].as_u64();
    assert_eq!(queued(&lines[0]), None, "{}", lines[0]);
    assert!(queued(&lines[1]) > Some(0), "{}", lines[1]);
    is_clear(&site).await;
    assert_eq!(site.metric("tollgate_gate_admitted_total").await, 2.0);
    assert_eq!(site.metric("tollgate_gate_waited_total").await, 1.0);
    assert!(site.metric("tollgate_gate_wait_seconds_total").await > 0.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_keeps_its_place_until_it_ends() {
    let site = Site::start(&one_at_a_time("queue: { length: 4, timeout: 10m }")).await;
    let ask = site.streamed().behaving("tokens=8,stall-after=3");
    let mut stream = ask.stream().await;
    stream.next().await.unwrap();
    site.metric_becomes(IN_USE, 1.0).await;
    let waiting = ask_in_order(&site, [site.streamed()]).await;
    assert_eq!(site.standin.seen().requests, 1);
    drop(stream);
    for answer in waiting {
        let answer = answer.await.unwrap();
        assert!(answer.text().ends_with("data: [DONE]\n\n"));
    }
    is_clear(&site).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_there_is_no_place_to_wait_one_is_refused_at_once() {
    let site = Site::start(&one_at_a_time("queue: { length: 0 }")).await;
    let held = hold(&site).await;
    let answer = site.chat().send().await;
    assert_eq!(told_to_come_back(&answer), (503, "overloaded".to_owned()));
    assert_eq!(answer.json()["error"]["type"], "server_error");
    let refused = r#"tollgate_gate_refused_total{upstream="standin",reason="full"}"#;
    assert_eq!(site.metric(refused).await, 1.0);
    assert_eq!(site.exchanges(1).await[0]["ending"], "refused");

    site.reconfigure(&one_at_a_time("queue: { length: 1, timeout: 10m }"))
        .await;
    let waiting = ask_in_order(&site, [site.chat()]).await;
    let answer = site.chat().send().await;
    assert_eq!(
        told_to_come_back(&answer),
        (429, "too_many_waiting".to_owned())
    );
    drop(held);
    for answer in waiting {
        assert_eq!(answer.await.unwrap().status, 200);
    }
    assert_eq!(site.standin.seen().requests, 2);
    is_clear(&site).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_waits_too_long_is_refused() {
    let site = Site::start(&one_at_a_time("queue: { timeout: 50ms }")).await;
    let held = hold(&site).await;
    let answer = site.chat().send().await;
    assert_eq!(
        told_to_come_back(&answer),
        (503, "queue_timeout".to_owned())
    );
    let line = &site.exchanges(1).await[0];
    assert_eq!(line["ending"], "timed_out", "{line}");
    // The exchange's own time is over before.
    let config = one_at_a_time("queue: { timeout: 1h }") + "timeouts: { total: 300ms }\n";
    site.reconfigure(&config).await;
    let answer = site.chat().send().await;
    assert_eq!(answer.refusal(), (504, "exchange_timeout".to_owned()));
    drop(held);
    is_clear(&site).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_leaves_while_waiting_gives_the_place_back() {
    let probe = "\n  probe: { PROBE, on_error: refuse }";
    for chat in [chat_through("", ""), chat_through("probe", probe)] {
        let config = bounded(
            &chat,
            "{ endpoint: 1, queue: { length: 20, timeout: 10m } }",
            "",
        );
        let site = Site::start(&config).await;
        let held = hold(&site).await;
        let crowd: Vec<_> = (0..20).map(|_| site.chat().begin()).collect();
        site.metric_becomes(WAITING, 20.0).await;
        assert_eq!(site.chat().send().await.status, 429);
        drop(crowd);
        site.metric_becomes(WAITING, 0.0).await;
        site.metric_becomes("tollgate_gate_left_total", 20.0).await;
        site.metric_becomes("tollgate_exchanges_open", 1.0).await;
        // Places are free again, and whoever waits in one gets its turn.
        let waiting = ask_in_order(&site, [site.chat()]).await;
        drop(held);
        for answer in waiting {
            assert_eq!(answer.await.unwrap().status, 200);
        }
        is_clear(&site).await;
        assert_eq!(site.standin.seen().requests, 2);
        let gone = site.exchanges(23).await;
        let gone = gone.iter().filter(|line| line["ending"] == "client_gone");
        assert_eq!(gone.count(), 21);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_take_turns() {
    let chat = chat_through("callers", &callers());
    let site = Site::start(&bounded(&chat, "{ total: 1, queue: { timeout: 10m } }", "")).await;
    let by = |key: &str| site.chat().header("authorization", key);
    let before = by(ADA).behaving("stall-before").begin();
    site.metric_becomes(IN_USE, 1.0).await;
    let line = "aaaabb".chars().map(|name| {
        let key = if name == 'a' { ADA } else { BOB };
        by(key).header("x-name", name.to_string())
    });
    let waiting = ask_in_order(&site, line).await;
    drop(before);
    for answer in waiting {
        assert_eq!(answer.await.unwrap().status, 200);
    }
    assert_eq!(order(&site, "x-name"), "ababaa");
    is_clear(&site).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_important_go_first_and_the_others_go_too() {
    let chat = chat_through("callers", &callers());
    let priorities =
        "overload: { priorities: { fact: tier, weights: { team: 2, trial: 1 }, default: trial } }";
    let site = Site::start(&bounded(
        &chat,
        "{ total: 1, queue: { timeout: 10m } }",
        priorities,
    ))
    .await;
    let by = |key: &str| site.chat().header("authorization", key);
    let before = by(ADA).behaving("stall-before").begin();
    site.metric_becomes(IN_USE, 1.0).await;
    // Those of the lesser tier came long before.
    let line = "bbbbbbaaaaaa".chars().map(|name| {
        let key = if name == 'a' { ADA } else { BOB };
        by(key).header("x-name", name.to_string())
    });
    let waiting = ask_in_order(&site, line).await;
    drop(before);
    for answer in waiting {
        assert_eq!(answer.await.unwrap().status, 200);
    }
    assert_eq!(order(&site, "x-name"), "abaabaababbb");
    is_clear(&site).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_upstreams_together_are_bounded_too() {
    let other = "upstreams: { other: { endpoints: [ \"http://UPSTREAM\" ] }, ";
    let config = chat_through("", "")
        .replace("upstreams: { ", other)
        .replace("upstream: standin }\n", "upstream: other }\n");
    let more = "overload: { concurrency: 1, queue: { length: 1, timeout: 10m } }\n";
    let site = Site::start(&(config + more)).await;
    let held = hold(&site).await;
    let all = r#"tollgate_gate_waiting{upstream=""}"#;
    let waiting = ask(&site.ask("GET", "/v1/models"));
    site.metric_becomes(all, 1.0).await;
    assert_eq!(site.metric("tollgate_gate_limit").await, 1.0);
    let answer = site.chat().send().await;
    assert_eq!(
        told_to_come_back(&answer),
        (429, "too_many_waiting".to_owned())
    );
    assert_eq!(site.standin.seen().requests, 1);
    drop(held);
    assert_eq!(waiting.await.unwrap().status, 200);
    is_clear(&site).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_exchanges_than_may_be_open_are_refused() {
    let config = chat_through("", "") + "overload: { exchanges: 2 }\n";
    let site = Site::start(&config).await;
    let held = [hold(&site).await, hold(&site).await];
    let answer = site.chat().send().await;
    assert_eq!(told_to_come_back(&answer), (503, "overloaded".to_owned()));
    assert_eq!(
        site.metric("tollgate_exchanges_turned_away_total").await,
        1.0
    );
    drop(held);
    site.metric_becomes("tollgate_exchanges_open", 0.0).await;
    assert_eq!(site.chat().send().await.status, 200);
    assert_eq!(site.standin.seen().requests, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_under_way_counts_after_a_reload_and_new_bounds_hold_at_once() {
    let bounded = |limit: u32| {
        let bounds = format!("{{ endpoint: {limit}, queue: {{ length: 4, timeout: 10m }} }}");
        bounded(&chat_through("", ""), &bounds, "")
    };
    let site = Site::start(&bounded(1)).await;
    let held = hold(&site).await;
    site.reconfigure(&(bounded(1) + "limits: { json_depth: 60 }\n"))
        .await;
    let waiting = ask_in_order(&site, [site.chat()]).await;
    assert_eq!(site.standin.seen().requests, 1);
    // It waits under the one and is let in under the other.
    site.reconfigure(&bounded(2)).await;
    for answer in waiting {
        assert_eq!(answer.await.unwrap().status, 200);
    }
    site.metric_becomes(IN_USE, 1.0).await;
    let shown = site.look("/upstreams").await.json();
    let gate = &shown["upstreams"][0]["gate"];
    assert_eq!((&gate["limit"], &gate["in_use"]), (&2.into(), &1.into()));
    drop(held);
    is_clear(&site).await;
    // And where nothing is bounded any more, there is no gate.
    site.reconfigure(&chat_through("", "")).await;
    assert!(!site.look("/metrics").await.text().contains(IN_USE));
    assert_eq!(site.chat().send().await.status, 200);
}
