//! What may be set, and how a mistake is told.

use open_inference::OpenInference;
use serde_json::{Value, json};
use tollgate_sdk::{
    Answer, Sample,
    testing::{Exchange, Run},
};

use crate::stage::{
    Policy, of_openai, of_seldon, passing, refused, run, target, to_openai, to_seldon, with,
};

fn error(settings: Value) -> String {
    match Run::<OpenInference>::try_new(settings) {
        Ok(_) => panic!("they were taken"),
        Err(errors) => errors.join("\n"),
    }
}

#[test]
fn a_mistake_is_told_with_its_field() {
    let openai = |pointer: &str, fields: Value| with(of_openai(), pointer, &fields);
    for (settings, expected) in [
        (json!({}), "/: missing field `client`"),
        (
            json!({ "client": "x", "upstream": "openai" }),
            "/client: unknown variant `x`, expected one of `open-inference`, `openai`, `seldon`",
        ),
        (
            with(of_openai(), "", &json!({ "upstream": "openai" })),
            "/upstream: expected `open-inference`: between OpenAI's clients and servers there is nothing to translate",
        ),
        (
            with(of_openai(), "", &json!({ "upstream": "seldon" })),
            "/upstream: expected `open-inference` or what `client` says",
        ),
        (
            json!({ "client": "openai", "upstream": "open-inference" }),
            "/embeddings: expected this or `completions`, where one side is `openai`",
        ),
        (
            with(passing(), "", &json!({ "completions": {} })),
            "/completions: expected only where one side is `openai`",
        ),
        (
            with(passing(), "", &json!({ "seldon": {} })),
            "/seldon: expected only where one side is `seldon`",
        ),
        (
            openai("", json!({ "choose_model": true })),
            "/choose_model: expected `false` where `client` is `openai`: its bodies name the model",
        ),
        (
            openai("", json!({ "version": "a/b" })),
            "/version: expected a version such as `1`, without `/`",
        ),
        (
            openai("/embeddings", json!({ "output": "" })),
            "/embeddings/output: is empty; expected a name",
        ),
        (
            openai("/embeddings/input", json!({ "datatype": "FP32" })),
            "/embeddings/input/datatype: expected `BYTES` for texts, or an integer type for tokens",
        ),
        (
            openai("/embeddings/input", json!({ "shape": [2] })),
            "/embeddings/input/shape: expected one `-1` and otherwise `1`, such as `[-1]` or `[-1, 1]`; of tokens `[-1, -1]`",
        ),
        (
            openai(
                "/embeddings/input",
                json!({ "datatype": "INT64", "shape": [-1] }),
            ),
            "/embeddings/input/shape: expected one `-1` and otherwise `1`, such as `[-1]` or `[-1, 1]`; of tokens `[-1, -1]`",
        ),
        (
            openai("/embeddings", json!({ "dimensions": { "parameter": "" } })),
            "/embeddings/dimensions/parameter: is empty; expected a name",
        ),
        (
            openai(
                "/embeddings",
                json!({ "usage": { "input_tokens": { "pointer": "tokens" } } }),
            ),
            "/embeddings/usage/input_tokens/pointer: expected a JSON pointer that starts with `/`, such as `/parameters/tokens`",
        ),
        (
            openai("/completions", json!({ "finish_reason": "x" })),
            "/completions/finish_reason: expected a JSON pointer that starts with `/`, such as `/parameters/tokens`",
        ),
        (
            openai(
                "/completions",
                json!({ "input": { "name": "x", "datatype": "INT64" } }),
            ),
            "/completions/input: expected `BYTES`, where `body` is `text`",
        ),
        (
            openai("/completions", json!({ "parameters": { "n": "" } })),
            "/completions/parameters/n: is empty; expected a name",
        ),
        (
            openai("/completions", json!({ "extra": { "parameters": {} } })),
            "/completions/extra/parameters: expected another name: this one is taken",
        ),
        (
            openai(
                "/completions",
                json!({ "body": "tensors", "extra": { "x": 1 } }),
            ),
            "/completions/extra/x: expected only where `body` is `text`",
        ),
        (
            with(of_seldon(), "", &json!({ "seldon": { "path": "x" } })),
            "/seldon/path: expected a path that starts with `/`, such as `/api/v1.0/predictions`",
        ),
        (
            with(of_seldon(), "", &json!({ "seldon": { "model": "" } })),
            "/seldon/model: is empty; expected a model's name",
        ),
    ] {
        assert_eq!(error(settings), expected);
    }
    for (settings, beginning) in [
        (
            openai("", json!({ "maping": 1 })),
            "/maping: unknown field `maping`",
        ),
        (
            openai("/embeddings/input", json!({ "datatype": "TEXT" })),
            "/embeddings/input/datatype: unknown variant `TEXT`, expected one of `BOOL`",
        ),
        (
            openai("/embeddings", json!({ "dimensions": "all" })),
            "/embeddings/dimensions: unknown variant `all`",
        ),
        (
            openai("/completions", json!({ "parameters": { "prompt": "p" } })),
            "/completions/parameters/prompt: expected a field of a completion: best_of, ",
        ),
        (
            openai(
                "/completions",
                json!({ "parameters": { "n": "p", "seed": "p" } }),
            ),
            "/completions/parameters/n: expected a name that no other field has",
        ),
    ] {
        let error = error(settings);
        assert!(error.starts_with(beginning), "{error}");
    }
}

#[test]
fn every_setting_is_described_with_its_default() {
    let schema: Value = serde_json::from_str(&Run::<OpenInference>::settings_schema()).unwrap();
    assert_eq!(schema["required"], json!(["client", "upstream"]));
    let mut objects = vec![&schema];
    objects.extend(schema["$defs"].as_object().unwrap().values());
    for object in objects {
        let required = object["required"].as_array().cloned().unwrap_or_default();
        for (name, property) in object["properties"].as_object().into_iter().flatten() {
            let said = property["description"].as_str().unwrap_or_default();
            let is_required = required.iter().any(|other| other == name);
            // What stands in a choice of words is described by the choice.
            let is_choice = object.get("oneOf").is_some() || object["type"] != "object";
            assert!(
                is_choice || is_required || said.contains("Default:"),
                "{name}: {said}"
            );
        }
    }
}

#[test]
fn the_samples_hold_with_every_mapping() {
    let tokens = json!({ "name": "ids", "datatype": "INT64", "shape": [-1, -1] });
    let tensors = json!({ "body": "tensors", "input": tokens, "output": "text", "usage": { "input_tokens": { "tensor": "t" } } });
    let embeddings = json!({ "input": tokens, "dimensions": "cut" });
    for settings in [
        of_openai(),
        with(of_openai(), "/completions", &tensors),
        with(of_openai(), "/embeddings", &embeddings),
        with(
            of_openai(),
            "",
            &json!({ "unsupported": "refuse", "version": "1" }),
        ),
        to_openai(),
        with(to_openai(), "/completions", &tensors),
        with(to_openai(), "/embeddings", &embeddings),
        of_seldon(),
        with(
            of_seldon(),
            "",
            &json!({ "choose_model": true, "seldon": { "model": "iris", "datatype": "FP32" } }),
        ),
        with(
            of_seldon(),
            "",
            &json!({ "seldon": { "output": "probabilities", "carry": false } }),
        ),
        to_seldon(),
        with(to_seldon(), "", &json!({ "seldon": { "form": "tensor" } })),
        passing(),
        with(
            passing(),
            "",
            &json!({ "choose_model": true, "version": "2" }),
        ),
        json!({ "client": "seldon", "upstream": "seldon" }),
    ] {
        let run = run(&settings);
        let samples = run.samples();
        assert!(!samples.is_empty());
        for sample in &samples {
            prove(&run, sample);
        }
        run.prove();
    }
}

/// What the gateway's proof does and a native one leaves out: it asks about the attempt.
fn prove(run: &Policy, sample: &Sample) {
    let mut session = run.open(Exchange::of(sample));
    session.request();
    let decided = session.attempt(&target(None));
    assert!(
        decided.is_next(),
        "{}: {:?}",
        sample.name,
        refused(&decided)
    );
    if sample.events.is_empty() {
        let body = sample.response_body.clone();
        let answer = Answer::new(sample.response_status);
        let answer = answer.header("content-type", "application/json").body(body);
        let decided = session.response(answer);
        assert!(decided.is_next(), "{}: {:?}", sample.name, decided.verdict);
        return;
    }
    let sent = session.events(sample.events.clone());
    assert!(!sent.ended);
    let mut events = sent.events;
    events.extend(session.end().events);
    assert!(events.len() > 1);
    for event in events {
        let text = String::from_utf8(event.data).unwrap();
        assert!(!text.contains("error"), "{}: {text}", sample.name);
    }
}
