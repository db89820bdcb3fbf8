//! Streams whose first token is late.

use super::*;

const SOON: &str = "timeouts: { first_token: 300ms }";

#[tokio::test]
async fn a_stream_without_a_first_token_is_given_up_for_the_next_target() {
    let far = standin("tokens=6").await;
    // Before the head, behind it, and behind an event that says only that it begins.
    for (count, behaviour) in [
        "stall-before",
        "tokens=8,stall-after=0",
        "tokens=8,stall-after=1",
    ]
    .into_iter()
    .enumerate()
    {
        let near = standin(behaviour).await;
        let site = Site::start(&in_line(&near.url(), &far.url(), SOON)).await;
        let stream = site.streamed().stream().await;
        assert_eq!(stream.status, 200, "{behaviour}");
        let stream = stream.collect().await;
        assert!(stream.is_complete(), "{behaviour}: {stream:?}");
        assert!(
            stream.events[0].contains(r#""model":"other""#),
            "{behaviour}"
        );
        let line = site.exchanges(1).await.pop().unwrap();
        assert_eq!(outcomes(&line), ["first_byte_timeout"], "{behaviour}");
        // Not merely left alone: its connection is gone.
        let gone = near.wait_for(PATIENCE, |seen| seen.cancelled == 1).await;
        assert!(gone.is_some(), "{behaviour}: {:?}", near.seen());
        assert_eq!(far.seen().requests, count as u64 + 1);
    }
}

#[tokio::test]
async fn one_that_breaks_before_its_first_token_is_given_up_too() {
    let far = standin("").await;
    let near = standin("tokens=8,reset-after=1").await;
    let site = Site::start(&in_line(&near.url(), &far.url(), SOON)).await;
    let stream = site.streamed().stream().await.collect().await;
    assert!(stream.is_complete(), "{stream:?}");
    assert_eq!(outcomes(&site.exchanges(1).await[0]), ["reset"]);
}

#[tokio::test]
async fn where_nobody_is_in_line_a_late_stream_is_waited_for() {
    let near = standin("tokens=4,stall-before=700ms").await;
    let site = Site::start(&at(&[near.url()], SOON)).await;
    let stream = site.streamed().stream().await.collect().await;
    assert!(stream.is_complete(), "{stream:?}");
    let line = site.exchanges(1).await.pop().unwrap();
    assert_eq!(line["attempts"], 1, "{line}");
}

#[tokio::test]
async fn a_stream_that_was_held_back_comes_whole_and_byte_for_byte() {
    let far = standin("").await;
    for behaviour in [
        "tokens=8",
        "tokens=8,split=3,crlf,comments",
        "tokens=8,bom,no-space",
        "tokens=300,big=300000",
    ] {
        let near = standin(behaviour).await;
        let held = Site::start(&in_line(&near.url(), &far.url(), SOON)).await;
        let plain = Site::start(&at(&[near.url()], "")).await;
        let id = |events: Vec<String>| -> Vec<String> {
            let cut = |event: String| event.split(r#""object""#).last().unwrap().to_owned();
            events.into_iter().map(cut).collect()
        };
        let one = held.streamed().stream().await.collect().await;
        let other = plain.streamed().stream().await.collect().await;
        assert!(one.is_complete(), "{behaviour}");
        assert_eq!(id(one.events), id(other.events), "{behaviour}");
        // Through the event hooks as well.
        let probe = "policies: { probe: { PROBE, on_error: refuse, settings: { mark: m } } }\n";
        let config =
            in_line(&near.url(), &far.url(), SOON).replace("match:", "policies: [ probe ], match:");
        let hooked = Site::start(&format!("{probe}{config}")).await;
        let marked = hooked.streamed().stream().await.collect().await;
        assert!(marked.is_complete(), "{behaviour}: {marked:?}");
        assert!(marked.events[0].contains(r#""mark":"m""#), "{behaviour}");
    }
    assert_eq!(far.seen().requests, 0);
}

#[tokio::test]
async fn where_nothing_could_follow_a_late_stream_is_waited_for() {
    let slow = "tokens=4,stall-before=700ms,pace=20ms";
    let both = [standin(slow).await, standin(slow).await].map(|one| (one.url(), one));
    let [(one, _), (two, _)] = &both;
    let spent = format!("{SOON}, retries: {{ on: [ timeout ], budget: 0 }}");
    let spent = at(&[one.clone(), two.clone()], &spent);
    let passing = format!(
        r#"
upstreams: {{ near: {{ endpoints: [ "{one}", "{two}" ] }} }}
routes: [ {{ name: chat, upstream: near, {SOON}, retries: {{ on: [ timeout ] }} }} ]
"#
    );
    for (config, over_budget) in [(spent, 1.0), (passing, 0.0)] {
        let site = Site::start(&config).await;
        let stream = site.streamed().stream().await;
        assert_eq!(stream.status, 200, "{config}");
        assert!(stream.collect().await.is_complete(), "{config}");
        let line = site.exchanges(1).await.pop().unwrap();
        assert_eq!(
            (&line["attempts"], &line["tries"]),
            (&1.into(), &Value::Null)
        );
        let over = r#"tollgate_upstream_over_budget_total{upstream="near"}"#;
        assert_eq!(site.metric(over).await, over_budget, "{config}");
    }
}

#[tokio::test]
async fn a_late_stream_is_given_up_for_another_endpoint_once() {
    let (bad, good) = (standin("tokens=8,stall-after=1").await, standin("").await);
    let retries = format!("{SOON}, retries: {{ count: 3, on: [ timeout ] }}");
    let site = Site::start(&at(&[bad.url(), good.url()], &retries)).await;
    for asked in 1..=2 {
        assert!(site.streamed().stream().await.collect().await.is_complete());
        site.exchanges(asked).await;
    }
    let lines = site.exchanges(2).await;
    let line = lines.iter().find(|line| !line["tries"].is_null()).unwrap();
    assert_eq!(outcomes(line), ["first_byte_timeout"], "{line}");
    assert_eq!(
        (&line["attempts"], &line["reason"]),
        (&2.into(), &"retry".into())
    );
}

#[tokio::test]
async fn what_is_compressed_cannot_be_looked_into_and_is_not_held_back() {
    let far = standin("").await;
    let near = standin("tokens=8,stall-after=1,header=content-encoding:gzip").await;
    let site = Site::start(&in_line(&near.url(), &far.url(), SOON)).await;
    let asked = site.streamed().header("accept-encoding", "gzip");
    let stream = asked.stream().await;
    assert_eq!(stream.header("content-encoding"), Some("gzip"));
    assert_eq!(far.seen().requests, 0);
}
