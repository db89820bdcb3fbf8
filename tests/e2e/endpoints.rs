//! Endpoints that fail and return, and are kept, while the gateway serves.

use std::{
    net::SocketAddr,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json};
use tokio::net::TcpListener;
use tollgate::demo::standin::{Standin, StandinOptions};

use crate::{
    authority::Authority,
    fixture::{Site, until, until_async},
    scripted::{Said, Scripted},
};

mod sources;

/// One more stand-in.
async fn standin(addr: impl Into<SocketAddr>) -> Standin {
    let options = StandinOptions::behaving("tokens=2").unwrap();
    Standin::start(addr.into(), options).await.unwrap()
}

async fn fresh() -> Standin {
    standin(([127, 0, 0, 1], 0)).await
}

/// Everything to the upstream `u`, which is this.
fn everything_to(upstream: &str) -> String {
    format!("upstreams:\n  u: {upstream}\nroutes: [ {{ upstream: u }} ]\n")
}

fn list(servers: &[&Standin]) -> String {
    let urls = servers.iter().map(|server| format!("\"{}\"", server.url()));
    urls.collect::<Vec<_>>().join(", ")
}

/// The endpoints of the upstream `u`, as the admin port shows them.
async fn shown(site: &Site) -> Vec<Value> {
    let page = site.look("/upstreams").await.json();
    let upstream = page["upstreams"][0].clone();
    assert_eq!(upstream["upstream"], "u", "{page}");
    upstream["endpoints"].as_array().unwrap().clone()
}

async fn states(site: &Site) -> Vec<String> {
    let endpoints = shown(site).await;
    let states = endpoints.iter().map(|endpoint| &endpoint["state"]);
    states
        .map(|state| state.as_str().unwrap().to_owned())
        .collect()
}

async fn labels(site: &Site) -> Vec<String> {
    let endpoints = shown(site).await;
    let labels = endpoints.iter().map(|endpoint| &endpoint["endpoint"]);
    labels
        .map(|label| label.as_str().unwrap().to_owned())
        .collect()
}

async fn until_states(site: &Site, expected: &[&str]) {
    until_async("the states", async || {
        (states(site).await == expected).then_some(())
    })
    .await;
}

/// Asks until this server has been asked once more.
async fn until_asked(site: &Site, server: &Standin) {
    let before = server.seen().requests;
    until_async("a request at the server", async || {
        // The connection of the request before is back in its pool then.
        tokio::time::sleep(Duration::from_millis(20)).await;
        site.chat().send().await;
        (server.seen().requests > before).then_some(())
    })
    .await;
}

/// The `host` of the newest request there.
fn asked_as(server: &Standin) -> Option<String> {
    let seen = server.seen();
    seen.newest()?.header("host").map(str::to_owned)
}

fn replace(path: &Path, text: &str) {
    let new = path.with_extension("new");
    std::fs::write(&new, text).unwrap();
    std::fs::rename(new, path).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_endpoint_costs_as_many_requests_as_it_takes_to_eject_it() {
    // What cannot be sent goes to another endpoint, unless that is turned off.
    for (retries, lost) in [("", 0), (", retries: off", 2)] {
        let (a, b) = (fresh().await, fresh().await);
        let upstream = format!(
            "{{ endpoints: [ {} ], health: {{ passive: {{ consecutive_errors: 2, pause: 1h }} }} }}",
            list(&[&a, &b])
        );
        let to = format!("{{ upstream: u{retries} }}");
        let config = everything_to(&upstream).replace("{ upstream: u }", &to);
        let site = Site::start(&config).await;
        until_asked(&site, &b).await;
        b.stop().await;
        let mut statuses = Vec::new();
        for _ in 0..20 {
            statuses.push(site.chat().send().await.status);
        }
        let failed = statuses.iter().filter(|status| **status == 502).count();
        let good = statuses.iter().filter(|status| **status == 200).count();
        assert_eq!((failed, good), (lost, 20 - lost), "{statuses:?}");
        assert_eq!(states(&site).await, ["in", "ejected"]);
        let ejected = r#"tollgate_endpoint_ejected_total{upstream="u",reason="errors-in-a-row"}"#;
        assert_eq!(site.metric(ejected).await, 1.0);
        let gauge = r#"tollgate_endpoints{upstream="u",state="ejected"}"#;
        assert_eq!(site.metric(gauge).await, 1.0);
        let why = &shown(&site).await[1]["change"]["last"];
        assert_eq!(why, "ejected for 3600.0s: errors in a row");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_that_is_there_again_comes_back_slowly() {
    let (a, b) = (fresh().await, fresh().await);
    let site = Site::start(&everything_to(&format!(
        "{{ endpoints: [ {} ], health: {{ slow_start: 24h, \
           passive: {{ consecutive_errors: 1, pause: 10ms, pause_max: 20ms }} }} }}",
        list(&[&a, &b])
    )))
    .await;
    let addr = b.addr;
    b.stop().await;
    until_async("an ejection", async || {
        site.chat().send().await;
        (site.metric("tollgate_endpoint_ejected_total").await > 0.0).then_some(())
    })
    .await;
    let b = standin(addr).await;
    until_asked(&site, &b).await;
    until_states(&site, &["in", "slow-start"]).await;
    let share = shown(&site).await[1]["share"].as_f64().unwrap();
    assert!((0.1..0.2).contains(&share), "{share}");
    assert_eq!(site.metric("tollgate_endpoint_returned_total").await, 1.0);
    // With a tenth of the other's weight it gets its turn, and not every other one.
    let (before_a, before_b) = (a.seen().requests, b.seen().requests);
    for _ in 0..44 {
        assert_eq!(site.chat().send().await.status, 200);
    }
    let (at_a, at_b) = (a.seen().requests - before_a, b.seen().requests - before_b);
    assert!((1..=10).contains(&at_b), "{at_b} of {}", at_a + at_b);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_keeps_connections_and_health_of_endpoints_that_stay() {
    let (a, b, c) = (fresh().await, fresh().await, fresh().await);
    let gone = fresh().await;
    let config = |servers: &[&Standin]| {
        everything_to(&format!(
            "{{ endpoints: [ {} ], health: {{ passive: {{ consecutive_errors: 1, pause: 1h }} }} }}",
            list(servers)
        ))
    };
    let (before, after) = (config(&[&a, &b, &gone]), config(&[&a, &b, &gone, &c]));
    let last = config(&[&a, &c]);
    let site = Site::start(&before).await;
    gone.stop().await;
    until_async("an ejection", async || {
        site.chat().send().await;
        (states(&site).await == ["in", "in", "ejected"]).then_some(())
    })
    .await;
    until_asked(&site, &a).await;
    until_asked(&site, &b).await;
    let of = |server: &Standin| server.seen().connections;
    assert_eq!((of(&a), of(&b)), (1, 1));

    site.reconfigure(&after).await;
    assert_eq!(states(&site).await, ["in", "in", "ejected", "slow-start"]);
    for server in [&a, &b, &c] {
        until_asked(&site, server).await;
    }
    assert_eq!((of(&a), of(&b), of(&c)), (1, 1, 1));

    site.reconfigure(&last).await;
    let served = b.seen().requests;
    for server in [&a, &c] {
        until_asked(&site, server).await;
    }
    assert_eq!((of(&a), of(&c)), (1, 1));
    assert_eq!(b.seen().requests, served, "it has left");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_without_tls_keeps_its_connections_when_one_with_tls_comes() {
    let a = fresh().await;
    let folder = tempfile::tempdir().unwrap();
    let pem = Authority::new("own").pem();
    std::fs::write(folder.path().join("ca.pem"), pem).unwrap();
    let config = |others: &str| {
        everything_to(&format!(
            "{{ ca: ca.pem, endpoints: [ \"{}\"{others} ] }}",
            a.url()
        ))
    };
    let site = Site::start_in(folder, &config(""), "").await;
    assert_eq!(site.chat().send().await.status, 200);
    site.reconfigure(&config(", \"https://127.0.0.1:9\"")).await;
    until_asked(&site, &a).await;
    assert_eq!(a.seen().connections, 1);
}

/// A server whose health is told.
async fn server() -> (Scripted, Arc<AtomicBool>) {
    let well = Arc::new(AtomicBool::new(true));
    let told = Arc::clone(&well);
    let server = Scripted::start(move |heard| match heard.path.as_str() {
        "/health" if !told.load(Ordering::SeqCst) => Said::json(503, &json!({})),
        _ => Said::json(200, &json!({})),
    })
    .await;
    (server, well)
}

fn checked(servers: &[&Scripted], more: &str) -> String {
    let urls = servers
        .iter()
        .map(|server| format!("\"http://{}\"", server.addr));
    everything_to(&format!(
        "{{ endpoints: [ {} ], headers: {{ authorization: \"Bearer key\" }}, health: {{ \
           active: {{ interval: 50ms, down_after: 2, up_after: 2 }}, slow_start: off {more} }} }}",
        urls.collect::<Vec<_>>().join(", ")
    ))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn checks_take_an_endpoint_out_and_let_it_back_in() {
    let ((a, _), (b, well)) = (server().await, server().await);
    let site = Site::start(&checked(&[&a, &b], "")).await;
    until("a check", || (b.count() > 0).then_some(())).await;
    assert_eq!(b.newest().header("authorization"), Some("Bearer key"));
    well.store(false, Ordering::SeqCst);
    until_states(&site, &["in", "down"]).await;
    let of_clients = |server: &Scripted| {
        let heard = server.heard();
        heard.iter().filter(|heard| heard.path != "/health").count()
    };
    for _ in 0..6 {
        assert_eq!(site.chat().send().await.status, 200);
    }
    assert_eq!((of_clients(&a), of_clients(&b)), (6, 0));
    let endpoint = &shown(&site).await[1];
    assert_eq!(endpoint["check"]["error"], "status 503");
    assert_eq!(endpoint["change"]["last"], "down: status 503");
    well.store(true, Ordering::SeqCst);
    until_states(&site, &["in", "in"]).await;
    for _ in 0..6 {
        assert_eq!(site.chat().send().await.status, 200);
    }
    assert!(of_clients(&b) > 0);
    assert!(
        site.metric(r#"tollgate_checks_total{upstream="u",result="good"}"#)
            .await
            > 0.0
    );
    // The checks are tasks of the gateway's: it ends, so they have.
    let (whole, _) = site.stop_within(Duration::from_secs(20)).await;
    assert!(whole);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn why_an_endpoint_is_down_is_said_with_it() {
    let (well, _) = server().await;
    let refusing = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gone = refusing.local_addr().unwrap();
    drop(refusing);
    // Whoever connects is left to wait.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent_at = silent.local_addr().unwrap();
    let (plain, _) = server().await;
    let urls = [
        format!("http://{}", well.addr),
        format!("http://{gone}"),
        format!("http://{silent_at}"),
        format!("https://{}", plain.addr),
    ];
    let config = everything_to(&format!(
        "{{ endpoints: {urls:?}, health: {{ max_out: 100, slow_start: off, \
           active: {{ interval: 50ms, timeout: 250ms, down_after: 2, up_after: 2 }} }} }}"
    ));
    let site = Site::start(&config).await;
    until_states(&site, &["in", "down", "down", "down"]).await;
    let shown = shown(&site).await;
    let why = |at: usize| shown[at]["change"]["last"].as_str().unwrap().to_owned();
    assert!(why(1).starts_with("down: Connection refused"), "{}", why(1));
    assert_eq!(why(2), "down: no answer in 250ms");
    assert!(why(3).starts_with("down: "), "{}", why(3));
    assert!(why(3).contains("InvalidContentType"), "{}", why(3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_everything_down_half_stays_in_unless_all_may_be_out() {
    let ((a, a_well), (b, b_well)) = (server().await, server().await);
    let site = Site::start(&checked(&[&a, &b], "")).await;
    for well in [&a_well, &b_well] {
        well.store(false, Ordering::SeqCst);
    }
    until_async("half of them out", async || {
        let mut states = states(&site).await;
        states.sort();
        (states == ["down", "in"]).then_some(())
    })
    .await;
    assert_eq!(site.chat().send().await.status, 200);

    site.reconfigure(&checked(&[&a, &b], ", max_out: 100"))
        .await;
    until_states(&site, &["down", "down"]).await;
    let answer = site.chat().send().await;
    assert_eq!(answer.refusal(), (503, "no_endpoint_available".to_owned()));
    a_well.store(true, Ordering::SeqCst);
    until_states(&site, &["in", "down"]).await;
    assert_eq!(site.chat().send().await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_that_asks_for_a_pause_gets_one_while_there_is_another() {
    let ((a, _), (b, _)) = (server().await, server().await);
    b.say(Said::json(429, &json!({})).header("retry-after", "20"));
    let site = Site::start(&everything_to(&format!(
        "{{ endpoints: [ \"http://{}\", \"http://{}\" ] }}",
        a.addr, b.addr
    )))
    .await;
    let mut statuses = Vec::new();
    for _ in 0..10 {
        statuses.push(site.chat().send().await.status);
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 200, 200, 200, 200, 200, 200, 200, 200, 429]);
    assert_eq!(states(&site).await, ["in", "busy"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upstream_that_fails_as_a_whole_is_left_alone_and_tried_again() {
    let (a, _) = server().await;
    a.say(Said::json(500, &json!({})));
    let breaker = "breaker: { min_requests: 4, pause: 10ms, pause_max: 20ms, probes: 1 }";
    let site = Site::start(&everything_to(&format!(
        "{{ endpoints: [ \"http://{}\" ], health: {{ {breaker} }} }}",
        a.addr
    )))
    .await;
    until_async("a refusal", async || {
        let answer = site.chat().send().await;
        (answer.status == 503).then(|| assert_eq!(answer.error_code(), "no_endpoint_available"))
    })
    .await;
    assert!(site.metric("tollgate_upstream_breaker_opened_total").await > 0.0);
    a.say(Said::json(200, &json!({})));
    until_async("the way back", async || {
        let answer = site.chat().send().await;
        let open = r#"tollgate_upstream_breaker_open{upstream="u"}"#;
        (answer.status == 200 && site.metric(open).await == 0.0).then_some(())
    })
    .await;
}
