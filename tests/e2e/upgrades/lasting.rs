//! How long a changed connection lasts, how many there may be, and what ends them.

use super::*;

#[tokio::test]
async fn a_client_that_vanishes_takes_the_upstream_connection_along() {
    let mut behind = Behind::start().await;
    let site = site(&behind, "", "", "").await;
    let (client, mut server) = open(&site, &mut behind).await;
    drop(client);
    is_over(&mut server).await;
    drop(server);
    site.metric_becomes("tollgate_exchanges_open", 0.0).await;
    site.metric_becomes("tollgate_connections_open", 0.0).await;
}

#[tokio::test]
async fn silence_ends_a_connection_and_is_said_so() {
    let mut behind = Behind::start().await;
    let site = site(&behind, "", "", "timeouts: { upgrade_idle: 50ms }").await;
    let (mut client, mut server) = open(&site, &mut behind).await;
    is_over(&mut client).await;
    is_over(&mut server).await;
    let line = &site.exchanges(1).await[0];
    assert_eq!(
        (&line["ending"], &line["error"]),
        (&"timed_out".into(), &"upgrade_idle".into())
    );
}

#[tokio::test]
async fn a_connection_outlives_the_time_of_an_exchange() {
    let mut behind = Behind::start().await;
    let bounds = "timeouts: { total: 1s, idle: 100ms, header: 100ms }";
    let site = site(&behind, "", "", bounds).await;
    let (mut client, mut server) = open(&site, &mut behind).await;
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    client.write_all(b"still").await.unwrap();
    reads(&mut server, b"still").await;
    server.write_all(b"here").await.unwrap();
    reads(&mut client, b"here").await;
}

#[tokio::test]
async fn one_connection_too_many_is_refused_and_counted() {
    let mut behind = Behind::start().await;
    let site = site(&behind, "", "", "limits: { upgrades: 1 }").await;
    let (client, server) = open(&site, &mut behind).await;
    let mut second = connect(&site, &handshake("/v1/realtime", "")).await;
    let head = read_head(&mut second).await;
    assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
    assert!(head.contains("retry-after: 1\r\n"), "{head}");
    assert_eq!(site.metric("tollgate_upgrades_refused_total").await, 1.0);
    drop((client, server));
    site.metric_becomes("tollgate_upgrades_open", 0.0).await;
    let (_client, _server) = open(&site, &mut behind).await;
}

#[tokio::test]
async fn the_time_of_an_agreement_counts_and_not_when_somebody_speaks() {
    let mut behind = Behind::start().await;
    let site = site(&behind, "", "", "").await;
    let (mut client, mut server) = open(&site, &mut behind).await;
    let latency = async || {
        site.look("/upstreams").await.json()["upstreams"][0]["endpoints"][0]["latency_ms"].as_f64()
    };
    assert!(latency().await.is_some());
    let agreed = latency().await.unwrap();
    server.write_all(b"down").await.unwrap();
    reads(&mut client, b"down").await;
    drop((client, server));
    site.metric_becomes("tollgate_exchanges_open", 0.0).await;
    assert!(latency().await.unwrap() <= agreed);
}

#[tokio::test]
async fn a_swap_cuts_no_open_connection() {
    let mut behind = Behind::start().await;
    let site = site(&behind, "", "", "").await;
    let (mut client, mut server) = open(&site, &mut behind).await;
    let closed = config(&behind, "", "", "").replace(", upgrades: [ websocket ]", "");
    site.reconfigure(&closed).await;
    client.write_all(b"up").await.unwrap();
    reads(&mut server, b"up").await;
    server.write_all(b"down").await.unwrap();
    reads(&mut client, b"down").await;
    // New ones are the new generation's to decide.
    let _second = connect(&site, &handshake("/v1/realtime", "")).await;
    assert!(!behind.next().await.head.to_lowercase().contains("upgrade:"));
    drop((client, server));
    site.metric_becomes("tollgate_generations_drained_total", 1.0)
        .await;
}

#[tokio::test]
async fn a_stop_waits_for_open_connections_and_then_cuts_them() {
    let mut behind = Behind::start().await;
    let site = site(&behind, "", "", "").await;
    let (mut client, mut server) = open(&site, &mut behind).await;
    let (whole, lines) = site.stop_within(Duration::from_millis(50)).await;
    assert!(!whole);
    is_over(&mut client).await;
    is_over(&mut server).await;
    assert_eq!(
        (&lines[0]["ending"], &lines[0]["error"]),
        (&"cut".into(), &"shutting_down".into())
    );
    // One that ends in time holds nobody up longer.
    let site = self::site(&behind, "", "", "").await;
    let (client, server) = open(&site, &mut behind).await;
    let stop = tokio::spawn(site.stop_within(PATIENCE));
    drop((client, server));
    assert!(stop.await.unwrap().0);
}

#[tokio::test]
async fn a_connection_that_was_upgraded_is_not_used_again() {
    let mut behind = Behind::start().await;
    let site = site(&behind, "", "", "").await;
    let (client, server) = open(&site, &mut behind).await;
    drop((client, server));
    site.metric_becomes("tollgate_upgrades_open", 0.0).await;
    let _client = connect(&site, "GET /next HTTP/1.1\r\nhost: g\r\n\r\n").await;
    // A connection of its own, or this would wait for good.
    assert!(behind.next().await.head.starts_with("GET /next "));
}
