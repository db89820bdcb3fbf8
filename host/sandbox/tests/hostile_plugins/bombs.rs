//! Modules that are small to send and endless to compile: the child bears them.

use std::time::Duration;

use serde_json::json;
use tollgate_sandbox::{LoadError, SandboxOptions};

use crate::{
    shape::Shape,
    stage::{Stage, options, spec, strike},
};

async fn refused(stage: &Stage, wasm: Vec<u8>, cpu_seconds: u64) -> LoadError {
    let mut spec = spec("hostile", wasm.into(), json!({}));
    spec.compile.cpu_time = Duration::from_secs(cpu_seconds);
    spec.compile.memory_bytes = 512 << 20;
    stage.refused(spec).await
}

#[tokio::test]
async fn the_child_compiles_and_refuses_as_the_process_itself_does() {
    let stage = Stage::with_child().await;
    assert_eq!(stage.refused_bytes("").await.code, "not_wasm");
    let wasm = Shape {
        describe: "(unreachable)",
        ..Shape::default()
    }
    .module();
    assert_eq!(stage.refused_bytes(wasm).await.code, "configure");
    stage.hostile(json!({})).await;
    stage.the_neighbour_answers_as_before().await;
}

#[tokio::test]
async fn one_function_without_end_is_stopped_at_its_budget() {
    let stage = Stage::with_child().await;
    let body =
        "(local.set 0 (i32.add (i32.mul (local.get 0) (i32.load (local.get 1))) (local.get 1)))"
            .repeat(400_000);
    let extra = format!("(func (param i32 i32) {body})");
    let error = refused(
        &stage,
        Shape {
            extra,
            ..Shape::default()
        }
        .module(),
        1,
    )
    .await;
    assert_eq!(error.code, "compile_budget", "{error}");
    assert!(error.reason.contains("CPU"), "{error}");
}

#[tokio::test]
async fn a_hundred_thousand_functions_are_stopped_at_their_budget() {
    let stage = Stage::with_child().await;
    let function = "(func (param i32 i64 f64) (result i64) (i64.add (i64.extend_i32_u (local.get 0)) (i64.mul (local.get 1) (i64.trunc_sat_f64_s (local.get 2)))))";
    let error = refused(
        &stage,
        Shape {
            extra: function.repeat(100_000),
            ..Shape::default()
        }
        .module(),
        1,
    )
    .await;
    assert_eq!(error.code, "compile_budget", "{error}");
}

/// How long it takes depends on how the compiler was built.
#[tokio::test]
async fn blocks_nested_a_hundred_thousand_deep_are_refused_or_borne() {
    let stage = Stage::with_child().await;
    // Without parentheses: the parser of the text would recurse.
    let extra = format!(
        "(func {} {})",
        "block ".repeat(100_000),
        "end ".repeat(100_000)
    );
    let nested = Shape {
        extra,
        ..Shape::default()
    };
    let mut spec = spec("hostile", nested.module().into(), json!({}));
    spec.compile.cpu_time = Duration::from_secs(2);
    spec.compile.memory_bytes = 512 << 20;
    match stage.sandbox.load(spec).await {
        Ok(policy) => assert!(strike(&policy, "/strike").await.is_ok()),
        Err(error) => assert!(
            ["compile_budget", "invalid"].contains(&error.code.as_str()),
            "{}: {error}",
            error.code
        ),
    }
    stage.the_neighbour_answers_as_before().await;
}

#[tokio::test]
async fn a_hundred_thousand_globals_and_data_segments_are_refused_or_borne() {
    let stage = Stage::with_child().await;
    let extra = "(global (mut i64) (i64.const 1))".repeat(100_000)
        + &"(data (i32.const 8000) \"x\")".repeat(99_000);
    let mut spec = spec(
        "hostile",
        Shape {
            extra,
            ..Shape::default()
        }
        .module()
        .into(),
        json!({}),
    );
    spec.compile.cpu_time = Duration::from_secs(2);
    let _ = stage.sandbox.load(spec).await;
    stage.the_neighbour_answers_as_before().await;
}

#[tokio::test]
async fn a_memory_of_four_gibibytes_does_not_weigh_on_the_child() {
    let stage = Stage::with_child().await;
    let error = refused(
        &stage,
        Shape {
            memory: "65536",
            ..Shape::default()
        }
        .module(),
        5,
    )
    .await;
    assert_eq!(error.code, "start", "{error}");
}

#[tokio::test]
async fn a_pattern_that_backtracks_without_end_is_stopped() {
    let stage = Stage::with_child().await;
    let schema = r#"{"properties":{"a":{"pattern":"^(?=(a+)+$)b|^(a|a)*\\1$"}}}"#.to_owned();
    let mut spec = spec(
        "hostile",
        Shape {
            schema,
            ..Shape::default()
        }
        .module()
        .into(),
        json!({ "a": "a".repeat(64) + "!" }),
    );
    spec.compile.cpu_time = Duration::from_secs(2);
    let error = stage.refused(spec).await;
    assert!(
        ["compile_budget", "settings", "settings_schema"].contains(&error.code.as_str()),
        "{}: {error}",
        error.code
    );
}

#[tokio::test]
async fn a_schema_that_refers_to_itself_is_stopped() {
    let stage = Stage::with_child().await;
    for schema in [
        r##"{"$ref":"#"}"##,
        r##"{"allOf":[{"$ref":"#"},{"$ref":"#"}]}"##,
    ] {
        let wasm = Shape {
            schema: schema.to_owned(),
            ..Shape::default()
        }
        .module();
        let mut spec = spec("hostile", wasm.into(), json!({}));
        spec.compile.cpu_time = Duration::from_secs(2);
        let _ = stage.sandbox.load(spec).await;
        stage.the_neighbour_answers_as_before().await;
    }
}

#[tokio::test]
async fn a_compiler_that_is_not_there_is_named() {
    let stage = Stage::new().await;
    let missing = SandboxOptions {
        compiler: Some("/no/such/program".into()),
        cache: None,
        ..options()
    };
    let other = tollgate_sandbox::Sandbox::new(missing, stage.capabilities.clone()).unwrap();
    let error = other
        .load(spec("hostile", Shape::default().module().into(), json!({})))
        .await
        .unwrap_err();
    assert_eq!(error.code, "compile", "{error}");
    assert!(error.reason.contains("/no/such/program"), "{error}");
}

#[tokio::test]
async fn a_compiler_that_answers_nonsense_is_refused() {
    let stage = Stage::new().await;
    for program in ["/bin/true", "/bin/echo", "/bin/false"] {
        let strange = SandboxOptions {
            compiler: Some(program.into()),
            cache: None,
            ..options()
        };
        let other = tollgate_sandbox::Sandbox::new(strange, stage.capabilities.clone()).unwrap();
        let error = other
            .load(spec("hostile", Shape::default().module().into(), json!({})))
            .await
            .unwrap_err();
        assert!(
            error.code.starts_with("compile"),
            "{program}: {}: {error}",
            error.code
        );
    }
}
