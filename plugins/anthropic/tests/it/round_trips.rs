//! What both sides can say comes back as it went, and a stream is the answer in pieces.

use proptest::{collection::vec, prelude::*};
use serde_json::{Value, json};
use tollgate_sdk::RawEvent;

use crate::{
    said_by_anthropic as messages, said_by_openai as openai,
    stage::{answered_with, asked_with, begun_with, data, of_chunks, of_events, plain, run_with},
};

fn both(client: &str) -> tollgate_sdk::testing::Run<anthropic::Anthropic> {
    run_with(
        client,
        json!({ "unsupported": "refuse", "thinking": "pass" }),
    )
}

/// What a client is sent of these events in batches of these sizes, over and over.
fn in_batches(client: &str, events: &[RawEvent], sizes: &[usize]) -> Vec<RawEvent> {
    let mut body = plain(client);
    body["stream"] = true.into();
    if client == "openai" {
        body["stream_options"] = json!({ "include_usage": true });
    }
    let mut session = begun_with(&both(client), client, &body);
    let (mut rest, mut sizes) = (events, sizes.iter().cycle());
    let mut sent = Vec::new();
    while !rest.is_empty() {
        let (batch, after) = rest.split_at((*sizes.next().unwrap()).min(rest.len()));
        let said = session.events(batch.to_vec());
        assert!(!said.ended, "{:?}", said.events);
        sent.extend(said.events);
        rest = after;
    }
    sent.extend(session.end().events);
    sent
}

/// Thinking comes in pieces that chat completions have no blocks for.
fn without_blocks(mut completion: Value) -> Value {
    let message = completion["choices"][0]["message"].as_object_mut().unwrap();
    message.remove("thinking_blocks");
    completion
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_request_of_openai_comes_back_from_anthropic(body in openai::request()) {
        let there = asked_with(&both("openai"), "openai", &body);
        prop_assert_eq!(asked_with(&both("anthropic"), "anthropic", &there), body);
    }

    #[test]
    fn a_request_of_anthropic_comes_back_from_openai(body in messages::request()) {
        let there = asked_with(&both("anthropic"), "anthropic", &body);
        prop_assert_eq!(asked_with(&both("openai"), "openai", &there), body);
    }

    #[test]
    fn an_answer_of_openai_comes_back_from_anthropic(answer in openai::answer()) {
        let there = answered_with(&both("anthropic"), "anthropic", &answer);
        prop_assert_eq!(answered_with(&both("openai"), "openai", &there), answer);
    }

    #[test]
    fn an_answer_of_anthropic_comes_back_from_openai(answer in messages::answer()) {
        let there = answered_with(&both("openai"), "openai", &answer);
        prop_assert_eq!(answered_with(&both("anthropic"), "anthropic", &there), answer);
    }

    #[test]
    fn a_stream_of_anthropic_is_the_answer_in_any_batches(
        answer in messages::answer(), size in 1..6_usize, sizes in vec(1..5_usize, 1..4),
    ) {
        let sent = in_batches("openai", &messages::events(&answer, size), &sizes);
        let expected = answered_with(&both("openai"), "openai", &answer);
        prop_assert_eq!(of_chunks(&data(&sent)), without_blocks(expected));
    }

    #[test]
    fn a_stream_of_openai_is_the_answer_in_any_batches(
        answer in openai::answer(), size in 1..6_usize, sizes in vec(1..5_usize, 1..4),
    ) {
        let sent = in_batches("anthropic", &openai::chunks(&answer, size), &sizes);
        let expected = answered_with(&both("anthropic"), "anthropic", &answer);
        prop_assert_eq!(of_events(&data(&sent)), expected);
    }

    #[test]
    fn a_stream_of_anthropic_comes_back_from_openai(answer in messages::answer(), size in 1..6_usize) {
        let there = in_batches("openai", &messages::events(&answer, size), &[3]);
        let back = in_batches("anthropic", &there, &[2]);
        prop_assert_eq!(of_events(&data(&back)), answer);
    }
}
