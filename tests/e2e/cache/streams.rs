//! Streams that are kept and given again, event by event.

use super::*;
use crate::client::{Collected, Streamed};

pub(super) fn streamed(site: &Site) -> Ask {
    chat(site).set("stream", true)
}

async fn collect(ask: &Ask, expected: &str) -> Collected {
    let stream = ask.stream().await;
    assert_eq!(stream.status, 200);
    assert_eq!(said(&stream), Some(expected));
    stream.collect().await
}

pub(super) fn said(stream: &Streamed) -> Option<&str> {
    stream.header("x-cache")
}

#[test]
fn a_stream_is_given_again_with_its_events() {
    either_way(async |isolation| {
        let site = Site::start(&chat_through("answers", &policy(isolation, "by: []"))).await;
        let first = collect(&streamed(&site).behaving("tokens=8,split=7"), "miss").await;
        assert!(first.is_complete() && first.events.len() > 8);
        let again = collect(&streamed(&site), "hit").await;
        assert_eq!(again.events, first.events, "{isolation}");
        assert!(again.is_complete());
        assert_eq!(site.standin.seen().requests, 1);
        let log = site.exchanges(2).await;
        assert!(
            log.iter()
                .all(|line| line["ending"] == "complete" && line["stream"] == true)
        );
    });
}

#[tokio::test]
async fn a_stream_that_broke_off_or_failed_on_the_way_is_never_kept() {
    let site = Site::start(&kept()).await;
    let mut asked = 0;
    for behaviour in [
        "tokens=8,cut-after=3",
        "tokens=8,reset-after=3",
        "tokens=8,no-done",
        "tokens=8,malformed",
        "tokens=8,malformed-json",
        "tokens=8,error-event=3",
    ] {
        for _ in 0..2 {
            let stream = streamed(&site).behaving(behaviour).stream().await;
            assert_eq!(said(&stream), Some("miss"), "{behaviour}");
            let all = stream.collect().await;
            let errors = all
                .events
                .iter()
                .filter(|event| event.contains("\"error\""));
            assert!(errors.count() <= 1, "{behaviour}: {:?}", all.events);
            asked += 1;
        }
        assert_eq!(site.standin.seen().requests, asked, "{behaviour}");
    }
    assert_eq!(site.metric("tollgate_cache_stored_total").await, 0.0);
}

#[tokio::test]
async fn what_breaks_off_is_told_as_without_a_cache() {
    let site = Site::start(&kept()).await;
    for (behaviour, code) in [
        ("tokens=8,cut-after=3", "stream_broken"),
        ("tokens=8,malformed", "stream_malformed"),
    ] {
        let all = streamed(&site)
            .behaving(behaviour)
            .stream()
            .await
            .collect()
            .await;
        assert_eq!(all.error_code().as_deref(), Some(code));
        assert!(!all.is_whole);
    }
    let log = site.exchanges(2).await;
    assert!(
        log.iter().all(|line| line["ending"] == "upstream_failed"),
        "{log:?}"
    );
    let gone = chat(&site).behaving("cut-headers").send().await;
    assert_eq!(gone.refusal(), (502, "upstream_failed".to_owned()));
}

#[tokio::test]
async fn policies_before_see_the_events_of_a_kept_stream_and_of_a_kept_answer() {
    let site = Site::start(&chat_through(
        "probe, answers",
        &format!(
            "\n  probe: {{ PROBE, on_error: refuse }}{}",
            policy("exchange", "by: []")
        ),
    ))
    .await;
    for (nth, expected) in [(1.0, "miss"), (2.0, "hit"), (3.0, "hit")] {
        let all = collect(&streamed(&site), expected).await;
        assert!(all.is_complete());
        site.metric_becomes("tollgate_plugin_finishes", nth).await;
    }
    let log = site.exchanges(3).await;
    let seen: Vec<_> = log
        .iter()
        .map(|line| line["policies"][0]["events"].as_u64())
        .collect();
    assert!(seen[0].is_some_and(|events| events > 8), "{seen:?}");
    assert!(seen.iter().all(|events| *events == seen[0]), "{seen:?}");
}

#[tokio::test]
async fn a_client_that_hangs_up_at_the_mark_leaves_a_whole_answer_behind() {
    let site = Site::start(&kept()).await;
    let mut stream = streamed(&site).behaving("tokens=4").stream().await;
    while stream.next().await.is_some_and(|event| event != "[DONE]") {}
    drop(stream);
    site.metric_becomes("tollgate_exchanges_open", 0.0).await;
    assert_eq!(site.metric("tollgate_cache_stored_total").await, 1.0);
    assert!(collect(&streamed(&site), "hit").await.is_complete());
    let log = site.exchanges(2).await;
    assert_eq!(log[0]["upstream"], "standin", "{log:?}");
}
