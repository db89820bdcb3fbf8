//! What a plugin does before it is live: start, describe, configure, samples.

use serde_json::{Value, json};
use tollgate_sandbox::LoadError;

use crate::{
    guest,
    shape::Shape,
    stage::{Stage, spec},
};

async fn refused(stage: &Stage, settings: Value) -> LoadError {
    stage
        .refused(spec("hostile", guest::hostile(), settings))
        .await
}

fn starts_with(body: &str) -> Shape {
    Shape {
        extra: format!("(func $start {body}) (start $start)"),
        ..Shape::default()
    }
}

#[tokio::test]
async fn a_start_function_that_loops_is_stopped() {
    let stage = Stage::new().await;
    let error = stage
        .refused_bytes(starts_with("(loop (br 0))").module())
        .await;
    assert_eq!(error.code, "start", "{error}");
    assert!(error.reason.contains("longer than"), "{error}");
}

#[tokio::test]
async fn a_start_function_that_traps_is_named() {
    let stage = Stage::new().await;
    let error = stage
        .refused_bytes(starts_with("(unreachable)").module())
        .await;
    assert_eq!(error.code, "start", "{error}");
    assert!(error.reason.contains("unreachable"), "{error}");
}

#[tokio::test]
async fn a_start_function_that_calls_the_host_is_refused() {
    let stage = Stage::new().await;
    let error = stage
        .refused_bytes(starts_with("(drop (call $now))").module())
        .await;
    assert_eq!(error.code, "start", "{error}");
}

#[tokio::test]
async fn a_start_function_that_grows_memory_is_refused_the_growth() {
    let stage = Stage::new().await;
    let body = "(if (i32.ne (memory.grow (i32.const 30000)) (i32.const -1)) (then (unreachable)))";
    stage
        .load(spec(
            "hostile",
            starts_with(body).module().into(),
            json!({}),
        ))
        .await;
    stage.the_neighbour_answers_as_before().await;
}

#[tokio::test]
async fn a_describe_that_traps_loops_or_lies_is_refused() {
    let stage = Stage::new().await;
    for (describe, words) in [
        ("(unreachable)", "unreachable"),
        ("(loop (br 0))", "longer than"),
        ("(drop (call $now))", "describe"),
        ("(return (i32.const -4))", "out of bounds"),
    ] {
        let error = stage
            .refused_bytes(
                Shape {
                    describe,
                    ..Shape::default()
                }
                .module(),
            )
            .await;
        assert_eq!(error.code, "configure", "{describe}: {error}");
        assert!(
            error.reason.contains("`describe`") && error.reason.contains(words),
            "{describe}: {error}"
        );
    }
}

#[tokio::test]
async fn a_name_as_long_as_the_memory_is_refused() {
    let stage = Stage::new().await;
    for name_bytes in [1000, 100_000] {
        let error = stage
            .refused_bytes(
                Shape {
                    name_bytes,
                    ..Shape::default()
                }
                .module(),
            )
            .await;
        assert_eq!(error.code, "configure", "{error}");
        assert!(error.reason.contains("name"), "{error}");
    }
}

#[tokio::test]
async fn a_settings_schema_that_is_none_is_refused() {
    let stage = Stage::new().await;
    for schema in [
        "",
        "{",
        "not json",
        r#"{"type":"nonsense"}"#,
        r#"{"pattern":"("}"#,
        "3",
    ] {
        let shape = Shape {
            schema: schema.to_owned(),
            ..Shape::default()
        };
        let error = stage.refused_bytes(shape.module()).await;
        assert_eq!(error.code, "settings_schema", "{schema}: {error}");
    }
}

#[tokio::test]
async fn a_settings_schema_elsewhere_is_not_fetched() {
    let stage = Stage::new().await;
    for elsewhere in ["http://127.0.0.1:9/schema.json", "file:///etc/passwd"] {
        let schema = format!(r#"{{"$ref":"{elsewhere}"}}"#);
        let error = stage
            .refused_bytes(
                Shape {
                    schema,
                    ..Shape::default()
                }
                .module(),
            )
            .await;
        assert_eq!(error.code, "settings_schema", "{error}");
    }
}

#[tokio::test]
async fn settings_that_do_not_fit_the_schema_are_placed() {
    let stage = Stage::new().await;
    let schema = r#"{"type":"object","properties":{"a":{"type":"integer"}}}"#.to_owned();
    let wasm = Shape {
        schema,
        ..Shape::default()
    }
    .module();
    let error = stage
        .refused(spec("hostile", wasm.into(), json!({ "a": "b" })))
        .await;
    assert_eq!(error.code, "settings", "{error}");
    assert_eq!(error.settings_pointer(), Some("/a"));
    for settings in [Value::Null, json!(3), json!([])] {
        let error = refused(&stage, settings).await;
        assert_eq!(error.code, "settings", "{error}");
    }
}

#[tokio::test]
async fn a_configure_that_loops_or_traps_is_refused() {
    let stage = Stage::new().await;
    for (mode, words) in [
        ("loop", "longer than"),
        ("unreachable", "unreachable"),
        ("recursion", "stack"),
    ] {
        let error = refused(&stage, json!({ "mode": mode, "hook": "configure" })).await;
        assert_eq!(error.code, "configure", "{mode}: {error}");
        assert!(
            error.reason.starts_with("`configure` failed: ")
                && error.reason.contains(words)
                && error.reason.contains(" (in `hostile::"),
            "{mode}: {error}"
        );
    }
}

#[tokio::test]
async fn a_configure_that_asks_for_all_memory_is_refused() {
    let stage = Stage::new().await;
    let error = refused(
        &stage,
        json!({ "mode": "memory-bomb", "hook": "configure" }),
    )
    .await;
    assert_eq!(error.code, "configure", "{error}");
}

#[tokio::test]
async fn a_configure_that_calls_a_capability_is_refused() {
    let stage = Stage::new().await;
    for mode in [
        "secret",
        "kv-get",
        "http",
        "host-calls",
        "log",
        "random",
        "cache-plan",
        "shadow",
        "score",
    ] {
        let error = refused(
            &stage,
            json!({ "mode": mode, "hook": "configure", "amount": 1, "text": "granted" }),
        )
        .await;
        assert_eq!(error.code, "configure", "{mode}: {error}");
    }
}

#[tokio::test]
async fn errors_of_configure_are_shown_and_placed() {
    let stage = Stage::new().await;
    let text = "/limit: it must be more than 3";
    let error = refused(
        &stage,
        json!({ "mode": "errors", "hook": "configure", "text": text }),
    )
    .await;
    assert_eq!(error.code, "settings", "{error}");
    assert_eq!(error.settings_pointer(), Some("/limit"));
    assert!(error.reason.contains("it must be more than 3"), "{error}");
}

#[tokio::test]
async fn an_error_of_megabytes_that_steers_terminals_is_cut_and_escaped() {
    let stage = Stage::new().await;
    let text = "\u{1b}[2J\r\nforged: ";
    let error = refused(
        &stage,
        json!({ "mode": "errors", "hook": "configure", "text": text, "amount": 200_000 }),
    )
    .await;
    assert_eq!(error.code, "settings", "{error}");
}

#[tokio::test]
async fn a_sample_that_fails_or_traps_keeps_the_plugin_out() {
    let stage = Stage::new().await;
    let trap = "failed: on_request: it trapped: it executed `unreachable`, as a panic, an abort or an \
                allocation that fails does (in `";
    for (mode, words) in [("expects-403", "403"), ("traps-in-sample", trap)] {
        let error = refused(&stage, json!({ "mode": mode, "hook": "samples" })).await;
        assert_eq!(error.code, "sample", "{mode}: {error}");
        assert!(
            error.reason.contains("`the sample`") && error.reason.contains(words),
            "{mode}: {error}"
        );
    }
}

/// The hooks trap where they are told otherwise.
#[tokio::test]
async fn a_sample_tells_the_hooks_what_the_gateway_would() {
    let stage = Stage::new().await;
    for mode in ["told-refused", "told-refused-at-target", "told-stream"] {
        stage
            .hostile(json!({ "mode": mode, "hook": "samples" }))
            .await;
    }
}

#[tokio::test]
async fn ten_thousand_samples_are_too_many() {
    let stage = Stage::new().await;
    let error = refused(
        &stage,
        json!({ "mode": "many", "hook": "samples", "amount": 10_000 }),
    )
    .await;
    assert!(error.reason.contains("samples"), "{}: {error}", error.code);
}

#[tokio::test]
async fn samples_that_loop_or_trap_are_refused() {
    let stage = Stage::new().await;
    for mode in ["loop", "unreachable"] {
        let error = refused(&stage, json!({ "mode": mode, "hook": "samples" })).await;
        assert_eq!(error.code, "configure", "{mode}: {error}");
        assert!(error.reason.contains("`samples`"), "{error}");
    }
}

#[tokio::test]
async fn what_fails_in_every_exchange_never_goes_live() {
    let stage = Stage::new().await;
    for (mode, hook) in [
        ("loop", "open"),
        ("unreachable", "request"),
        ("loop", "response"),
        ("unreachable", "finish"),
    ] {
        let error = refused(
            &stage,
            json!({ "mode": mode, "hook": hook, "always": true }),
        )
        .await;
        assert_eq!(error.code, "sample", "{mode} in {hook}: {error}");
        assert!(error.reason.contains("a plain chat request"), "{error}");
    }
}
