//! What is understood of each dialect: where the model is named, what errors look like,
//! what ends a stream, what was used.

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use crate::fixture::{Site, chat_through};

/// Two names for one stand-in; what leads nowhere leads nowhere.
const BY_MODEL: &str = r#"
policies: { probe: { PROBE, on_error: refuse } }
upstreams: { standin: { endpoints: [ "http://UPSTREAM" ], dialect: opaque } }
models:
  iris: { targets: [ { upstream: standin } ] }
  renamed: { targets: [ { upstream: standin, model: "org/iris v2" } ] }
  asked: { targets: [ { upstream: standin, model: other, policies: [ probe ] } ] }
routes:
  - { match: { path: "/closed/*" }, upstream: standin, dialect: seldon, policies: [ probe ] }
  - { match: { model: renamed } }
  - {}
"#;

#[tokio::test]
async fn a_path_of_the_open_inference_protocol_leads_where_its_model_is_served() {
    let site = Site::start(BY_MODEL).await;
    for (path, sent) in [
        ("/v2/models/iris/infer?q=1", "/v2/models/iris/infer?q=1"),
        (
            "/v2/models/renamed/versions/1/infer",
            "/v2/models/org%2Firis%20v2/versions/1/infer",
        ),
        (
            "/v1/models/renamed:predict",
            "/v1/models/org%2Firis%20v2:predict",
        ),
        ("/v2/models/asked/ready", "/v2/models/other/ready"),
    ] {
        let body = b"\x00\xffbinary".to_vec();
        site.ask("POST", path).body(body.clone()).send().await;
        let seen = site.standin.seen();
        let seen = seen.newest().unwrap();
        assert_eq!(seen.path, sent);
        assert!(seen.body == body, "{path}");
    }
    let log = site.exchanges(4).await;
    assert_eq!(log[1]["model"], "renamed");
    assert_eq!(log[1]["target_model"], "org/iris v2");
}

#[tokio::test]
async fn tensors_behind_a_json_document_pass_a_policy_that_reads_json_and_nothing_else_does() {
    let config = BY_MODEL.replace("- {}", "- { policies: [ probe ] }");
    let site = Site::start(&config).await;
    let body = b"{\"inputs\":[]}\x01\x02\x03\x04".to_vec();
    for (path, length, status) in [
        ("/v2/models/iris/infer", Some("13"), 404),
        ("/v2/models/iris/infer", None, 400),
        ("/v2/models/iris/infer", Some("1"), 400),
        ("/v2/models/iris/infer", Some("17"), 400),
        ("/v2/models/iris/generate", Some("13"), 400),
        ("/v1/chat/completions", Some("13"), 400),
    ] {
        let mut ask = site.ask("POST", path).body(body.clone());
        if let Some(length) = length {
            ask = ask.header("inference-header-content-length", length);
        }
        assert_eq!(ask.send().await.status, status, "{path} {length:?}");
    }
    let seen = site.standin.seen();
    assert_eq!(seen.requests, 1);
    assert!(seen.newest().unwrap().body == body);
}

#[tokio::test]
async fn a_path_that_names_its_model_in_an_unknown_way_is_led_by_no_model_of_its_body() {
    let site = Site::start(BY_MODEL).await;
    for path in [
        "/v1/models/secret:predict/",
        "/v2/repository/models/secret/unload",
        "/v2/models/secret;-x/infer",
    ] {
        let answer = site
            .ask("POST", path)
            .json(json!({ "model": "iris" }))
            .send()
            .await;
        assert_eq!(
            (answer.status, &answer.text().contains("model_required")),
            (400, &true),
            "{path}"
        );
    }
    assert_eq!(site.standin.seen().requests, 0);
}

#[tokio::test]
async fn a_form_that_names_its_model_in_an_unknown_way_is_renamed_for_no_target() {
    let going = BY_MODEL
        .replace("- {}", "- { policies: [ probe ] }")
        .replace(
            "on_error: refuse",
            "on_error: refuse, settings: { go_to: { model: renamed } }",
        );
    let site = Site::start(&going).await;
    let twice = form("iris").replace("--x--", &form("secret")[..]);
    let ask = site
        .ask("POST", "/v1/audio/transcriptions")
        .header("content-type", "multipart/form-data; boundary=x");
    assert_eq!(
        ask.body(twice).send().await.refusal(),
        (400, "model_required".to_owned())
    );
    assert_eq!(site.standin.seen().requests, 0);
}

fn form(model: &str) -> String {
    format!(
        "--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\n\r\nRIFF\r\n\
         --x\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\n{model}\r\n--x--\r\n"
    )
}

#[tokio::test]
async fn a_form_leads_where_its_model_is_served_and_is_renamed() {
    let site = Site::start(BY_MODEL).await;
    let ask = |body: String| {
        site.ask("POST", "/v1/audio/transcriptions")
            .header("content-type", "multipart/form-data; boundary=x")
            .body(body)
    };
    for (model, sent) in [
        ("iris", "iris"),
        ("renamed", "org/iris v2"),
        ("asked", "other"),
    ] {
        ask(form(model)).send().await;
        let seen = site.standin.seen();
        assert_eq!(
            seen.newest().unwrap().body,
            form(sent).as_bytes(),
            "{model}"
        );
    }
    let unknown = ask(form("nobody")).send().await;
    assert_eq!(unknown.refusal(), (404, "model_not_found".to_owned()));
    let twice = form("iris").replace("--x--", &form("renamed")[..]);
    assert_eq!(
        ask(twice).send().await.refusal(),
        (400, "model_required".to_owned())
    );
    let long = ask(form(&"m".repeat(1025))).send().await;
    assert_eq!(long.refusal(), (400, "model_name_too_long".to_owned()));
}

#[tokio::test]
async fn an_error_has_the_shape_that_its_client_reads() {
    let site = Site::start(BY_MODEL).await;
    let message = "the model `nobody` does not exist";
    let body = json!({ "model": "nobody" });
    for (path, object) in [
        (
            "/v1/responses",
            json!({ "error": { "message": message, "type": "invalid_request_error", "param": null, "code": "model_not_found" } }),
        ),
        (
            "/v1/messages",
            json!({ "type": "error", "error": { "type": "not_found_error", "message": message, "code": "model_not_found" } }),
        ),
        (
            "/v2/models/nobody/infer",
            json!({ "error": message, "code": "model_not_found" }),
        ),
        (
            "/api/v1.0/predictions",
            json!({ "status": { "code": 404, "info": message, "reason": "model_not_found", "status": "FAILURE" } }),
        ),
    ] {
        let answer = site.ask("POST", path).json(body.clone()).send().await;
        assert_eq!((answer.status, answer.json()), (404, object), "{path}");
    }
}

#[tokio::test]
async fn a_route_says_what_its_clients_speak_where_the_path_does_not() {
    let refusing = BY_MODEL.replace(
        "on_error: refuse",
        "on_error: refuse, settings: { refuse: { status: 403, code: not_you, message: go } }",
    );
    let site = Site::start(&refusing).await;
    let answer = site.ask("GET", "/closed/x").send().await;
    assert_eq!(answer.header("x-tollgate-policy"), Some("probe"));
    let unknown = site.ask("GET", "/v2/models/nobody").send().await;
    assert_eq!(
        (unknown.status, unknown.header("x-tollgate-policy")),
        (404, None)
    );
    assert_eq!(
        (answer.status, answer.json()),
        (
            403,
            json!({ "status": { "code": 403, "info": "go", "reason": "not_you", "status": "FAILURE" } })
        )
    );
}

/// An upstream that answers every request with this stream, cleanly ended.
async fn streaming(events: &'static str) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut head = [0; 8192];
            let _ = socket.read(&mut head).await;
            let head =
                "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";
            let _ = socket.write_all([head, events].concat().as_bytes()).await;
        }
    });
    addr
}

const RESPONSE: &str = "event: response.created\ndata: {\"type\":\"response.created\"}\n\n\
    event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"delta\":\"hi\"}\n\n\
    event: response.completed\ndata: {\"type\":\"response.completed\",\"response\":{\"usage\":{\"input_tokens\":3,\"output_tokens\":4,\"input_tokens_details\":{\"cached_tokens\":1}}}}\n\n";
const MESSAGE: &str = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":2,\"cache_read_input_tokens\":1,\"output_tokens\":1}}}\n\n\
    event: message_delta\ndata: {\"type\":\"message_delta\",\"usage\":{\"output_tokens\":4}}\n\n\
    event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";

/// Both without a policy and with one that looks at every event.
fn through(dialect: &str, upstream: std::net::SocketAddr) -> [String; 2] {
    let passing = chat_through("", "");
    let looking = chat_through(
        "probe",
        "\n  probe: { PROBE, on_error: refuse, settings: { events: [ { text: nothing, act: drop } ] } }",
    );
    [passing, looking].map(|config| {
        config
            .replace(
                "http://UPSTREAM\" ]",
                &format!("http://{upstream}\" ], dialect: {dialect}"),
            )
            .replace("path: /v1/chat/completions", "method: POST")
    })
}

#[tokio::test]
async fn a_stream_of_an_api_that_names_its_events_ends_with_the_last_of_them() {
    for (dialect, path, events) in [
        ("openai", "/v1/responses", RESPONSE),
        ("anthropic", "/v1/messages", MESSAGE),
    ] {
        for config in through(dialect, streaming(events).await) {
            let site = Site::start(&config).await;
            let ask = site
                .ask("POST", path)
                .json(json!({ "model": "small", "stream": true }));
            assert_eq!(ask.send().await.text(), events);
            let line = &site.exchanges(1).await[0];
            assert_eq!(line["ending"], "complete", "{line}");
            for (field, tokens) in [("input", 3), ("output", 4), ("cached", 1)] {
                assert_eq!(line[format!("{field}_tokens")], tokens, "{line}");
            }
        }
    }
}

#[tokio::test]
async fn a_named_stream_that_lacks_its_last_event_is_broken_and_says_so_in_its_dialect() {
    const CUT: &str = "event: message_start\ndata: {\"type\":\"message_start\"}\n\n";
    for config in through("anthropic", streaming(CUT).await) {
        let site = Site::start(&config).await;
        let ask = site
            .ask("POST", "/v1/messages")
            .json(json!({ "model": "small", "stream": true }));
        let stream = ask.stream().await.collect().await;
        assert_eq!(stream.events.len(), 2, "{stream:?}");
        let last = stream.events[1].strip_prefix("error:").unwrap();
        let last: Value = serde_json::from_str(last).unwrap();
        assert_eq!(
            (&last["type"], &last["error"]["code"]),
            (&json!("error"), &json!("stream_broken"))
        );
        assert_eq!(site.exchanges(1).await[0]["ending"], "upstream_failed");
    }
}

#[tokio::test]
async fn an_anthropic_client_is_sent_no_mark_of_openai_behind_a_policy() {
    const DONE: &str = "data: {\"choices\":[]}\n\ndata: [DONE]\n\n";
    let [_, looking] = through("openai", streaming(DONE).await);
    let site = Site::start(&looking).await;
    for (path, sent) in [
        ("/v1/messages", "data: {\"choices\":[]}\n\n"),
        ("/v1/completions", DONE),
    ] {
        let ask = site
            .ask("POST", path)
            .json(json!({ "model": "small", "stream": true }));
        assert_eq!(ask.send().await.text(), sent, "{path}");
    }
}
