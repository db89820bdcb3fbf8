//! An Anthropic client, a server that speaks OpenAI's chat completions.

use super::*;
use crate::scripted::Said;

/// As Anthropic's clients ask.
fn asking(site: &Site, text: &str) -> Ask {
    let body = json!({ "model": "small", "max_tokens": 64, "messages": [{ "role": "user", "content": text }] });
    let ask = site.ask("POST", "/v1/messages").json(body);
    ask.header("x-api-key", "key-of-the-client")
        .header("anthropic-version", "2023-06-01")
}

fn streamed(site: &Site, text: &str) -> Ask {
    asking(site, text).set("stream", true)
}

fn anthropic_tools() -> Value {
    let function = &tools()[0]["function"];
    json!([{ "name": function["name"], "description": function["description"], "input_schema": function["parameters"] }])
}

/// All pieces of this kind of delta.
fn said(stream: &Collected, field: &str) -> String {
    let deltas = chunks(stream);
    let pieces = deltas
        .iter()
        .filter_map(|event| event["delta"][field].as_str().map(str::to_owned));
    pieces.collect()
}

/// Blocks are opened and closed one after another, and the end is said once.
fn is_well_formed(stream: &Collected) -> bool {
    let names = names(stream);
    let once = |name: &str| names.iter().filter(|found| **found == name).count() == 1;
    let mut open = None;
    let mut next = 0;
    for event in chunks(stream) {
        let index = event["index"].as_u64();
        match event["type"].as_str() {
            Some("content_block_start") if open.is_none() && index == Some(next) => open = index,
            Some("content_block_delta") if open.is_some() && open == index => {}
            Some("content_block_stop") if open.is_some() && open == index => {
                open = None;
                next += 1;
            }
            Some("content_block_start" | "content_block_delta" | "content_block_stop") => {
                return false;
            }
            _ => {}
        }
    }
    stream.is_whole
        && open.is_none()
        && names.first() == Some(&"message_start")
        && names.last() == Some(&"message_stop")
        && names.len() == stream.events.len()
        && ["message_start", "message_delta", "message_stop"]
            .into_iter()
            .all(once)
}

#[test]
fn a_message_is_answered_by_a_chat() {
    either_way(async |isolation| {
        let site = before_openai(isolation, "").await;
        let content = json!([
            { "type": "text", "text": "What is this, 😀?", "cache_control": { "type": "ephemeral" } },
            { "type": "image", "source": { "type": "base64", "media_type": "image/png", "data": "AAAA" } },
        ]);
        let ask =
            asking(&site, "").set("messages", json!([{ "role": "user", "content": content }]));
        let ask = ask
            .set("system", "Be brief.")
            .set("stop_sequences", json!(["END"]));
        let ask = ask.header("anthropic-beta", "tools-2024");
        let answer = ask.behaving("usage=20/5").send().await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let seen = site.standin.seen();
        let request = seen.newest().unwrap();
        assert_eq!(request.path, "/v1/chat/completions");
        assert_eq!(
            request.header("authorization"),
            Some("Bearer key-of-the-client")
        );
        for gone in ["x-api-key", "anthropic-version", "anthropic-beta"] {
            assert_eq!(request.header(gone), None, "{gone}");
        }
        let body = request.json();
        assert_eq!(
            (
                &body["model"],
                &body["max_completion_tokens"],
                &body["stop"]
            ),
            (&json!("inner"), &json!(64), &json!(["END"])),
            "{isolation}"
        );
        assert_eq!(
            body["messages"][0],
            json!({ "role": "system", "content": "Be brief." })
        );
        assert_eq!(
            body["messages"][1]["content"][1]["image_url"]["url"],
            "data:image/png;base64,AAAA"
        );

        let message = answer.json();
        assert_eq!(
            (&message["type"], &message["role"]),
            (&json!("message"), &json!("assistant"))
        );
        assert_eq!(
            message["content"],
            json!([{ "type": "text", "text": "inner heard: What is this, 😀?" }])
        );
        assert_eq!(message["stop_reason"], "end_turn");
        assert_eq!(
            (
                &message["usage"]["input_tokens"],
                &message["usage"]["output_tokens"]
            ),
            (&json!(20), &json!(5))
        );
        assert_eq!(used(&site.exchanges(1).await[0]), [20, 5, 0]);
        counted(&site, "input", 20.0).await;
    });
}

#[test]
fn a_stream_of_chunks_is_one_of_messages_however_it_is_framed() {
    either_way(async |isolation| {
        let site = before_openai(isolation, "").await;
        let behaviours = [
            "",
            "pace=1ms",
            "split=1",
            "split=7,crlf",
            "cr",
            "multi-line",
            "comments",
            "no-space",
            "bom",
            "done-twice",
            "after-done",
            "no-done",
        ];
        for behaviour in behaviours {
            let ask =
                streamed(&site, "Grüße, 世界: 😀!").behaving(&format!("usage=20/5,{behaviour}"));
            let stream = collected(&ask).await;
            assert!(
                is_well_formed(&stream),
                "{behaviour} {isolation}: {stream:?}"
            );
            assert_eq!(
                said(&stream, "text"),
                "inner heard: Grüße, 世界: 😀!",
                "{behaviour}"
            );
            let events = chunks(&stream);
            let delta = events
                .iter()
                .find(|event| event["type"] == "message_delta")
                .unwrap();
            assert_eq!(delta["delta"]["stop_reason"], "end_turn");
            assert_eq!(
                (
                    &delta["usage"]["input_tokens"],
                    &delta["usage"]["output_tokens"]
                ),
                (&json!(20), &json!(5))
            );
            let asked = site.standin.seen().newest().unwrap().json();
            assert_eq!(asked["stream_options"]["include_usage"], true);
        }
        for line in site.exchanges(behaviours.len()).await {
            assert_eq!(used(&line), [20, 5, 0], "{line}");
            assert_eq!(line["ending"], "complete", "{line}");
        }
    });
}

#[test]
fn tools_are_called_plain_and_streamed() {
    either_way(async |isolation| {
        let site = before_openai(isolation, "").await;
        let text = "call tool \"now\", 😀";
        let ask = asking(&site, text)
            .set("tools", anthropic_tools())
            .set("tool_choice", json!({ "type": "any" }));
        let plain = ask.send().await.json();
        assert_eq!(plain["stop_reason"], "tool_use", "{plain}");
        let call = plain["content"]
            .as_array()
            .unwrap()
            .iter()
            .find(|block| block["type"] == "tool_use")
            .unwrap();
        assert_eq!(
            (&call["name"], &call["input"]["heard"]),
            (&json!("look"), &json!(text))
        );
        assert_eq!(
            site.standin.seen().newest().unwrap().json()["tool_choice"],
            "required"
        );

        for behaviour in ["", "split=1", "crlf,split=5"] {
            let stream = collected(&ask.clone().set("stream", true).behaving(behaviour)).await;
            assert!(
                is_well_formed(&stream),
                "{behaviour} {isolation}: {stream:?}"
            );
            let input: Value = serde_json::from_str(&said(&stream, "partial_json")).unwrap();
            assert_eq!(input, call["input"]);
            let started = chunks(&stream)
                .into_iter()
                .find(|event| event["content_block"]["type"] == "tool_use");
            assert_eq!(started.unwrap()["content_block"]["name"], "look");
            let reason = chunks(&stream)
                .into_iter()
                .find_map(|event| Some(event["delta"]["stop_reason"].as_str()?.to_owned()));
            assert_eq!(reason.as_deref(), Some("tool_use"));
        }

        let results = json!([
            { "role": "user", "content": "Look." },
            { "role": "assistant", "content": [call] },
            { "role": "user", "content": [{ "type": "tool_result", "tool_use_id": call["id"], "content": "sunny" }] },
        ]);
        let answer = ask.set("messages", results).send().await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let asked = site.standin.seen().newest().unwrap().json();
        assert_eq!(
            asked["messages"][2],
            json!({ "role": "tool", "tool_call_id": call["id"], "content": "sunny" })
        );
        assert_eq!(asked["messages"][1]["tool_calls"][0]["id"], call["id"]);
    });
}

#[test]
fn errors_come_in_the_clients_shape() {
    either_way(async |isolation| {
        let site = before_openai(isolation, "").await;
        for (status, kind) in [
            (400, "invalid_request_error"),
            (401, "authentication_error"),
            (404, "not_found_error"),
            (429, "rate_limit_error"),
            (500, "api_error"),
            (503, "overloaded_error"),
        ] {
            for ask in [asking(&site, "x"), streamed(&site, "x")] {
                let answer = ask
                    .behaving(&format!("fail={status},retry-after=7"))
                    .send()
                    .await;
                let error = answer.json();
                assert_eq!(answer.status, status, "{isolation}");
                assert_eq!(
                    (&error["type"], &error["error"]["type"]),
                    (&json!("error"), &json!(kind)),
                    "{status}"
                );
                assert!(
                    error["error"]["message"]
                        .as_str()
                        .is_some_and(|message| !message.is_empty())
                );
                assert_eq!(answer.header("retry-after"), Some("7"));
            }
        }
        // What the policy itself refuses.
        let block =
            json!([{ "role": "user", "content": [{ "type": "server_tool_use", "id": "s" }] }]);
        for ask in [
            asking(&site, "x").set("messages", block),
            asking(&site, "x").set("messages", json!("hello")),
            asking(&site, "x").set("stream", "yes"),
        ] {
            let refused = ask.send().await;
            assert_eq!(refused.status, 400, "{}", refused.text());
            assert_eq!(refused.json()["error"]["type"], "invalid_request_error");
        }
        let answer = asking(&site, "x").behaving("malformed-json").send().await;
        assert_eq!(answer.status, 502, "{}", answer.text());
    });
}

#[test]
fn a_stream_that_is_not_whole_never_looks_it() {
    either_way(async |isolation| {
        let site = before_openai(isolation, "").await;
        for behaviour in [
            "cut-after=3",
            "reset-after=3",
            "error-event=3",
            "malformed-json",
            "malformed",
        ] {
            let ask =
                streamed(&site, "one two three four").behaving(&format!("pace=1ms,{behaviour}"));
            let stream = collected(&ask).await;
            assert!(
                !names(&stream).contains(&"message_stop"),
                "{behaviour}: {stream:?}"
            );
            let last = chunks(&stream).pop().unwrap();
            assert!(
                last["error"]["message"].is_string(),
                "{behaviour} {isolation}: {stream:?}"
            );
        }
        let errors = site
            .metric("tollgate_policy_errors_total{policy=\"dialect\"")
            .await;
        assert_eq!(errors, 0.0);
    });
}

fn chunk(choice: &Value) -> String {
    format!(
        "data: {}\n\n",
        json!({ "id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice] })
    )
}

/// What servers that are nearly OpenAI's say.
#[test]
fn streams_of_other_servers_are_understood_or_ended() {
    const DONE: &str = "data: [DONE]\n\n";
    either_way(async |isolation| {
        let upstream = Scripted::saying(Said::new(503, "text/plain", "")).await;
        let endpoint = format!(r#"endpoints: [ "http://{}" ]"#, upstream.addr);
        let site = Site::start(&dialect(
            isolation,
            "client: anthropic",
            "/v1/messages",
            &endpoint,
        ))
        .await;
        let text = |text: &str| {
            chunk(&json!({ "index": 0, "delta": { "content": text }, "finish_reason": null }))
        };
        let finish =
            |reason: &str| chunk(&json!({ "index": 0, "delta": {}, "finish_reason": reason }));
        let call = |call: Value| {
            chunk(&json!({ "index": 0, "delta": { "tool_calls": [call] }, "finish_reason": null }))
        };
        let usage = r#"data: {"choices":[],"usage":{"prompt_tokens":9,"input_tokens":9,"completion_tokens":4,"output_tokens":4,"prompt_tokens_details":{"cached_tokens":5},"input_tokens_details":null}}"#;
        let usage = format!("{usage}\n\n");
        let begins = json!({ "index": 0, "id": "a", "type": "function", "function": { "name": "look", "arguments": "" } });
        let other = json!({ "index": 1, "id": "b", "type": "function", "function": { "name": "look", "arguments": "{}" } });
        let goes_on = json!({ "index": 0, "function": { "arguments": "{\"a\":1}" } });
        let nameless = json!({ "index": 0, "function": { "arguments": "{}" } });
        let whole: Vec<(&str, Vec<String>, &str)> = vec![
            (
                "usage at the end",
                vec![text("hi"), finish("stop"), usage.clone(), DONE.to_owned()],
                "hi",
            ),
            ("no role, no [DONE]", vec![text("hi"), finish("stop")], "hi"),
            (
                "a finish with the text",
                vec![
                    chunk(
                        &json!({ "index": 0, "delta": { "content": "hi" }, "finish_reason": "stop" }),
                    ),
                    DONE.to_owned(),
                ],
                "hi",
            ),
            (
                "other choices",
                vec![
                    text("hi"),
                    chunk(&json!({ "index": 1, "delta": { "content": "no" } })),
                    finish("stop"),
                    DONE.to_owned(),
                ],
                "hi",
            ),
            (
                "text around a call",
                vec![
                    text("a"),
                    call(begins.clone()),
                    call(goes_on.clone()),
                    text("b"),
                    finish("tool_calls"),
                    DONE.to_owned(),
                ],
                "ab",
            ),
            (
                "two calls",
                vec![
                    call(begins.clone()),
                    call(goes_on.clone()),
                    call(other.clone()),
                    finish("tool_calls"),
                    DONE.to_owned(),
                ],
                "",
            ),
            (
                "comments and named events",
                vec![
                    ": ping\n\n".to_owned(),
                    text("hi").replace("data:", "event: chunk\ndata:"),
                    finish("stop"),
                    DONE.to_owned(),
                ],
                "hi",
            ),
        ];
        for (what, pieces, expected) in &whole {
            upstream.say(Said::events(pieces.concat()).split(13));
            let stream = collected(&streamed(&site, "x")).await;
            assert!(is_well_formed(&stream), "{what} {isolation}: {stream:?}");
            assert_eq!(said(&stream, "text"), *expected, "{what}");
        }
        assert_eq!(used(&site.exchanges(1).await[0]), [9, 4, 5], "{isolation}");
        let broken: Vec<(&str, Vec<String>)> = vec![
            ("no finish", vec![text("hi"), DONE.to_owned()]),
            ("nothing", vec![]),
            ("[DONE] alone", vec![DONE.to_owned()]),
            (
                "a call without a name",
                vec![call(nameless), finish("tool_calls"), DONE.to_owned()],
            ),
            (
                "calls in turns",
                vec![
                    call(begins.clone()),
                    call(other),
                    call(goes_on),
                    finish("tool_calls"),
                    DONE.to_owned(),
                ],
            ),
            (
                "depth",
                vec![text("hi"), format!("data: {}\n\n", "[".repeat(100_000))],
            ),
            (
                "an error of its own shape",
                vec![
                    text("hi"),
                    "data: {\"error\":\"out of memory\"}\n\n".to_owned(),
                ],
            ),
            ("numbers", vec!["data: 17\n\n".to_owned(), DONE.to_owned()]),
        ];
        for (what, pieces) in &broken {
            upstream.say(Said::events(pieces.concat()));
            let stream = collected(&streamed(&site, "x")).await;
            assert!(
                !names(&stream).contains(&"message_stop"),
                "{what}: {stream:?}"
            );
            assert_eq!(
                names(&stream).last(),
                Some(&"error"),
                "{what} {isolation}: {stream:?}"
            );
        }
        let errors = site
            .metric("tollgate_policy_errors_total{policy=\"dialect\"")
            .await;
        assert_eq!(errors, 0.0);
    });
}
