//! Tries that are made again at the same target.

use super::*;

#[tokio::test]
async fn what_could_not_be_sent_goes_to_another_endpoint_unasked() {
    let (bad, good) = (refusing(), standin("").await);
    // No TLS there: the handshake fails, and nothing of the request was sent.
    let mute = standin("").await;
    for bad in [url(bad.addr), format!("https://{}", mute.addr)] {
        let site = Site::start(&at(&[bad, good.url()], "")).await;
        let line = ask_until_tried(&site).await;
        assert_eq!(outcomes(&line), ["connect"]);
        assert_eq!(line["attempts"], 2);
        assert_eq!(line["reason"], "retry");
        assert_eq!(line["endpoint"], good.url());
        assert_ne!(line["tries"][0]["endpoint"], line["endpoint"]);
        let retried = r#"tollgate_upstream_attempts_total{upstream="near",reason="retry"}"#;
        assert_eq!(site.metric(retried).await, 1.0);
        let missed = r#"tollgate_upstream_missed_total{upstream="near",outcome="connect"}"#;
        assert_eq!(site.metric(missed).await, 1.0);
    }
    assert_eq!(mute.seen().requests, 0);
}

#[tokio::test]
async fn where_there_is_no_other_endpoint_or_retries_are_off_the_failure_is_the_answer() {
    let (bad, good) = (refusing(), standin("").await);
    for (endpoints, model) in [
        (vec![url(bad.addr)], ""),
        (vec![url(bad.addr), good.url()], "retries: off"),
    ] {
        let site = Site::start(&at(&endpoints, model)).await;
        assert_eq!(
            first_failure(&site).await.refusal(),
            (502, "upstream_unreachable".to_owned())
        );
        let line = last_failed(&site).await;
        assert_eq!(line["attempts"], 1, "{line}");
        assert_eq!(outcomes(&line), ["connect"]);
    }
}

#[tokio::test]
async fn what_was_sent_is_sent_again_only_where_that_is_said() {
    let good = standin("").await;
    for (behaviour, cause, outcome, status) in [
        ("cut-headers", "reset", "reset", 502),
        ("reset-headers", "reset", "reset", 502),
        ("fail=500", "500", "status", 500),
        ("fail=503,retry-after=60", "503", "status", 503),
        ("fail=429,retry-after=60", "429", "status", 429),
        ("stall-before", "timeout", "first_byte_timeout", 504),
    ] {
        let bad = standin(behaviour).await;
        let endpoints = [bad.url(), good.url()];
        let waits = "timeouts: { first_byte: 300ms }";
        let site = Site::start(&at(&endpoints, waits)).await;
        assert_eq!(first_failure(&site).await.status, status, "{behaviour}");
        assert_eq!(bad.seen().requests, 1, "{behaviour}");

        let retries = format!("{waits}, retries: {{ on: [ {cause} ] }}");
        let site = Site::start(&at(&endpoints, &retries)).await;
        let line = ask_until_tried(&site).await;
        assert_eq!(outcomes(&line), [outcome], "{behaviour}");
        assert_eq!(
            (&line["attempts"], &line["status"]),
            (&2.into(), &200.into())
        );
    }
}

#[tokio::test]
async fn an_answer_that_is_none_counts_as_a_connection_that_broke() {
    let good = standin("").await;
    for bytes in [
        &b"NONSENSE\r\n\r\n"[..],
        b"",
        b"HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n",
    ] {
        let bad = Babbling::start(bytes).await;
        let endpoints = [url(bad.addr), good.url()];
        let site = Site::start(&at(&endpoints, "retries: { on: [ reset ] }")).await;
        let line = ask_until_tried(&site).await;
        assert_eq!(outcomes(&line), ["reset"], "{bytes:?}");
    }
}

#[tokio::test]
async fn nothing_is_made_again_once_the_client_has_seen_a_byte() {
    let all = "retries: { count: 5, on: [ connect, reset, timeout, 500, 503 ] }";
    let good = standin("").await;
    for (behaviour, code) in [
        ("tokens=8,reset-after=2", "stream_broken"),
        ("tokens=8,stall-after=2", "upstream_silent"),
        ("tokens=8,malformed", "stream_malformed"),
    ] {
        let bad = standin(behaviour).await;
        let model = format!("{all}, timeouts: {{ between_bytes: 300ms }}");
        let site = Site::start(&at(&[bad.url(), good.url()], &model)).await;
        let mut asked = 0;
        let stream = loop {
            asked += 1;
            let stream = site.streamed().stream().await.collect().await;
            if bad.seen().requests > 0 {
                break stream;
            }
        };
        assert!(!stream.is_whole, "{behaviour}");
        assert_eq!(stream.error_code().as_deref(), Some(code), "{behaviour}");
        let lines = site.exchanges(asked).await;
        assert!(
            lines.iter().all(|line| line["attempts"] == 1),
            "{behaviour}: {lines:?}"
        );
    }
}

#[tokio::test]
async fn a_body_that_streams_through_is_sent_again_only_if_nothing_of_it_was_taken() {
    let (refusing, good) = (refusing(), standin("").await);
    let config = |first: String| {
        format!(
            r#"
upstreams: {{ near: {{ endpoints: [ "{first}", "{}" ] }} }}
routes: [ {{ name: echo, upstream: near, retries: {{ on: [ connect, reset ] }} }} ]
"#,
            good.url()
        )
    };
    let body = "b".repeat(200_000);
    let site = Site::start(&config(url(refusing.addr))).await;
    for _ in 0..4 {
        let answer = site.ask("POST", "/echo").body(body.clone()).send().await;
        assert_eq!((answer.status, answer.text() == body), (200, true));
    }
    let retried = r#"tollgate_upstream_attempts_total{upstream="near",reason="retry"}"#;
    assert!(site.metric(retried).await > 0.0);

    let bad = standin("cut-headers").await;
    let site = Site::start(&config(bad.url())).await;
    let mut answers = Vec::new();
    while bad.seen().requests == 0 {
        let asked = site.ask("POST", "/v1/chat/completions").body(body.clone());
        answers.push(asked.send().await);
    }
    let last = answers.pop().unwrap();
    assert_eq!(last.refusal(), (502, "upstream_failed".to_owned()));
    assert_eq!(last_failed(&site).await["attempts"], 1);
}

#[tokio::test]
async fn an_upstream_that_asks_to_be_left_alone_for_long_is() {
    let patient = "retries: { count: 1, on: [ 429 ], backoff: 1ms }";
    for (behaviour, requests) in [
        ("fail=429,retry-after=0", 2),
        ("fail=429", 2),
        ("fail=429,retry-after=60", 1),
        ("fail=429,header=retry-after-ms:90000", 1),
    ] {
        let busy = standin(behaviour).await;
        let site = Site::start(&at(&[busy.url()], patient)).await;
        let answer = site.chat().send().await;
        assert_eq!(answer.status, 429, "{behaviour}");
        assert_eq!(busy.seen().requests, requests, "{behaviour}");
        let said = behaviour.split("retry-after=").nth(1);
        assert_eq!(answer.header("retry-after"), said, "the last answer passes");
        let line = site.exchanges(1).await.pop().unwrap();
        assert_eq!(line["attempts"], requests, "{line}");
        assert_eq!(outcomes(&line).len() as u64, requests - 1, "{line}");
    }
}

#[tokio::test]
async fn a_budget_that_is_spent_stops_retries() {
    let bad = standin("fail=503").await;
    let retries = "retries: { count: 3, on: [ 503 ], backoff: 1ms, budget: 0 }";
    let site = Site::start(&at(&[bad.url()], retries)).await;
    for _ in 0..3 {
        assert_eq!(site.chat().send().await.status, 503);
    }
    assert_eq!(bad.seen().requests, 3);
    let over = r#"tollgate_upstream_over_budget_total{upstream="near"}"#;
    assert_eq!(site.metric(over).await, 3.0);

    // A share of the traffic, and three besides.
    let retries = "retries: { count: 10, on: [ 503 ], backoff: 1ms, budget: 50 }";
    let site = Site::start(&at(&[bad.url()], retries)).await;
    for _ in 0..20 {
        assert_eq!(site.chat().send().await.status, 503);
    }
    let sent = bad.seen().requests - 3;
    assert!((21..=20 + 10 + 3).contains(&sent), "{sent}");
}

#[tokio::test]
async fn a_client_that_leaves_between_tries_ends_them() {
    let waiting = "retries: { count: 5, on: [ 503 ], backoff: 5m, max_backoff: 5m, budget: 100 }";
    for policies in ["", "policies: [ probe ],"] {
        let bad = standin("fail=503").await;
        let config = at(&[bad.url()], waiting).replace("match:", &format!("{policies} match:"));
        let probe = "policies: { probe: { PROBE, on_error: refuse } }";
        let site = match policies {
            "" => Site::start(&config).await,
            _ => Site::start(&format!("{probe}\n{config}")).await,
        };
        let asked = site.chat().begin();
        assert!(
            bad.wait_for(PATIENCE, |seen| seen.completed == 1)
                .await
                .is_some()
        );
        drop(asked);
        let line = site.exchanges(1).await.pop().unwrap();
        assert_eq!(line["ending"], "client_gone", "{line}");
        site.metric_becomes("tollgate_exchanges_open", 0.0).await;
        assert_eq!(bad.seen().requests, 1);
    }
}

/// The newest line of the log with an error of the gateway's own.
async fn last_failed(site: &Site) -> Value {
    crate::fixture::until_async("a failure in the log", async || {
        let lines = site.exchanges(1).await;
        let failed = |line: &Value| line["error"].is_string();
        lines.into_iter().rev().find(failed)
    })
    .await
}
