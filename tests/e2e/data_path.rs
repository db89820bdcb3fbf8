//! Requests without a stream, from a client to the stand-in and back.

use serde_json::json;

use crate::{
    client::Ask,
    fixture::{Site, chat_through, probing},
};

#[tokio::test]
async fn a_request_passes_a_policy_and_is_answered() {
    let site = Site::start(&probing(
        r#"mark: "one", request: { set_headers: { x-added: "yes" } }"#,
    ))
    .await;
    let answer = site.chat().send().await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.json()["system_fingerprint"], "one");
    assert_eq!(answer.json()["mark"], "one");
    assert_eq!(answer.header("x-tollgate-generation"), Some("1"));
    assert_eq!(
        site.standin.seen().newest().unwrap().header("x-added"),
        Some("yes")
    );
}

#[tokio::test]
async fn chat_embeddings_and_models_are_served() {
    let site = Site::start(&chat_through("", "")).await;
    assert_eq!(site.chat().send().await.json()["object"], "chat.completion");
    let embeddings = site
        .ask("POST", "/v1/embeddings")
        .json(json!({ "model": "small", "input": ["one", "two"] }));
    assert_eq!(
        embeddings.send().await.json()["data"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    assert_eq!(
        site.ask("GET", "/v1/models").send().await.json()["object"],
        "list"
    );
}

#[tokio::test]
async fn a_body_of_another_kind_streams_through_untouched() {
    let site = Site::start(&chat_through("", "")).await;
    let body: Vec<u8> = (0..200_000_u32).map(|at| (at * 7 % 251) as u8).collect();
    let ask = site
        .ask("POST", "/echo")
        .header("content-type", "multipart/form-data; boundary=x");
    let answer = ask
        .header("content-encoding", "gzip")
        .body(body.clone())
        .send()
        .await;
    assert_eq!(answer.status, 200);
    assert!(
        answer.body == body,
        "{} bytes came back of {}",
        answer.body.len(),
        body.len()
    );
    assert_eq!(
        answer.header("content-type"),
        Some("multipart/form-data; boundary=x")
    );
    assert_eq!(
        site.standin
            .seen()
            .newest()
            .unwrap()
            .header("content-encoding"),
        Some("gzip")
    );
}

const FAULTY: &str = r#"
policies: { probe: { PROBE, on_error: refuse } }
upstreams:
  standin: { endpoints: [ "http://UPSTREAM" ] }
  closed: { endpoints: [ "http://127.0.0.1:1" ] }
models:
  small: { targets: [ { upstream: standin } ] }
  gone: { targets: [ { upstream: closed } ] }
routes: [ { match: { path: /v1/chat/completions, method: POST }, policies: [ probe ] } ]
timeouts: { first_byte: 400ms, between_bytes: 400ms }
"#;

type Case = (&'static str, Ask, u16, &'static str);

async fn all_are_errors(site: &Site, cases: Vec<Case>) {
    for (name, ask, status, code) in cases {
        let answer = ask.send().await;
        assert_eq!(answer.refusal(), (status, code.to_owned()), "{name}");
        assert!(
            !answer.text().contains("127.0.0.1"),
            "{name}: {}",
            answer.text()
        );
    }
    assert_eq!(site.chat().send().await.status, 200);
}

#[tokio::test]
async fn what_cannot_be_served_is_an_error_as_openai_clients_expect_it() {
    let site = Site::start(FAULTY).await;
    let chat = || site.chat();
    let cases = vec![
        (
            "an unknown model",
            chat().set("model", "no-such"),
            404,
            "model_not_found",
        ),
        (
            "no model",
            site.ask("POST", "/v1/chat/completions")
                .json(json!({ "messages": [] })),
            400,
            "model_required",
        ),
        (
            "no route",
            site.ask("GET", "/v2/anything"),
            404,
            "route_not_found",
        ),
        (
            "another method",
            site.ask("DELETE", "/v1/chat/completions"),
            404,
            "route_not_found",
        ),
        (
            "half a JSON",
            chat().body(r#"{"model":"small","#),
            400,
            "invalid_json",
        ),
        (
            "JSON and more",
            chat().body(r#"{"model":"small"} x"#),
            400,
            "invalid_json",
        ),
        (
            "no UTF-8",
            chat().body(&b"{\"model\":\"\xff\"}"[..]),
            400,
            "invalid_json",
        ),
        (
            "deep JSON",
            chat().body(format!("{}{}", "[".repeat(1000), "]".repeat(1000))),
            400,
            "invalid_json",
        ),
        (
            "a compressed body",
            chat().header("content-encoding", "gzip"),
            415,
            "unsupported_content_encoding",
        ),
    ];
    all_are_errors(&site, cases).await;
}

#[tokio::test]
async fn an_upstream_that_fails_is_an_error_that_does_not_name_it() {
    let site = Site::start(FAULTY).await;
    let chat = || site.chat();
    let cases = vec![
        (
            "an upstream that is not there",
            chat().set("model", "gone"),
            502,
            "upstream_unreachable",
        ),
        (
            "an upstream that hangs up",
            chat().behaving("cut-headers"),
            502,
            "upstream_failed",
        ),
        (
            "an upstream that is silent",
            chat().behaving("stall-before"),
            504,
            "upstream_timeout",
        ),
        (
            "an upstream that stops midway",
            chat().behaving("cut-after=9"),
            502,
            "upstream_failed",
        ),
    ];
    all_are_errors(&site, cases).await;
}

#[tokio::test]
async fn an_upstreams_own_error_goes_on_as_it_came() {
    let site = Site::start(&chat_through("", "")).await;
    for status in [400, 401, 404, 429, 500, 503] {
        let answer = site
            .chat()
            .behaving(&format!("fail={status},retry-after=7"))
            .send()
            .await;
        assert_eq!(answer.status, status);
        assert_eq!(answer.json()["error"]["code"], format!("standin_{status}"));
        assert_eq!(answer.header("retry-after"), Some("7"));
    }
    assert_eq!(site.standin.seen().requests, 6, "nothing is tried twice");
}

#[tokio::test]
async fn weighted_targets_share_the_requests() {
    let config = r#"
upstreams: { standin: { endpoints: [ "http://UPSTREAM" ] } }
models:
  small: { targets: [
    { upstream: standin, model: most, weight: 80 }, { upstream: standin, model: some, weight: 20 }, { upstream: standin, model: none, weight: 0 } ] }
routes: [ { match: { path: /v1/chat/completions } } ]
"#;
    let site = Site::start(config).await;
    for _ in 0..300 {
        assert_eq!(site.chat().behaving("tokens=1").send().await.status, 200);
    }
    let seen = site.standin.seen();
    let share = |model: &str| {
        seen.last
            .iter()
            .filter(|request| request.json()["model"] == model)
            .count()
    };
    assert_eq!(share("most") + share("some"), 300);
    // Five standard deviations and more.
    assert!(
        (200..=275).contains(&share("most")),
        "{} of 300 at 80 %",
        share("most")
    );
}

#[tokio::test]
async fn a_route_is_found_by_host_path_method_header_and_model() {
    let route = |name: &str, matches: &str| {
        format!(
            "  - {{ name: {name}, match: {{ {matches} }}, policies: [ {name} ], upstream: standin }}\n"
        )
    };
    let policy = |name: &str| {
        format!(
            "  {name}: {{ PROBE, on_error: refuse, settings: {{ request: {{ set_headers: {{ x-route: {name} }} }} }} }}\n"
        )
    };
    let rules = [
        ("by-host", "host: api.example"),
        ("by-wildcard", "host: \"*.example\""),
        ("by-method", "method: PUT"),
        ("by-header", "headers: { x-team: blue }"),
        (
            "by-model",
            "path: /v1/chat/completions, models: [ \"llama-*\" ]",
        ),
        ("by-path", "path: /v1/chat/completions"),
        ("by-prefix", "path: \"/v1/*\""),
    ];
    let config = format!(
        "policies:\n{}upstreams: {{ standin: {{ endpoints: [ \"http://UPSTREAM\" ] }} }}\nroutes:\n{}",
        rules.map(|(name, _)| policy(name)).concat(),
        rules.map(|(name, matches)| route(name, matches)).concat(),
    );
    let site = Site::start(&config).await;
    let chat = || site.chat();
    for (want, ask) in [
        ("by-host", chat().header("host", "api.example:8080")),
        ("by-wildcard", chat().header("host", "eu.example")),
        (
            "by-method",
            site.ask("PUT", "/v1/chat/completions").json(json!({})),
        ),
        ("by-header", chat().header("x-team", "blue")),
        ("by-path", chat().header("x-team", "red")),
        ("by-model", chat().set("model", "llama-3")),
        ("by-path", chat()),
        ("by-prefix", site.ask("GET", "/v1/models")),
    ] {
        ask.send().await;
        let seen = site.standin.seen();
        assert_eq!(seen.newest().unwrap().header("x-route"), Some(want));
    }
    assert_eq!(
        site.ask("GET", "/v2").send().await.refusal(),
        (404, "route_not_found".to_owned())
    );
}

#[tokio::test]
async fn an_upstreams_headers_and_secrets_are_the_operators() {
    let config = r#"
secrets: { upstream-key: { file: canary.txt } }
upstreams: { standin: { endpoints: [ "http://UPSTREAM" ], headers: { authorization: "Bearer ${secret:upstream-key}" } } }
models: { small: { targets: [ { upstream: standin } ] } }
routes: [ { match: { path: /v1/chat/completions } } ]
"#;
    let site = Site::start(config).await;
    let answer = site
        .chat()
        .header("authorization", "Bearer of-the-client")
        .send()
        .await;
    assert_eq!(answer.status, 200);
    assert_eq!(
        site.standin
            .seen()
            .newest()
            .unwrap()
            .header_values("authorization"),
        ["Bearer canary-of-the-secret"]
    );
    let log = site.access_log(1).await;
    assert!(
        !log.contains("canary-of-the-secret") && !log.contains("of-the-client"),
        "{log}"
    );
}

#[tokio::test]
async fn a_request_that_comes_back_to_its_gateway_is_a_loop() {
    let site = Site::start(&chat_through("", "")).await;
    let config = format!(
        "upstreams: {{ itself: {{ endpoints: [ \"http://{}\" ] }} }}\nroutes: [ {{ upstream: itself }} ]\n",
        site.gateway.addr()
    );
    site.reconfigure(&config).await;
    let answer = site.ask("GET", "/v1/models").send().await;
    assert_eq!(answer.refusal(), (508, "loop_detected".to_owned()));
}
