//! Streams, natively.

#![allow(
    clippy::unwrap_used,
    reason = "clippy sees only `#[test]` functions as tests"
)]

use proptest::{collection::vec, prelude::*};
use redact::Redact;
use serde_json::{Value, json};
use tollgate_sdk::{
    RawEvent,
    testing::{Exchange, Run, Sent, Session},
};

fn open(settings: Value) -> Session<Redact> {
    Run::<Redact>::new(settings).open(Exchange::chat())
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

/// What the policy makes of a text that comes whole.
fn whole(run: &Run<Redact>, text: &str) -> String {
    let exchange = Exchange::chat().json("/messages/0/content", text);
    let decided = run.open(exchange).request();
    let content = decided.json("/messages/0/content").unwrap();
    content.as_str().unwrap().to_owned()
}

/// The text of one choice.
fn choice(events: &[RawEvent], index: u32) -> String {
    let text = |event: &RawEvent| {
        let data: Value = serde_json::from_slice(&event.data).unwrap();
        let choice = &data["choices"][0];
        let text = choice["delta"]["content"].as_str().unwrap_or_default();
        (choice["index"] == index).then(|| text.to_owned())
    };
    events.iter().filter_map(text).collect()
}

/// Some text with secrets, in letters that are easily cut.
fn secrets() -> impl Strategy<Value = String> {
    let bits = prop::sample::select(vec![
        "ada@x.org",
        "4111 1111 1111 1111",
        "DE89 3704 0044 0532 0130 00",
        "+49 30 1234567",
        " ",
        ", ",
        "word",
        "\n",
        "\"",
        "ü",
    ]);
    vec(bits, 0..8).prop_map(|bits| bits.concat())
}

proptest! {
    #[test]
    fn events_come_out_as_the_whole_text_does(
        texts in [secrets(), secrets()],
        pieces in vec((0_usize..2, 1_usize..12), 0..80),
        at_once in any::<bool>(),
    ) {
        let run = Run::<Redact>::new(json!({}));
        let mut rest = texts.clone().map(|text| text.chars().collect::<Vec<char>>());
        let mut events = Vec::new();
        for (which, length) in pieces {
            let length = length.min(rest[which].len());
            let piece: String = rest[which].drain(..length).collect();
            events.push(content(u32::try_from(which).unwrap(), &piece));
        }
        for (which, rest) in (0..).zip(rest) {
            events.push(content(which, &rest.iter().collect::<String>()));
            events.push(finish(which));
        }
        let mut session = run.open(Exchange::chat());
        let sent = if at_once {
            session.events(events).events
        } else {
            events.into_iter().flat_map(|event| session.events([event]).events).collect()
        };
        prop_assert!(session.end().events.is_empty());
        for (which, text) in (0..).zip(&texts) {
            prop_assert_eq!(choice(&sent, which), whole(&run, text));
        }
    }
}
