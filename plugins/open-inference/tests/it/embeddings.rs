//! Embeddings of an OpenAI client, asked of tensors.

use serde_json::{Value, json};
use tollgate_sdk::{Answer, testing::counted};

use crate::stage::{
    EMBEDDINGS, answered, answered_text, asked, asked_text, attempted, begun, of_openai, refused,
    run, target, with,
};

fn body(input: Value) -> Value {
    json!({ "model": "m", "input": input })
}

fn vectors(datatype: &str, shape: Value, data: Value) -> Value {
    json!({ "model_name": "other", "outputs": [{ "name": "embedding", "datatype": datatype, "shape": shape, "data": data }] })
}

#[test]
fn texts_are_one_tensor_of_bytes() {
    let mut run = run(&of_openai());
    for (input, data) in [
        (json!("a \"b\" é"), json!(["a \"b\" é"])),
        (json!(["a", "b"]), json!(["a", "b"])),
        (json!([]), json!([])),
    ] {
        let length = data.as_array().unwrap().len();
        let (_, sent) = asked(&run, EMBEDDINGS, &body(input));
        let input = json!({ "name": "text", "shape": [length], "datatype": "BYTES", "data": data });
        assert_eq!(
            sent,
            json!({ "inputs": [input], "outputs": [{ "name": "embedding" }] })
        );
    }
    let more = json!({ "input": { "name": "text", "shape": [-1, 1], "parameters": { "content_type": "str" } }, "fixed": { "normalize": true }, "usage": { "input_tokens": { "tensor": "tokens" } } });
    run = crate::stage::run(&with(of_openai(), "/embeddings", &more));
    let (_, sent) = asked(&run, EMBEDDINGS, &body(json!(["a", "b"])));
    let input = json!({ "name": "text", "shape": [2, 1], "datatype": "BYTES", "parameters": { "content_type": "str" }, "data": ["a", "b"] });
    assert_eq!(
        sent,
        json!({ "parameters": { "normalize": true }, "inputs": [input], "outputs": [{ "name": "embedding" }, { "name": "tokens" }] })
    );
}

#[test]
fn the_path_names_the_targets_model_and_the_version_that_is_set() {
    let versioned = with(of_openai(), "", &json!({ "version": "v 2" }));
    let exchange = crate::stage::posted(EMBEDDINGS, &body(json!("a")).to_string());
    for (settings, model, path) in [
        (of_openai(), None, "/v2/models/m/infer"),
        (of_openai(), Some("bge é"), "/v2/models/bge%20%C3%A9/infer"),
        (
            versioned,
            Some("bge"),
            "/v2/models/bge/versions/v%202/infer",
        ),
    ] {
        let decided = run(&settings)
            .open(exchange.clone())
            .attempt(&target(model));
        assert_eq!(decided.path(), path);
        assert_eq!(
            decided.header("content-type").as_deref(),
            Some("application/json")
        );
    }
    for model in ["a/b", "..", ""] {
        let decided = run(&of_openai())
            .open(exchange.clone())
            .attempt(&target(Some(model)));
        assert_eq!(refused(&decided).0, 400, "{model}");
    }
}

#[test]
fn tokens_are_a_row_for_each_text() {
    let input = json!({ "input": { "name": "ids", "datatype": "INT32", "shape": [-1, -1] } });
    let run = run(&with(of_openai(), "/embeddings", &input));
    for (input, shape, data) in [
        (json!([1, 2, 3]), [1, 3], json!([1, 2, 3])),
        (json!([[1, 2], [3, 4]]), [2, 2], json!([1, 2, 3, 4])),
        (json!([]), [0, 0], json!([])),
    ] {
        let (_, sent) = asked(&run, EMBEDDINGS, &body(input));
        assert_eq!(
            sent["inputs"][0],
            json!({ "name": "ids", "shape": shape, "datatype": "INT32", "data": data })
        );
    }
    for (input, says) in [
        (
            json!([[1, 2], [3]]),
            "`input`: expected rows of one length and depth; `[1]`",
        ),
        (json!("a"), "`input`: expected tokens"),
        (
            json!(["a"]),
            "`input`: expected whole numbers that fit INT32",
        ),
        (
            json!([1.5]),
            "`input`: expected whole numbers that fit INT32",
        ),
        (
            json!([3_000_000_000_u64]),
            "`input`: expected whole numbers that fit INT32",
        ),
        (json!([[[1]]]), "`input`: expected tokens"),
    ] {
        let decided = attempted(&run, EMBEDDINGS, &body(input).to_string());
        let (status, message) = refused(&decided);
        assert!(status == 400 && message.contains(says), "{message}");
    }
}

#[test]
fn what_is_no_input_is_refused_with_the_place() {
    let run = run(&of_openai());
    for (body, says) in [
        (
            json!({ "model": "m" }),
            "`input`: expected a string or an array",
        ),
        (body(json!([1])), "`input`: expected strings (BYTES)"),
        (
            body(json!([["a"]])),
            "`input`: expected a string or an array of strings",
        ),
        (body(json!({ "a": 1 })), "`input`: expected an array"),
        (
            body(json!(["a", { "b": 1 }])),
            "`input`: expected numbers, strings or booleans; there is an object at `[1]`",
        ),
        (
            json!({ "model": "m", "input": "a", "encoding_format": "hex" }),
            "`encoding_format`: expected `float` or `base64`",
        ),
        (
            json!({ "model": "m", "input": "a", "dimensions": 0 }),
            "`dimensions`: expected a whole number above 0",
        ),
        (json!([]), "expected an object"),
    ] {
        let (status, message) = refused(&attempted(&run, EMBEDDINGS, &body.to_string()));
        assert!(status == 400 && message.contains(says), "{message}");
    }
}

#[test]
fn vectors_are_answered_digit_by_digit() {
    let said = r#"{"outputs":[{"name":"embedding","datatype":"FP64","shape":[2,2],"data":[[0.10000000000000000555, -1e-05],[3,4.0]]}]}"#;
    let text = answered_text(
        &run(&of_openai()),
        EMBEDDINGS,
        &body(json!(["a", "b"])),
        said,
    );
    assert_eq!(
        text,
        r#"{"object":"list","data":[{"object":"embedding","index":0,"embedding":[0.10000000000000000555,-1e-05]},{"object":"embedding","index":1,"embedding":[3,4.0]}],"model":"m","usage":{"prompt_tokens":0,"total_tokens":0}}"#
    );
}

#[test]
fn vectors_are_base64_where_that_is_asked_for() {
    let mut asked = body(json!(["a"]));
    asked["encoding_format"] = "base64".into();
    for (datatype, shape) in [
        ("FP32", json!([1, 2])),
        ("FP16", json!([2])),
        ("FP64", json!([1, 1, 2])),
    ] {
        let said = vectors(datatype, shape, json!([1.0, -2.5]));
        let answer = answered(&run(&of_openai()), EMBEDDINGS, &asked, &said);
        assert_eq!(answer["data"][0]["embedding"], "AACAPwAAIMA=");
    }
}

#[test]
fn the_name_of_the_output_is_that_of_the_settings_unless_there_is_one_alone() {
    let run = run(&of_openai());
    let tensor = |name: &str, data: [f64; 1]| json!({ "name": name, "datatype": "FP32", "shape": [1, 1], "data": data });
    let said = json!({ "outputs": [tensor("x", [1.0]), tensor("embedding", [2.0])] });
    let answer = answered(&run, EMBEDDINGS, &body(json!("a")), &said);
    assert_eq!(answer["data"][0]["embedding"], json!([2.0]));
    let said = json!({ "outputs": [tensor("x", [1.0])] });
    let answer = answered(&run, EMBEDDINGS, &body(json!("a")), &said);
    assert_eq!(answer["data"][0]["embedding"], json!([1.0]));
}

#[test]
fn dimensions_are_refused_cut_or_told_as_the_settings_say() {
    let mut asked = body(json!("a"));
    asked["dimensions"] = 2.into();
    let refusing = run(&of_openai());
    let (status, message) = refused(&attempted(&refusing, EMBEDDINGS, &asked.to_string()));
    assert_eq!(status, 400);
    assert!(
        message.contains("`dimensions`: there is no such thing"),
        "{message}"
    );

    let cutting = run(&with(
        of_openai(),
        "/embeddings",
        &json!({ "dimensions": "cut" }),
    ));
    let said = vectors("FP32", json!([1, 3]), json!([3.0, 4.0, 9.0]));
    let answer = answered(&cutting, EMBEDDINGS, &asked, &said);
    assert_eq!(answer["data"][0]["embedding"], json!([0.6, 0.8]));
    let said = vectors("FP32", json!([1, 3]), json!([0.0, 0.0, 9.0]));
    let answer = answered(&cutting, EMBEDDINGS, &asked, &said);
    assert_eq!(answer["data"][0]["embedding"], json!([0, 0]));
    let mut session = begun(&cutting, EMBEDDINGS, &asked);
    let decided = session.response(Answer::new(200).json(&vectors("FP32", json!([1]), json!([1]))));
    let (status, message) = refused(&decided);
    assert_eq!(status, 400, "the request asks for more than there is");
    assert!(
        message.contains("`dimensions`: expected 1 at most"),
        "{message}"
    );

    let telling = json!({ "dimensions": { "parameter": "dim" } });
    let telling = run(&with(of_openai(), "/embeddings", &telling));
    let (_, sent) = asked_text(&telling, EMBEDDINGS, &asked.to_string());
    assert_eq!(sent["parameters"], json!({ "dim": 2 }));
    let mut session = begun(&telling, EMBEDDINGS, &asked);
    let said = vectors("FP32", json!([1, 3]), json!([1, 2, 3]));
    let (status, message) = refused(&session.response(Answer::new(200).json(&said)));
    assert_eq!(status, 502, "it was not heeded");
    assert!(
        message.contains("expected vectors of 2 numbers"),
        "{message}"
    );
}

#[test]
fn usage_is_found_where_the_settings_say() {
    for (place, told) in [
        (json!({ "tensor": "tokens" }), 7),
        (json!({ "pointer": "/parameters/used" }), 9),
        (json!({ "pointer": "/parameters/unknown" }), 0),
    ] {
        let usage = json!({ "usage": { "input_tokens": place } });
        let run = run(&with(of_openai(), "/embeddings", &usage));
        let mut said = vectors("FP32", json!([1, 1]), json!([1.0]));
        said["parameters"] = json!({ "used": 9 });
        let tokens = json!({ "name": "tokens", "datatype": "INT64", "shape": [2], "data": [3, 4] });
        said["outputs"].as_array_mut().unwrap().push(tokens);
        let answer = answered(&run, EMBEDDINGS, &body(json!("a")), &said);
        assert_eq!(
            answer["usage"],
            json!({ "prompt_tokens": told, "total_tokens": told })
        );
    }
}

#[test]
fn an_answer_that_is_none_is_no_success() {
    for said in [
        json!({}),
        json!({ "outputs": [] }),
        json!({ "outputs": [{ "name": "a" }, { "name": "b" }] }),
        vectors("INT64", json!([2, 1]), json!([1, 2])),
        vectors("FP32", json!([1, 2]), json!([1, 2])),
        vectors("FP32", json!([2, 1]), json!([1])),
        vectors("FP32", json!([2, 2]), json!([1, 2])),
        vectors("FP32", json!([2, 0]), json!([])),
        vectors("FP32", json!([2, 2, 2]), json!([1, 2, 3, 4, 5, 6, 7, 8])),
        vectors("FP32", json!([2, 1]), json!([1, null])),
        vectors("FP32", json!([2, 1]), json!([1, "2"])),
        vectors(
            "FP32",
            json!([4_294_967_296_u64, 4_294_967_296_u64]),
            json!([]),
        ),
        vectors("FP32", json!([-1, 1]), json!([1])),
        vectors("XX", json!([2, 1]), json!([1, 2])),
    ] {
        let mut session = begun(&run(&of_openai()), EMBEDDINGS, &body(json!(["a", "b"])));
        let decided = session.response(Answer::new(200).json(&said));
        let (status, message) = refused(&decided);
        assert_eq!(status, 502, "{said}: {message}");
        assert!(message.starts_with("The upstream's answer cannot be translated: "));
    }
}

#[test]
fn an_empty_batch_is_answered_with_none() {
    let said = vectors("FP32", json!([0, 8]), json!([]));
    let answer = answered(&run(&of_openai()), EMBEDDINGS, &body(json!([])), &said);
    assert_eq!(answer["data"], json!([]));
}

#[test]
fn a_field_that_tensors_do_not_have_is_counted_or_refused_by_name() {
    let mut asked = body(json!("a"));
    asked["user"] = "ann".into();
    asked["made_up"] = 1.into();
    attempted(&run(&of_openai()), EMBEDDINGS, &asked.to_string());
    assert_eq!(counted("dropped"), 2);
    let strict = run(&with(of_openai(), "", &json!({ "unsupported": "refuse" })));
    let (status, message) = refused(&attempted(&strict, EMBEDDINGS, &asked.to_string()));
    assert_eq!(status, 400);
    assert!(
        message.contains("`made_up`: there is no such thing in the Open Inference Protocol"),
        "{message}"
    );
}
