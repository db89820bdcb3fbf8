//! `open-inference` on real traffic: OpenAI's and Seldon's clients on a server of V2, a
//! client of V2 on an OpenAI server, and names out of paths.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinHandle};

use crate::{
    client::Ask,
    fixture::{Site, either_way},
};

/// A server of V2 that answers what can be foreseen, and keeps what it was asked.
struct Server {
    addr: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    task: JoinHandle<()>,
}

#[derive(Debug, Clone)]
struct Asked {
    path: String,
    body: Bytes,
}

impl Asked {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

const BINARY: &str = "inference-header-content-length";

impl Server {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let kept = asked.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let kept = kept.clone();
                let service = service_fn(move |request| serve(request, kept.clone()));
                tokio::spawn(async move {
                    let connection = http1::Builder::new();
                    drop(
                        connection
                            .serve_connection(TokioIo::new(stream), service)
                            .await,
                    );
                });
            }
        });
        Self { addr, asked, task }
    }

    fn newest(&self) -> Asked {
        self.asked
            .lock()
            .unwrap()
            .last()
            .expect("a request")
            .clone()
    }

    fn count(&self) -> usize {
        self.asked.lock().unwrap().len()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(
    request: Request<Incoming>,
    kept: Arc<Mutex<Vec<Asked>>>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let path = parts.uri.to_string();
    let answer = answer(&path, &parts.headers, &body);
    kept.lock().unwrap().push(Asked { path, body });
    Ok(answer)
}

fn answer(path: &str, headers: &HeaderMap, body: &Bytes) -> Response<Full<Bytes>> {
    let asked: Value = serde_json::from_slice(body).unwrap_or_default();
    let json = |status: u16, body: Value| {
        let response = Response::builder().status(status);
        let response = response.header("content-type", "application/json");
        response.body(Full::from(body.to_string())).unwrap()
    };
    if path.contains("/models/broken/") {
        return json(503, json!({ "error": "The model is not ready." }));
    }
    if let Some(length) = headers.get(BINARY) {
        let response = Response::builder().header("content-type", "application/octet-stream");
        let response = response.header(BINARY, length);
        return response.body(Full::from(body.clone())).unwrap();
    }
    match path.rsplit(['/', ':']).next().unwrap_or_default() {
        "infer" => json(200, inferred(&asked)),
        "predict" => json(200, json!({ "predictions": [0] })),
        "ready" => json(200, json!({ "ready": true })),
        "generate" => json(
            200,
            json!({ "model_name": "m", "text_output": "Hello you", "details": { "finish_reason": "length" }, "parameters": { "tokens": 2 } }),
        ),
        "generate_stream" => {
            let text = asked["text_input"].as_str().unwrap_or_default();
            let piece = |text: &str, done: bool| json!({ "model_name": "m", "text_output": text, "done": done, "parameters": { "tokens": 2 } });
            let mut events = vec![piece("Hello", false), piece(" you", false)];
            events.push(match text {
                "fail" => json!({ "error": "out of memory" }),
                _ => piece("", true),
            });
            if text == "stop short" {
                events.pop();
            }
            let events = events.iter().map(|event| format!("data: {event}\n\n"));
            let response = Response::builder();
            let response = response.header("content-type", "text/event-stream; charset=utf-8");
            response
                .body(Full::from(events.collect::<String>()))
                .unwrap()
        }
        _ => json(404, json!({ "error": "no such path" })),
    }
}

/// A vector for each text, and for each row of numbers its place.
fn inferred(asked: &Value) -> Value {
    let input = &asked["inputs"][0];
    let rows = input["shape"][0].as_u64().unwrap_or_default();
    let output = match input["datatype"].as_str() {
        Some("BYTES") => {
            let numbers = (0..rows).flat_map(|row| [1.5, row as f64 / 4.0]);
            json!({ "name": "embedding", "datatype": "FP32", "shape": [rows, 2], "data": numbers.collect::<Vec<_>>() })
        }
        _ => {
            json!({ "name": "predict", "datatype": "INT64", "shape": [rows], "data": (0..rows).collect::<Vec<_>>() })
        }
    };
    json!({ "model_name": "m", "id": asked["id"], "outputs": [output] })
}

const OF_OPENAI: &str = "client: openai, upstream: open-inference, version: \"2\", \
     embeddings: { input: { name: text }, output: embedding }, \
     completions: { usage: { output_tokens: { pointer: /parameters/tokens } } }";

/// The policy `oip` with these settings at the target of each model, and on the routes that
/// it is to stand on.
fn config(isolation: &str, server: &Server, settings: &str, routes: &str) -> String {
    format!(
        r#"policies:
  oip: {{ plugin: open-inference, on_error: refuse, isolation: {isolation}, settings: {{ {settings} }} }}
upstreams:
  v2: {{ dialect: opaque, endpoints: [ "http://{}" ] }}
  standin: {{ endpoints: [ "http://UPSTREAM" ], stream_end: transport }}
models:
  small: {{ targets: [ {{ upstream: v2, model: bge, policies: [ oip ] }} ] }}
  broken: {{ targets: [ {{ upstream: v2, policies: [ oip ] }} ] }}
  openai: {{ targets: [ {{ upstream: standin, model: small-2, policies: [ oip ] }} ] }}
routes:
{routes}
"#,
        server.addr
    )
}

const BY_MODEL: &str = r#"  - { name: all, match: { path: "/*" } }"#;
/// Where the path names no model, the route's own upstream is asked.
const BY_PATH: &str =
    r#"  - { name: all, match: { path: "/*" }, policies: [ oip ], upstream: v2 }"#;

fn embeddings(site: &Site, model: &str) -> Ask {
    let body = json!({ "model": model, "input": ["a", "b"], "encoding_format": "base64" });
    site.ask("POST", "/v1/embeddings").json(body)
}

fn completion(site: &Site, prompt: &str) -> Ask {
    let body = json!({ "model": "small", "prompt": prompt, "max_tokens": 9 });
    site.ask("POST", "/v1/completions").json(body)
}

#[test]
fn an_openai_client_has_embeddings_and_completions_of_a_server_of_v2() {
    either_way(async |isolation| {
        let server = Server::start().await;
        let site = Site::start(&config(isolation, &server, OF_OPENAI, BY_MODEL)).await;
        let answer = embeddings(&site, "small").send().await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let asked = server.newest();
        assert_eq!(asked.path, "/v2/models/bge/versions/2/infer");
        let input =
            json!({ "name": "text", "shape": [2], "datatype": "BYTES", "data": ["a", "b"] });
        assert_eq!(asked.json()["inputs"], json!([input]));
        let told = answer.json();
        assert_eq!(told["model"], "small");
        assert_eq!(told["data"][0]["embedding"], "AADAPwAAAAA=");
        assert_eq!(told["data"][1]["embedding"], "AADAPwAAgD4=");

        let answer = completion(&site, "Say hello.").send().await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let asked = server.newest();
        assert_eq!(asked.path, "/v2/models/bge/versions/2/generate");
        assert_eq!(
            asked.json(),
            json!({ "text_input": "Say hello.", "parameters": { "max_tokens": 9 } })
        );
        let told = answer.json();
        assert_eq!(told["choices"][0]["text"], "Hello you");
        assert_eq!(told["choices"][0]["finish_reason"], "length");
        assert_eq!(told["usage"]["completion_tokens"], 2);
        let length = answer.header("content-length").map(str::parse::<usize>);
        assert_eq!(length, Some(Ok(answer.body.len())));
    });
}

#[test]
fn a_stream_of_a_server_of_v2_ends_with_the_mark_or_an_error() {
    either_way(async |isolation| {
        let server = Server::start().await;
        let site = Site::start(&config(isolation, &server, OF_OPENAI, BY_MODEL)).await;
        let ask = |prompt: &str| completion(&site, prompt).set("stream", true);
        let stream = ask("Say hello.").stream().await;
        assert_eq!(
            stream.header("content-type"),
            Some("text/event-stream; charset=utf-8")
        );
        let stream = stream.collect().await;
        assert!(stream.is_complete(), "{stream:?}");
        let chunks = stream
            .events
            .iter()
            .filter_map(|event| serde_json::from_str::<Value>(event).ok());
        let texts: String = chunks
            .filter_map(|chunk| Some(chunk["choices"][0]["text"].as_str()?.to_owned()))
            .collect();
        assert_eq!(texts, "Hello you");
        assert_eq!(
            server.newest().path,
            "/v2/models/bge/versions/2/generate_stream"
        );
        for prompt in ["fail", "stop short"] {
            let stream = ask(prompt).stream().await.collect().await;
            assert!(!stream.is_complete(), "{stream:?}");
            let last: Value = serde_json::from_str(stream.events.last().unwrap()).unwrap();
            assert_eq!(last["error"]["type"], "server_error", "{stream:?}");
        }
    });
}

#[test]
fn an_error_of_v2_and_a_request_that_cannot_be_translated_are_errors_of_openai() {
    either_way(async |isolation| {
        let server = Server::start().await;
        let site = Site::start(&config(isolation, &server, OF_OPENAI, BY_MODEL)).await;
        let answer = embeddings(&site, "broken").send().await;
        assert_eq!(answer.refusal(), (503, "overloaded".to_owned()));
        assert_eq!(answer.json()["error"]["message"], "The model is not ready.");
        let before = server.count();
        let answer = embeddings(&site, "small")
            .set("input", json!([[1], [2, 3]]))
            .send()
            .await;
        assert_eq!(answer.refusal(), (400, "invalid_request".to_owned()));
        assert!(
            answer.text().contains("`input`: expected"),
            "{}",
            answer.text()
        );
        let answer = site.chat().send().await;
        assert_eq!(answer.refusal(), (404, "unsupported_endpoint".to_owned()));
        assert_eq!(server.count(), before);
    });
}

#[test]
fn a_client_of_v2_has_embeddings_and_streams_of_an_openai_server() {
    let settings = "client: open-inference, upstream: openai, choose_model: true, \
         embeddings: { input: { name: text }, output: embedding }, completions: {}";
    either_way(async |isolation| {
        let server = Server::start().await;
        let site = Site::start(&config(isolation, &server, settings, BY_PATH)).await;
        let tensor =
            json!({ "name": "text", "shape": [2], "datatype": "BYTES", "data": ["a", "b"] });
        let infer = site.ask("POST", "/v2/models/openai/infer");
        let answer = infer
            .json(json!({ "id": "7", "inputs": [tensor] }))
            .send()
            .await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let told = answer.json();
        assert_eq!(
            (&told["model_name"], &told["id"]),
            (&json!("openai"), &json!("7"))
        );
        assert_eq!(told["outputs"][0]["shape"], json!([2, 8]));
        let seen = site.standin.seen();
        let seen = seen.newest().unwrap();
        assert_eq!(seen.path, "/v1/embeddings");
        assert_eq!(
            seen.json(),
            json!({ "model": "small-2", "input": ["a", "b"], "encoding_format": "float" })
        );

        let body = json!({ "text_input": "Name three rivers." });
        let whole = site
            .ask("POST", "/v2/models/openai/generate")
            .json(body.clone());
        let whole = whole.send().await;
        assert_eq!(whole.status, 200, "{}", whole.text());
        let stream = site
            .ask("POST", "/v2/models/openai/generate_stream")
            .json(body);
        let stream = stream.stream().await.collect().await;
        assert!(stream.is_whole);
        let events: Vec<Value> = stream
            .events
            .iter()
            .map(|event| serde_json::from_str(event).unwrap())
            .collect();
        let texts: String = events
            .iter()
            .map(|event| event["text_output"].as_str().unwrap())
            .collect();
        assert_eq!(texts, whole.json()["text_output"].as_str().unwrap());
        assert_eq!(events.last().unwrap()["done"], true);

        let answer = site
            .ask("POST", "/v2/models/openai/infer")
            .json(json!({}))
            .send()
            .await;
        assert_eq!(answer.status, 400);
        assert!(answer.json()["error"].is_string(), "{}", answer.text());
    });
}

#[test]
fn a_client_of_seldon_has_predictions_of_a_server_of_v2() {
    let settings =
        "client: seldon, upstream: open-inference, choose_model: true, unsupported: refuse";
    either_way(async |isolation| {
        let server = Server::start().await;
        let site = Site::start(&config(isolation, &server, settings, BY_PATH)).await;
        let body = r#"{"meta":{"puid":"p"},"data":{"names":["x","y"],"ndarray":[[1.50,2],[3,9007199254740993]]}}"#;
        let ask = |body: &str| {
            let ask = site.ask("POST", "/seldon/ns/small/api/v1.0/predictions");
            ask.header("content-type", "application/json")
                .body(body.to_owned())
        };
        let answer = ask(body).send().await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(
            answer.json(),
            json!({ "meta": { "puid": "p" }, "data": { "ndarray": [0, 1] } })
        );
        let asked = server.newest();
        assert_eq!(asked.path, "/v2/models/bge/infer");
        let text = String::from_utf8(asked.body.to_vec()).unwrap();
        assert!(text.contains("[1.50,2,3,9007199254740993]"), "{text}");
        let answer = ask(r#"{"data":{"ndarray":[[1,2],[3]]}}"#).send().await;
        assert_eq!(answer.status, 400);
        let info = answer.json()["status"]["info"].as_str().unwrap().to_owned();
        assert!(info.contains("`[1]` is of another"), "{info}");
    });
}

const PASSING: &str = "client: open-inference, upstream: open-inference";

#[test]
fn the_path_names_the_model_that_is_served_and_logged() {
    either_way(async |isolation| {
        let server = Server::start().await;
        let settings = format!("{PASSING}, choose_model: true");
        let site = Site::start(&config(isolation, &server, &settings, BY_PATH)).await;
        let body = r#"{"inputs": [ {"name":"x","shape":[1],"datatype":"FP32","data":[1.0]} ]}"#;
        let ask = |path: &str| {
            let ask = site.ask("POST", path);
            ask.header("content-type", "application/json")
                .body(body.to_owned())
        };
        for (path, sent) in [
            (
                "/v2/models/small/versions/4/infer",
                "/v2/models/bge/versions/4/infer",
            ),
            ("/v1/models/small:predict", "/v1/models/bge:predict"),
        ] {
            let answer = ask(path).send().await;
            assert_eq!(answer.status, 200, "{}", answer.text());
            let asked = server.newest();
            assert_eq!(asked.path, sent);
            assert_eq!(asked.json(), serde_json::from_str::<Value>(body).unwrap());
        }
        let answer = site.ask("GET", "/v2/models/small/ready").send().await;
        assert_eq!(answer.json(), json!({ "ready": true }));
        assert_eq!(server.newest().path, "/v2/models/bge/ready");
        let answer = site.ask("GET", "/v2/health/ready").send().await;
        assert_eq!(
            (answer.status, &*server.newest().path),
            (200, "/v2/health/ready")
        );
        let unknown = ask("/v2/models/unknown/infer").send().await;
        assert_eq!(unknown.status, 404);
        assert_eq!(unknown.json()["code"], "model_not_found");
        let log = site.exchanges(5).await;
        let facts = |path: &str| {
            let line = log.iter().find(|line| line["path"] == path);
            line.expect("a line of the log")["facts"].clone()
        };
        assert_eq!(
            facts("/v2/models/small/versions/4/infer"),
            json!({ "protocol": "open-inference", "operation": "infer", "model": "small", "model_version": "4" })
        );
        assert_eq!(facts("/v1/models/small:predict")["protocol"], "kserve-v1");
        assert_eq!(facts("/v2/models/unknown/infer")["model"], "unknown");

        let before = server.count();
        let binary = site.ask("POST", "/v2/models/small/infer");
        let binary = binary.header(BINARY, "2").body("{}\u{0}\u{1}").send().await;
        assert_eq!(binary.status, 415);
        assert!(
            binary.json()["error"]
                .as_str()
                .unwrap()
                .contains("expected tensors as JSON")
        );
        assert_eq!(server.count(), before);
    });
}

#[test]
fn binary_tensors_pass_untouched_where_nothing_has_to_be_read() {
    either_way(async |isolation| {
        let server = Server::start().await;
        let site = Site::start(&config(isolation, &server, PASSING, BY_PATH)).await;
        let mut body = br#"{"inputs":[{"name":"x","shape":[2],"datatype":"UINT8","parameters":{"binary_data_size":2}}]}"#.to_vec();
        let length = body.len().to_string();
        body.extend([0, 255]);
        let ask = site.ask("POST", "/v2/models/m/infer");
        let ask = ask.header("content-type", "application/octet-stream");
        let answer = ask
            .header(BINARY, length.clone())
            .body(body.clone())
            .send()
            .await;
        assert_eq!(answer.status, 200);
        assert_eq!(server.newest().body, body);
        assert_eq!(answer.body, body);
        assert_eq!(answer.header(BINARY), Some(length.as_str()));
        assert_eq!(site.exchanges(1).await[0]["facts"]["model"], "m");
    });
}
