//! What an operator sees: the admin port and the access log.

use std::fs;

use serde_json::json;

use crate::{
    client::raw,
    fixture::{Site, chat_through, probing},
};

#[tokio::test]
async fn the_admin_port_tells_health_generations_and_policies() {
    let site = Site::start(&probing("mark: one")).await;
    assert_eq!(site.look("/healthz").await.text(), "ok\n");
    assert_eq!(site.look("/readyz").await.text(), "ready\n");
    site.chat().send().await;
    assert!(site.streamed().stream().await.collect().await.is_complete());
    site.metric_becomes("tollgate_exchanges_open", 0.0).await;

    let generations = site.look("/generations").await.json();
    assert_eq!(generations["generation"], 1);
    assert_eq!(generations["last_refusal"], json!(null));
    let only = &generations["generations"][0];
    assert_eq!(
        (&only["generation"], &only["state"], &only["exchanges"]),
        (&json!(1), &json!("live"), &json!(0))
    );
    assert!(only["age_seconds"].as_f64().unwrap() > 0.0);

    let policies = site.look("/policies").await;
    let probe = &policies.json()["policies"][0];
    for (field, value) in [
        ("policy", json!("probe")),
        ("plugin", json!("probe")),
        ("version", json!("1.0.0")),
        ("on_error", json!("refuse")),
        ("isolation", json!("exchange")),
        (
            "hooks",
            json!([
                "on_request",
                "on_attempt",
                "on_response",
                "on_events",
                "on_finish"
            ]),
        ),
        ("grants", json!(["kv", "secrets", "http-call"])),
        ("routes", json!(["chat"])),
        ("quarantined", json!(false)),
        ("errors", json!(0)),
    ] {
        assert_eq!(probe[field], value, "{field}");
    }
    assert_eq!(probe["sha256"].as_str().unwrap().len(), 64);
    assert!(
        !policies.text().contains("one"),
        "settings may hold what is private: {}",
        policies.text()
    );
}

#[tokio::test]
async fn the_admin_port_counts_exchanges_policies_and_what_they_took() {
    let site = Site::start(&probing("mark: one")).await;
    site.chat().send().await;
    assert!(site.streamed().stream().await.collect().await.is_complete());
    site.metric_becomes("tollgate_exchanges_open", 0.0).await;
    let metrics = site.look("/metrics").await;
    assert!(
        metrics
            .header("content-type")
            .unwrap()
            .starts_with("text/plain")
    );
    for (beginning, value) in [
        (
            r#"tollgate_exchanges_total{route="chat",status="2xx",ending="complete"}"#,
            2.0,
        ),
        ("tollgate_generation ", 1.0),
        (r#"tollgate_generations{state="live"}"#, 1.0),
        (
            r#"tollgate_policy_calls_total{policy="probe",hook="request"}"#,
            2.0,
        ),
        (
            r#"tollgate_policy_calls_total{policy="probe",hook="response"}"#,
            2.0,
        ),
        (
            r#"tollgate_policy_calls_total{policy="probe",hook="finish"}"#,
            2.0,
        ),
        (
            r#"tollgate_plugin_finishes{policy="probe",ending="Ending::Complete",status="200"}"#,
            2.0,
        ),
        ("tollgate_streams_open", 0.0),
    ] {
        assert_eq!(site.metric(beginning).await, value, "{beginning}");
    }
    for beginning in [
        "tollgate_tokens_total",
        "tollgate_policy_seconds_total",
        "tollgate_upstream_attempts_total",
        "tollgate_exchange_seconds_count",
    ] {
        assert!(site.metric(beginning).await > 0.0, "{beginning}");
    }
    let text = metrics.text();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (name, value) = line.rsplit_once(' ').unwrap();
        assert!(name.starts_with("tollgate_"), "{line}");
        assert!(value.parse::<f64>().is_ok(), "{line}");
    }
}

#[tokio::test]
async fn the_admin_port_answers_only_those_that_mean_it() {
    let site = Site::start(&chat_through("", "")).await;
    let admin = site.gateway.admin_addr();
    for (line, headers, status) in [
        ("GET /healthz", "host: localhost", "200"),
        ("GET /healthz", "host: evil.example", "421"),
        ("GET http://evil.example/healthz", "host: localhost", "421"),
        ("GET http://localhost/healthz", "host: localhost", "200"),
        (
            "GET /metrics",
            "host: localhost\r\norigin: https://evil.example",
            "403",
        ),
        (
            "POST /reload",
            "host: localhost\r\nsec-fetch-site: cross-site",
            "403",
        ),
        ("GET /reload", "host: localhost", "405"),
        ("POST /healthz", "host: localhost", "405"),
        ("GET /config", "host: localhost", "404"),
        ("GET /healthz/..;/metrics", "host: localhost", "404"),
    ] {
        let answer = raw(
            admin,
            format!("{line} HTTP/1.1\r\n{headers}\r\nconnection: close\r\n\r\n").as_bytes(),
        )
        .await;
        assert_eq!(
            answer.get(9..12),
            Some(status),
            "{line} {headers}: {answer}"
        );
    }
    // It is no part of the data path.
    assert_eq!(site.ask("GET", "/healthz").send().await.status, 404);
    assert_eq!(site.gateway.generation(), 1);
}

#[tokio::test]
async fn a_reload_is_asked_for_on_the_admin_port_and_its_outcome_told() {
    let site = Site::start(&probing("mark: one")).await;
    let reload = || site.look_with("POST", "/reload");
    assert_eq!(reload().await.json()["result"], "ok");
    assert_eq!(site.gateway.generation(), 1, "nothing had changed");
    site.write_config(&probing("mark: two"));
    assert_eq!(reload().await.status, 200);
    site.after_generation(1).await;
    site.write_config(&probing("mark: [ no, text ]"));
    let refused = reload().await;
    assert_eq!(refused.status, 422);
    let told = refused.json();
    assert_eq!(
        (&told["result"], &told["generation"]),
        (&json!("refused"), &json!(2))
    );
    let message = told["refused"]["message"].as_str().unwrap();
    assert!(
        message.contains("tollgate.yaml") && message.contains("/mark"),
        "{message}"
    );
    assert_eq!(
        site.look("/generations").await.json()["last_refusal"]["message"],
        message
    );
    assert_eq!(site.chat().send().await.json()["mark"], "two");
}

#[tokio::test]
async fn an_import_that_is_not_granted_is_refused_by_name() {
    let site = Site::start(&probing("mark: one")).await;
    let bare = chat_through(
        "probe",
        "\n  probe: { plugin: probe, on_error: refuse, grants: { kv: true } }",
    );
    site.write_config(&bare);
    let refused = site.gateway.reload().await.unwrap_err();
    assert!(
        refused
            .message
            .contains("imports `secrets`, which is not granted"),
        "{refused}"
    );
    assert_eq!(site.chat().send().await.json()["mark"], "one");
}

#[tokio::test]
async fn a_line_of_the_access_log_tells_the_exchange() {
    let site = Site::start(&probing(
        r#"request: { set_headers: { x: "1" }, facts: { caller: ada } }, go_to: { model: small }"#,
    ))
    .await;
    site.chat()
        .header("x-request-id", "the-id")
        .behaving("usage=3/4")
        .send()
        .await;
    let line = &site.exchanges(1).await[0];
    for (field, value) in [
        ("event", json!("exchange")),
        ("id", json!("the-id")),
        ("generation", json!(1)),
        ("route", json!("chat")),
        ("method", json!("POST")),
        ("path", json!("/v1/chat/completions")),
        ("model", json!("small")),
        ("upstream", json!("standin")),
        ("attempts", json!(1)),
        ("status", json!(200)),
        ("ending", json!("complete")),
        ("input_tokens", json!(3)),
        ("output_tokens", json!(4)),
        ("facts", json!({ "caller": "ada" })),
    ] {
        assert_eq!(line[field], value, "{field}: {line}");
    }
    for field in [
        "time",
        "bytes_in",
        "bytes_out",
        "upstream_us",
        "first_byte_us",
        "total_us",
    ] {
        assert!(!line[field].is_null(), "{field}: {line}");
    }
    let policy = &line["policies"][0];
    assert_eq!(policy["policy"], "probe");
    assert!(policy["us"].as_u64().unwrap() > 0);
    assert!(policy["edits"].as_u64().unwrap() >= 2, "{policy}");
}

#[tokio::test]
async fn secrets_bodies_and_injections_are_in_no_log_and_no_page() {
    let site = Site::start(&probing(
        "secret: canary, secret_into: authorization, mark: canary-of-the-settings",
    ))
    .await;
    let canaries = [
        "canary-of-the-header",
        "canary-of-the-body",
        "canary-of-the-query",
        "canary-of-the-answer",
        "canary-of-the-secret",
        "canary-of-the-settings",
    ];
    let body = json!({ "model": "small", "messages": [{ "role": "user", "content": "canary-of-the-body" }] });
    let ask = site
        .ask("POST", "/v1/chat/completions?key=canary-of-the-query")
        .json(body);
    let ask = ask
        .header("authorization", "Bearer canary-of-the-header")
        .header("x-api-key", "canary-of-the-header");
    let answer = ask
        .clone()
        .behaving("header=x-answer:canary-of-the-answer")
        .send()
        .await;
    assert_eq!(answer.status, 200);
    assert_eq!(
        site.standin
            .seen()
            .newest()
            .unwrap()
            .header("authorization"),
        Some("canary-of-the-secret")
    );
    assert!(
        ask.clone()
            .set("stream", true)
            .stream()
            .await
            .collect()
            .await
            .is_complete()
    );
    assert_eq!(ask.header("x-probe", "trap").send().await.status, 500);
    let evil = "evil\n{\"forged\": 1}\u{1b}[31m\"model";
    assert_eq!(site.chat().set("model", evil).send().await.status, 404);
    let log = site.access_log(4).await;
    let pages = [
        site.look("/policies").await.text(),
        site.look("/metrics").await.text(),
        site.look("/generations").await.text(),
    ];
    for canary in canaries {
        assert!(!log.contains(canary), "{canary}: {log}");
        assert!(!pages.iter().any(|page| page.contains(canary)), "{canary}");
    }
    assert_eq!(log.lines().count(), 4);
    assert!(!log.contains('\u{1b}'), "{log}");
    assert!(
        fs::read_to_string(site.folder.path().join("canary.txt"))
            .unwrap()
            .contains("canary-of-the-secret")
    );
}

#[tokio::test]
async fn metrics_stay_bounded_however_many_models_are_asked_for() {
    let config = r#"
upstreams: { standin: { endpoints: [ "http://UPSTREAM" ] } }
routes: [ { match: { path: /v1/chat/completions }, upstream: standin } ]
"#;
    let site = Site::start(config).await;
    let series = async || site.look("/metrics").await.text().lines().count();
    for at in 0..20 {
        site.chat()
            .set("model", format!("random-{at}"))
            .behaving("tokens=1")
            .send()
            .await;
    }
    let before = series().await;
    for at in 20..220 {
        site.chat()
            .set("model", format!("random-{at}"))
            .behaving("tokens=1")
            .send()
            .await;
    }
    assert!(series().await <= before + 2, "{before} lines before");
}
