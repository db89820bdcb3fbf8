//! Streams: what policies do to their events, and what becomes of one that breaks.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    task::JoinHandle,
};

use crate::{
    client::{Ask, Collected, raw, statuses},
    fixture::{Site, chat_through, probing},
};

/// What the stand-in says with `tokens=8`.
const SAID: &str = "small heard: Name three rivers. t5 t6 t7";

async fn collected(ask: Ask) -> Collected {
    let streamed = ask.stream().await;
    assert_eq!(streamed.status, 200);
    assert!(
        streamed
            .header("content-type")
            .unwrap()
            .starts_with("text/event-stream")
    );
    assert_eq!(streamed.header("content-length"), None);
    streamed.collect().await
}

#[tokio::test]
async fn an_event_is_changed_another_dropped_and_the_stream_ended() {
    let site = Site::start(&probing(
        r#"events: [ { text: three, act: { say: " four" } }, { text: t5, act: drop }, { text: t6, act: end } ]"#,
    ))
    .await;
    let stream = collected(site.streamed()).await;
    assert_eq!(stream.text(), "small heard: Name four rivers. t6");
    assert!(stream.is_complete(), "{stream:?}");
    let line = &site.exchanges(1).await[0];
    assert_eq!(line["ending"], "cut");
    assert_eq!(line["policies"][0]["decided"], "end");
    assert_eq!(line["policies"][0]["events_changed"], 3);
    site.metric_becomes(
        r#"tollgate_plugin_finishes{policy="probe",ending="Ending::Cut",status="200"}"#,
        1.0,
    )
    .await;
}

#[tokio::test]
async fn an_event_is_held_back_until_later_and_another_sent_twice() {
    let site = Site::start(&probing(
        r#"events: [ { text: Name, act: hold }, { text: t7, act: twice } ]"#,
    ))
    .await;
    let stream = collected(site.streamed()).await;
    assert_eq!(stream.text(), "small heard: three rivers. t5 t6 t7 t7 Name");
    assert!(stream.is_complete(), "{stream:?}");
    assert_eq!(site.exchanges(1).await[0]["ending"], "complete");
}

#[tokio::test]
async fn a_policy_has_the_last_word_before_the_mark_of_the_end() {
    let site = Site::start(&probing("farewell: goodbye")).await;
    let stream = collected(site.streamed()).await;
    assert_eq!(stream.text(), SAID);
    let last: Vec<_> = stream.events.iter().rev().take(2).collect();
    assert_eq!(last, ["[DONE]", "farewell:goodbye"]);
}

#[tokio::test]
async fn a_stream_that_is_cut_ends_as_a_model_would_end_it() {
    let site = Site::start(&probing("events: [ { text: rivers, act: cut } ]")).await;
    let stream = collected(site.streamed().behaving("tokens=5000,pace=1ms")).await;
    assert_eq!(stream.text(), "small heard: Name three");
    assert!(stream.is_complete(), "{stream:?}");
    let finish: Value = serde_json::from_str(&stream.events[stream.events.len() - 2]).unwrap();
    assert_eq!(finish["choices"][0]["finish_reason"], "length");
    site.seen("the upstream's request is given up", |seen| {
        seen.cancelled == 1
    })
    .await;
}

#[tokio::test]
async fn event_policies_see_what_the_ones_behind_them_left() {
    let site = Site::start(&chat_through(
        "outer, inner",
        r#"
  inner: { PROBE, on_error: refuse, settings: { events: [ { text: three, act: { say: " four" } }, { text: t5, act: drop } ] } }
  outer: { PROBE, on_error: refuse, settings: { events: [ { text: four, act: { say: " five" } }, { text: t5, act: end } ] } }"#,
    ))
    .await;
    let stream = collected(site.streamed()).await;
    assert_eq!(stream.text(), "small heard: Name five rivers. t6 t7");
    assert!(stream.is_complete());
}

#[tokio::test]
async fn events_reach_the_client_while_the_upstream_is_still_silent() {
    let site = Site::start(&probing("mark: one")).await;
    let mut stream = site
        .streamed()
        .behaving("tokens=8,stall-after=3")
        .stream()
        .await;
    for _ in 0..3 {
        let event: Value = serde_json::from_str(&stream.next().await.unwrap()).unwrap();
        assert_eq!(
            (&event["mark"], &event["system_fingerprint"]),
            (&json!("one"), &json!("one"))
        );
    }
    assert_eq!(site.metric("tollgate_streams_open").await, 1.0);
    drop(stream);
    site.metric_becomes("tollgate_streams_open", 0.0).await;
}

#[tokio::test]
async fn a_stream_is_the_same_however_the_upstream_spells_it() {
    let site = Site::start(&chat_through("", "")).await;
    let config = chat_through(
        "probe",
        "\n  probe: { PROBE, on_error: refuse, settings: { events: [ { text: three, act: { say: \" four\" } } ] } }",
    );
    let probed = Site::start(&config).await;
    for spelling in [
        "crlf",
        "cr",
        "comments",
        "multi-line",
        "no-space",
        "bom",
        "split=1",
        "split=7,crlf",
        "done-twice",
        "after-done",
    ] {
        let behaviour = format!("tokens=8,{spelling}");
        let plain = collected(site.streamed().behaving(&behaviour)).await;
        assert!(plain.is_complete(), "{spelling}: {plain:?}");
        assert_eq!(plain.text(), SAID, "{spelling}");
        assert_eq!(plain.events.len(), 11, "{spelling}");
        let changed = collected(probed.streamed().behaving(&behaviour)).await;
        assert!(changed.is_complete(), "{spelling}: {changed:?}");
        assert_eq!(changed.text(), SAID.replace("three", "four"), "{spelling}");
        assert_eq!(changed.events.len(), 11, "{spelling}");
    }
}

#[tokio::test]
async fn usage_of_a_stream_is_read_and_counted() {
    let site = Site::start(&chat_through("", "")).await;
    let ask = site
        .streamed()
        .set("stream_options", json!({ "include_usage": true }))
        .behaving("tokens=3,usage=11/22");
    assert!(collected(ask).await.is_complete());
    let line = &site.exchanges(1).await[0];
    assert_eq!(
        (
            &line["input_tokens"],
            &line["output_tokens"],
            &line["stream"]
        ),
        (&json!(11), &json!(22), &json!(true))
    );
    site.metric_becomes("tollgate_tokens_total", 33.0).await;
}

/// Ways to break a stream, and the code that the client is told.
const FAULTS: [(&str, &str); 8] = [
    ("cut-after=3", "stream_broken"),
    ("reset-after=3", "stream_broken"),
    ("cut-after=3,split=5", "stream_broken"),
    ("no-done", "stream_broken"),
    ("no-done,crlf", "stream_broken"),
    ("stall-after=3", "upstream_silent"),
    ("malformed", "stream_malformed"),
    ("big=70000", "stream_malformed"),
];

const TIGHT: &str = "\nlimits: { event: 64KiB }\ntimeouts: { between_bytes: 400ms }\n";

async fn never_looks_complete(config: &str) {
    let site = Site::start(&format!("{config}{TIGHT}")).await;
    for (fault, code) in FAULTS {
        let stream = collected(site.streamed().behaving(&format!("tokens=8,{fault}"))).await;
        assert!(!stream.is_whole, "{fault}: {stream:?}");
        assert!(
            !stream.events.iter().any(|event| event == "[DONE]"),
            "{fault}: {stream:?}"
        );
        assert_eq!(
            stream.error_code().as_deref(),
            Some(code),
            "{fault}: {stream:?}"
        );
        // The neighbour on the same gateway.
        assert_eq!(
            collected(site.streamed()).await.text(),
            SAID,
            "after {fault}"
        );
    }
    let lines = site.exchanges(2 * FAULTS.len()).await;
    for ((fault, code), line) in FAULTS.iter().zip(lines.iter().step_by(2)) {
        assert_eq!(line["error"], *code, "{fault}");
        let ending = if *code == "upstream_silent" {
            "timed_out"
        } else {
            "upstream_failed"
        };
        assert_eq!(line["ending"], ending, "{fault}");
    }
}

#[tokio::test]
async fn a_stream_that_broke_upstream_never_looks_complete() {
    never_looks_complete(&chat_through("", "")).await;
}

#[tokio::test]
async fn a_stream_that_broke_upstream_never_looks_complete_behind_a_policy() {
    never_looks_complete(&probing("farewell: goodbye")).await;
}

#[tokio::test]
async fn a_broken_stream_has_no_last_chunk_on_the_wire() {
    for config in [chat_through("", ""), probing("")] {
        let site = Site::start(&config).await;
        let body = json!({ "model": "small", "stream": true, "messages": [] }).to_string();
        let request = |behaviour: &str| {
            format!(
                "POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\nconnection: close\r\nx-standin: {behaviour}\r\n\
                 content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            )
        };
        for fault in ["cut-after=2", "reset-after=2", "no-done"] {
            let answer = raw(site.gateway.addr(), request(fault).as_bytes()).await;
            assert_eq!(statuses(&answer), [200], "{answer}");
            assert!(answer.contains("stream_broken"), "{fault}: {answer}");
            assert!(
                !answer.ends_with("0\r\n\r\n") && !answer.contains("[DONE]"),
                "{fault}: {answer}"
            );
        }
        let whole = raw(site.gateway.addr(), request("tokens=2").as_bytes()).await;
        assert!(
            whole.ends_with("0\r\n\r\n") && whole.contains("[DONE]"),
            "{whole}"
        );
    }
}

#[tokio::test]
async fn an_error_in_the_upstreams_stream_goes_on_as_it_came() {
    let site = Site::start(&probing("")).await;
    let stream = site
        .streamed()
        .behaving("tokens=8,error-event=2")
        .stream()
        .await
        .collect()
        .await;
    assert!(
        stream
            .events
            .iter()
            .any(|event| event.contains("\"error\"")),
        "{stream:?}"
    );
}

#[tokio::test]
async fn a_plain_answer_that_is_cut_short_never_looks_complete() {
    let site = Site::start(&chat_through("", "")).await;
    let body = json!({ "model": "small", "messages": [] }).to_string();
    let request = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\nconnection: close\r\nx-standin: big=100000,cut-after=40\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let answer = raw(site.gateway.addr(), request.as_bytes()).await;
    assert_eq!(statuses(&answer), [200], "{answer}");
    assert!(!answer.ends_with("0\r\n\r\n"), "{answer}");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("chunked") || body.len() <= 40, "{answer}");
    assert_eq!(site.exchanges(1).await[0]["ending"], "upstream_failed");
    // A short document is waited for whole, and with a policy that has to see it any is: then
    // it is an error from the start.
    let long = "big=100000,cut-after=40";
    for (config, behaviour) in [
        (chat_through("", ""), "cut-after=40"),
        (probing(""), "cut-after=40"),
        (probing(""), long),
    ] {
        let site = Site::start(&config).await;
        let answer = site.chat().behaving(behaviour).send().await;
        assert_eq!(answer.refusal(), (502, "upstream_failed".to_owned()));
    }
}

/// An upstream that says everything, and goes on with comments until it is cut.
async fn never_still() -> (String, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    let task = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = [0; 4096];
        assert!(stream.read(&mut request).await.unwrap() > 0);
        let answer = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\ne\r\ndata: [DONE]\n\n\r\n";
        stream.write_all(answer.as_bytes()).await.unwrap();
        while stream.write_all(b"3\r\n:\n\n\r\n").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    (addr, task)
}

#[tokio::test]
async fn what_comes_behind_the_mark_does_not_hold_the_client() {
    for config in [chat_through("", ""), probing("")] {
        let (upstream, task) = never_still().await;
        let site = Site::start(&config.replace(
            "\"http://UPSTREAM\" ] } }",
            &format!("\"http://{upstream}\" ] }} }}"),
        ))
        .await;
        let stream = collected(site.streamed()).await;
        assert!(stream.is_complete(), "{stream:?}");
        task.await.unwrap();
        assert_eq!(site.exchanges(1).await[0]["ending"], "complete");
    }
}
