//! What no upstream and no client should send, between an OpenAI client and a server that
//! speaks Anthropic's Messages.

use super::{
    from_openai::{is_complete, streamed},
    *,
};
use crate::scripted::{Heard, Said};

#[test]
fn a_stream_that_is_not_whole_never_looks_it() {
    either_way(async |isolation| {
        let (site, claude) = before_claude(isolation, "").await;
        let events = claude::events(true);
        let text = claude::text_of(&events);
        let whole = |events: &[Value]| Said::events(claude::text_of(events));
        let overloaded = json!({ "type": "error", "error": { "type": "overloaded_error", "message": "Overloaded" } });
        let mut failing = events[..5].to_vec();
        failing.push(overloaded);
        let mut swapped = events.clone();
        swapped.swap(0, 2);
        let started_twice: Vec<_> = [&events[..1], &events[..]].concat();
        let deep = format!(
            "data: {{\"type\":\"content_block_delta\",\"x\":{}{}}}\n\n",
            "[".repeat(70),
            "]".repeat(70)
        );
        let mut other_kind = events.clone();
        other_kind[3]["delta"] = json!({ "type": "input_json_delta", "partial_json": "{" });
        let cases = [
            ("an end without a stop", whole(&events[..events.len() - 1])),
            ("an end in the middle", whole(&events[..4])),
            ("nothing at all", Said::events("")),
            ("comments alone", Said::events(": hello\n\n")),
            (
                "half an event at the end",
                Said::events(text[..text.len() - 30].to_owned()),
            ),
            (
                "a cut between events",
                Said::events(text.clone()).cut_after(text.find("event: message_delta").unwrap()),
            ),
            (
                "a cut within an event",
                Said::events(text.clone()).cut_after(text.len() / 2),
            ),
            (
                "a cut before the last byte",
                Said::events(text.clone()).cut_after(text.len() - 1),
            ),
            ("an error", whole(&failing)),
            ("events out of order", whole(&swapped)),
            ("two starts", whole(&started_twice)),
            (
                "no JSON",
                Said::events("data: {\"type\":\"message_start\"\n\n"),
            ),
            ("JSON of another kind", Said::events("data: [1,2,3]\n\n")),
            (
                "another's chunks",
                Said::events("data: {\"choices\":[]}\n\ndata: [DONE]\n\n"),
            ),
            (
                "bytes that are no text",
                Said::events(&b"data: {\"type\":\"ping\xff\"}\n\n"[..]),
            ),
            (
                "half a character",
                Said::events([text.as_bytes(), b"data: \xf0\x9f\n\n"].concat())
                    .cut_after(text.find("😀").unwrap() + 2),
            ),
            (
                "a lone surrogate",
                Said::events(text.replace("Grü", "\\ud83d")),
            ),
            (
                "depth",
                Said::events(format!("{}{deep}", claude::text_of(&events[..3]))),
            ),
            ("a delta of another kind", whole(&other_kind)),
            (
                "an event of two megabytes",
                Said::events(format!(
                    "data: {{\"type\":\"ping\",\"x\":\"{}\"}}\n\n",
                    "x".repeat(2 << 20)
                )),
            ),
        ];
        let count = cases.len();
        for (what, said) in cases {
            claude.say(said);
            let stream = collected(&streamed(&site)).await;
            assert!(
                !stream.events.iter().any(|event| event == "[DONE]"),
                "{what}: {stream:?}"
            );
            let last: Value = serde_json::from_str(stream.events.last().unwrap_or(&String::new()))
                .unwrap_or_default();
            let is_told = last["error"]["message"].is_string() && last["error"]["type"].is_string();
            assert!(is_told, "{what} {isolation}: {stream:?}");
        }
        let errors = site
            .metric("tollgate_policy_errors_total{policy=\"dialect\"")
            .await;
        assert_eq!(errors, 0.0, "it neither traps nor runs out of anything");
        claude.answer(claude::answer);
        assert!(is_complete(&collected(&streamed(&site)).await));
        assert_eq!(site.exchanges(count + 1).await.len(), count + 1);
    });
}

#[test]
fn an_answer_that_is_none_is_an_error() {
    either_way(async |isolation| {
        let (site, claude) = before_claude(isolation, "").await;
        let message = claude::answer(&Heard {
            method: "POST".to_owned(),
            path: "/v1/messages".to_owned(),
            headers: [("anthropic-version", "2023-06-01"), ("x-api-key", "k"), ("content-type", "application/json")]
                .into_iter()
                .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
                .collect(),
            body: json!({ "model": "m", "max_tokens": 1, "messages": [{ "role": "user", "content": "x" }] }).to_string().into(),
        });
        for (what, said) in [
            ("no JSON", Said::new(200, "text/plain", "hello")),
            ("no message", Said::json(200, &json!({ "choices": [] }))),
            ("a list", Said::json(200, &json!([]))),
            ("nothing", Said::new(200, "application/json", "")),
            (
                "too deep",
                Said::new(
                    200,
                    "application/json",
                    format!("{}{}", "[".repeat(5000), "]".repeat(5000)),
                ),
            ),
            ("half of it", message.clone().cut_after(60)),
            (
                "compressed",
                message.clone().header("content-encoding", "gzip"),
            ),
        ] {
            claude.say(said);
            let (status, code) = site.chat().send().await.refusal();
            assert_eq!(status, 502, "{what} {isolation}: {code}");
        }
        claude.say(message);
        assert_eq!(site.chat().send().await.status, 200);
        let errors = site
            .metric("tollgate_policy_errors_total{policy=\"dialect\"")
            .await;
        assert_eq!(errors, 0.0);
    });
}

#[test]
fn a_request_that_cannot_be_translated_is_refused_and_reaches_no_one() {
    either_way(async |isolation| {
        let (site, claude) = before_claude(isolation, "unsupported: refuse").await;
        let nested = (0..60).fold(json!(1), |inner, _| json!([inner]));
        for (field, value, names) in [
            ("seed", json!(7), "seed"),
            ("logit_bias", json!({ "1": 2 }), "logit_bias"),
            ("n", json!(2), "n"),
            ("messages", json!("hello"), "messages"),
            (
                "messages",
                json!([{ "role": "wizard", "content": "x" }]),
                "role",
            ),
            (
                "messages",
                json!([{ "role": "user", "content": [{ "type": "input_audio" }] }]),
                "messages[0]",
            ),
            ("max_tokens", json!(-1), "max_tokens"),
            ("tools", json!([1]), "tools[0]"),
            ("metadata", nested, "metadata"),
        ] {
            let answer = site.chat().set(field, value).send().await;
            let (status, code) = answer.refusal();
            assert_eq!(status, 400, "{field} {isolation}: {}", answer.text());
            assert!(
                ["unsupported_field", "invalid_request"].contains(&&*code),
                "{code}"
            );
            assert!(answer.text().contains(names), "{field}: {}", answer.text());
        }
        for body in [
            r#"{"model":"small","messages":[{"role":"user","content":"\ud83d"}]}"#.to_owned(),
            format!(
                r#"{{"model":"small","messages":{}{}}}"#,
                "[".repeat(500),
                "]".repeat(500)
            ),
        ] {
            let ask = site
                .ask("POST", "/v1/chat/completions")
                .header("content-type", "application/json");
            let (status, _) = ask.body(body).send().await.refusal();
            assert_eq!(status, 400);
        }
        assert_eq!(claude.count(), 0);
        let line = &site.exchanges(1).await[0];
        assert_eq!(line["policies"][0]["decided"], "refuse", "{line}");
    });
}

#[test]
fn a_long_conversation_with_pictures_is_translated_in_the_memory_that_it_has() {
    either_way(async |isolation| {
        let (site, claude) = before_claude(isolation, "").await;
        let url = format!("data:image/png;base64,{}", "A".repeat(1 << 20));
        let picture = json!({ "type": "image_url", "image_url": { "url": url } });
        let turns: Vec<Value> = (0..200)
            .map(|nth| json!({ "role": (if nth % 2 == 0 { "user" } else { "assistant" }), "content": "word ".repeat(200) }))
            .chain([json!({ "role": "user", "content": [picture] })])
            .collect();
        let answer = site.chat().set("messages", turns).send().await;
        assert_eq!(answer.status, 200, "{isolation}: {}", answer.text());
        let heard = claude.newest();
        assert!(heard.body.len() > 1 << 20);
        assert!(
            heard.json()["messages"]
                .as_array()
                .is_some_and(|turns| turns.len() > 100)
        );
    });
}

#[tokio::test]
async fn other_endpoints_of_the_model_are_refused() {
    let (site, claude) = before_claude("exchange", "").await;
    let site_config = |path: &str| {
        let upstream = format!(r#"endpoints: [ "http://{}" ]"#, claude.addr);
        dialect("exchange", "client: openai", path, &upstream)
    };
    site.reconfigure(&site_config("\"/v1/*\"")).await;
    let answer = site
        .ask("POST", "/v1/embeddings")
        .json(json!({ "model": "small", "input": "x" }))
        .send()
        .await;
    assert_eq!(answer.refusal(), (404, "unsupported_endpoint".to_owned()));
    assert_eq!(claude.count(), 0);
    let answer = site
        .chat()
        .header("authorization", "bearer key-of-the-client")
        .send()
        .await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(
        claude.newest().header("x-api-key"),
        Some("key-of-the-client")
    );
}
