//! What errors become, and refusals in the client's shape.

use serde_json::{Value, json};
use tollgate_sdk::{Answer, testing::Decided};

use crate::stage::{
    COMPLETIONS, EMBEDDINGS, GENERATE, INFER, PREDICTIONS, attempted, begun, of_openai, of_seldon,
    posted, refused, run, target, to_openai, to_seldon,
};

fn answered(settings: &Value, answer: Answer) -> Decided {
    let (path, body) = match settings["client"].as_str().unwrap() {
        "openai" => (COMPLETIONS, json!({ "model": "m", "prompt": "a" })),
        "seldon" => (PREDICTIONS, json!({ "strData": "a" })),
        _ if settings["upstream"] == "openai" => (GENERATE, json!({ "text_input": "a" })),
        _ => (
            INFER,
            json!({ "inputs": [{ "name": "x", "shape": [0], "datatype": "FP32", "data": [] }] }),
        ),
    };
    begun(&run(settings), path, &body).response(answer)
}

fn body(decided: &Decided) -> Value {
    assert!(decided.is_next(), "{:?}", decided.verdict);
    serde_json::from_slice(decided.body()).unwrap()
}

#[test]
fn an_error_of_v2_is_one_of_openai() {
    for (status, kind, code) in [
        (400, "invalid_request_error", Value::Null),
        (401, "authentication_error", json!("invalid_api_key")),
        (404, "invalid_request_error", json!("model_not_found")),
        (422, "invalid_request_error", Value::Null),
        (424, "server_error", Value::Null),
        (429, "rate_limit_error", json!("rate_limit_exceeded")),
        (500, "server_error", Value::Null),
        (503, "server_error", json!("overloaded")),
    ] {
        let answer = Answer::new(status)
            .header("retry-after", "3")
            .json(&json!({ "error": "Model is overloaded" }));
        let decided = answered(&of_openai(), answer);
        assert_eq!(decided.status(), status);
        assert_eq!(decided.header("retry-after").as_deref(), Some("3"));
        let error =
            json!({ "message": "Model is overloaded", "type": kind, "param": null, "code": code });
        assert_eq!(body(&decided), json!({ "error": error }));
    }
}

#[test]
fn an_error_of_openai_or_seldon_is_one_of_v2() {
    let openai = json!({ "error": { "message": "No such model.", "type": "x", "param": null, "code": "model_not_found" } });
    let decided = answered(&to_openai(), Answer::new(404).json(&openai));
    assert_eq!(decided.status(), 404);
    assert_eq!(body(&decided), json!({ "error": "No such model." }));
    let seldon = json!({ "status": { "code": 500, "info": "It failed.", "reason": "R", "status": "FAILURE" } });
    let decided = answered(&to_seldon(), Answer::new(500).json(&seldon));
    assert_eq!(body(&decided), json!({ "error": "It failed." }));
}

#[test]
fn an_error_of_v2_is_one_of_seldon() {
    let decided = answered(
        &of_seldon(),
        Answer::new(400).json(&json!({ "error": "no" })),
    );
    assert_eq!(
        body(&decided)["status"],
        json!({ "code": 400, "info": "no", "reason": "UPSTREAM_ERROR", "status": "FAILURE" })
    );
}

#[test]
fn an_error_that_cannot_be_read_is_told_by_its_status() {
    for settings in [of_openai(), to_openai(), of_seldon(), to_seldon()] {
        for page in ["<html>", "", "[]", "{}"] {
            let answer = Answer::new(502)
                .header("content-type", "text/html")
                .body(page);
            let decided = answered(&settings, answer);
            assert_eq!(decided.status(), 502);
            assert_eq!(
                decided.header("content-type").as_deref(),
                Some("application/json")
            );
            let text = body(&decided).to_string();
            assert!(
                text.contains("The upstream answered with status 502."),
                "{text}"
            );
        }
    }
}

#[test]
fn a_success_that_cannot_be_read_is_none_and_redirects_pass() {
    for settings in [of_openai(), to_openai(), of_seldon(), to_seldon()] {
        for answer in [
            Answer::new(200).body("<html>"),
            Answer::new(200).body(""),
            Answer::new(200).json(&json!({})),
            Answer::new(200).body(r#"{"outputs":"#),
        ] {
            let (status, message) = refused(&answered(&settings, answer));
            assert_eq!(status, 502);
            assert!(message.starts_with("The upstream's answer cannot be translated"));
        }
        assert!(answered(&settings, Answer::new(307).body("x")).is_untouched());
    }
}

#[test]
fn answers_in_binary_or_compressed_are_refused() {
    let said = json!({ "text_output": "a" });
    for (name, value) in [
        ("Inference-Header-Content-Length", "17"),
        ("content-encoding", "gzip"),
    ] {
        let answer = Answer::new(200).header(name, value).json(&said);
        assert_eq!(refused(&answered(&of_openai(), answer)).0, 502, "{name}");
    }
    let answer = Answer::new(200)
        .header("content-encoding", "identity")
        .json(&said);
    assert!(answered(&of_openai(), answer).is_next());
}

#[test]
fn binary_tensors_and_compressed_bodies_are_refused_where_they_would_be_translated() {
    let body = r#"{"inputs":[]}"#;
    for settings in [to_openai(), to_seldon()] {
        for (name, value, says) in [
            (
                "inference-header-content-length",
                "13",
                "expected tensors as JSON",
            ),
            ("content-encoding", "gzip", "compressed"),
        ] {
            let exchange = posted(INFER, body).header(name, value);
            let decided = run(&settings).open(exchange).attempt(&target(None));
            let (status, message) = refused(&decided);
            assert!(status == 415 && message.contains(says), "{message}");
            assert!(decided.answer().is_some(), "in the shape of V2");
        }
    }
}

#[test]
fn a_refusal_has_the_shape_of_the_client() {
    let decided = attempted(&run(&of_openai()), EMBEDDINGS, "{}");
    assert_eq!(decided.refusal().unwrap().code, "invalid_request");
    let decided = attempted(&run(&to_openai()), INFER, "{}");
    let answer = decided.answer().unwrap();
    assert_eq!(answer.status, 400);
    let error: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(
        error,
        json!({ "error": "This request cannot be translated: `inputs`: expected an array." })
    );
    let decided = attempted(&run(&of_seldon()), PREDICTIONS, "{}");
    let error: Value = serde_json::from_slice(&decided.answer().unwrap().body).unwrap();
    assert_eq!(error["status"]["reason"], "INVALID_REQUEST");
    assert_eq!(error["status"]["code"], 400);
}

#[test]
fn an_endpoint_that_has_no_mapping_is_refused() {
    let mut embeddings_alone = of_openai();
    embeddings_alone
        .as_object_mut()
        .unwrap()
        .remove("completions");
    for (settings, method, path) in [
        (of_openai(), "POST", "/v1/chat/completions"),
        (of_openai(), "GET", EMBEDDINGS),
        (of_openai(), "POST", INFER),
        (embeddings_alone, "POST", COMPLETIONS),
        (to_openai(), "GET", "/v2/models/m/ready"),
        (to_openai(), "POST", "/v1/models/m:predict"),
        (of_seldon(), "POST", "/seldon/ns/m/api/v1.0/feedback"),
        (to_seldon(), "POST", GENERATE),
    ] {
        let exchange = posted(path, "{}").to(method, path);
        let decided = run(&settings).open(exchange).attempt(&target(None));
        assert_eq!(refused(&decided).0, 404, "{method} {path}");
    }
}
