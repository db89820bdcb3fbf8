//! Exchanges that the gateway runs in the sandbox before the policy goes live.
//!
//! They name the tensors that the settings name, so a mapping that cannot be followed is
//! found before it is asked for.

use tollgate_sdk::{RawEvent, Sample};

use crate::{
    json::quoted,
    settings::{Body, Completions, Embeddings, Input, Protocol, Seldon, Settings},
};

const ERROR: &str = r#"{"error":"The model is not ready."}"#;
const OPENAI_ERROR: &str = r#"{"error":{"message":"Slow down.","type":"requests","param":null,"code":"rate_limit_exceeded"}}"#;
const SELDON_ERROR: &str =
    r#"{"status":{"code":500,"info":"It failed.","reason":"MICROSERVICE","status":"FAILURE"}}"#;
const COMPLETION: &str = r#"{"id":"sample","object":"text_completion","created":1,"model":"sample","choices":[{"text":"hi","index":0,"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":5,"completion_tokens":1,"total_tokens":6}}"#;
const VECTORS: &str = r#"{"object":"list","data":[{"object":"embedding","index":0,"embedding":[0.5,-0.25]}],"model":"sample","usage":{"prompt_tokens":1,"total_tokens":1}}"#;
const MESSAGE: &str =
    r#"{"meta":{"puid":"p","tags":{"a":1}},"data":{"names":["a","b"],"ndarray":[[1.5,2],[3,4]]}}"#;
const V1: &str = r#"{"instances":[[1,2]]}"#;
const V2: &str = r#"{"inputs":[{"name":"x","shape":[1,2],"datatype":"FP32","data":[1.5,2]}]}"#;

pub(crate) fn of(settings: &Settings) -> Vec<Sample> {
    match (settings.client, settings.upstream) {
        (Protocol::OpenAi, _) => of_openai(settings),
        (Protocol::OpenInference, Protocol::OpenAi) => to_openai(settings),
        (Protocol::OpenInference, Protocol::Seldon) => to_seldon(settings.seldon()),
        (Protocol::OpenInference, Protocol::OpenInference) => vec![
            asked("an inference", "/v2/models/sample/infer", V2, ""),
            asked("a prediction", "/v1/models/sample:predict", V1, ""),
            get("a model's state", "/v2/models/sample/versions/1/ready"),
        ],
        (Protocol::Seldon, Protocol::OpenInference) => of_seldon(settings.seldon()),
        (Protocol::Seldon, _) => {
            vec![asked(
                "a prediction",
                seldon_path(settings.seldon()),
                MESSAGE,
                "",
            )]
        }
    }
}

fn asked(name: &str, path: &str, body: &str, answer: &str) -> Sample {
    let mut sample = Sample::chat(name).expect_forwarded();
    path.clone_into(&mut sample.path);
    body.clone_into(&mut sample.body);
    answer.clone_into(&mut sample.response_body);
    sample
}

fn get(name: &str, path: &str) -> Sample {
    let mut sample = asked(name, path, "", "");
    "GET".clone_into(&mut sample.method);
    sample
}

fn failing(mut sample: Sample, status: u16, answer: &str) -> Sample {
    sample.name.push_str(" that fails");
    sample.response_status = status;
    answer.clone_into(&mut sample.response_body);
    sample
}

fn streamed(mut sample: Sample, events: [&str; 2]) -> Sample {
    sample.name.push_str(" as a stream");
    sample.events(events.map(RawEvent::data))
}

fn of_openai(settings: &Settings) -> Vec<Sample> {
    let mut samples = Vec::new();
    if let Some(Embeddings { input, output, .. }) = &settings.embeddings {
        let texts = texts(input);
        let body = format!(r#"{{"model":"sample","input":{texts},"encoding_format":"base64"}}"#);
        let answer = format!(
            r#"{{"model_name":"sample","outputs":[{{"name":{},"datatype":"FP32","shape":[1,2],"data":[0.5,-0.25]}}]}}"#,
            quoted(output)
        );
        let sample = asked("embeddings", "/v1/embeddings", &body, &answer);
        samples.push(failing(sample.clone(), 503, ERROR));
        samples.push(sample);
    }
    if let Some(completions) = &settings.completions {
        let prompt = texts(&completions.input);
        let body = format!(r#"{{"model":"sample","prompt":{prompt},"max_tokens":9}}"#);
        let answer = said(completions, "");
        let sample = asked("a completion", "/v1/completions", &body, &answer);
        samples.push(failing(sample.clone(), 500, ERROR));
        let mut stream = sample.clone();
        stream.body = body.replacen('{', r#"{"stream":true,"#, 1);
        let (piece, last) = (
            said(completions, r#","done":false"#),
            said(completions, r#","done":true"#),
        );
        samples.push(streamed(stream, [&piece, &last]));
        samples.push(sample);
    }
    samples
}

fn to_openai(settings: &Settings) -> Vec<Sample> {
    let mut samples = Vec::new();
    if let Some(embeddings) = &settings.embeddings {
        let body = tensors(&embeddings.input);
        let sample = asked("embeddings", "/v2/models/sample/infer", &body, VECTORS);
        samples.push(failing(sample.clone(), 429, OPENAI_ERROR));
        samples.push(sample);
    }
    if let Some(completions) = &settings.completions {
        let body = match completions.body {
            Body::Text => r#"{"text_input":"hello","parameters":{}}"#.to_owned(),
            Body::Tensors => tensors(&completions.input),
        };
        let path = "/v2/models/sample/generate_stream";
        let stream = asked("a completion", path, &body, "");
        let chunk = COMPLETION.replace("\"stop\"", "null");
        samples.push(streamed(stream, [&chunk, COMPLETION]));
        if completions.body == Body::Text {
            let path = "/v2/models/sample/generate";
            samples.push(asked("a completion", path, &body, COMPLETION));
        }
    }
    samples
}

fn of_seldon(seldon: &Seldon) -> Vec<Sample> {
    let answer = format!(
        r#"{{"model_name":"sample","outputs":[{{"name":{},"datatype":"INT64","shape":[2],"data":[0,1]}}]}}"#,
        quoted(seldon.output())
    );
    let sample = asked("a prediction", seldon_path(seldon), MESSAGE, &answer);
    vec![failing(sample.clone(), 400, ERROR), sample]
}

fn to_seldon(seldon: &Seldon) -> Vec<Sample> {
    let body = format!(
        r#"{{"id":"p","inputs":[{{"name":{},"shape":[2,2],"datatype":"FP64","data":[1.5,2,3,4]}}]}}"#,
        quoted(seldon.input())
    );
    let sample = asked("an inference", "/v2/models/sample/infer", &body, MESSAGE);
    vec![failing(sample.clone(), 500, SELDON_ERROR), sample]
}

fn seldon_path(seldon: &Seldon) -> &'static str {
    match seldon.model {
        Some(_) => "/api/v1.0/predictions",
        None => "/seldon/samples/sample/api/v1.0/predictions",
    }
}

fn texts(input: &Input) -> &'static str {
    match input.takes_tokens() {
        true => "[[1,2]]",
        false => r#"["hello"]"#,
    }
}

fn tensors(input: &Input) -> String {
    let (shape, data) = match input.takes_tokens() {
        true => ("[1,2]", "[1,2]"),
        false => ("[1]", r#"["hello"]"#),
    };
    format!(
        r#"{{"inputs":[{{"name":{},"shape":{shape},"datatype":{},"data":{data}}}]}}"#,
        quoted(&input.name),
        serde_json::to_string(&input.datatype).unwrap_or_default()
    )
}

/// An answer of V2, with what else it says.
fn said(completions: &Completions, more: &str) -> String {
    match completions.body {
        Body::Text => format!(r#"{{"model_name":"sample","text_output":"hi"{more}}}"#),
        Body::Tensors => format!(
            r#"{{"model_name":"sample","outputs":[{{"name":{},"datatype":"BYTES","shape":[1],"data":["hi"]}}]{more}}}"#,
            quoted(&completions.output)
        ),
    }
}
