//! An OpenAI client, a server that speaks Anthropic's Messages.

use super::{claude::CALLS, claude::SAYS, claude::USED, *};
use crate::scripted::Said;

pub(super) fn streamed(site: &Site) -> Ask {
    site.streamed()
        .set("stream_options", json!({ "include_usage": true }))
}

pub(super) fn is_complete(stream: &Collected) -> bool {
    let finishes = chunks(stream);
    let finishes = finishes
        .iter()
        .filter(|chunk| chunk["choices"][0]["finish_reason"].is_string());
    let marks = stream.events.iter().filter(|event| *event == "[DONE]");
    stream.is_complete() && finishes.count() == 1 && marks.count() == 1
}

#[test]
fn a_chat_is_answered_by_messages() {
    either_way(async |isolation| {
        let (site, claude) = before_claude(isolation, "").await;
        let messages = json!([
            { "role": "system", "content": "Be brief." },
            { "role": "user", "content": [
                { "type": "text", "text": "What is this? \u{1f600}" },
                { "type": "image_url", "image_url": { "url": "data:image/png;base64,AAAA" } },
            ] },
            { "role": "developer", "content": "In German." },
        ]);
        let ask = site
            .chat()
            .header("authorization", "Bearer key-of-the-client");
        let ask = ask
            .header("openai-organization", "org-1")
            .set("messages", messages);
        let answer = ask
            .set("temperature", 2)
            .set("n", 1)
            .set("stop", "END")
            .send()
            .await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let heard = claude.newest();
        assert_eq!(
            heard.header("x-api-key"),
            Some("key-of-the-upstream"),
            "{isolation}"
        );
        assert_eq!(heard.header("openai-organization"), None);
        let body = heard.json();
        assert_eq!(
            (
                &body["model"],
                &body["max_tokens"],
                &body["temperature"],
                &body["stop_sequences"]
            ),
            (&json!("inner"), &json!(4096), &json!(1), &json!(["END"]))
        );
        assert!(
            body["system"].to_string().contains("Be brief.")
                && body["system"].to_string().contains("In German.")
        );
        let source = json!({ "type": "base64", "media_type": "image/png", "data": "AAAA" });
        assert_eq!(
            body["messages"][0]["content"][1],
            json!({ "type": "image", "source": source })
        );

        let said = answer.json();
        let choice = &said["choices"][0];
        assert_eq!(
            (&choice["message"]["content"], &choice["finish_reason"]),
            (&json!(SAYS), &json!("stop"))
        );
        assert_eq!(
            (&said["object"], &said["id"]),
            (&json!("chat.completion"), &json!("msg_1"))
        );
        let [input, output, cached] = USED;
        assert_eq!(said["usage"]["prompt_tokens"], input);
        assert_eq!(said["usage"]["completion_tokens"], output);
        assert_eq!(
            said["usage"]["prompt_tokens_details"]["cached_tokens"],
            cached
        );
        let length = answer.header("content-length").map(str::parse::<usize>);
        assert_eq!(length, Some(Ok(answer.body.len())));

        let line = &site.exchanges(1).await[0];
        assert_eq!(used(line), USED, "{line}");
        for (kind, tokens) in [("input", input), ("output", output), ("cached", cached)] {
            counted(&site, kind, tokens as f64).await;
        }
    });
}

#[test]
fn tools_are_called_and_their_results_go_back() {
    either_way(async |isolation| {
        let (site, claude) = before_claude(isolation, "").await;
        let ask = site
            .chat()
            .set("tools", tools())
            .set("tool_choice", "required");
        let answer = ask.send().await;
        let message = &answer.json()["choices"][0]["message"];
        assert_eq!(answer.json()["choices"][0]["finish_reason"], "tool_calls");
        let calls = message["tool_calls"].as_array().unwrap();
        for (call, (name, input)) in calls.iter().zip(CALLS) {
            assert_eq!(
                (&call["type"], &call["function"]["name"]),
                (&json!("function"), &json!(name))
            );
            let arguments: Value =
                serde_json::from_str(call["function"]["arguments"].as_str().unwrap()).unwrap();
            assert_eq!(arguments, serde_json::from_str::<Value>(input).unwrap());
        }
        assert_eq!(calls.len(), 2, "{isolation}");
        assert_eq!(claude.newest().json()["tool_choice"]["type"], "any");

        let results = json!([
            { "role": "user", "content": "Look." }, message,
            { "role": "tool", "tool_call_id": calls[0]["id"], "content": "sunny" },
            { "role": "tool", "tool_call_id": calls[1]["id"], "content": "done" },
        ]);
        let answer = ask.set("messages", results).send().await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let heard = claude.newest().json();
        let turn = &heard["messages"][2]["content"];
        assert_eq!(turn[0]["tool_use_id"], "toolu_0", "{heard}");
        assert_eq!(turn[1]["tool_use_id"], "toolu_1", "{heard}");
        assert_eq!(
            heard["messages"][1]["content"][1]["input"]["n"],
            json!([1, 2.5, null])
        );
    });
}

#[test]
fn a_stream_is_translated_however_its_bytes_are_cut() {
    either_way(async |isolation| {
        let (site, claude) = before_claude(isolation, "").await;
        let text = claude::text_of(&claude::events(false));
        let odd = [
            Said::events(text.clone()),
            Said::events(text.clone()).split(1),
            Said::events(text.clone()).split(7),
            Said::events(text.replace('\n', "\r\n")).split(3),
            Said::events(text.replace('\n', "\r")).split(5),
            Said::events(format!("\u{feff}: hello\n\n{text}: bye\n\n")).split(2),
            Said::events(
                text.replace("data: ", "data:")
                    .replace("event: ", "id: 1\nretry: 5\nevent:"),
            ),
            // Data alone says what it is.
            Said::events(
                text.lines()
                    .filter(|line| !line.starts_with("event"))
                    .fold(String::new(), |all, line| all + line + "\n"),
            ),
        ];
        for (nth, said) in odd.into_iter().enumerate() {
            claude.say(said);
            let stream = collected(&streamed(&site)).await;
            assert_eq!(stream.text(), SAYS, "{nth} {isolation}");
            assert!(is_complete(&stream), "{nth}: {stream:?}");
            let usage = chunks(&stream).pop().unwrap();
            assert_eq!(
                (&usage["choices"], &usage["usage"]["total_tokens"]),
                (&json!([]), &json!(127))
            );
        }
        for line in site.exchanges(8).await {
            assert_eq!(
                (used(&line), &line["ending"]),
                (USED, &json!("complete")),
                "{line}"
            );
        }
        // Without being asked for it, a client is sent no usage; the log has it.
        let stream = collected(&site.streamed()).await;
        assert!(
            chunks(&stream)
                .iter()
                .all(|chunk| chunk.get("usage").is_none())
        );
        assert_eq!(used(site.exchanges(9).await.last().unwrap()), USED);
    });
}

#[test]
fn tool_calls_of_a_stream_come_in_pieces_that_make_json() {
    either_way(async |isolation| {
        let (site, claude) = before_claude(isolation, "").await;
        for split in [1, 11, 4096] {
            claude.say(Said::events(claude::text_of(&claude::events(true))).split(split));
            let stream = collected(&streamed(&site).set("tools", tools())).await;
            assert!(is_complete(&stream), "{stream:?}");
            let said = chunks(&stream);
            let mut arguments = vec![String::new(); CALLS.len()];
            let mut names = Vec::new();
            for call in said
                .iter()
                .filter_map(|chunk| chunk.pointer("/choices/0/delta/tool_calls/0"))
            {
                let index = call["index"].as_u64().unwrap() as usize;
                names.extend(call["function"]["name"].as_str().map(str::to_owned));
                arguments[index].push_str(call["function"]["arguments"].as_str().unwrap());
            }
            assert_eq!(names, CALLS.map(|(name, _)| name), "{isolation}");
            for (arguments, (_, input)) in arguments.iter().zip(CALLS) {
                assert_eq!(arguments, input);
            }
            let finish = said
                .iter()
                .find_map(|chunk| chunk["choices"][0]["finish_reason"].as_str());
            assert_eq!(finish, Some("tool_calls"));
        }
    });
}

#[test]
fn the_first_words_are_there_while_the_upstream_is_silent() {
    either_way(async |isolation| {
        let (site, claude) = before_claude(isolation, "").await;
        let text = claude::text_of(&claude::events(false));
        let at = text.find("event: content_block_stop").unwrap();
        claude.say(Said::events(text).stall_after(at));
        let mut stream = site.streamed().stream().await;
        let mut said = String::new();
        while said != SAYS {
            let event = stream.next().await.expect("there is no end yet");
            let chunk: Value = serde_json::from_str(&event).unwrap();
            said.push_str(chunk["choices"][0]["delta"]["content"].as_str().unwrap());
        }
        drop(stream);
        site.metric_becomes("tollgate_exchanges_open", 0.0).await;
        assert_eq!(
            site.exchanges(1).await[0]["ending"],
            "client_gone",
            "{isolation}"
        );
    });
}

#[test]
fn errors_come_in_the_clients_shape() {
    either_way(async |isolation| {
        let (site, claude) = before_claude(isolation, "").await;
        for (status, kind, expected, openai) in [
            (400, "invalid_request_error", 400, "invalid_request_error"),
            (401, "authentication_error", 401, "authentication_error"),
            (403, "permission_error", 403, "permission_error"),
            (404, "not_found_error", 404, "invalid_request_error"),
            (413, "request_too_large", 413, "invalid_request_error"),
            (429, "rate_limit_error", 429, "rate_limit_error"),
            (500, "api_error", 500, "server_error"),
            (529, "overloaded_error", 503, "server_error"),
        ] {
            claude.say(claude::error(status, kind, "Not now, 😀.").header("retry-after", "7"));
            for ask in [site.chat(), site.streamed()] {
                let answer = ask.send().await;
                assert_eq!(answer.status, expected, "{kind} {isolation}");
                let error = &answer.json()["error"];
                assert_eq!(
                    (&error["message"], &error["type"]),
                    (&json!("Not now, 😀."), &json!(openai))
                );
                assert_eq!(answer.header("retry-after"), Some("7"));
                assert_eq!(answer.header("content-type"), Some("application/json"));
            }
        }
        // What a proxy on the way says, in a shape of its own.
        for (status, kind, body) in [
            (502, "text/html", "<html>Bad gateway</html>"),
            (500, "application/json", "not JSON"),
            (500, "application/json", "{}"),
            (500, "application/json", r#"{"error":null}"#),
        ] {
            claude.say(Said::new(status, kind, body));
            let answer = site.chat().send().await;
            assert_eq!(answer.status, status);
            assert_eq!(
                answer.json()["error"]["message"],
                format!("The upstream answered with status {status}.")
            );
        }
    });
}

#[test]
fn the_policies_before_it_see_what_the_client_speaks() {
    either_way(async |isolation| {
        let claude = Scripted::start(claude::answer).await;
        let upstream = format!(r#"endpoints: [ "http://{}" ]"#, claude.addr);
        let config = dialect(
            isolation,
            "client: openai",
            "/v1/chat/completions",
            &upstream,
        );
        let before = r#"policies:
  private: { plugin: redact, on_error: refuse, settings: {} }
  budget: { plugin: token-budget, on_error: refuse, grants: { limits: true }, settings: { on_missing_caller: share, default: { tokens: 1000, period: 1h } } }"#;
        let config = config.replace("policies:\n  dialect", &format!("{before}\n  dialect"));
        let config = config.replace(
            "match: { path: /v1/chat/completions }",
            "match: { path: /v1/chat/completions }, policies: [ private, budget ]",
        );
        let site = Site::start(&config).await;
        let ask = || {
            let text = json!([{ "role": "user", "content": "I am ada@example.com." }]);
            let ask = site.streamed().header("authorization", "Bearer k");
            ask.set("max_tokens", 100).set("messages", text)
        };
        // The secret comes back in pieces of three characters.
        let secret: Vec<Value> = claude::events_saying("Write to ada@example.com now.");
        claude.say(Said::events(claude::text_of(&secret)));
        let stream = collected(&ask()).await;
        assert_eq!(stream.text(), "Write to [EMAIL] now.", "{isolation}");
        assert!(stream.is_complete(), "{stream:?}");
        let heard = claude.newest().json();
        assert_eq!(heard["messages"][0]["content"], "I am [EMAIL].");
        // Each costs what the upstream reports, 127 tokens: so many fit into the budget.
        for _ in 0..6 {
            site.metric_becomes("tollgate_exchanges_open", 0.0).await;
            assert!(collected(&ask()).await.is_complete());
        }
        site.metric_becomes("tollgate_exchanges_open", 0.0).await;
        let spent = ask().set("stream", false).send().await;
        assert_eq!(spent.refusal(), (429, "token_budget_exceeded".to_owned()));
    });
}
