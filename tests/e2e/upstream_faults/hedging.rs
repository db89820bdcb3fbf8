//! A second endpoint, where the first is late.

use super::*;

const HEDGE: &str = "hedge: { samples: 1, percentile: 50, min_delay: 20ms, budget: 100 }";

/// Both endpoints are known to be fast; then the first falls silent, unless it is told not to.
async fn warmed(bad: &Standin, good: &Standin, model: &str) -> Site {
    let site = Site::start(&at(&[bad.url(), good.url()], model)).await;
    for _ in 0..4 {
        let asked = site.chat().behaving("stall-before=0ms").send().await;
        assert_eq!(asked.status, 200);
        let asked = site.streamed().behaving("stall-before=0ms").stream().await;
        assert!(asked.collect().await.is_complete());
    }
    site
}

#[tokio::test]
async fn the_first_to_answer_wins_and_the_other_is_cancelled() {
    let (bad, good) = (standin("stall-before").await, standin("").await);
    let site = warmed(&bad, &good, HEDGE).await;
    let silent = bad.seen();
    for asked in 0..4 {
        let answer = site.chat().send().await;
        assert_eq!(answer.status, 200, "{asked}");
        let stream = site.streamed().stream().await.collect().await;
        assert!(stream.is_complete(), "{asked}");
    }
    let waiting = bad.seen().requests - silent.requests;
    assert!(waiting > 0, "it was never asked");
    // Really: the stand-in sees each of them leave, while nobody answers.
    let left = |seen: &tollgate::demo::standin::Seen| seen.cancelled == waiting;
    assert!(
        bad.wait_for(PATIENCE, left).await.is_some(),
        "{:?}",
        bad.seen()
    );
    let lines = site.exchanges(16).await;
    let hedged: Vec<_> = lines
        .iter()
        .filter(|line| line["reason"] == "hedge")
        .collect();
    assert_eq!(hedged.len() as u64, waiting);
    for line in hedged {
        assert_eq!(outcomes(line), ["outrun"]);
        assert_eq!(line["attempts"], 2);
        assert_eq!(line["endpoint"], good.url());
        assert_eq!(line["tries"][0]["endpoint"], bad.url());
    }
    site.metric_becomes("tollgate_exchanges_open", 0.0).await;
}

#[tokio::test]
async fn a_stream_is_late_by_its_first_token_and_not_by_its_head() {
    let (bad, good) = (
        standin("tokens=8,stall-after=1").await,
        standin("tokens=8").await,
    );
    let site = Site::start(&at(&[bad.url(), good.url()], HEDGE)).await;
    for _ in 0..4 {
        let stream = site.streamed().behaving("stall-after=100").stream().await;
        assert!(stream.collect().await.is_complete());
    }
    let before = bad.seen().requests;
    for _ in 0..4 {
        let stream = site.streamed().stream().await.collect().await;
        assert!(stream.is_complete(), "{stream:?}");
    }
    assert!(bad.seen().requests > before);
}

#[tokio::test]
async fn a_budget_bounds_second_tries_and_nothing_known_means_none() {
    let (bad, good) = (standin("stall-before").await, standin("").await);
    let waits = "timeouts: { first_byte: 500ms }, retries: off";
    let none = HEDGE.replace("budget: 100", "budget: 0");
    let unknown = HEDGE.replace("samples: 1,", "samples: 1000,");
    for (hedge, over) in [(none, true), (unknown, false)] {
        let site = warmed(&bad, &good, &format!("{hedge}, {waits}")).await;
        let mut late = 0;
        for _ in 0..4 {
            let answer = site.chat().send().await;
            late += u64::from(answer.status == 504);
        }
        assert!(late > 0, "{hedge}");
        let over_budget = site.metric("tollgate_upstream_over_budget_total").await;
        assert_eq!(over_budget > 0.0, over, "{hedge}");
        let hedged = r#"tollgate_upstream_attempts_total{upstream="near",reason="hedge"}"#;
        assert_eq!(site.metric(hedged).await, 0.0, "{hedge}");
    }
}

/// Asks until the request went to the late endpoint first and so to the other too.
async fn ask_until_hedged(site: &Site) -> (u16, Value) {
    site.metric_becomes("tollgate_exchanges_open", 0.0).await;
    let before = site.exchanges(1).await.len();
    for count in 1..=8 {
        let status = site.chat().send().await.status;
        let line = site.exchanges(before + count).await.pop().unwrap();
        if line["attempts"] == 2 {
            return (status, line);
        }
    }
    panic!("no request was made twice");
}

#[tokio::test]
async fn an_error_does_not_win_over_an_answer_that_is_awaited() {
    for (late, status, outcome, reason) in [
        ("stall-before=400ms", 200, "status", None),
        // Where both fail, an answer is more than none.
        ("stall-before", 429, "first_byte_timeout", Some("hedge")),
        ("stall-before=400ms,fail=500", 429, "status", Some("hedge")),
    ] {
        let (late, busy) = (standin(late).await, standin("fail=429").await);
        let waits = "timeouts: { first_byte: 900ms }, retries: { on: [ connect, 500 ] }";
        let model = format!("{HEDGE}, {waits}");
        let site = Site::start(&at(&[late.url(), busy.url()], &model)).await;
        crate::fixture::until_async("one that is known to be fast", async || {
            let asked = site.chat().behaving("stall-before=0ms,fail=200");
            (asked.send().await.status == 200).then_some(())
        })
        .await;
        let (given, line) = ask_until_hedged(&site).await;
        assert_eq!((given, outcomes(&line)), (status, vec![outcome]), "{line}");
        assert_eq!(line["reason"].as_str(), reason, "{line}");
    }
}
