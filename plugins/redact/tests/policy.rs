//! The policy from request to the end of a stream, natively.

#![allow(
    clippy::unwrap_used,
    reason = "clippy sees only `#[test]` functions as tests"
)]

use redact::Redact;
use serde_json::{Value, json};
use tollgate_sdk::{
    Answer, RawEvent,
    testing::{Decided, Exchange, Run, Sent, Session},
};

fn open(settings: Value) -> Session<Redact> {
    Run::<Redact>::new(settings).open(Exchange::chat())
}

/// A request with this body, after the policy.
fn requested(body: &Value) -> Decided {
    let exchange = Exchange::chat().body(body.to_string());
    Run::<Redact>::new(json!({})).open(exchange).request()
}

fn answered(body: &Value) -> Decided {
    open(json!({})).response(Answer::new(200).json(body))
}

fn body(decided: &Decided) -> Value {
    serde_json::from_slice(decided.body()).unwrap()
}

#[test]
fn the_texts_of_a_chat_are_replaced() {
    let decided = requested(&json!({ "model": "m", "user": "ada@x.org", "messages": [
        { "role": "system", "content": "Ask +49 30 1234567." },
        { "role": "user", "name": "ada@x.org", "content": [
            { "type": "text", "text": "I am ada@x.org" },
            { "type": "image_url", "image_url": { "url": "https://x.org/ada@x.org" } },
        ] },
        { "role": "assistant", "content": null, "tool_calls": [
            { "id": "1", "function": { "name": "pay", "arguments": "{\"card\":4111111111111111}" } },
        ] },
    ] }));
    assert!(decided.is_next());
    assert_eq!(
        body(&decided),
        json!({ "model": "m", "user": "ada@x.org", "messages": [
            { "role": "system", "content": "Ask [PHONE]." },
            { "role": "user", "name": "ada@x.org", "content": [
                { "type": "text", "text": "I am [EMAIL]" },
                { "type": "image_url", "image_url": { "url": "https://x.org/ada@x.org" } },
            ] },
            { "role": "assistant", "content": null, "tool_calls": [
                { "id": "1", "function": { "name": "pay", "arguments": "{\"card\":\"[CARD]\"}" } },
            ] },
        ] })
    );
}

#[test]
fn prompts_and_inputs_are_replaced_alone_or_in_lists() {
    for field in ["prompt", "input", "system", "instructions", "suffix"] {
        let decided = requested(&json!({ field: "ada@x.org" }));
        assert_eq!(body(&decided), json!({ field: "[EMAIL]" }));
        let decided = requested(&json!({ field: ["a", "ada@x.org", 3] }));
        assert_eq!(body(&decided), json!({ field: ["a", "[EMAIL]", 3] }));
    }
}

#[test]
fn blocks_of_the_other_dialects_are_replaced() {
    let decided = requested(&json!({
        "messages": [{ "role": "user", "content": [
            { "type": "tool_result", "tool_use_id": "t", "content": [{ "type": "text", "text": "ada@x.org" }] },
            { "type": "tool_use", "id": "t", "input": { "to": ["ada@x.org"], "n": 1 } },
        ] }],
        "input": [{ "role": "user", "content": [{ "type": "input_text", "text": "ada@x.org" }] },
            { "type": "function_call_output", "output": "ada@x.org" }],
    }));
    let text = String::from_utf8(decided.body().to_vec()).unwrap();
    assert_eq!(text.matches("[EMAIL]").count(), 4, "{text}");
    assert!(!text.contains('@'));
}

#[test]
fn an_escape_hides_nothing_and_what_is_not_replaced_stays_as_it_was_written() {
    let text = r#"{ "messages" : [ {"role":"user", "c\u006fntent":"\u0061da\u0040x.org"}, {"content" : "\u00fc" } ] }"#;
    let exchange = Exchange::chat().body(text);
    let decided = Run::<Redact>::new(json!({})).open(exchange).request();
    assert_eq!(decided.json("/messages/0/content"), Some("[EMAIL]".into()));
}

#[test]
fn a_request_in_which_nothing_is_found_is_untouched() {
    let decided = requested(&json!({ "messages": [{ "role": "user", "content": "hello" }] }));
    assert!(decided.is_untouched());
    let exchange = Exchange::chat().body("ada@x.org");
    assert!(
        Run::<Redact>::new(json!({}))
            .open(exchange)
            .request()
            .is_untouched()
    );
}

#[test]
fn many_findings_make_one_edit() {
    let message = json!({ "role": "user", "content": "ada@x.org" });
    let decided = requested(&json!({ "messages": vec![message; 500] }));
    let text = String::from_utf8(decided.body().to_vec()).unwrap();
    assert_eq!(text.matches("[EMAIL]").count(), 500);
}

#[test]
fn a_refusal_says_what_it_is_about_and_nothing_of_the_settings() {
    let settings = json!({ "request": "refuse", "patterns": [
        { "name": "project", "pattern": "Bluebird" },
    ] });
    let refused = |content: &str| {
        let exchange = Exchange::chat().json("/messages/0/content", content);
        let decided = Run::<Redact>::new(settings.clone())
            .open(exchange)
            .request();
        let refusal = decided.refusal().cloned()?;
        assert_eq!(
            (refusal.status, refusal.code.as_str()),
            (400, "sensitive_data")
        );
        Some(refusal.message)
    };
    assert_eq!(refused("hello"), None);
    assert_eq!(
        refused("ada@x.org").unwrap(),
        "The policy `redact` refuses this request: it holds an e-mail address. Take it out and send it again."
    );
    let own = refused("the Bluebird").unwrap();
    assert!(own.contains("something that must not be sent"), "{own}");
    assert!(
        !own.contains("Bluebird") && !own.contains("project"),
        "{own}"
    );
}

#[test]
fn answers_are_replaced_and_their_logprobs_left_out() {
    let decided = answered(&json!({ "id": "1", "choices": [
        { "index": 0, "message": { "role": "assistant", "content": "ada@x.org", "refusal": null },
          "logprobs": { "content": [{ "token": "ada" }] }, "finish_reason": "stop" },
        { "index": 1, "text": "ada@x.org", "logprobs": null },
    ], "usage": { "prompt_tokens": 1 } }));
    assert_eq!(
        body(&decided),
        json!({ "id": "1", "choices": [
            { "index": 0, "message": { "role": "assistant", "content": "[EMAIL]", "refusal": null },
              "logprobs": null, "finish_reason": "stop" },
            { "index": 1, "text": "[EMAIL]", "logprobs": null },
        ], "usage": { "prompt_tokens": 1 } })
    );
}

#[test]
fn blocks_of_an_answer_are_replaced() {
    let decided = answered(&json!({ "type": "message", "content": [
        { "type": "text", "text": "ada@x.org" },
        { "type": "tool_use", "id": "t", "name": "mail", "input": { "to": "ada@x.org" } },
    ] }));
    assert_eq!(decided.json("/content/0/text"), Some("[EMAIL]".into()));
    assert_eq!(decided.json("/content/1/input/to"), Some("[EMAIL]".into()));
}

#[test]
fn what_is_left_alone_is_not_even_shown_to_it() {
    let settings = json!({ "request": "leave", "response": "leave" });
    let exchange = Exchange::chat().json("/messages/0/content", "ada@x.org");
    let mut session = Run::<Redact>::new(settings).open(exchange);
    assert!(session.request().is_untouched());
    let answer = json!({ "choices": [{ "text": "ada@x.org" }] });
    assert!(
        session
            .response(Answer::new(200).json(&answer))
            .is_untouched()
    );
    let mut session = open(json!({ "stream": "leave" }));
    let event = RawEvent::text("ada@x.org");
    assert_eq!(session.events([event.clone()]).events, [event]);
}

fn chunk(choices: Value) -> RawEvent {
    RawEvent::json(
        &json!({ "id": "c", "object": "chat.completion.chunk", "created": 7, "model": "m", "choices": choices }),
    )
}

fn content(index: u32, text: &str) -> RawEvent {
    chunk(json!([{ "index": index, "delta": { "content": text }, "finish_reason": null }]))
}

fn finish(index: u32) -> RawEvent {
    chunk(json!([{ "index": index, "delta": {}, "finish_reason": "stop" }]))
}

fn values(sent: &Sent) -> Vec<Value> {
    let value = |event: &RawEvent| serde_json::from_slice(&event.data).unwrap();
    sent.events.iter().map(value).collect()
}

/// What the client has at the end of one text.
fn joined(events: &[RawEvent], pointer: &str) -> String {
    let text = |event: &RawEvent| {
        let data: Value = serde_json::from_slice(&event.data).ok()?;
        Some(data.pointer(pointer)?.as_str()?.to_owned())
    };
    events.iter().filter_map(text).collect()
}

#[test]
fn a_secret_over_many_events_is_replaced_and_the_rest_is_sent_at_once() {
    let mut session = open(json!({}));
    let texts = ["Write ", "to ", "ada", "@x.", "org", "! Bye", ","];
    let sent: Vec<String> = texts
        .map(|text| session.events([content(0, text)]).text())
        .to_vec();
    assert_eq!(sent, ["Write ", "to ", "", "", "", "[EMAIL]! ", "Bye,"]);
}

#[test]
fn what_is_held_is_sent_before_the_finish_as_an_event_of_the_same_answer() {
    let mut session = open(json!({}));
    let sent = session.events([content(1, "the end"), finish(1)]);
    assert_eq!(
        values(&sent)[1..],
        [
            json!({ "id": "c", "object": "chat.completion.chunk", "created": 7, "model": "m",
                "choices": [{ "index": 1, "delta": { "content": "end" }, "finish_reason": null }] }),
            serde_json::from_slice(&finish(1).data).unwrap(),
        ]
    );
    assert!(session.end().events.is_empty());
}

#[test]
fn a_finish_with_text_takes_what_is_held_with_it() {
    let mut session = open(json!({}));
    let last =
        chunk(json!([{ "index": 0, "delta": { "content": "@x.org" }, "finish_reason": "stop" }]));
    let sent = session.events([content(0, "ada"), last]);
    assert_eq!(sent.events.len(), 2);
    assert_eq!(sent.text(), "[EMAIL]");
}

#[test]
fn what_is_held_is_sent_at_the_end_of_a_stream_without_a_finish() {
    let mut session = open(json!({}));
    assert_eq!(session.events([content(0, "the end")]).text(), "the ");
    assert_eq!(session.end().text(), "end");
    let mut session = open(json!({}));
    let sent = session.events([content(0, "the end"), RawEvent::done()]);
    assert_eq!(sent.text(), "the end");
    assert_eq!(sent.events.last(), Some(&RawEvent::done()));
}

#[test]
fn choices_are_texts_of_their_own() {
    let mut session = open(json!({}));
    let mut events = session
        .events([
            content(0, "ada"),
            content(1, "bob"),
            content(0, "@x.org"),
            content(1, " is"),
        ])
        .events;
    events.extend(session.events([finish(1), finish(0)]).events);
    let of = |index: u64| -> Vec<RawEvent> {
        let is_of = |event: &&RawEvent| {
            let data: Value = serde_json::from_slice(&event.data).unwrap();
            data["choices"][0]["index"] == index
        };
        events.iter().filter(is_of).cloned().collect()
    };
    assert_eq!(joined(&of(0), "/choices/0/delta/content"), "[EMAIL]");
    assert_eq!(joined(&of(1), "/choices/0/delta/content"), "bob is");
}

#[test]
fn arguments_of_a_tool_call_stay_json() {
    let piece = |arguments: &str| {
        chunk(json!([{ "index": 0, "delta": { "tool_calls": [
            { "index": 2, "function": { "arguments": arguments } },
        ] }, "finish_reason": null }]))
    };
    let mut session = open(json!({}));
    let pieces = [
        "{\"a\":\"\\nada\\u00",
        "40x.o",
        "rg\",\"c\":4111",
        "111111111111,\"d\":12",
        "3",
    ];
    let mut events = session.events(pieces.map(piece)).events;
    events.extend(session.events([finish(0)]).events);
    let pointer = "/choices/0/delta/tool_calls/0/function/arguments";
    assert_eq!(
        joined(&events, pointer),
        r#"{"a":"\n[EMAIL]","c":"[CARD]","d":123"#
    );
    let tail: Value = serde_json::from_slice(&events[events.len() - 2].data).unwrap();
    assert_eq!(
        tail.pointer("/choices/0/delta/tool_calls/0/index"),
        Some(&json!(2))
    );
}

#[test]
fn an_event_of_which_nothing_comes_is_kept_byte_for_byte() {
    let mut session = open(json!({}));
    let events = [
        RawEvent::data(r#"{ "choices":[{"delta":{"role":"assistant","content":""},"index":0}]}"#),
        RawEvent::data(
            r#"{ "choices":[{"delta":{"content":"\u0048ello, "},"index":0, "logprobs":{"content":[]}}]}"#,
        ),
        RawEvent::data(r#"{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4}}"#),
        RawEvent::data("no JSON: ada@x.org"),
        RawEvent::named("ping", ""),
        RawEvent::data([0xFF]),
    ];
    assert_eq!(session.events(events.clone()).events, events);
}

#[test]
fn logprobs_of_a_text_that_is_held_are_left_out() {
    let mut session = open(json!({}));
    let event = chunk(
        json!([{ "index": 0, "delta": { "content": "ada" }, "logprobs": { "content": [{ "token": "ada" }] } }]),
    );
    let sent = session.events([event]);
    assert_eq!(values(&sent)[0]["choices"][0]["logprobs"], Value::Null);
}

#[test]
fn completions_of_the_older_kind_are_replaced() {
    let mut session = open(json!({}));
    let piece = |text: &str| {
        RawEvent::json(
            &json!({ "object": "text_completion", "choices": [{ "index": 0, "text": text }] }),
        )
    };
    let mut events = session.events([piece("ada@x"), piece(".org is")]).events;
    events.extend(session.end().events);
    assert_eq!(joined(&events, "/choices/0/text"), "[EMAIL] is");
}

fn named(data: &Value) -> RawEvent {
    RawEvent::named(data["type"].as_str().unwrap(), data.to_string())
}

#[test]
fn blocks_of_a_stream_are_replaced_and_end_with_their_stop() {
    let mut session = open(json!({}));
    let piece = |text: &str| {
        named(
            &json!({ "type": "content_block_delta", "index": 1, "delta": { "type": "text_delta", "text": text } }),
        )
    };
    let stop = named(&json!({ "type": "content_block_stop", "index": 1 }));
    let other = named(&json!({ "type": "content_block_stop", "index": 0 }));
    let events = session
        .events([
            piece("ada"),
            other,
            piece("@x.org or bo"),
            piece("b"),
            stop.clone(),
        ])
        .events;
    assert_eq!(joined(&events, "/delta/text"), "[EMAIL] or bob");
    assert_eq!(events[events.len() - 2], piece("bob"));
    assert_eq!(events[events.len() - 1], stop);
}

#[test]
fn input_of_a_tool_comes_in_pieces_of_json() {
    let mut session = open(json!({}));
    let piece = |json: &str| {
        named(
            &json!({ "type": "content_block_delta", "index": 0, "delta": { "type": "input_json_delta", "partial_json": json } }),
        )
    };
    let mut events = session
        .events([piece(r#"{"n":41111111"#), piece(r#"11111111}"#)])
        .events;
    events.extend(session.end().events);
    assert_eq!(joined(&events, "/delta/partial_json"), r#"{"n":"[CARD]"}"#);
}

#[test]
fn deltas_of_responses_end_with_their_done_which_repeats_them() {
    let mut session = open(json!({}));
    let delta = |text: &str| {
        named(&json!({ "type": "response.output_text.delta", "output_index": 0, "delta": text }))
    };
    let done = named(
        &json!({ "type": "response.output_text.done", "output_index": 0, "text": "ada@x.org or bob" }),
    );
    let events = session
        .events([delta("ada@"), delta("x.org or bob"), done])
        .events;
    assert_eq!(joined(&events, "/delta"), "[EMAIL] or bob");
    assert_eq!(joined(&events, "/text"), "[EMAIL] or bob");
    assert_eq!(events.len(), 4);
}

#[test]
fn settings_say_what_is_wrong_and_what_was_expected() {
    let errors = |settings: Value| Run::<Redact>::try_new(settings).err().unwrap().join("\n");
    let pattern = |pattern: Value| errors(json!({ "patterns": [pattern] }));
    for (found, expected) in [
        (
            errors(json!({ "kinds": ["mail"] })),
            "/kinds/0: unknown variant `mail`, expected one of `email`, `phone`, `card`, `iban`, `api_key`",
        ),
        (
            errors(json!({ "kind": [] })),
            "/kind: unknown field `kind`, expected one of `kinds`, `patterns`, `replacements`, `request`, `response`, `stream`",
        ),
        (
            errors(json!({ "kinds": [] })),
            "/kinds: nothing is looked for: expected a kind or a pattern",
        ),
        (
            errors(json!({ "request": "leave", "response": "leave", "stream": "leave" })),
            "/request: requests, responses and streams are all left alone: expected `replace` for one of them, or `refuse` for requests",
        ),
        (
            errors(json!({ "kinds": ["card"], "replacements": { "email": "x" } })),
            "/replacements/email: `email` is not looked for: expected it in `kinds`",
        ),
        (
            errors(json!({ "replacements": { "email": "a\nb" } })),
            "/replacements/email: expected at most 64 bytes without control characters",
        ),
        (
            pattern(json!({ "name": "No", "pattern": "x" })),
            "/patterns/0/name: `No` is no name: expected a lower-case letter, then up to 31 lower-case letters, digits and `_`, and not the name of a kind",
        ),
        (
            pattern(json!({ "name": "a", "pattern": "x(" })),
            "/patterns/0/pattern: not a regular expression: unclosed group",
        ),
        (
            pattern(json!({ "name": "a", "pattern": "x*", "longest": 9 })),
            "/patterns/0/pattern: must not match a text of no length",
        ),
        (
            pattern(json!({ "name": "a", "pattern": "x+" })),
            "/patterns/0/longest: is missing: the pattern has no longest match, so say how many bytes it may have, 1 to 1024",
        ),
        (
            pattern(json!({ "name": "a", "pattern": "x{2000}" })),
            "/patterns/0/longest: a match may have 2000 bytes; expected 1 to 1024",
        ),
        (
            pattern(json!({ "name": "a", "pattern": "(a|b)*a(a|b){13}", "longest": 99 })),
            "/patterns/0/pattern: too large: expected fewer repetitions and alternatives",
        ),
        (
            errors(
                json!({ "patterns": [{ "name": "a", "pattern": "x" }, { "name": "a", "pattern": "y" }] }),
            ),
            "/patterns/1/name: `a` is there already: expected another one",
        ),
        (
            errors(json!({ "patterns": vec![json!({ "name": "a", "pattern": "x" }); 17] }))
                .lines()
                .next()
                .unwrap()
                .to_owned(),
            "/patterns: there are 17; expected at most 16",
        ),
    ] {
        assert_eq!(found, expected);
    }
}

#[test]
fn the_samples_hold_with_any_settings() {
    for settings in [
        json!({}),
        json!({ "request": "refuse" }),
        json!({ "kinds": ["card"], "request": "leave" }),
        json!({ "request": "refuse", "patterns": [{ "name": "hello", "pattern": "hello" }] }),
    ] {
        let run = Run::<Redact>::new(settings);
        run.prove();
        assert!(run.samples().len() > 1);
    }
}
