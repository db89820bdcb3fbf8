//! Streams, event by event and both ways.

use serde_json::{Value, json};
use tollgate_sdk::RawEvent;

use crate::stage::{
    COMPLETIONS, GENERATE_STREAM, begun, data, events, of_openai, run, streamed, to_openai, with,
};

fn asking() -> Value {
    json!({ "model": "m", "prompt": "a", "stream": true, "stream_options": { "include_usage": true } })
}

fn piece(text: &str, done: bool) -> Value {
    json!({ "model_name": "m", "model_version": "1", "text_output": text, "done": done })
}

/// The text, why it ended, and whether it was marked as ended.
fn told(sent: &[Value]) -> (String, Option<String>, bool) {
    let of = |field: &str| {
        let field = format!("/choices/0/{field}");
        sent.iter()
            .filter_map(move |chunk| Some(chunk.pointer(&field)?.as_str()?.to_owned()))
            .collect::<Vec<_>>()
    };
    let is_done = sent.last().is_some_and(|last| last == "[DONE]");
    (of("text").concat(), of("finish_reason").pop(), is_done)
}

#[test]
fn pieces_are_chunks_and_a_stream_ends_with_its_mark() {
    let usage = json!({ "usage": { "output_tokens": { "pointer": "/parameters/tokens" } } });
    let run = run(&with(of_openai(), "/completions", &usage));
    let mut session = begun(&run, COMPLETIONS, &asking());
    let mut last = piece("", true);
    last["details"] = json!({ "finish_reason": "length" });
    last["parameters"] = json!({ "tokens": 2 });
    let mut sent = Vec::new();
    let mut counts = Vec::new();
    for event in [
        piece("Hel", false),
        piece("", false),
        piece("lo", false),
        last,
    ] {
        let now = session.events(events(&[event])).events;
        counts.push(now.len());
        sent.extend(data(&now));
    }
    assert_eq!(counts, [1, 0, 1, 3], "nothing is held back");
    assert!(session.end().events.is_empty());
    let id = sent[0]["id"].clone();
    let chunk = |text: &str, reason: Value| {
        let choice = json!({ "text": text, "index": 0, "logprobs": null, "finish_reason": reason });
        json!({ "id": id, "object": "text_completion", "created": 1_767_225_600, "model": "m", "choices": [choice] })
    };
    let usage = json!({ "id": id, "object": "text_completion", "created": 1_767_225_600, "model": "m", "choices": [], "usage": { "prompt_tokens": 0, "completion_tokens": 2, "total_tokens": 2 } });
    assert_eq!(
        sent,
        [
            chunk("Hel", Value::Null),
            chunk("lo", Value::Null),
            chunk("", "length".into()),
            usage,
            "[DONE]".into()
        ]
    );
}

#[test]
fn a_stream_without_a_word_on_being_done_ends_with_its_transport() {
    let run = run(&of_openai());
    let said = [json!({ "text_output": "a" }), json!({ "text_output": "b" })];
    let mut session = begun(&run, COMPLETIONS, &asking());
    let sent = streamed(&mut session, events(&said));
    assert_eq!(
        told(&sent),
        ("ab".to_owned(), Some("stop".to_owned()), true)
    );
    // Some servers send the mark themselves; it is sent once.
    let mut session = begun(&run, COMPLETIONS, &asking());
    let mut marked = events(&said);
    marked.push(RawEvent::done());
    let marked = streamed(&mut session, marked);
    assert_eq!((told(&marked), marked.len()), (told(&sent), sent.len()));
}

#[test]
fn an_error_in_a_stream_is_told_and_ends_it() {
    let mut session = begun(&run(&of_openai()), COMPLETIONS, &asking());
    let said = [
        piece("a", false),
        json!({ "error": "out of memory" }),
        piece("b", true),
    ];
    let sent = session.events(events(&said));
    assert!(sent.ended);
    let error =
        json!({ "message": "out of memory", "type": "server_error", "param": null, "code": null });
    assert_eq!(data(&sent.events)[1..], [json!({ "error": error })]);
}

#[test]
fn a_stream_that_stops_short_or_makes_no_sense_never_looks_complete() {
    for said in [
        vec![],
        vec![piece("a", false)],
        vec![json!({ "text_output": 1 })],
        vec![json!({ "done": false })],
        vec![json!({ "text_output": "a", "done": "yes" })],
        vec![json!([])],
        vec![json!({ "outputs": [] })],
    ] {
        let mut session = begun(&run(&of_openai()), COMPLETIONS, &asking());
        let sent = streamed(&mut session, events(&said));
        let last = sent.last().expect("an error");
        assert_eq!(last["error"]["type"], "server_error", "{said:?}");
    }
    let mut session = begun(&run(&of_openai()), COMPLETIONS, &asking());
    let sent = session.events([RawEvent::data("{\"text_output\":")]);
    assert!(sent.ended && data(&sent.events)[0]["error"].is_object());
}

#[test]
fn tensors_in_a_stream_are_chunks_of_the_prompts_that_they_answer() {
    let settings = with(
        of_openai(),
        "/completions",
        &json!({ "body": "tensors", "output": "text" }),
    );
    let asking = json!({ "model": "m", "prompt": ["a", "b"], "stream": true });
    let mut session = begun(&run(&settings), COMPLETIONS, &asking);
    let said = |texts: &[&str]| json!({ "outputs": [{ "name": "text", "datatype": "BYTES", "shape": [texts.len()], "data": texts }] });
    let sent = streamed(
        &mut session,
        events(&[
            said(&["x", "y"]),
            said(&["", "z"]),
            json!({ "outputs": [] }),
        ]),
    );
    let of = |index: u64| {
        let chunks = sent
            .iter()
            .filter(move |chunk| chunk["choices"][0]["index"] == index);
        let texts = chunks.map(|chunk| chunk["choices"][0]["text"].as_str().unwrap());
        texts.collect::<String>()
    };
    assert_eq!((of(0), of(1)), ("x".to_owned(), "yz".to_owned()));
    let finished = sent
        .iter()
        .filter(|chunk| chunk["choices"][0]["finish_reason"] == "stop");
    assert_eq!(finished.count(), 2);
    assert_eq!(sent.last().unwrap(), "[DONE]");
    let mut session = begun(&run(&settings), COMPLETIONS, &asking);
    assert!(session.events(events(&[said(&["x", "y", "z"])])).ended);
}

fn chunk(text: &str, reason: Value) -> Value {
    json!({ "id": "c", "object": "text_completion", "created": 1, "model": "m", "choices": [{ "text": text, "index": 0, "logprobs": null, "finish_reason": reason }] })
}

#[test]
fn chunks_are_pieces_and_the_last_says_that_it_is_done() {
    let usage = json!({ "usage": { "input_tokens": { "pointer": "/parameters/in" }, "output_tokens": { "pointer": "/parameters/out" } } });
    let run = run(&with(to_openai(), "/completions", &usage));
    let said = [
        chunk("Hel", Value::Null),
        chunk("lo", "stop".into()),
        json!({ "choices": [], "usage": { "prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5 } }),
    ];
    let expected = [
        json!({ "model_name": "m", "text_output": "Hel", "done": false }),
        json!({ "model_name": "m", "text_output": "lo", "done": false }),
        json!({ "model_name": "m", "text_output": "", "done": true, "details": { "finish_reason": "eos_token" }, "parameters": { "in": 3, "out": 2 } }),
    ];
    // The mark is an event, or the gateway keeps it.
    for has_mark in [true, false] {
        let mut session = begun(&run, GENERATE_STREAM, &json!({ "text_input": "a" }));
        let mut said = events(&said);
        if has_mark {
            said.push(RawEvent::done());
        }
        assert_eq!(streamed(&mut session, said), expected);
    }
}

#[test]
fn a_stream_of_openai_that_breaks_is_told_in_the_words_of_v2() {
    let run = run(&to_openai());
    for (said, says) in [
        (vec![], "ended without `finish_reason`"),
        (
            vec![chunk("a", Value::Null)],
            "ended without `finish_reason`",
        ),
        (vec![json!({ "error": { "message": "no" } })], "no"),
        (
            vec![json!({ "choices": [{ "index": 7, "text": "a" }] })],
            "`choices[0].index`",
        ),
        (
            vec![json!({ "choices": 1 })],
            "`choices`: expected an array",
        ),
    ] {
        let mut session = begun(&run, GENERATE_STREAM, &json!({ "text_input": "a" }));
        let sent = streamed(&mut session, events(&said));
        let message = sent.last().unwrap()["error"].as_str().unwrap();
        assert!(message.contains(says), "{message}");
    }
}
