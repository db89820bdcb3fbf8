//! Clients that go away: the upstream is left at once, and every exchange still ends.

use crate::{
    client::raw,
    fixture::{Site, chat_through, until},
};

const GONE: &str = r#"tollgate_plugin_finishes{policy="probe",ending="Ending::ClientGone""#;

/// A policy with time for `busy`.
fn patient() -> String {
    chat_through(
        "probe",
        "\n  probe: { PROBE, on_error: refuse, limits: { hook_time: 10s, exchange_time: 20s, host_calls: 100000 } }",
    )
}

/// One exchange has ended, by its client, for all that look.
async fn ended_once(site: &Site) {
    site.metric_becomes("tollgate_exchanges_open", 0.0).await;
    site.metric_becomes(GONE, 1.0).await;
    site.metric_becomes("tollgate_plugin_finishes", 1.0).await;
    let lines = site.exchanges(1).await;
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert_eq!(lines[0]["ending"], "client_gone");
    // The neighbour on the same gateway, and its own line.
    assert_eq!(site.chat().send().await.status, 200);
    site.metric_becomes("tollgate_plugin_finishes", 2.0).await;
    assert_eq!(site.exchanges(2).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_leaves_a_stream_ends_it_upstream() {
    let site = Site::start(&patient()).await;
    let mut stream = site
        .streamed()
        .behaving("tokens=8,stall-after=3")
        .stream()
        .await;
    stream.next().await.unwrap();
    assert_eq!(site.standin.seen().cancelled, 0);
    drop(stream);
    site.seen("the upstream's stream is given up", |seen| {
        seen.cancelled == 1
    })
    .await;
    ended_once(&site).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_leaves_while_the_upstream_thinks_ends_that_too() {
    let site = Site::start(&patient()).await;
    let waiting = site.chat().behaving("stall-before").begin();
    site.seen("the request arrives", |seen| seen.requests == 1)
        .await;
    drop(waiting);
    site.seen("the upstream's request is given up", |seen| {
        seen.cancelled == 1
    })
    .await;
    ended_once(&site).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_leaves_while_a_policy_reads_the_request_costs_no_upstream() {
    let site = Site::start(&patient()).await;
    let waiting = site.chat().header("x-probe", "busy=1500").begin();
    site.metric_becomes("tollgate_exchanges_open", 1.0).await;
    drop(waiting);
    ended_once(&site).await;
    assert_eq!(site.standin.seen().requests, 1, "only the neighbour's");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_leaves_while_a_policy_reads_the_response_is_noticed() {
    let site = Site::start(&patient()).await;
    let waiting = site.chat().header("x-probe", "busy=1500@response").begin();
    site.seen("the request is answered", |seen| seen.completed == 1)
        .await;
    drop(waiting);
    ended_once(&site).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_leaves_while_a_policy_reads_an_event_is_noticed() {
    let site = Site::start(&patient()).await;
    let ask = site
        .streamed()
        .header("x-probe", "busy=1500@events")
        .behaving("tokens=8,stall-after=3");
    let stream = ask.stream().await;
    drop(stream);
    site.seen("the upstream's stream is given up", |seen| {
        seen.cancelled == 1
    })
    .await;
    ended_once(&site).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_leaves_without_any_policy_ends_its_upstream_request() {
    let site = Site::start(&chat_through("", "")).await;
    let waiting = site.chat().behaving("stall-before").begin();
    site.seen("the request arrives", |seen| seen.requests == 1)
        .await;
    drop(waiting);
    site.seen("the upstream's request is given up", |seen| {
        seen.cancelled == 1
    })
    .await;
    let mut stream = site
        .streamed()
        .behaving("tokens=8,stall-after=3")
        .stream()
        .await;
    stream.next().await.unwrap();
    drop(stream);
    site.seen("the upstream's stream is given up", |seen| {
        seen.cancelled == 2
    })
    .await;
    let lines = site.exchanges(2).await;
    assert!(
        lines.iter().all(|line| line["ending"] == "client_gone"),
        "{lines:?}"
    );
    assert_eq!(lines.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_leaves_within_its_request_body_reaches_no_one() {
    use tokio::io::AsyncWriteExt;
    let site = Site::start(&patient()).await;
    let mut client = tokio::net::TcpStream::connect(site.gateway.addr())
        .await
        .unwrap();
    let head =
        "POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\n{\"model\":";
    client.write_all(head.as_bytes()).await.unwrap();
    site.metric_becomes("tollgate_exchanges_open", 1.0).await;
    drop(client);
    site.metric_becomes("tollgate_exchanges_open", 0.0).await;
    assert_eq!(site.exchanges(1).await[0]["ending"], "client_gone");
    assert_eq!(site.standin.seen().requests, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_that_leaves_at_any_moment_leaves_nothing_behind() {
    let site = Site::start(&patient()).await;
    let mut sent = 0;
    for round in 0..60_u64 {
        let ask = if round % 2 == 0 {
            site.chat()
        } else {
            site.streamed()
        };
        let waiting = ask.behaving("tokens=8,pace=1ms").begin();
        tokio::time::sleep(std::time::Duration::from_micros(round * 150)).await;
        drop(waiting);
        sent += 1;
    }
    site.metric_becomes("tollgate_exchanges_open", 0.0).await;
    site.metric_becomes("tollgate_connections_open", 1.0 - 1.0)
        .await;
    until("the upstream is idle", || {
        (site.standin.seen().in_flight == 0).then_some(())
    })
    .await;
    // Those whose session was opened were finished, each once.
    let lines = site.exchanges(0).await;
    let opened = lines
        .iter()
        .filter(|line| {
            line["policies"][0]["us"]
                .as_u64()
                .is_some_and(|time| time > 0)
        })
        .count();
    site.metric_becomes("tollgate_plugin_finishes", opened as f64)
        .await;
    assert!(lines.len() <= sent);
    let answer = raw(
        site.gateway.addr(),
        b"GET /v1/models HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
    )
    .await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}
