use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::*;

const PATIENCE: Duration = Duration::from_secs(10);

struct Bench {
    standin: Standin,
    client: Client<HttpConnector, Full<Bytes>>,
}

async fn bench() -> Bench {
    let standin = Standin::start(([127, 0, 0, 1], 0).into(), StandinOptions::default())
        .await
        .expect("binds");
    Bench {
        standin,
        client: Client::builder(TokioExecutor::new()).build_http(),
    }
}

impl Bench {
    fn request(
        &self,
        method: &str,
        path: &str,
        behaviour: &str,
        body: &Value,
    ) -> Request<Full<Bytes>> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.standin.url()));
        if !behaviour.is_empty() {
            request = request.header(HEADER, behaviour);
        }
        request
            .body(Full::new(body.to_string().into()))
            .expect("is a request")
    }

    async fn ask(&self, path: &str, behaviour: &str, body: &Value) -> Response<Incoming> {
        self.client
            .request(self.request("POST", path, behaviour, body))
            .await
            .expect("answers")
    }

    async fn chat(&self, behaviour: &str, stream: bool) -> Response<Incoming> {
        let asked = json!({ "model": "m", "stream": stream, "messages": [{ "role": "user", "content": "hé lo" }] });
        self.ask("/v1/chat/completions", behaviour, &asked).await
    }

    async fn text(&self, behaviour: &str, stream: bool) -> String {
        let body = self
            .chat(behaviour, stream)
            .await
            .into_body()
            .collect()
            .await
            .expect("whole")
            .to_bytes();
        String::from_utf8(body.to_vec()).expect("is text")
    }

    async fn broken(&self, behaviour: &str, stream: bool) -> Vec<u8> {
        let mut body = self.chat(behaviour, stream).await.into_body();
        let mut got = Vec::new();
        loop {
            match body.frame().await {
                Some(Ok(frame)) => got.extend_from_slice(frame.data_ref().expect("is data")),
                Some(Err(_)) => return got,
                None => panic!("the body ended as if it were whole"),
            }
        }
    }
}

#[tokio::test]
async fn a_plain_chat_is_echoed_and_seen() {
    let bench = bench().await;
    let answer: Value = serde_json::from_str(&bench.text("", false).await).expect("is JSON");
    assert_eq!(answer["choices"][0]["message"]["content"], "m heard: hé lo");
    let seen = bench.standin.seen();
    let newest = seen.newest().expect("kept");
    assert_eq!((seen.requests, seen.completed, seen.in_flight), (1, 1, 0));
    assert_eq!(
        (newest.method.as_str(), newest.path.as_str()),
        ("POST", "/v1/chat/completions")
    );
    assert_eq!(newest.json()["model"], "m");
}

#[tokio::test]
async fn a_streamed_chat_is_whole_and_says_the_same() {
    let bench = bench().await;
    let response = bench.chat("tokens=6", true).await;
    assert_eq!(
        response.headers()["content-type"],
        "text/event-stream; charset=utf-8"
    );
    let body = response
        .into_body()
        .collect()
        .await
        .expect("whole")
        .to_bytes();
    let text = String::from_utf8(body.to_vec()).expect("is text");
    let said: String = text
        .split("\n\n")
        .filter_map(|event| serde_json::from_str::<Value>(event.strip_prefix("data: ")?).ok())
        .filter_map(|event| {
            event["choices"][0]["delta"]["content"]
                .as_str()
                .map(str::to_owned)
        })
        .collect();
    assert_eq!(said, "m heard: hé lo t4 t5");
    assert!(text.ends_with("data: [DONE]\n\n"));
    assert_eq!(bench.standin.seen().streams, 1);
}

#[tokio::test]
async fn models_embeddings_and_completions_answer() {
    let bench = bench().await;
    let models = bench
        .client
        .request(bench.request("GET", "/v1/models", "", &Value::Null))
        .await
        .expect("answers");
    let models = models
        .into_body()
        .collect()
        .await
        .expect("whole")
        .to_bytes();
    let models: Value = serde_json::from_slice(&models).expect("is JSON");
    assert_eq!(models["data"][0]["id"], "standin-small");

    let answer = bench
        .ask(
            "/v1/embeddings",
            "",
            &json!({ "model": "e", "input": "text" }),
        )
        .await;
    let answer = answer
        .into_body()
        .collect()
        .await
        .expect("whole")
        .to_bytes();
    let answer: Value = serde_json::from_slice(&answer).expect("is JSON");
    assert_eq!(
        answer["data"][0]["embedding"].as_array().map(Vec::len),
        Some(8)
    );

    let answer = bench
        .ask(
            "/v1/completions",
            "",
            &json!({ "model": "c", "prompt": "go" }),
        )
        .await;
    let answer = answer
        .into_body()
        .collect()
        .await
        .expect("whole")
        .to_bytes();
    let answer: Value = serde_json::from_slice(&answer).expect("is JSON");
    assert_eq!(answer["choices"][0]["text"], "c heard: go");
}

#[tokio::test]
async fn it_fails_with_the_status_it_was_told() {
    let bench = bench().await;
    let response = bench.chat("fail=503,retry-after=2", false).await;
    assert_eq!(
        (
            response.status().as_u16(),
            &response.headers()["retry-after"]
        ),
        (503, &"2".parse().expect("is one"))
    );
    let body = response
        .into_body()
        .collect()
        .await
        .expect("whole")
        .to_bytes();
    let body: Value = serde_json::from_slice(&body).expect("is JSON");
    assert_eq!(body["error"]["code"], "standin_503");

    let response = bench.chat("status=201,header=x-a:b", false).await;
    assert_eq!(
        (response.status().as_u16(), &response.headers()["x-a"]),
        (201, &"b".parse().expect("is one"))
    );
    assert_eq!(bench.chat("early=413", false).await.status(), 413);
    assert_eq!(bench.chat("no-such-word", false).await.status(), 400);
}

#[tokio::test]
async fn a_cut_stream_does_not_look_complete() {
    let bench = bench().await;
    for list in ["cut-after=3", "reset-after=3", "cut-after=3,split=1"] {
        let got = bench.broken(list, true).await;
        assert_eq!(
            String::from_utf8_lossy(&got).matches("data: ").count(),
            3,
            "{list}"
        );
    }
    assert_eq!(bench.standin.seen().cancelled, 0);
}

#[tokio::test]
async fn a_cut_plain_answer_does_not_look_complete() {
    let bench = bench().await;
    assert_eq!(bench.broken("cut-after=10", false).await.len(), 10);
}

#[tokio::test]
async fn a_reset_is_a_reset_and_a_cut_is_an_end() {
    let bench = bench().await;
    for (list, reset) in [("reset-after=1", true), ("cut-after=1", false)] {
        let mut socket = TcpStream::connect(bench.standin.addr)
            .await
            .expect("connects");
        let body = r#"{"model":"m","messages":[],"stream":true}"#;
        let head = format!(
            "POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\nx-standin: {list}\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        socket.write_all(head.as_bytes()).await.expect("sends");
        let mut got = Vec::new();
        let end = socket.read_to_end(&mut got).await;
        assert_eq!(end.is_err(), reset, "{list}");
        assert!(!got.ends_with(b"0\r\n\r\n"), "{list}");
    }
}

#[tokio::test]
async fn it_drops_the_connection_instead_of_answering() {
    let bench = bench().await;
    let asked = json!({ "model": "m", "messages": [] });
    let request = bench.request("POST", "/v1/chat/completions", "cut-headers", &asked);
    bench
        .client
        .request(request)
        .await
        .expect_err("has no answer");
}

#[tokio::test]
async fn every_split_and_line_end_carries_the_same_stream() {
    let bench = bench().await;
    let plain = bench.text("usage=none", true).await;
    let strip = |text: &str| text.replace(char::is_numeric, "");
    for list in ["split=1", "split=7", "crlf", "cr"] {
        let other = bench.text(&format!("usage=none,{list}"), true).await;
        let other = other.replace("\r\n", "\n").replace('\r', "\n");
        assert_eq!(strip(&other), strip(&plain), "{list}");
    }
}

#[tokio::test]
async fn big_and_malformed_answers_are_what_they_say() {
    let bench = bench().await;
    assert!(bench.text("big=1048576", false).await.len() > 1_048_576);
    assert!(bench.text("big=1048576", true).await.len() > 1_048_576);
    serde_json::from_str::<Value>(&bench.text("malformed-json", false).await)
        .expect_err("is broken");
    assert!(!bench.text("no-done", true).await.contains("[DONE]"));
}

#[tokio::test]
async fn a_client_that_leaves_is_counted_wherever_it_waits() {
    let bench = bench().await;
    for (count, list, stream) in [
        (1, "stall-before", false),
        (2, "stall-after=2", true),
        (3, "tokens=1000,pace=5ms", true),
    ] {
        let mut socket = TcpStream::connect(bench.standin.addr)
            .await
            .expect("connects");
        let body = json!({ "model": "m", "messages": [], "stream": stream }).to_string();
        let head = format!(
            "POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\nx-standin: {list}\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        socket.write_all(head.as_bytes()).await.expect("sends");
        bench
            .standin
            .wait_for(PATIENCE, |seen| seen.in_flight == 1)
            .await
            .expect("arrives");
        drop(socket);
        let seen = bench
            .standin
            .wait_for(PATIENCE, |seen| seen.cancelled == count)
            .await
            .expect("notices");
        assert_eq!(
            seen.cancellations.last().expect("kept").path,
            "/v1/chat/completions"
        );
        assert_eq!(seen.in_flight, 0);
    }
}

#[tokio::test]
async fn any_body_comes_back_from_echo() {
    let bench = bench().await;
    let response = bench.ask("/echo", "", &json!([1, 2])).await;
    assert_eq!(
        &response
            .into_body()
            .collect()
            .await
            .expect("whole")
            .to_bytes()[..],
        b"[1,2]"
    );
}

#[tokio::test]
async fn what_was_seen_is_shown_as_json_and_can_be_forgotten() {
    let bench = bench().await;
    bench.text("", false).await;
    for (method, left) in [("GET", 1), ("DELETE", 0)] {
        let response = bench
            .client
            .request(bench.request(method, "/standin/seen", "", &Value::Null))
            .await;
        let body = response
            .expect("answers")
            .into_body()
            .collect()
            .await
            .expect("whole")
            .to_bytes();
        let body: Value = serde_json::from_slice(&body).expect("is JSON");
        assert_eq!(body["requests"], 1);
        assert_eq!(body["last"].as_array().map(Vec::len), Some(left));
    }
}

#[tokio::test]
async fn a_stopped_stand_in_listens_no_more() {
    let bench = bench().await;
    let addr = bench.standin.addr;
    bench.standin.stop().await;
    TcpStream::connect(addr).await.expect_err("nobody listens");
}
