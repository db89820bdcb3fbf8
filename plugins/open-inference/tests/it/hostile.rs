//! What nobody should send: never a panic, and a clear word instead.

use proptest::prelude::*;
use serde_json::{Value, json};
use tollgate_sdk::{Answer, RawEvent};

use crate::stage::{
    COMPLETIONS, EMBEDDINGS, GENERATE, GENERATE_STREAM, INFER, PREDICTIONS, attempted, begun,
    of_openai, of_seldon, posted, refused, run, target, to_openai, to_seldon, with,
};

/// Every translation, each with a request that goes through.
fn translations() -> Vec<(Value, &'static str, Value)> {
    let text =
        json!({ "inputs": [{ "name": "text", "shape": [1], "datatype": "BYTES", "data": ["a"] }] });
    let number =
        json!({ "inputs": [{ "name": "x", "shape": [1, 2], "datatype": "FP32", "data": [1, 2] }] });
    let tensors = json!({ "body": "tensors", "output": "text", "usage": { "input_tokens": { "tensor": "t" } } });
    let cut = json!({ "dimensions": "cut" });
    let prompt = json!({ "model": "m", "prompt": "a", "stream": true, "max_tokens": 5 });
    let message = json!({ "meta": { "puid": "p", "tags": {} }, "data": { "names": ["a"], "ndarray": [[1]] } });
    vec![
        (
            with(of_openai(), "/embeddings", &cut),
            EMBEDDINGS,
            json!({ "model": "m", "input": ["a"], "encoding_format": "base64", "dimensions": 1 }),
        ),
        (of_openai(), COMPLETIONS, prompt.clone()),
        (
            with(of_openai(), "/completions", &tensors),
            COMPLETIONS,
            prompt,
        ),
        (to_openai(), INFER, text.clone()),
        (
            to_openai(),
            GENERATE,
            json!({ "text_input": "a", "parameters": { "max_tokens": 5 } }),
        ),
        (
            with(to_openai(), "/completions", &tensors),
            GENERATE_STREAM,
            text,
        ),
        (of_seldon(), PREDICTIONS, message),
        (
            of_seldon(),
            PREDICTIONS,
            json!({ "data": { "tensor": { "shape": [1], "values": [1] } } }),
        ),
        (to_seldon(), INFER, number),
    ]
}

#[test]
fn what_is_no_json_or_too_deep_is_refused() {
    let deep = format!(
        "{{\"inputs\":{}{}}}",
        "[".repeat(1 << 17),
        "]".repeat(1 << 17)
    );
    let bom = "\u{feff}{}";
    for (settings, path, _) in translations() {
        for body in ["", "x", "[]", "1", "null", "{\"a\":", "{}}", &deep, bom] {
            let (status, _) = refused(&attempted(&run(&settings), path, body));
            assert_eq!(status, 400, "{path} {body}");
        }
        let exchange = posted(path, "").body(vec![b'"', 0xff, b'"']);
        let decided = run(&settings).open(exchange).attempt(&target(None));
        assert_eq!(refused(&decided).0, 400);
    }
}

#[test]
fn what_this_policy_did_not_ask_is_not_translated() {
    for (settings, path, body) in translations() {
        let mut session = run(&settings).open(posted(path, &body.to_string()));
        assert!(session.response(Answer::new(200).body("x")).is_untouched());
        let event = RawEvent::data("x");
        assert_eq!(session.events([event.clone()]).events, [event]);
        assert!(session.end().events.is_empty());
    }
}

#[test]
fn a_stream_that_nobody_asked_for_is_an_error() {
    for (settings, path, body) in translations() {
        let is_stream = body["stream"] == true || path == GENERATE_STREAM;
        let mut session = begun(&run(&settings), path, &body);
        let answer = Answer::new(200).header("content-type", "text/event-stream; charset=utf-8");
        assert!(session.response(answer).is_untouched());
        let sent = session.events([RawEvent::data("{\"x\":1}")]);
        assert!(sent.ended, "{path} {is_stream}");
    }
}

#[test]
fn a_million_elements_are_read_in_one_pass() {
    let numbers = vec!["1.5"; 500_000].join(",");
    let body = format!("{{\"data\":{{\"ndarray\":[[{numbers}],[{numbers}]]}}}}");
    let decided = attempted(&run(&of_seldon()), PREDICTIONS, &body);
    assert!(decided.is_next());
    assert!(decided.body().len() > 4_000_000);
}

const WORDS: [&str; 22] = [
    "text",
    "embedding",
    "text_output",
    "output",
    "BYTES",
    "FP32",
    "INT64",
    "BOOL",
    "ndarray",
    "tensor",
    "strData",
    "jsonData",
    "FAILURE",
    "stop",
    "length",
    "[DONE]",
    "base64",
    "{}",
    "[1]",
    "[\"a\"]",
    "m",
    "é",
];

const NAMES: [&str; 40] = [
    "model",
    "input",
    "inputs",
    "outputs",
    "name",
    "shape",
    "datatype",
    "data",
    "parameters",
    "id",
    "prompt",
    "stream",
    "stream_options",
    "include_usage",
    "text_input",
    "text_output",
    "done",
    "error",
    "detail",
    "details",
    "finish_reason",
    "choices",
    "index",
    "text",
    "usage",
    "prompt_tokens",
    "embedding",
    "encoding_format",
    "dimensions",
    "ndarray",
    "names",
    "tensor",
    "values",
    "strData",
    "jsonData",
    "meta",
    "puid",
    "seldon",
    "seldon_meta",
    "status",
];

/// JSON out of the words of all sides, so that it gets far.
fn json_value() -> impl Strategy<Value = Value> {
    let word = prop::sample::select(&WORDS[..]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (0..4_u64).prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        word.prop_map(Value::from),
    ];
    let name = prop::sample::select(&NAMES[..]);
    leaf.prop_recursive(5, 48, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((name.clone(), inner), 0..6).prop_map(|fields| {
                let fields = fields.into_iter();
                Value::Object(
                    fields
                        .map(|(name, value)| (name.to_owned(), value))
                        .collect(),
                )
            }),
        ]
    })
}

/// A request, answer or event with one of its values replaced.
fn damaged() -> impl Strategy<Value = Value> {
    let mut whole: Vec<Value> = translations()
        .into_iter()
        .map(|(_, _, body)| body)
        .collect();
    let output = |name: &str, datatype: &str, data: Value| json!({ "name": name, "datatype": datatype, "shape": [1, 1], "data": data, "parameters": { "seldon": "ndarray", "seldon_names": "[\"a\"]" } });
    whole.extend([
        json!({ "id": "p", "outputs": [output("embedding", "FP32", json!([1.5])), output("t", "INT64", json!([3]))], "parameters": { "seldon_meta": "{}" } }),
        json!({ "outputs": [output("text", "BYTES", json!([["a"]]))], "done": true }),
        json!({ "text_output": "a", "done": false, "details": { "finish_reason": "length" } }),
        json!({ "choices": [{ "index": 0, "text": "a", "finish_reason": "stop" }], "usage": { "prompt_tokens": 1 } }),
        json!({ "data": [{ "index": 0, "embedding": [1.5] }], "usage": { "prompt_tokens": 1 } }),
        json!({ "status": { "code": 400, "status": "FAILURE" }, "data": { "ndarray": [[1]] } }),
    ]);
    let whole = prop::sample::select(whole);
    (whole, any::<prop::sample::Index>(), json_value()).prop_map(|(mut whole, place, value)| {
        let mut places = Vec::new();
        walk(&whole, String::new(), &mut places);
        let place: &String = place.get(&places);
        *whole.pointer_mut(place).unwrap() = value;
        whole
    })
}

fn walk(value: &Value, at: String, places: &mut Vec<String>) {
    match value {
        Value::Object(fields) => fields
            .iter()
            .for_each(|(name, inner)| walk(inner, format!("{at}/{name}"), places)),
        Value::Array(list) => list
            .iter()
            .enumerate()
            .for_each(|(place, inner)| walk(inner, format!("{at}/{place}"), places)),
        _ => {}
    }
    places.push(at);
}

/// Whatever comes of it, it is JSON, or a refusal below 500.
fn is_an_answer(decided: &tollgate_sdk::testing::Decided, least: u16) {
    if decided.is_next() {
        assert!(serde_json::from_slice::<Value>(decided.body()).is_ok());
    } else {
        let (status, message) = refused(decided);
        assert!(
            (400..=502).contains(&status) && status >= least,
            "{status} {message}"
        );
    }
}

proptest! {
    #[test]
    fn nothing_that_is_asked_makes_it_panic(body in prop_oneof![json_value(), damaged()], refuse: bool) {
        for (settings, path, _) in translations() {
            let more = json!({ "unsupported": if refuse { "refuse" } else { "drop" } });
            let decided = attempted(&run(&with(settings, "", &more)), path, &body.to_string());
            is_an_answer(&decided, 400);
        }
    }

    #[test]
    fn nothing_that_is_answered_makes_it_panic(said in prop_oneof![json_value(), damaged()], status in 200..600_u16) {
        for (settings, path, body) in translations() {
            let decided = begun(&run(&settings), path, &body).response(Answer::new(status).json(&said));
            is_an_answer(&decided, 400);
        }
    }

    #[test]
    fn nothing_that_is_streamed_makes_it_panic(said in prop::collection::vec(prop_oneof![json_value(), damaged()], 1..8)) {
        for (settings, path, body) in translations() {
            let mut session = begun(&run(&settings), path, &body);
            let mut sent = session.events(said.iter().map(RawEvent::json));
            if !sent.ended {
                sent.events.extend(session.end().events);
            }
            for event in sent.events {
                let is_mark = event.data == b"[DONE]";
                prop_assert!(is_mark || serde_json::from_slice::<Value>(&event.data).is_ok());
            }
        }
    }

    #[test]
    fn no_path_makes_it_panic(path in "/(v1|v2|api|seldon|models|%2|[a-z:/%?.é]{0,9}){0,7}") {
        for (settings, _, body) in translations() {
            attempted(&run(&settings), &path, &body.to_string());
        }
    }
}
