use tollgate_sdk::Value as SdkValue;

use super::*;

#[test]
fn only_what_would_come_out_the_same_again_is_cached_unless_told_otherwise() {
    let strict = run(json!({}));
    let lax = run(json!({ "deterministic_only": false }));
    let plain = || Exchange::chat().fact("caller", "ada");
    for (exchange, is_cached) in [
        (plain(), false),
        (plain().json("/temperature", 1.0), false),
        (plain().json("/temperature", 0), true),
        (plain().json("/temperature", "0"), false),
        (plain().json("/seed", 42), true),
        (plain().json("/seed", SdkValue::Null), false),
        (plain().json("/top_k", 1), true),
        (plain().json("/top_k", 2), false),
        (plain().to("POST", "/v1/embeddings"), true),
        (plain().to("POST", "/v1/completions"), false),
    ] {
        assert_eq!(plan(&strict, exchange.clone()).is_some(), is_cached);
        assert!(plan(&lax, exchange).is_some());
    }
}

#[test]
fn what_is_no_request_of_a_model_is_left_alone() {
    let run = run(json!({ "deterministic_only": false, "by": [] }));
    for exchange in [
        chat().to("GET", "/v1/chat/completions"),
        chat().to("POST", "/v1/models"),
        chat().to("POST", "/v1/audio/speech"),
        chat().body("no JSON"),
        chat().body("[1]"),
        chat().body(""),
        chat().body(format!(r#"{{"a":"{}"}}"#, "x".repeat(300 << 10))),
        chat().body(format!(
            r#"{{"a":{}1{}}}"#,
            "[".repeat(200),
            "]".repeat(200)
        )),
    ] {
        assert_eq!(plan(&run, exchange), None);
    }
}

#[test]
fn a_client_says_what_it_wants_of_a_cache() {
    let honest = run(json!({}));
    let deaf = run(json!({ "cache_control": "ignore" }));
    let asks = |control: &str| chat().header("cache-control", control);
    let plain = plan(&honest, chat()).unwrap();
    assert!(plain.look_up && plain.store);
    assert_eq!((plain.max_age_ms, plain.ttl_ms), (None, 600_000));
    assert_eq!(plan(&honest, asks("no-store")), None);
    let fresh = plan(&honest, asks("no-cache")).unwrap();
    assert!(!fresh.look_up && fresh.store);
    let young = plan(&honest, asks("max-age=5")).unwrap();
    assert_eq!((young.look_up, young.max_age_ms), (true, Some(5000)));
    let old = chat().header("pragma", "no-cache");
    assert!(!plan(&honest, old).unwrap().look_up);
    for control in ["no-store", "no-cache", "max-age=0"] {
        assert_eq!(plan(&deaf, asks(control)), Some(plain.clone()));
    }
}

#[test]
fn the_first_rule_that_has_model_and_route_counts() {
    let run = run(json!({
        "rules": [
            { "models": ["secret-*"], "cache": false },
            { "models": ["gpt-*", "o1"], "routes": ["chat"], "ttl": "1h", "deterministic_only": false },
            { "routes": ["chat"], "ttl": "5s" },
        ],
    }));
    let ttl = |model: &str, route: &str, heat: f64| {
        let exchange = chat().json("/model", model).json("/temperature", heat);
        plan(&run, exchange.route(route)).map(|plan| plan.ttl_ms)
    };
    assert_eq!(ttl("secret-1", "chat", 0.0), None);
    assert_eq!(ttl("gpt-4o", "chat", 1.0), Some(3_600_000));
    assert_eq!(ttl("o1", "chat", 0.0), Some(3_600_000));
    assert_eq!(ttl("llama", "chat", 0.0), Some(5000));
    assert_eq!(ttl("llama", "chat", 1.0), None);
    assert_eq!(ttl("gpt-4o", "rest", 0.0), Some(600_000));
}

#[test]
fn what_is_done_is_counted() {
    let run = run(json!({}));
    plan(&run, chat());
    plan(&run, chat().json("/temperature", 1.0));
    plan(&run, chat().to("GET", "/"));
    use tollgate_sdk::testing::counted;
    assert_eq!((counted("planned"), counted("not_cached")), (1, 2));
}
