//! An answer serves a stream, and a stream an answer.

use super::{streams::streamed, *};

fn text(answer: &Answer) -> String {
    answer.json()["choices"][0]["message"]["content"]
        .as_str()
        .unwrap()
        .to_owned()
}

#[tokio::test]
async fn a_kept_answer_serves_a_stream() {
    let site = Site::start(&kept()).await;
    let answer = ask(&chat(&site), "miss").await;
    let stream = streamed(&site).stream().await;
    assert_eq!(stream.header("x-cache"), Some("hit"));
    assert_eq!(stream.header("content-type"), Some("text/event-stream"));
    let all = stream.collect().await;
    assert!(all.is_complete());
    assert_eq!(all.text(), text(&answer));
    assert!(
        all.events
            .iter()
            .all(|event| !event.contains("\"usage\":{"))
    );
    let asks = streamed(&site).set("stream_options", json!({ "include_usage": true }));
    let all = asks.stream().await.collect().await;
    let usage: serde_json::Value = serde_json::from_str(&all.events[all.events.len() - 2]).unwrap();
    assert_eq!(usage["usage"], answer.json()["usage"]);
    assert_eq!(site.standin.seen().requests, 1);
}

#[tokio::test]
async fn a_kept_stream_serves_an_answer() {
    let site = Site::start(&kept()).await;
    let asks = streamed(&site).set("stream_options", json!({ "include_usage": true }));
    let all = asks.stream().await.collect().await;
    let answer = ask(&chat(&site), "hit").await;
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(text(&answer), all.text());
    let direct = chat(&site).header("cache-control", "no-store").send().await;
    let (mut ours, mut theirs) = (answer.json(), direct.json());
    for answer in [&mut ours, &mut theirs] {
        answer.as_object_mut().unwrap().remove("id");
    }
    for field in ["object", "model", "usage"] {
        assert_eq!(ours[field], theirs[field]);
    }
    assert_eq!(
        ours["choices"][0]["finish_reason"],
        theirs["choices"][0]["finish_reason"]
    );
    // The event of the usage is for those who asked for it.
    let plain = streamed(&site).stream().await;
    assert_eq!(plain.header("x-cache"), Some("hit"));
    let plain = plain.collect().await;
    assert_eq!(plain.events.len(), all.events.len() - 1);
    assert!(plain.is_complete());
}

#[tokio::test]
async fn a_stream_without_usage_serves_none_who_asks_for_it() {
    let site = Site::start(&kept()).await;
    streamed(&site).stream().await.collect().await;
    let asks = streamed(&site).set("stream_options", json!({ "include_usage": true }));
    for expected in ["miss", "hit"] {
        let stream = asks.stream().await;
        assert_eq!(stream.header("x-cache"), Some(expected));
        let all = stream.collect().await;
        assert!(all.events.iter().any(|event| event.contains("\"usage\":{")));
    }
}

#[tokio::test]
async fn who_asks_for_the_other_form_of_what_is_under_way_waits_for_the_whole() {
    let site = Site::start(&kept()).await;
    let mut stream = streamed(&site)
        .behaving("tokens=6,pace=40ms")
        .stream()
        .await;
    stream.next().await.unwrap();
    let answer = ask(&chat(&site), "shared").await;
    assert_eq!(text(&answer), chat_text(stream).await);
    assert_eq!(site.standin.seen().requests, 1);

    let first = chat(&site).set("max_tokens", 3);
    let (first, second) = tokio::join!(
        async { first.behaving("stall-before=300ms").send().await },
        async {
            site.seen("it is sent", |seen| seen.in_flight == 1).await;
            let ask = streamed(&site).set("max_tokens", 3);
            ask.stream().await.collect().await
        }
    );
    assert!(second.is_complete());
    assert_eq!(second.text(), text(&first));
    assert_eq!(site.standin.seen().requests, 2);
}

async fn chat_text(stream: crate::client::Streamed) -> String {
    let rest = stream.collect().await;
    assert!(rest.is_complete());
    rest.text()
}
