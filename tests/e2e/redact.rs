//! `redact` on real traffic: what the model is sent, what clients get, and streams that
//! split a secret and do not wait for it.

use serde_json::{Value, json};

use crate::{
    client::{Ask, Collected},
    fixture::{Site, at_the_target, chat_through, either_way},
};

/// The policy `private` with these settings, in the format of the configuration.
fn private(isolation: &str, settings: &str) -> String {
    let policy = format!(
        "\n  private: {{ plugin: redact, on_error: refuse, isolation: {isolation}, settings: {{ {settings} }} }}"
    );
    chat_through("private", &policy)
}

/// With a stand-in that says all that it heard.
async fn start(config: &str) -> Site {
    Site::start_with(config, "").await
}

/// Requests go on as they are, so that the stand-in has a secret to say.
const ANSWERS_ALONE: &str = "request: leave";

/// The stand-in says it again, word by word.
fn saying(site: &Site, text: &str) -> Ask {
    site.chat()
        .set("messages", json!([{ "role": "user", "content": text }]))
}

const SECRETS: &str = "Pay 4111 1111 1111 1111 or DE89 3704 0044 0532 0130 00, \
                       call (212) 555-0100 or ask ada@example.com today.";
const CLEANED: &str = "Pay [CARD] or [IBAN], call [PHONE] or ask [EMAIL] today.";

#[test]
fn the_model_is_sent_no_secret_and_all_else_byte_for_byte() {
    either_way(async |isolation| {
        let site = start(&private(isolation, "")).await;
        let body = |text: &str, escaped: &str| {
            format!(
                "{{ \"model\" : \"small\",\t\"messages\": [ {{ \"role\":\"system\", \"content\": \"{text}\" }},\r\n \
                 {{\"role\":\"user\",\"content\":[{{\"type\":\"text\",\"text\":\"{escaped}\"}}]}} ], \
                 \"user\": \"ada@example.com\", \"temperature\": 1.0e0, \"n\" :1 }}"
            )
        };
        let ask = site
            .ask("POST", "/v1/chat/completions")
            .header("content-type", "application/json")
            .body(body(SECRETS, "\\u0061da\\u0040example.com, \\ud83d\\ude00"));
        let answer = ask.send().await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let seen = site.standin.seen();
        let sent = String::from_utf8(seen.newest().unwrap().body.to_vec()).unwrap();
        // Of a text that is changed the meaning is kept, of all others the bytes.
        let sent = sent.replace('😀', "\\ud83d\\ude00");
        assert_eq!(
            sent,
            body(CLEANED, "[EMAIL], \\ud83d\\ude00"),
            "{isolation}"
        );

        let plain = body("Nothing to see.", "h\\u00e9llo");
        let answer = site
            .ask("POST", "/v1/chat/completions")
            .header("content-type", "text/plain")
            .body(plain.clone())
            .send()
            .await;
        assert_eq!(answer.status, 200);
        assert_eq!(site.standin.seen().newest().unwrap().body, plain);
        for kind in ["card", "iban", "phone"] {
            let counted = format!(
                r#"tollgate_plugin_redacted{{policy="private",in="request",kind="{kind}"}}"#
            );
            site.metric_becomes(&counted, 1.0).await;
        }
    });
}

#[test]
fn an_answer_holds_no_secret() {
    either_way(async |isolation| {
        let site = start(&private(isolation, ANSWERS_ALONE)).await;
        let answer = saying(&site, SECRETS).send().await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let sent = site.standin.seen().newest().unwrap().json();
        assert_eq!(sent["messages"][0]["content"], SECRETS);
        let said = &answer.json()["choices"][0]["message"]["content"];
        assert_eq!(said, &format!("small heard: {CLEANED}"), "{isolation}");
        let length = answer.header("content-length").map(str::parse::<usize>);
        assert_eq!(length, Some(Ok(answer.body.len())));
    });
}

/// The finish, the usage and the mark of the end, each once.
fn is_well_formed(stream: &Collected) -> bool {
    let events: Vec<Value> = stream
        .events
        .iter()
        .filter_map(|event| serde_json::from_str(event).ok())
        .collect();
    let finishes = events
        .iter()
        .filter(|event| event["choices"][0]["finish_reason"] == "stop");
    let marks = stream.events.iter().filter(|event| *event == "[DONE]");
    stream.is_complete() && finishes.count() == 1 && marks.count() == 1
}

#[test]
fn a_secret_that_a_stream_splits_over_events_is_found_however_it_is_framed() {
    either_way(async |isolation| {
        let site = start(&private(isolation, ANSWERS_ALONE)).await;
        let ask = saying(&site, SECRETS).set("stream", true);
        for behaviour in [
            "pace=1ms",
            "",
            "split=1",
            "split=7,crlf",
            "cr",
            "multi-line",
            "comments",
            "bom",
        ] {
            let stream = ask
                .clone()
                .behaving(behaviour)
                .stream()
                .await
                .collect()
                .await;
            assert_eq!(
                stream.text(),
                format!("small heard: {CLEANED}"),
                "{behaviour}"
            );
            assert!(is_well_formed(&stream), "{behaviour}: {stream:?}");
        }
        let sent = site.standin.seen().newest().unwrap().json();
        assert_eq!(sent["messages"][0]["content"], SECRETS);
    });
}

#[test]
fn a_secret_at_the_very_end_of_a_stream_is_found_and_what_is_none_is_sent() {
    either_way(async |isolation| {
        let site = start(&private(isolation, ANSWERS_ALONE)).await;
        for (text, cleaned) in [
            ("it is 4111 1111 1111 1111", "it is [CARD]"),
            ("it is 4111 1111 1111", "it is 4111 1111 1111"),
            ("write to ada@example.com", "write to [EMAIL]"),
            ("write to ada@", "write to ada@"),
        ] {
            let ask = saying(&site, text).set("stream", true).behaving("pace=1ms");
            let stream = ask.stream().await.collect().await;
            assert_eq!(stream.text(), format!("small heard: {cleaned}"));
            assert!(is_well_formed(&stream), "{stream:?}");
        }
    });
}

#[test]
fn a_stream_is_not_waited_for() {
    either_way(async |isolation| {
        let site = start(&private(isolation, ANSWERS_ALONE)).await;
        // The opening, and seven words; then the upstream says nothing more.
        let ask = saying(&site, "Tell me 4111 1111 1111 1111 please.").set("stream", true);
        let mut stream = ask.behaving("stall-after=7").stream().await;
        let mut said = String::new();
        while !said.trim_end().ends_with("Tell me") {
            let event = stream
                .next()
                .await
                .expect("a piece, though there is no end");
            let event: Value = serde_json::from_str(&event).unwrap();
            said.push_str(event["choices"][0]["delta"]["content"].as_str().unwrap());
        }
        assert_eq!(site.standin.seen().in_flight, 1, "{isolation}");
    });
}

#[test]
fn what_was_held_back_is_not_sent_when_the_stream_breaks() {
    either_way(async |isolation| {
        let site = start(&private(isolation, ANSWERS_ALONE)).await;
        for behaviour in ["cut-after=7", "reset-after=7"] {
            let ask = saying(&site, "Tell me 4111 1111 1111 1111 please.")
                .set("stream", true)
                .behaving(&format!("pace=1ms,{behaviour}"));
            let stream = ask.stream().await.collect().await;
            assert_eq!(stream.error_code().as_deref(), Some("stream_broken"));
            assert!(!stream.text().contains("4111"), "{stream:?}");
            assert!(!stream.is_complete());
        }
        site.metric_becomes("tollgate_exchanges_open", 0.0).await;
        assert!(
            saying(&site, "ada@example.com")
                .send()
                .await
                .text()
                .contains("[EMAIL]")
        );
    });
}

#[test]
fn the_arguments_of_a_tool_are_searched_and_stay_json() {
    let tools = json!([{ "type": "function", "function": { "name": "pay", "parameters": {} } }]);
    either_way(async |isolation| {
        let site = start(&private(isolation, ANSWERS_ALONE)).await;
        let ask = saying(&site, &format!("call tool. {SECRETS}")).set("tools", tools.clone());
        let plain = ask.send().await.json();
        let call = &plain["choices"][0]["message"]["tool_calls"][0]["function"];
        let stream = ask.set("stream", true).stream().await.collect().await;
        let pieces = stream.events.iter().filter_map(|event| {
            let event: Value = serde_json::from_str(event).ok()?;
            let call = event.pointer("/choices/0/delta/tool_calls/0/function/arguments")?;
            call.as_str().map(str::to_owned)
        });
        let streamed: String = pieces.collect();
        for arguments in [call["arguments"].as_str().unwrap(), &streamed] {
            let arguments: Value = serde_json::from_str(arguments).unwrap();
            let heard = arguments["heard"].as_str().unwrap();
            assert!(
                heard.starts_with("call tool. Pay [CARD] or [IBAN], call"),
                "{heard}"
            );
        }
        assert!(stream.is_complete(), "{isolation}");
    });
}

#[test]
fn a_request_with_a_secret_is_refused_where_that_is_said() {
    either_way(async |isolation| {
        let site = start(&private(isolation, "kinds: [ card ], request: refuse")).await;
        for ask in [
            saying(&site, SECRETS),
            saying(&site, SECRETS).set("stream", true),
        ] {
            let answer = ask.send().await;
            assert_eq!(answer.refusal(), (400, "sensitive_data".to_owned()));
            assert!(!answer.text().contains("4111"), "{}", answer.text());
        }
        assert_eq!(site.standin.seen().requests, 0);
        assert_eq!(saying(&site, "ada@example.com").send().await.status, 200);
        let refused = r#"tollgate_plugin_refused{policy="private",kind="card"}"#;
        site.metric_becomes(refused, 2.0).await;
    });
}

#[test]
fn more_text_than_is_searched_is_not_let_through_unread() {
    either_way(async |isolation| {
        let site = start(&private(isolation, "text_max: 2000")).await;
        let answer = saying(&site, &"word ".repeat(500)).send().await;
        assert_eq!(answer.refusal(), (413, "text_too_long".to_owned()));
        assert_eq!(site.standin.seen().requests, 0);
        let answer = site.chat().behaving("big=3000").send().await;
        assert_eq!(answer.refusal(), (502, "text_too_long".to_owned()));
        assert_eq!(site.chat().send().await.status, 200, "{isolation}");
    });
}

#[test]
fn own_patterns_and_replacements_hold_in_both_directions() {
    let settings = r"kinds: [ email ], replacements: { email: (an address) }, patterns: [ { name: staff, pattern: 'EMP-\d{6}' } ]";
    either_way(async |isolation| {
        let site = start(&private(isolation, settings)).await;
        let text = "EMP-123456 is ada@example.com, 4111 1111 1111 1111";
        let cleaned = "[STAFF] is (an address), 4111 1111 1111 1111";
        let answer = saying(&site, text).send().await;
        assert!(answer.text().contains(cleaned), "{}", answer.text());
        let sent = site.standin.seen().newest().unwrap().json();
        assert_eq!(sent["messages"][0]["content"], cleaned);
    });
}

#[test]
fn at_a_target_only_what_goes_there_is_searched() {
    either_way(async |isolation| {
        let config = at_the_target(
            &private(isolation, "response: leave, stream: leave"),
            "private",
        );
        let config = config.replace(
            "models: { small:",
            "models: { inside: { targets: [ { upstream: standin } ] }, small:",
        );
        let site = start(&config).await;
        for (model, sent) in [("small", CLEANED), ("inside", SECRETS)] {
            let ask = saying(&site, SECRETS).set("model", model);
            assert_eq!(ask.send().await.status, 200);
            let seen = site.standin.seen().newest().unwrap().json();
            assert_eq!(seen["messages"][0]["content"], sent, "{model} {isolation}");
        }
    });
}

#[tokio::test]
async fn errors_and_the_other_events_of_a_stream_pass_as_they_are() {
    let site = start(&private("exchange", ANSWERS_ALONE)).await;
    let failed = site.chat().behaving("fail=503").send().await;
    assert_eq!(failed.status, 503);
    assert_eq!(failed.json()["error"]["code"], "standin_503");
    let ask = saying(&site, SECRETS).set("stream", true);
    let with_usage = ask.set("stream_options", json!({ "include_usage": true }));
    let stream = with_usage
        .behaving("usage=3/4")
        .stream()
        .await
        .collect()
        .await;
    assert!(is_well_formed(&stream), "{stream:?}");
    let usage = &stream.events[stream.events.len() - 2];
    assert!(usage.contains(r#""total_tokens":7"#), "{usage}");
}
