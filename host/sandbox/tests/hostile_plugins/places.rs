//! Where a plugin was when it was stopped is told, as far as its file does.

use bytes::Bytes;
use serde_json::json;
use tollgate_sandbox::Failure;
use wasm_encoder::Encode;
use wasmparser::{Parser, Payload};

use crate::{
    guest,
    shape::Shape,
    stage::{Stage, spec, strike},
};

/// The hostile guest without the names of its functions.
fn nameless() -> Bytes {
    let wasm = guest::hostile();
    let mut bare = wasm[..8].to_vec();
    for payload in Parser::new(0).parse_all(&wasm) {
        let payload = payload.expect("the guest is WebAssembly");
        if matches!(&payload, Payload::CustomSection(section) if section.name() == "name") {
            continue;
        }
        if let Some((id, range)) = payload.as_section() {
            bare.push(id);
            let data = &wasm[range.start as usize..range.end as usize];
            data.encode(&mut bare);
        }
    }
    bare.into()
}

async fn fails(stage: &Stage, wasm: Bytes, mode: &str) -> Failure {
    let settings = json!({ "mode": mode, "hook": "request" });
    let policy = stage.load(spec("hostile", wasm, settings)).await;
    let failure = strike(&policy, "/strike").await.expect_err(mode);
    stage.the_neighbour_answers_as_before().await;
    failure
}

#[tokio::test]
async fn a_recursion_is_told_by_the_function_that_is_called_again_and_again() {
    let stage = Stage::new().await;
    let failure = fails(&stage, guest::hostile(), "recursion").await;
    let said = failure.to_string();
    assert!(
        said.starts_with(
            "trapped: its stack overflowed, since a function is called within itself again and again \
             (in `hostile::deeds::dive`"
        ) && said.ends_with(
            ": bound the depth of `hostile::deeds::dive`, or give the plugin a larger stack"
        ),
        "{said}"
    );
    assert_eq!(
        failure.what(),
        "trapped: its stack overflowed, since a function is called within itself again and again"
    );
}

#[tokio::test]
async fn a_trap_and_a_time_out_name_the_function_they_happened_in() {
    let stage = Stage::new().await;
    for (mode, begins, ends) in [
        (
            "unreachable",
            "trapped: it executed `unreachable`, as a panic, an abort or an allocation that fails does (in `hostile::",
            ")",
        ),
        (
            "loop",
            "ran longer than 100ms in one hook (in `hostile::",
            "): have it do less, or raise `limits.hook_time` of the policy",
        ),
        (
            "fill",
            "ran longer than 100ms in one hook (in `hostile::",
            "): have it do less, or raise `limits.hook_time` of the policy",
        ),
    ] {
        let said = fails(&stage, guest::hostile(), mode).await.to_string();
        assert!(said.starts_with(begins) && said.ends_with(ends), "{said}");
    }
}

#[tokio::test]
async fn a_plugin_without_names_is_told_so_and_how_to_keep_them() {
    let stage = Stage::new().await;
    let failure = fails(&stage, nameless(), "unreachable").await;
    let said = failure.to_string();
    assert!(
        said.ends_with(
            "; where is not known, since its functions have no names: `tollgate plugin build` keeps them"
        ),
        "{said}"
    );
    assert!(!failure.what().contains("names"), "{}", failure.what());
}

#[tokio::test]
async fn a_component_names_its_functions_as_a_module_does() {
    let stage = Stage::new().await;
    let component = wit_component::ComponentEncoder::default()
        .module(&guest::hostile())
        .and_then(|encoder| encoder.encode())
        .unwrap();
    let policy = spec(
        "hostile",
        component.into(),
        json!({ "mode": "unreachable", "hook": "request" }),
    );
    let policy = stage.load(policy).await;
    assert_eq!(policy.runs_as(), "component");
    let said = strike(&policy, "/strike").await.unwrap_err().to_string();
    assert!(said.contains(" (in `hostile::"), "{said}");
    stage.the_neighbour_answers_as_before().await;
}

#[tokio::test]
async fn each_trap_is_told_in_plain_words() {
    let stage = Stage::new().await;
    for (body, words) in [
        (
            "(drop (i32.div_u (i32.const 1) (i32.const 0)))",
            "it divided an integer by zero",
        ),
        (
            "(drop (i32.div_s (i32.const -2147483648) (i32.const -1)))",
            "the result of a division of integers overflowed",
        ),
        (
            "(drop (i32.trunc_f32_s (f32.const nan)))",
            "it turned a number that is none into an integer",
        ),
        (
            "(drop (i32.load (i32.const -4)))",
            "out of bounds memory access (a stack that overflows looks like this, too)",
        ),
        (
            "(call_indirect $empty (i32.const 0))",
            "it called a function through an empty entry of a table",
        ),
        (
            "(call_indirect $empty (i32.const 9))",
            "it called a function through a table beyond its end",
        ),
    ] {
        let wasm = Shape {
            extra: format!("(table $empty 1 funcref) (func $my::deed {body})"),
            describe: "(call $my::deed)",
            ..Shape::default()
        };
        let error = stage.refused_bytes(wasm.module()).await;
        assert_eq!(
            error.reason,
            format!("`describe` failed: {words} (in `my::deed`)"),
        );
    }
}
