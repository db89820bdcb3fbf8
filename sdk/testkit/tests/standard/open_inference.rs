use tollgate_testkit::Loaded;

use super::*;

fn open_inference(isolation: Isolation, settings: Value) -> Loaded {
    let plugin = standard("open-inference").isolation(isolation);
    plugin.settings(settings).load().unwrap()
}

fn of_openai() -> Value {
    json!({
        "client": "openai", "upstream": "open-inference", "version": "2",
        "embeddings": { "input": { "name": "text" }, "output": "embedding" },
        "completions": { "usage": { "output_tokens": { "pointer": "/parameters/tokens" } } },
    })
}

/// The answer's body.
fn told(run: &mut Run) -> Value {
    let body = run.response.as_mut().unwrap().take_body().unwrap();
    serde_json::from_slice(&body).unwrap()
}

#[test]
fn embeddings_are_asked_of_tensors_and_their_vectors_are_answered() {
    for isolation in ISOLATIONS {
        let policy = open_inference(isolation, of_openai());
        let body = json!({ "model": "m", "input": ["a", "b"], "encoding_format": "base64" });
        let tensor = json!({ "name": "embedding", "datatype": "FP32", "shape": [2, 1], "data": [1.0, -2.5] });
        let exchange = Exchange::post("/v1/embeddings").json(body);
        let exchange = exchange.answered(200, &json!({ "outputs": [tensor] }));
        let mut run = policy.run(exchange).unwrap();
        assert_eq!(run.request.path, "/v2/models/m/versions/2/infer");
        let answer = told(&mut run);
        assert_eq!(answer["data"][0]["embedding"], "AACAPw==");
        assert_eq!(answer["data"][1]["embedding"], "AAAgwA==");
        let input =
            json!({ "name": "text", "shape": [2], "datatype": "BYTES", "data": ["a", "b"] });
        assert_eq!(sent(run)["inputs"], json!([input]));
    }
}

#[test]
fn a_stream_of_pieces_is_chunks_and_ends_with_its_mark() {
    for isolation in ISOLATIONS {
        let policy = open_inference(isolation, of_openai());
        let body = json!({ "model": "m", "prompt": "a", "stream": true, "stream_options": { "include_usage": true } });
        let exchange = Exchange::post("/v1/completions")
            .json(body)
            .streamed(&[r#"{"text_output":"Hel","done":false}"#])
            .streamed(&[
                r#"{"text_output":"lo","done":false}"#,
                r#"{"text_output":"","done":true,"parameters":{"tokens":2}}"#,
            ])
            .streamed(&[]);
        let run = policy.run(exchange).unwrap();
        assert_eq!(run.request.path, "/v2/models/m/versions/2/generate_stream");
        let (mark, chunks) = run.events.split_last().unwrap();
        assert_eq!(mark, "[DONE]");
        let chunks: Vec<Value> = chunks
            .iter()
            .map(|event| serde_json::from_str(event).unwrap())
            .collect();
        let texts: String = chunks
            .iter()
            .filter_map(|chunk| chunk["choices"][0]["text"].as_str())
            .collect();
        assert_eq!(texts, "Hello");
        assert_eq!(chunks.last().unwrap()["usage"]["completion_tokens"], 2);
    }
}

#[test]
fn a_message_of_seldon_goes_by_its_deployment_and_keeps_every_digit() {
    let settings =
        json!({ "client": "seldon", "upstream": "open-inference", "choose_model": true });
    for isolation in ISOLATIONS {
        let policy = open_inference(isolation, settings.clone());
        let body = r#"{"data":{"names":["a"],"ndarray":[[9007199254740993]]}}"#;
        let tensor =
            json!({ "name": "output", "datatype": "INT64", "shape": [1], "data": [i64::MAX] });
        let exchange = Exchange::post("/seldon/ns/iris/api/v1.0/predictions").body(body);
        let exchange = exchange.answered(200, &json!({ "outputs": [tensor] }));
        let mut run = policy.run(exchange).unwrap();
        let Some(Verdict::GoTo(to)) = &run.verdict else {
            panic!("{:?}", run.verdict)
        };
        assert_eq!(to.model.as_deref(), Some("iris"));
        assert_eq!(run.request.fact("protocol"), Some("seldon"));
        assert_eq!(run.request.path, "/v2/models/iris/infer");
        assert_eq!(told(&mut run)["data"], json!({ "ndarray": [i64::MAX] }));
        let input = &sent(run)["inputs"][0];
        assert_eq!(
            (&input["datatype"], &input["data"]),
            (&json!("INT64"), &json!([9_007_199_254_740_993_u64]))
        );
    }
}

#[test]
fn a_tensor_of_many_elements_is_translated_in_the_memory_that_a_plugin_has() {
    let settings = json!({ "client": "seldon", "upstream": "open-inference" });
    for isolation in ISOLATIONS {
        // What it does to time is measured elsewhere; here it may take some.
        let plugin = standard("open-inference").isolation(isolation);
        let plugin = plugin.settings(settings.clone());
        let policy = plugin
            .limits(|limits| limits.hook_time = std::time::Duration::from_secs(2))
            .load()
            .unwrap();
        let row = vec!["0.5"; 125_000].join(",");
        let body = format!(r#"{{"data":{{"ndarray":[[{row}],[{row}]]}}}}"#);
        let tensor = json!({ "name": "output", "datatype": "INT64", "shape": [1], "data": [1] });
        let exchange = Exchange::post("/seldon/ns/m/api/v1.0/predictions").body(body);
        let run = policy.run(exchange.answered(200, &json!({ "outputs": [tensor] })));
        let run = run.unwrap();
        assert!(run.report.memory_bytes <= 16 << 20, "{}", run.report);
        assert_eq!(sent(run)["inputs"][0]["shape"], json!([2, 125_000]));
    }
}

#[test]
fn a_mapping_that_cannot_be_followed_is_refused_by_name() {
    let mut settings = of_openai();
    settings["embeddings"]["input"]["datatype"] = "FP32".into();
    let refused = standard("open-inference").settings(settings).load();
    let refused = refused.unwrap_err().to_string();
    assert!(
        refused.contains("/embeddings/input/datatype: expected `BYTES`"),
        "{refused}"
    );
}
