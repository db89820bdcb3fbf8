//! Seldon's V1 and V2, both ways.

use serde_json::{Value, json};
use tollgate_sdk::{Answer, testing::counted};

use crate::stage::{
    INFER, PREDICTIONS, answered, answered_text, asked, attempted, begun, of_seldon, posted,
    refused, run, sent, target, to_seldon, with,
};

#[test]
fn an_array_is_a_tensor_with_every_digit() {
    let run = run(&of_seldon());
    let text = sent(
        &run,
        PREDICTIONS,
        r#"{"meta":{"puid":"p1","tags":{"a":[1, 2]}},"data":{"names":["x","y"],"ndarray":[[1.50,2],[9007199254740993, 1e-3]]}}"#,
    );
    assert_eq!(
        text,
        r#"{"id":"p1","parameters":{"seldon_meta":"{\"tags\":{\"a\":[1, 2]}}"},"inputs":[{"name":"input","shape":[2,2],"datatype":"FP64","parameters":{"seldon":"ndarray","seldon_names":"[\"x\",\"y\"]"},"data":[1.50,2,9007199254740993,1e-3]}]}"#
    );
}

#[test]
fn each_form_of_data_is_a_tensor_of_its_kind() {
    let run = run(&with(
        of_seldon(),
        "",
        &json!({ "seldon": { "carry": false } }),
    ));
    for (message, datatype, shape, data) in [
        (
            json!({ "data": { "ndarray": [1, -2] } }),
            "INT64",
            json!([2]),
            json!([1, -2]),
        ),
        (
            json!({ "data": { "ndarray": [[true], [false]] } }),
            "BOOL",
            json!([2, 1]),
            json!([true, false]),
        ),
        (
            json!({ "data": { "ndarray": [["a", "é"]] } }),
            "BYTES",
            json!([1, 2]),
            json!(["a", "é"]),
        ),
        (
            json!({ "data": { "ndarray": [u64::MAX] } }),
            "UINT64",
            json!([1]),
            json!([u64::MAX]),
        ),
        (
            json!({ "data": { "ndarray": [] } }),
            "FP64",
            json!([0]),
            json!([]),
        ),
        (
            json!({ "data": { "ndarray": [[], []] } }),
            "FP64",
            json!([2, 0]),
            json!([]),
        ),
        (
            json!({ "data": { "tensor": { "shape": [1, 3], "values": [1, 2.5, 3] } } }),
            "FP64",
            json!([1, 3]),
            json!([1, 2.5, 3]),
        ),
        (
            json!({ "strData": "hello" }),
            "BYTES",
            json!([1]),
            json!(["hello"]),
        ),
        (
            json!({ "binData": "AAEC" }),
            "BYTES",
            json!([1]),
            json!(["AAEC"]),
        ),
        (
            json!({ "jsonData": { "a": [1] } }),
            "BYTES",
            json!([1]),
            json!(["{\"a\":[1]}"]),
        ),
    ] {
        let (_, sent) = asked(&run, PREDICTIONS, &message);
        assert_eq!(
            sent["inputs"],
            json!([{ "name": "input", "shape": shape, "datatype": datatype, "data": data }]),
            "{message}"
        );
    }
}

#[test]
fn the_datatype_and_the_tensors_are_those_of_the_settings() {
    let seldon = json!({ "seldon": { "datatype": "FP32", "input": "x", "output": "y" } });
    let run = run(&with(of_seldon(), "", &seldon));
    let (_, sent) = asked(
        &run,
        PREDICTIONS,
        &json!({ "data": { "ndarray": [[1, 2]] } }),
    );
    assert_eq!(sent["inputs"][0]["name"], "x");
    assert_eq!(sent["inputs"][0]["datatype"], "FP32");
    assert_eq!(sent["outputs"], json!([{ "name": "y" }]));
    let decided = attempted(&run, PREDICTIONS, r#"{"data":{"ndarray":[1e39]}}"#);
    let (status, message) = refused(&decided);
    assert!(
        status == 400 && message.contains("expected numbers that fit FP32"),
        "{message}"
    );
}

#[test]
fn the_model_is_the_deployment_or_the_one_that_is_set() {
    let body = r#"{"data":{"ndarray":[1]}}"#;
    let set = with(
        of_seldon(),
        "",
        &json!({ "version": "2", "seldon": { "model": "iris" } }),
    );
    for (settings, path, model, expected) in [
        (of_seldon(), PREDICTIONS, None, "/v2/models/m/infer"),
        (of_seldon(), PREDICTIONS, Some("n"), "/v2/models/n/infer"),
        (
            set.clone(),
            "/api/v1.0/predictions",
            None,
            "/v2/models/iris/versions/2/infer",
        ),
        (
            set,
            "/api/v0.1/predictions",
            Some("n"),
            "/v2/models/n/versions/2/infer",
        ),
    ] {
        let decided = run(&settings)
            .open(posted(path, body))
            .attempt(&target(model));
        assert_eq!(decided.path(), expected, "{:?}", decided.verdict);
    }
    let decided = attempted(&run(&of_seldon()), "/api/v1.0/predictions", body);
    assert_eq!(refused(&decided).0, 400, "there is none");
}

#[test]
fn an_answer_has_the_form_of_the_request_where_it_can() {
    let output = |datatype: &str, shape: Value, data: Value| json!({ "model_name": "m", "id": "r", "outputs": [{ "name": "output", "datatype": datatype, "shape": shape, "data": data }] });
    let asked = [
        json!({ "data": { "ndarray": [1] } }),
        json!({ "data": { "tensor": { "shape": [1], "values": [1] } } }),
        json!({ "strData": "a" }),
        json!({ "jsonData": 1 }),
        json!({ "binData": "AA==" }),
    ];
    let (numbers, one) = (
        output("INT64", json!([2, 1]), json!([1, 2])),
        output("BYTES", json!([1]), json!(["7"])),
    );
    let ndarray = json!({ "data": { "ndarray": [[1], [2]] } });
    let tensor = json!({ "data": { "tensor": { "shape": [2, 1], "values": [1, 2] } } });
    let texts = json!({ "data": { "ndarray": ["7"] } });
    for (place, said, expected) in [
        (0, &numbers, &ndarray),
        (1, &numbers, &tensor),
        (2, &numbers, &tensor),
        (3, &numbers, &tensor),
        (0, &one, &texts),
        (1, &one, &texts),
        (2, &one, &json!({ "strData": "7" })),
        (3, &one, &json!({ "jsonData": 7 })),
        (4, &one, &json!({ "binData": "7" })),
    ] {
        let mut answer = answered(&run(&of_seldon()), PREDICTIONS, &asked[place], said);
        let meta = answer.as_object_mut().unwrap().remove("meta");
        assert_eq!(meta, Some(json!({ "puid": "r" })));
        assert_eq!(&answer, expected, "{place}");
    }
    // A text that was to be JSON and is none is still an answer.
    let said = output("BYTES", json!([1]), json!(["{"]));
    let answer = answered(&run(&of_seldon()), PREDICTIONS, &asked[3], &said);
    assert_eq!(answer["data"], json!({ "ndarray": ["{"] }));
}

#[test]
fn names_and_meta_of_an_answer_are_its_own_and_those_of_the_request_otherwise() {
    let message =
        json!({ "meta": { "puid": "p", "tags": { "a": 1 } }, "data": { "ndarray": [1] } });
    let mut said = json!({ "outputs": [{ "name": "output", "datatype": "FP64", "shape": [1, 2], "data": [0.25, 0.75] }] });
    let answer = answered(&run(&of_seldon()), PREDICTIONS, &message, &said);
    assert_eq!(
        answer,
        json!({ "meta": { "puid": "p", "tags": { "a": 1 } }, "data": { "ndarray": [[0.25, 0.75]] } })
    );
    said["id"] = "q".into();
    said["parameters"] = json!({ "seldon_meta": "{\"puid\":\"not this\",\"tags\":{\"b\":2}}" });
    said["outputs"][0]["parameters"] = json!({ "seldon_names": "[\"no\",\"yes\"]" });
    let answer = answered(&run(&of_seldon()), PREDICTIONS, &message, &said);
    assert_eq!(answer["meta"], json!({ "puid": "q", "tags": { "b": 2 } }));
    assert_eq!(answer["data"]["names"], json!(["no", "yes"]));
}

#[test]
fn data_that_is_none_is_refused_with_the_place() {
    for (message, says) in [
        (
            json!({}),
            "expected one of `data`, `strData`, `jsonData` and `binData`",
        ),
        (
            json!({ "data": {} }),
            "`data`: expected `ndarray` or `tensor`",
        ),
        (
            json!({ "data": { "tftensor": {} } }),
            "`data`: expected `ndarray` or `tensor`",
        ),
        (json!({ "customData": {} }), "expected one of"),
        (
            json!({ "data": { "ndarray": 1 } }),
            "`data.ndarray`: expected an array",
        ),
        (
            json!({ "data": { "ndarray": [[1, 2], [3]] } }),
            "`data.ndarray`: expected rows of one length and depth; `[1]` is of another",
        ),
        (
            json!({ "data": { "ndarray": [1, [2]] } }),
            "`[1]` is of another",
        ),
        (
            serde_json::from_str(&format!(
                r#"{{"data":{{"ndarray":{}{}}}}}"#,
                "[".repeat(33),
                "]".repeat(33)
            ))
            .unwrap(),
            "`data.ndarray`: expected 32 dimensions at most",
        ),
        (
            json!({ "data": { "ndarray": [[1], [{ "a": 1 }]] } }),
            "there is an object at `[1][0]`",
        ),
        (
            json!({ "data": { "ndarray": [1, "a"] } }),
            "`data.ndarray`: expected elements of one type",
        ),
        (
            json!({ "data": { "ndarray": [null] } }),
            "`data.ndarray`: expected elements of one type",
        ),
        (
            json!({ "data": { "names": [1], "ndarray": [1] } }),
            "`data.names`: expected an array of strings",
        ),
        (
            json!({ "data": { "tensor": { "values": [1] } } }),
            "`data.tensor.shape`: expected whole numbers",
        ),
        (
            json!({ "data": { "tensor": { "shape": [2] } } }),
            "`data.tensor.values`: expected an array of numbers",
        ),
        (
            json!({ "data": { "tensor": { "shape": [2], "values": [1] } } }),
            "`data.tensor.values`: expected as many numbers",
        ),
        (
            json!({ "data": { "tensor": { "shape": [1], "values": ["a"] } } }),
            "`data.tensor.values`: expected numbers that fit FP64",
        ),
        (
            json!({ "data": { "tensor": { "shape": [1, 1], "values": [[1]] } } }),
            "expected as many numbers",
        ),
        (json!({ "strData": 1 }), "`strData`: expected a string"),
        (
            json!({ "meta": 1, "strData": "a" }),
            "`meta`: expected an object",
        ),
    ] {
        let decided = attempted(&run(&of_seldon()), PREDICTIONS, &message.to_string());
        let (status, told) = refused(&decided);
        assert!(status == 400 && told.contains(says), "{told}");
        let body: Value = serde_json::from_slice(&decided.answer().unwrap().body).unwrap();
        assert_eq!(body["status"]["status"], "FAILURE");
    }
}

#[test]
fn a_tensor_is_a_message_and_its_answer_a_tensor() {
    let run = run(&to_seldon());
    let body = r#"{"id":"p","parameters":{"seldon_meta":"{\"tags\":{\"a\":1}}"},"inputs":[{"name":"input","shape":[1,2],"datatype":"FP32","parameters":{"seldon_names":"[\"x\",\"y\"]"},"data":[0.50,2]}],"outputs":[{"name":"output"}]}"#;
    let decided = attempted(&run, INFER, body);
    assert_eq!(decided.path(), "/api/v1.0/predictions");
    assert_eq!(
        String::from_utf8_lossy(decided.body()),
        r#"{"meta":{"puid":"p","tags":{"a":1}},"data":{"names":["x","y"],"ndarray":[[0.50,2]]}}"#
    );
    assert_eq!(counted("dropped"), 0);
    let said = r#"{"meta":{"puid":"q","tags":{"b":2}},"data":{"names":["no","yes"],"tensor":{"shape":[1,2],"values":[0.250,0.750]}}}"#;
    assert_eq!(
        answered_text(&run, INFER, &serde_json::from_str(body).unwrap(), said),
        r#"{"model_name":"m","id":"p","parameters":{"seldon_meta":"{\"tags\":{\"b\":2}}"},"outputs":[{"name":"output","shape":[1,2],"datatype":"FP64","parameters":{"seldon":"tensor","seldon_names":"[\"no\",\"yes\"]"},"data":[0.250,0.750]}]}"#
    );
}

#[test]
fn the_form_and_the_path_of_seldon_are_those_of_the_settings() {
    let seldon = json!({ "seldon": { "form": "tensor", "path": "/predict" } });
    let run = run(&with(to_seldon(), "", &seldon));
    let tensor = |datatype: &str, data: Value| json!({ "inputs": [{ "name": "x", "shape": [1], "datatype": datatype, "data": data, "parameters": { "content_type": "np" } }] });
    let (path, sent) = asked(&run, INFER, &tensor("INT8", json!([1])));
    assert_eq!(path, "/predict");
    assert_eq!(
        sent,
        json!({ "data": { "tensor": { "shape": [1], "values": [1] } } })
    );
    let (_, sent) = asked(&run, INFER, &tensor("BOOL", json!([true])));
    assert_eq!(sent, json!({ "data": { "ndarray": [true] } }));
    assert_eq!(
        counted("dropped"),
        2,
        "a `content_type` is MLServer's alone"
    );
}

#[test]
fn a_failure_of_seldon_is_one_whatever_its_status_is() {
    let body =
        json!({ "inputs": [{ "name": "x", "shape": [1], "datatype": "INT8", "data": [1] }] });
    for (code, expected) in [(json!(400), 400), (json!(-1), 500), (json!(200), 500)] {
        let failure =
            json!({ "status": { "code": code, "info": "bad data", "status": "FAILURE" } });
        let mut session = begun(&run(&to_seldon()), INFER, &body);
        let decided = session.response(Answer::new(200).json(&failure));
        assert_eq!(decided.status(), expected);
        assert_eq!(decided.json(""), Some(json!({ "error": "bad data" })));
    }
}

#[test]
fn a_shape_that_takes_more_arrays_than_it_has_elements_is_refused() {
    let mut session = begun(
        &run(&of_seldon()),
        PREDICTIONS,
        &json!({ "data": { "ndarray": [1] } }),
    );
    let said = json!({ "outputs": [{ "name": "output", "datatype": "INT64", "shape": [4_000_000_000_u64, 0], "data": [] }] });
    assert_eq!(
        refused(&session.response(Answer::new(200).json(&said))).0,
        502
    );
}

#[test]
fn the_name_that_the_gateway_wrote_into_the_body_is_not_missed() {
    let strict = json!({ "unsupported": "refuse" });
    let message = json!({ "model": "iris-2", "strData": "a" });
    let (_, sent) = asked(&run(&with(of_seldon(), "", &strict)), PREDICTIONS, &message);
    assert_eq!(sent.get("model"), None);
    let tensor = json!({ "name": "x", "shape": [1], "datatype": "BOOL", "data": [true] });
    let body = json!({ "model": "iris-2", "inputs": [tensor] });
    let (_, sent) = asked(&run(&with(to_seldon(), "", &strict)), INFER, &body);
    assert_eq!(sent.get("model"), None);
}
