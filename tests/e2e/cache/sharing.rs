//! Requests that are alike and under way at once share one call of the upstream.

use futures_util::future::join_all;

use super::{
    streams::{said, streamed},
    *,
};
use crate::client::Streamed;

/// As many as these events, or fewer if it ends.
async fn read(stream: &mut Streamed, count: usize) -> Vec<String> {
    let mut events = Vec::new();
    while events.len() < count
        && let Some(event) = stream.next().await
    {
        events.push(event);
    }
    events
}

#[tokio::test]
async fn who_comes_later_gets_the_start_and_then_what_comes() {
    let site = Site::start(&kept()).await;
    let behaviour = "tokens=12,pace=40ms";
    let mut first = streamed(&site).behaving(behaviour).stream().await;
    let mut of_first = read(&mut first, 4).await;
    let mut second = streamed(&site).behaving("fail=500").stream().await;
    assert_eq!(
        (said(&first), said(&second)),
        (Some("miss"), Some("shared"))
    );
    let start = read(&mut second, 4).await;
    assert_eq!(start, of_first);
    let (rest, of_second) = tokio::join!(first.collect(), second.collect());
    assert!(rest.is_complete() && of_second.is_complete());
    of_first.extend(rest.events);
    assert_eq!([start, of_second.events].concat(), of_first);
    assert_eq!(site.standin.seen().requests, 1);
    let third = streamed(&site).stream().await;
    assert_eq!(said(&third), Some("hit"));
    assert_eq!(third.collect().await.events, of_first);

    let log = site.exchanges(3).await;
    let used = |cached: &str| {
        let line = log.iter().find(|line| line["cache"] == cached).unwrap();
        (line["upstream"].as_str(), line["output_tokens"].as_u64())
    };
    assert_eq!(used("miss").0, Some("standin"));
    assert_eq!(used("shared"), (None, Some(0)));
}

#[tokio::test]
async fn who_comes_later_is_told_the_usage_only_if_it_asked_for_that() {
    for (first_asks, second_asks) in [(true, false), (false, true)] {
        let site = Site::start(&kept()).await;
        let ask = |asks: bool| {
            let options = json!({ "include_usage": asks });
            streamed(&site)
                .set("stream_options", options)
                .behaving("tokens=6,pace=40ms")
        };
        let mut first = ask(first_asks).stream().await;
        read(&mut first, 2).await;
        let second = ask(second_asks).stream().await.collect().await;
        assert!(second.is_complete(), "{second:?}");
        let tells = second
            .events
            .iter()
            .any(|event| event.contains("\"usage\":{"));
        assert_eq!(tells, second_asks, "{second:?}");
    }
}

#[tokio::test]
async fn what_is_wrong_with_one_request_is_not_told_to_another() {
    let site = Site::start(&kept()).await;
    let wrong = chat(&site).behaving("stall-before=400ms,fail=400,header=set-cookie:a=1");
    let waiting = wrong.begin();
    site.seen("it is sent", |seen| seen.in_flight == 1).await;
    let second = chat(&site).send().await;
    assert_eq!((second.status, cached(&second)), (200, Some("miss")));
    drop(waiting);
}

#[tokio::test]
async fn who_comes_later_is_told_nothing_of_the_firsts_own_exchange() {
    let site = Site::start(&kept()).await;
    let first = chat(&site).behaving("stall-before=400ms,header=set-cookie:a=1");
    let second = chat(&site);
    let asked = async {
        site.seen("it is sent", |seen| seen.in_flight == 1).await;
        second.send().await
    };
    let (first, second) = tokio::join!(first.send(), asked);
    assert_eq!(
        (cached(&second), second.header("set-cookie")),
        (Some("shared"), None)
    );
    assert_eq!(first.header("set-cookie"), Some("a=1"));
}

#[tokio::test]
async fn a_crowd_that_asks_at_once_is_one_request() {
    let site = Site::start(&kept()).await;
    let asks: Vec<_> = (0..20)
        .map(|_| chat(&site).behaving("stall-before=300ms"))
        .collect();
    let answers = join_all(asks.iter().map(Ask::send)).await;
    assert!(
        answers
            .iter()
            .all(|answer| answer.body == answers[0].body && answer.status == 200)
    );
    let count = |said: &str| {
        answers
            .iter()
            .filter(|answer| cached(answer) == Some(said))
            .count()
    };
    assert_eq!((count("miss"), count("shared") + count("hit")), (1, 19));
    assert_eq!(site.standin.seen().requests, 1);
}

#[tokio::test]
async fn when_the_first_client_leaves_the_others_go_on() {
    let site = Site::start(&kept()).await;
    let mut first = streamed(&site)
        .behaving("tokens=10,pace=60ms")
        .stream()
        .await;
    let start = read(&mut first, 2).await;
    let second = streamed(&site).stream().await;
    let third = streamed(&site).stream().await;
    drop(first);
    let (second, third) = tokio::join!(second.collect(), third.collect());
    assert!(second.is_complete() && second.text() == third.text());
    assert_eq!(second.events[..2], start[..]);
    let seen = site.standin.seen();
    assert_eq!((seen.requests, seen.cancelled), (1, 0));
    assert_eq!(said(&streamed(&site).stream().await), Some("hit"));
    let log = site.exchanges(4).await;
    let answers_for_it =
        |line: &&serde_json::Value| line["cache"] == "shared" && line["upstream"] == "standin";
    assert_eq!(log.iter().filter(answers_for_it).count(), 1, "{log:?}");
    assert_eq!(
        log.iter()
            .filter(|line| line["ending"] == "client_gone")
            .count(),
        1
    );
}

#[tokio::test]
async fn before_the_answer_begins_too() {
    let site = Site::start(&kept()).await;
    let first = chat(&site).behaving("stall-before=3s").begin();
    site.seen("it is sent", |seen| seen.in_flight == 1).await;
    let second = tokio::spawn({
        let ask = chat(&site);
        async move { ask.send().await }
    });
    // Both clients', and the one that asks for them.
    site.metric_becomes("tollgate_exchanges_open", 3.0).await;
    drop(first);
    let second = second.await.unwrap();
    assert_eq!((second.status, cached(&second)), (200, Some("shared")));
    assert_eq!(site.standin.seen().requests, 1);
}

#[tokio::test]
async fn when_the_last_leaves_the_upstream_is_left() {
    let site = Site::start(&kept()).await;
    let mut first = streamed(&site)
        .behaving("tokens=8,stall-after=3")
        .stream()
        .await;
    read(&mut first, 2).await;
    let mut second = streamed(&site).stream().await;
    read(&mut second, 2).await;
    drop(first);
    site.metric_becomes("tollgate_streams_open", 1.0).await;
    assert_eq!(site.standin.seen().cancelled, 0);
    drop(second);
    site.seen("the upstream is left", |seen| seen.cancelled == 1)
        .await;
    site.metric_becomes("tollgate_exchanges_open", 0.0).await;
    assert_eq!(site.metric("tollgate_cache_stored_total").await, 0.0);
    ask(&chat(&site), "miss").await;

    let waiting = chat(&site)
        .set("max_tokens", 9)
        .behaving("stall-before")
        .begin();
    site.seen("it is sent", |seen| seen.in_flight == 1).await;
    drop(waiting);
    site.seen("the upstream is left", |seen| seen.cancelled == 2)
        .await;
}

#[tokio::test]
async fn what_goes_wrong_is_told_to_all_who_share_it_once() {
    let site = Site::start(&kept()).await;
    let mut first = streamed(&site)
        .behaving("tokens=8,pace=60ms,cut-after=5")
        .stream()
        .await;
    read(&mut first, 2).await;
    let second = streamed(&site).stream().await;
    assert_eq!(said(&second), Some("shared"));
    let (first, second) = tokio::join!(first.collect(), second.collect());
    for all in [first, second] {
        assert_eq!(all.error_code().as_deref(), Some("stream_broken"));
        assert!(!all.is_whole);
        let errors = all
            .events
            .iter()
            .filter(|event| event.contains("\"error\""));
        assert_eq!(errors.count(), 1);
    }
    assert!(streamed(&site).stream().await.collect().await.is_complete());
}

#[tokio::test]
async fn what_a_policy_says_to_one_is_not_said_to_another() {
    let probe = "\n  probe: { PROBE, on_error: refuse }";
    let policies = format!("{}{probe}", policy("exchange", "by: []"));
    let site = Site::start(&chat_through("answers, probe", &policies)).await;
    let asks = |deed: &str| {
        let ask = chat(&site).header("x-probe", deed);
        tokio::spawn(async move { ask.behaving("stall-before=3s").send().await })
    };
    let first = asks("trap@response");
    site.seen("it is sent", |seen| seen.in_flight == 1).await;
    let second = asks("");
    site.metric_becomes("tollgate_exchanges_open", 3.0).await;
    let (first, second) = tokio::join!(first, second);
    assert_eq!(first.unwrap().refusal(), (500, "policy_failed".to_owned()));
    let second = second.unwrap();
    assert_eq!((second.status, cached(&second)), (200, Some("miss")));
    assert_eq!(site.standin.seen().requests, 2, "it asked for itself");
}

#[tokio::test]
async fn a_request_after_a_swap_shares_nothing_from_before_it() {
    let site = Site::start(&kept()).await;
    let mut first = streamed(&site)
        .behaving("tokens=8,pace=60ms")
        .stream()
        .await;
    read(&mut first, 1).await;
    let moved = kept().replace(
        "upstream: standin } ]",
        "upstream: standin, model: other } ]",
    );
    site.reconfigure(&moved).await;
    let second = streamed(&site).stream().await;
    assert_eq!(said(&second), Some("miss"));
    assert!(second.collect().await.text().contains("other"));
    assert!(!first.collect().await.text().contains("other"));
}
