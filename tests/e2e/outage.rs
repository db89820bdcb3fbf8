//! One of three endpoints dies, stalls and comes back while clients ask; and an upstream
//! whose endpoints tell how busy they are.

use std::net::SocketAddr;

use tokio_util::sync::CancellationToken;
use tollgate::demo::{
    load::{Load, Until},
    standin::{Standin, StandinOptions},
};

use crate::fixture::{Site, until_async};

const SWIFT: &str = "tokens=2";

async fn standin(addr: SocketAddr) -> Standin {
    let options = StandinOptions::behaving(SWIFT).unwrap();
    Standin::start(addr, options).await.unwrap()
}

async fn three() -> [Standin; 3] {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    [standin(any).await, standin(any).await, standin(any).await]
}

fn config(servers: &[Standin], upstream: &str, model: &str) -> String {
    let urls: Vec<_> = servers
        .iter()
        .map(|server| format!("\"{}\"", server.url()))
        .collect();
    format!(
        "upstreams:\n  u: {{ endpoints: [ {} ], {upstream} }}\n\
         models:\n  small: {{ targets: [ {{ upstream: u }} ], {model} }}\n\
         routes: [ {{ match: {{ path: /v1/chat/completions }} }} ]\n",
        urls.join(", ")
    )
}

async fn state_of(site: &Site, nth: usize) -> String {
    let page = site.look("/upstreams").await.json();
    let state = &page["upstreams"][0]["endpoints"][nth]["state"];
    state.as_str().unwrap().to_owned()
}

async fn until_state(site: &Site, nth: usize, states: &[&str]) {
    until_async(&format!("endpoint {nth} in {states:?}"), async || {
        let state = state_of(site, nth).await;
        states.contains(&&*state).then_some(())
    })
    .await;
}

async fn until_asked(server: &Standin) {
    let before = server.seen().requests;
    let more = server.wait_for(crate::fixture::PATIENCE, |seen| seen.requests > before + 20);
    assert!(more.await.is_some(), "it was not asked again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_three_endpoints_dies_stalls_and_returns_and_no_request_that_may_be_repeated_fails()
{
    let [a, b, c] = three().await;
    let (addr, servers) = (c.addr, [a, b, c]);
    let site = Site::start(&config(
        &servers,
        "health: { slow_start: off, passive: { consecutive_errors: 3, pause: 300ms, pause_max: 300ms } }",
        "timeouts: { first_byte: 300ms }, retries: { count: 2, on: [ connect, reset, timeout ], budget: 100 }",
    ))
    .await;
    let [_a, b, c] = servers;
    let told = CancellationToken::new();
    let mut load = Load::chat(site.gateway.addr(), "small");
    load.connections = 12;
    let load = tokio::spawn(load.run(Until::Told(told.clone())));
    until_asked(&c).await;

    c.stop().await;
    until_state(&site, 2, &["ejected", "probation"]).await;
    let c = standin(addr).await;
    until_asked(&c).await;
    until_state(&site, 2, &["in"]).await;

    b.behave("stall-before").unwrap();
    until_state(&site, 1, &["ejected", "probation"]).await;
    b.behave(SWIFT).unwrap();
    until_asked(&b).await;
    until_state(&site, 1, &["in"]).await;

    told.cancel();
    let report = load.await.unwrap();
    assert_eq!(report.failed, 0, "{:?}", report.failures);
    assert!(report.ok > 100, "{report:?}");
    let tried = r#"tollgate_upstream_attempts_total{upstream="u",reason="retry"}"#;
    assert!(site.metric(tried).await > 0.0);
}

/// Streams that nobody ends hold an endpoint busy; its metrics say so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn model_aware_balancing_reads_metrics_and_spares_the_endpoint_with_work() {
    let servers = three().await;
    let site = Site::start(&config(
        &servers,
        "balance: { model-aware: { scrape: { interval: 50ms, stale: 10s } } }",
        "timeouts: { between_bytes: 1h }",
    ))
    .await;
    // Work that reaches the first endpoint by another way: this gateway's counts do not show it.
    let other = Site::start(&config(&servers[..1], "health: { passive: off }", "")).await;
    let mut streams = Vec::new();
    for _ in 0..8 {
        let ask = other.streamed().behaving("tokens=4,stall-after=1");
        streams.push(ask.stream().await);
    }
    let figures = async |nth: usize| {
        let page = site.look("/upstreams").await.json();
        page["upstreams"][0]["endpoints"][nth]["figures"]["running"].as_u64()
    };
    until_async("figures", async || {
        let all = [figures(0).await, figures(1).await, figures(2).await];
        (all == [Some(8), Some(0), Some(0)]).then_some(())
    })
    .await;
    let before = servers.each_ref().map(|server| server.seen().requests);
    for _ in 0..30 {
        assert_eq!(site.chat().send().await.status, 200);
    }
    let after = servers.each_ref().map(|server| server.seen().requests);
    let asked: Vec<_> = after
        .iter()
        .zip(before)
        .map(|(now, then)| now - then)
        .collect();
    assert_eq!(asked[0], 0, "the busy one was asked: {asked:?}");
    assert!(
        asked[1] > 0 && asked[2] > 0,
        "one alone was asked: {asked:?}"
    );

    // Where metrics fail `/upstreams` says why, and requests go on.
    servers[0].behave("fail=500").unwrap();
    until_async("a failed scrape", async || {
        let page = site.look("/upstreams").await.json();
        let error = page["upstreams"][0]["endpoints"][0]["scrape"]["error"].clone();
        error.is_string().then_some(())
    })
    .await;
    servers[0].behave(SWIFT).unwrap();
    assert_eq!(site.chat().send().await.status, 200);
    drop(streams);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_are_read_from_another_port_where_one_is_named() {
    let [server, metrics, _other] = three().await.map(|one| [one]);
    let upstream = format!(
        "balance: {{ model-aware: {{ scrape: {{ port: {}, interval: 50ms }} }} }}",
        metrics[0].addr.port()
    );
    let site = Site::start(&config(&server, &upstream, "timeouts: {}")).await;
    let other = Site::start(&config(
        &metrics,
        "health: { passive: off }",
        "timeouts: {}",
    ))
    .await;
    let ask = other.streamed().behaving("tokens=4,stall-after=1");
    let _stream = ask.stream().await;
    until_async("figures", async || {
        let page = site.look("/upstreams").await.json();
        let figures = &page["upstreams"][0]["endpoints"][0]["figures"];
        (figures["running"] == 1).then_some(())
    })
    .await;
    let scraped = r#"tollgate_scrapes_total{upstream="u""#;
    assert!(site.metric(scraped).await > 0.0);
}
