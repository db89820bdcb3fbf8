//! A client of V2 on an OpenAI upstream.

use serde_json::{Value, json};
use tollgate_sdk::{Answer, testing::counted};

use crate::stage::{
    GENERATE, GENERATE_STREAM, INFER, answered, answered_text, asked, attempted, begun, posted,
    refused, run, target, to_openai, with,
};

fn texts(name: &str, data: &[&str]) -> Value {
    json!({ "inputs": [{ "name": name, "shape": [data.len()], "datatype": "BYTES", "data": data }] })
}

#[test]
fn a_tensor_of_texts_is_a_request_of_embeddings() {
    let dimensions = json!({ "dimensions": { "parameter": "dim" } });
    let run = run(&with(to_openai(), "/embeddings", &dimensions));
    let mut body = texts("text", &["a", "b"]);
    body["id"] = "42".into();
    body["parameters"] = json!({ "dim": 8, "binary_data_output": true });
    body["outputs"] = json!([{ "name": "embedding", "parameters": { "binary_data": true } }]);
    let (path, sent) = asked(&run, INFER, &body);
    assert_eq!(path, "/v1/embeddings");
    assert_eq!(
        sent,
        json!({ "model": "m", "input": ["a", "b"], "encoding_format": "float", "dimensions": 8 })
    );
    assert_eq!(counted("dropped"), 0);
}

#[test]
fn the_model_is_called_what_the_target_calls_it_and_answers_keep_the_paths_name() {
    let path = "/v2/models/bge/versions/3/infer";
    // As the gateway leaves it, which chose the model by its name.
    let mut body = texts("text", &["a"]);
    body["model"] = "org/bge".into();
    let strict = with(to_openai(), "", &json!({ "unsupported": "refuse" }));
    let mut session = run(&strict).open(posted(path, &body.to_string()));
    let decided = session.attempt(&target(Some("org/bge")));
    assert_eq!(decided.json("/model"), Some(json!("org/bge")));
    let vector = json!({ "data": [{ "index": 0, "embedding": [1.5] }] });
    let decided = session.response(Answer::new(200).json(&vector));
    assert_eq!(decided.json("/model_name"), Some(json!("bge")));
    assert_eq!(decided.json("/model_version"), Some(json!("3")));
}

#[test]
fn embeddings_are_answered_as_one_tensor_digit_by_digit() {
    let usage = json!({ "usage": { "input_tokens": { "pointer": "/parameters/in" } } });
    let run = run(&with(to_openai(), "/embeddings", &usage));
    let said = r#"{"object":"list","data":[{"index":1,"embedding":[3,4e-1]},{"index":0,"embedding":[0.10, -2]}],"usage":{"prompt_tokens":5,"total_tokens":5}}"#;
    let mut body = texts("text", &["a", "b"]);
    body["id"] = "42".into();
    assert_eq!(
        answered_text(&run, INFER, &body, said),
        r#"{"model_name":"m","id":"42","parameters":{"in":5},"outputs":[{"name":"embedding","shape":[2,2],"datatype":"FP32","data":[0.10,-2,3,4e-1]}]}"#
    );
}

#[test]
fn embeddings_that_are_none_are_no_success() {
    for data in [
        json!([]),
        json!([{ "index": 0, "embedding": [1] }]),
        json!([{ "index": 0, "embedding": [1] }, { "index": 0, "embedding": [1] }]),
        json!([{ "index": 0, "embedding": [1] }, { "index": 2, "embedding": [1] }]),
        json!([{ "index": 0, "embedding": [1] }, { "index": 1, "embedding": [1, 2] }]),
        json!([{ "index": 0, "embedding": [1] }, { "index": 1, "embedding": "AAAA" }]),
        json!([{ "index": 0, "embedding": [1] }, { "index": 1, "embedding": [null] }]),
        json!([{ "index": 0, "embedding": [1] }, 7]),
    ] {
        let mut session = begun(&run(&to_openai()), INFER, &texts("text", &["a", "b"]));
        let decided = session.response(Answer::new(200).json(&json!({ "data": data })));
        let (status, message) = refused(&decided);
        assert_eq!(status, 502, "{data}: {message}");
        assert!(decided.answer().is_some(), "in the shape of V2");
    }
}

#[test]
fn a_text_is_a_completion_and_its_parameters_are_fields() {
    let mapping = json!({ "parameters": { "max_tokens": "max_new_tokens", "stop": "stop" }, "fixed": { "x": 1 } });
    let run = run(&with(to_openai(), "/completions", &mapping));
    let body = json!({ "text_input": "Say \"é\".", "parameters": { "max_new_tokens": 9, "stop": ["\n"], "x": 2, "other": 3 } });
    for (path, is_stream) in [(GENERATE, false), (GENERATE_STREAM, true)] {
        let (to, sent) = asked(&run, path, &body);
        assert_eq!(to, "/v1/completions");
        let mut expected =
            json!({ "model": "m", "prompt": "Say \"é\".", "max_tokens": 9, "stop": ["\n"] });
        if is_stream {
            expected["stream"] = true.into();
            expected["stream_options"] = json!({ "include_usage": true });
        }
        assert_eq!(sent, expected);
    }
    assert_eq!(counted("dropped"), 2, "`other`, twice");
    let said = json!({ "choices": [{ "index": 0, "text": "hi", "finish_reason": "length" }], "usage": { "prompt_tokens": 1 } });
    assert_eq!(
        answered(&run, GENERATE, &body, &said),
        json!({ "model_name": "m", "text_output": "hi", "details": { "finish_reason": "length" } })
    );
}

#[test]
fn prompts_in_a_tensor_are_completions() {
    let mut settings = with(to_openai(), "/completions", &json!({ "body": "tensors" }));
    settings.as_object_mut().unwrap().remove("embeddings");
    let run = run(&settings);
    let body = texts("text_input", &["a", "b"]);
    let (path, sent) = asked(&run, INFER, &body);
    assert_eq!(path, "/v1/completions");
    assert_eq!(sent, json!({ "model": "m", "prompt": ["a", "b"] }));
    let said = json!({ "choices": [{ "index": 1, "text": "y" }, { "index": 0, "text": "x", "finish_reason": "stop" }] });
    let answer = answered(&run, INFER, &body, &said);
    assert_eq!(
        answer["outputs"],
        json!([{ "name": "text_output", "shape": [2], "datatype": "BYTES", "data": ["x", "y"] }])
    );
}

#[test]
fn tensors_that_are_none_are_refused_with_the_place() {
    let tensor = |fields: Value| {
        let tensor = json!({ "name": "text", "shape": [1], "datatype": "BYTES", "data": ["a"] });
        json!({ "inputs": [with(tensor, "", &fields)] })
    };
    let two = json!({ "inputs": [tensor(json!({}))["inputs"][0], { "name": "more" }] });
    let others = json!({ "inputs": [{ "name": "a" }, { "name": "b" }] });
    for (body, says) in [
        (json!({}), "`inputs`: expected an array"),
        (
            json!({ "inputs": [] }),
            "`inputs`: expected a tensor named `text`",
        ),
        (others, "`inputs`: expected a tensor named `text`"),
        (two, "`inputs[1]`: there is no such thing in OpenAI's API"),
        (json!({ "inputs": [7] }), "`inputs[0]`: expected an object"),
        (
            tensor(json!({ "name": null })),
            "`inputs[0].name`: expected a string",
        ),
        (
            tensor(json!({ "datatype": "bytes" })),
            "`inputs[0].datatype`: expected a datatype",
        ),
        (
            tensor(json!({ "datatype": "INT8", "data": [1] })),
            "`inputs`: expected a tensor of `BYTES`",
        ),
        (
            tensor(json!({ "shape": null })),
            "`inputs[0].shape`: expected whole numbers",
        ),
        (
            tensor(json!({ "shape": [-1] })),
            "`inputs[0].shape`: expected whole numbers",
        ),
        (
            tensor(json!({ "shape": vec![1; 33] })),
            "of 32 dimensions at most",
        ),
        (
            tensor(json!({ "shape": [2] })),
            "`inputs[0].data`: expected as many elements",
        ),
        (
            tensor(json!({ "shape": [u64::MAX, 2] })),
            "`inputs[0].data`: expected as many elements",
        ),
        (
            tensor(json!({ "shape": [1, 2], "data": [["a"], ["b"]] })),
            "expected the elements in the tensor's shape, or flat",
        ),
        (
            tensor(json!({ "shape": [3], "data": [["a", "b"], ["c"]] })),
            "`inputs[0].data`: expected rows of one length",
        ),
        (
            tensor(json!({ "data": null })),
            "`inputs[0].data`: expected the elements as JSON",
        ),
        (
            tensor(json!({ "data": [1] })),
            "`inputs[0].data`: expected strings (BYTES)",
        ),
    ] {
        let (status, message) = refused(&attempted(&run(&to_openai()), INFER, &body.to_string()));
        assert!(status == 400 && message.contains(says), "{message}");
    }
}
