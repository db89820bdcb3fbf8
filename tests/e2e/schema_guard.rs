//! `schema-guard` on real traffic: which field, what was expected, what was found; and
//! what passes, passes byte for byte.

use serde_json::{Value, json};

use crate::fixture::{Site, at_the_target, chat_through, either_way};

/// The policy `guard` with these settings, in the format of the configuration.
fn policy(isolation: &str, settings: &str) -> String {
    format!(
        "\n  guard: {{ plugin: schema-guard, on_error: refuse, isolation: {isolation}, settings: {{ {settings} }} }}"
    )
}

fn guarded(isolation: &str, settings: &str) -> String {
    chat_through("guard", &policy(isolation, settings))
}

const EVERY_BOUND: &str = r#"other_models: refuse, rules: [ { models: [ "sm*" ],
      max_tokens: { min: 1, max: 100 }, n: { max: 1 }, messages_max: 2,
      prompt: { tokens_max: 500 }, images: { max: 1, inline_bytes_max: 30 },
      tools: { allow: [ search, "db_*" ], max: 2 }, response_formats: [ text ],
      required: [ /user ], forbidden: [ /logit_bias ],
      schema: { properties: { temperature: { type: number, maximum: 1 } } } } ]"#;

fn tool(name: &str) -> Value {
    json!({ "type": "function", "function": { "name": name } })
}

fn image(url: &str) -> Value {
    json!({ "type": "image_url", "image_url": { "url": url } })
}

#[test]
fn a_refusal_names_the_field_what_was_expected_and_what_was_found() {
    let long = "word ".repeat(1000);
    let inline = format!("data:image/png;base64,{}", "A".repeat(80));
    let two = [image("https://a.example/1"), image("https://a.example/2")];
    let message = |content: &Value| json!([{ "role": "user", "content": content }]);
    let cases = [
        (
            "max_tokens",
            json!(100_000),
            "/max_tokens: expected a whole number from 1 to 100, found 100000.",
        ),
        (
            "max_completion_tokens",
            json!(0),
            "/max_completion_tokens: expected",
        ),
        ("max_tokens", json!("many"), "/max_tokens: expected"),
        ("n", json!(2), "/n: expected"),
        ("messages", json!([{}, {}, {}]), "/messages: expected"),
        ("messages", message(&json!(long)), "/messages: expected"),
        ("messages", message(&json!(two)), "/messages"),
        (
            "messages",
            message(&json!([image(&inline)])),
            "/messages/0: expected an inline file of at most 30 bytes, found 60 bytes.",
        ),
        (
            "tools",
            json!([tool("search"), tool("rm")]),
            "/tools/1/function/name: expected a tool that is allowed (`search`, `db_*`), found `rm`.",
        ),
        (
            "tools",
            json!([tool("db_a"), tool("db_b"), tool("db_c")]),
            "/tools: expected",
        ),
        (
            "response_format",
            json!({ "type": "json_object" }),
            "/response_format/type: expected",
        ),
        ("user", json!(null), "/user: expected"),
        ("logit_bias", json!({}), "/logit_bias: expected"),
        ("temperature", json!(1.5), "/temperature: expected"),
        ("temperature", json!("hot"), "/temperature: expected"),
    ];
    either_way(async |isolation| {
        let site = Site::start(&guarded(isolation, EVERY_BOUND)).await;
        let ask = site.chat().set("user", "ada");
        for (field, value, says) in &cases {
            let asks = [
                ask.clone().set(field, value.clone()),
                ask.clone().set("stream", true).set(field, value.clone()),
            ];
            for ask in asks {
                let answer = ask.send().await;
                assert_eq!(
                    answer.refusal(),
                    (400, "invalid_field".to_owned()),
                    "{field}"
                );
                let error = &answer.json()["error"];
                assert_eq!(error["type"], "invalid_request_error");
                let message = error["message"].as_str().unwrap();
                assert!(
                    message.starts_with(&format!("schema-guard: {says}")) && message.len() < 500,
                    "{field}: {message}"
                );
            }
        }
        let refused = r#"tollgate_plugin_refused{policy="guard",code="invalid_field"}"#;
        site.metric_becomes(refused, 2.0 * cases.len() as f64).await;
        assert_eq!(site.standin.seen().requests, 0);
        // All that is allowed at once, and `null` is as good as missing.
        let fine = ask
            .set("max_tokens", 100)
            .set("n", json!(null))
            .set("logit_bias", json!(null))
            .set("temperature", 1)
            .set("tools", json!([tool("search"), tool("db_a")]))
            .set("response_format", json!({ "type": "text" }));
        assert_eq!(fine.send().await.status, 200, "{isolation}");
        let stream = fine.set("stream", true).stream().await.collect().await;
        assert!(stream.is_complete(), "{isolation}");
    });
}

#[test]
fn a_model_that_no_rule_has_is_refused_or_left_alone_as_the_operator_says() {
    either_way(async |isolation| {
        let site = Site::start(&guarded(isolation, EVERY_BOUND)).await;
        for model in [json!("large"), json!("Small"), json!(null), json!(7)] {
            let answer = site.chat().set("model", model.clone()).send().await;
            assert_eq!(
                answer.refusal(),
                (400, "model_not_allowed".to_owned()),
                "{model}"
            );
            let message = answer.json()["error"]["message"].to_string();
            assert!(
                message.contains("schema-guard: /model: expected"),
                "{message}"
            );
        }
        assert_eq!(site.standin.seen().requests, 0);
        let others =
            r#"other_models: allow, rules: [ { models: [ large ], forbidden: [ /user ] } ]"#;
        site.reconfigure(&guarded(isolation, others)).await;
        let ask = site.chat().set("user", "ada");
        assert_eq!(ask.send().await.status, 200);
        let large = ask.set("model", "large").send().await;
        assert_eq!(large.refusal(), (400, "invalid_field".to_owned()));
    });
}

#[tokio::test]
async fn the_first_rule_that_has_the_model_counts_and_no_other() {
    let settings = r#"other_models: refuse, rules: [ { models: [ small ] }, { models: [ "*" ], forbidden: [ /user ] } ]"#;
    let site = Site::start(&guarded("exchange", settings)).await;
    assert_eq!(site.chat().set("user", "ada").send().await.status, 200);
    let other = site
        .chat()
        .set("model", "other")
        .set("user", "ada")
        .send()
        .await;
    assert_eq!(other.refusal(), (400, "invalid_field".to_owned()));
}

#[test]
fn a_body_that_fits_goes_on_byte_for_byte() {
    let body = "{ \"model\" :\t\"small\", \"user\":\"ad\\u0061\",\r\n \"temperature\": 1.0e0, \"messages\": [ ] , \"big\": 12345678901234567890123 }";
    either_way(async |isolation| {
        let site = Site::start(&guarded(isolation, EVERY_BOUND)).await;
        for content_type in ["application/json", "text/plain"] {
            let ask = site
                .ask("POST", "/v1/chat/completions")
                .header("content-type", content_type);
            let answer = ask.body(body).send().await;
            assert_eq!(answer.status, 200, "{}", answer.text());
            assert_eq!(site.standin.seen().newest().unwrap().body, body);
        }
    });
}

#[tokio::test]
async fn what_two_readers_could_read_differently_is_refused() {
    let site = Site::start(&guarded("exchange", EVERY_BOUND)).await;
    let deep = format!(
        r#"{{"model":"small","user":"ada","x":{}{}}}"#,
        "[".repeat(125),
        "]".repeat(125)
    );
    for (body, content_type) in [
        (
            r#"{"model":"small","user":"ada","max_tokens":1,"max_tokens":1000}"#,
            "application/json",
        ),
        (
            r#"{"model":"small","user":"ada","temperature":9,"temperature":1}"#,
            "text/plain",
        ),
        (
            r#"{"model":"small","user":"ada","max_tok\u0065ns":1000}"#,
            "text/plain",
        ),
        (r#"{"model":"small","user":"ada",}"#, "text/plain"),
        (&deep, "application/json"),
    ] {
        let ask = site.ask("POST", "/v1/chat/completions");
        let answer = ask
            .header("content-type", content_type)
            .body(body.to_owned())
            .send()
            .await;
        assert_eq!(answer.refusal().0, 400, "{body}");
    }
    assert_eq!(site.standin.seen().requests, 0);
}

#[test]
fn a_body_beyond_its_models_limit_is_refused_before_it_is_read() {
    let settings = r#"other_models: allow, rules: [ { models: [ small ], body_bytes_max: 500, forbidden: [ /user ] } ]"#;
    either_way(async |isolation| {
        let site = Site::start(&guarded(isolation, settings)).await;
        let long = site.chat().set("x", "y".repeat(500));
        let answer = long.send().await;
        assert_eq!(answer.refusal(), (400, "invalid_field".to_owned()));
        assert!(answer.text().contains("500"), "{}", answer.text());
        assert_eq!(site.chat().send().await.status, 200);
        let other = long.set("model", "large").send().await;
        assert_eq!(other.refusal(), (404, "model_not_found".to_owned()));
    });
}

#[test]
fn it_checks_what_earlier_policies_left() {
    let rules = r#"
  rules: { plugin: model-rules, on_error: refuse, settings: { rules: [ { models: [ "*" ], request: { alias: small, clamp: { /max_tokens: { max: 10 } } } } ] } }"#;
    let settings =
        r#"other_models: refuse, rules: [ { models: [ small ], max_tokens: { max: 10 } } ]"#;
    either_way(async |isolation| {
        let policies = format!("{rules}{}", policy(isolation, settings));
        let site = Site::start(&chat_through("rules, guard", &policies)).await;
        let ask = site.chat().set("model", "any").set("max_tokens", 99);
        let answer = ask.send().await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let sent = site.standin.seen().newest().unwrap().json();
        assert_eq!(sent["max_tokens"], 10);
    });
}

#[test]
fn at_a_target_it_goes_by_the_targets_name_for_the_model_or_the_one_asked_for() {
    either_way(async |isolation| {
        let naming = |name: &str| {
            let settings = format!(
                "other_models: refuse, rules: [ {{ models: [ {name} ], max_tokens: {{ max: 10 }} }} ]"
            );
            at_the_target(&guarded(isolation, &settings), "guard").replace(
                "upstream: standin, policies",
                "upstream: standin, model: small-2, policies",
            )
        };
        let site = Site::start(&naming("neither")).await;
        let other = site.chat().send().await;
        assert_eq!(other.refusal(), (400, "model_not_allowed".to_owned()));
        for name in ["small", "small-2"] {
            site.reconfigure(&naming(name)).await;
            let before = site.standin.seen().requests;
            let answer = site.chat().set("max_tokens", 11).send().await;
            assert_eq!(answer.refusal(), (400, "invalid_field".to_owned()));
            assert_eq!(site.standin.seen().requests, before);
            assert_eq!(site.chat().set("max_tokens", 10).send().await.status, 200);
            let sent = site.standin.seen().newest().unwrap().json();
            assert_eq!(sent["model"], "small-2");
        }
    });
}
