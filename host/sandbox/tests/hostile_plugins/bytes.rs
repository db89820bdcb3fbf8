//! Bytes that are no plugin, or not one of this contract.

use serde_json::json;
use tollgate_sandbox::LoadError;

use crate::{
    guest,
    shape::Shape,
    stage::{Stage, spec},
};

fn says(error: &LoadError, code: &str, words: &str) {
    assert_eq!(error.code, code, "{error}");
    assert!(error.reason.contains(words), "{error}");
    let whole = error.to_string();
    assert!(
        whole.contains("policy `hostile`") && whole.contains("plugin `hostile`"),
        "{whole}"
    );
}

#[tokio::test]
async fn an_empty_file_is_no_plugin() {
    let stage = Stage::new().await;
    says(&stage.refused_bytes("").await, "not_wasm", "empty");
}

#[tokio::test]
async fn garbage_is_no_plugin() {
    let stage = Stage::new().await;
    let mut seed = 1;
    let garbage: Vec<u8> = (0..100_000).map(|_| next(&mut seed) as u8).collect();
    says(
        &stage.refused_bytes(garbage).await,
        "not_wasm",
        "does not begin with",
    );
    says(
        &stage.refused_bytes("#!/bin/sh\n").await,
        "not_wasm",
        "does not begin with",
    );
}

#[tokio::test]
async fn a_header_alone_is_no_plugin() {
    let stage = Stage::new().await;
    for (header, code, words) in [
        (&b"\0asm"[..], "not_wasm", "ends within"),
        (b"\0as", "not_wasm", "does not begin with"),
        (b"\0asm\x01\0", "not_wasm", "ends within"),
        (
            b"\0asm\x01\0\0\0",
            "not_a_policy",
            "tollgate:policy/policy@0.1.0",
        ),
        (
            b"\0asm\x0d\0\x01\0",
            "not_a_policy",
            "tollgate:policy/policy@0.1.0",
        ),
    ] {
        says(&stage.refused_bytes(header).await, code, words);
    }
}

#[tokio::test]
async fn another_version_of_webassembly_is_named() {
    let stage = Stage::new().await;
    says(
        &stage.refused_bytes(&b"\0asm\x02\0\0\0"[..]).await,
        "not_wasm",
        "0x02",
    );
    says(
        &stage.refused_bytes(&b"\0asm\x0c\0\x01\0"[..]).await,
        "not_wasm",
        "0x0c",
    );
}

#[tokio::test]
async fn text_and_compressed_files_are_not_guessed_at() {
    let stage = Stage::new().await;
    says(
        &stage.refused_bytes(Shape::default().text()).await,
        "not_wasm",
        "text",
    );
    says(
        &stage.refused_bytes(&b"\x1f\x8b\x08\0\0\0\0\0"[..]).await,
        "not_wasm",
        "compressed",
    );
    says(
        &stage.refused_bytes(&b"\x28\xb5\x2f\xfd\0\0"[..]).await,
        "not_wasm",
        "compressed",
    );
}

#[tokio::test]
async fn a_file_beyond_the_bound_is_refused_by_its_size() {
    let stage = Stage::new().await;
    let bound = usize::try_from(spec("hostile", "".into(), json!({})).compile.input_bytes).unwrap();
    says(
        &stage.refused_bytes(vec![0; bound + 1]).await,
        "too_large",
        "compile.input",
    );
    says(
        &stage.refused_bytes(vec![0; bound]).await,
        "not_wasm",
        "does not begin with",
    );
}

#[tokio::test]
async fn a_good_plugin_cut_anywhere_is_refused() {
    let stage = Stage::with_child().await;
    for whole in [
        Shape::default().module(),
        Shape::default().component(),
        guest::hostile().to_vec(),
    ] {
        let step = (whole.len() / 97).max(1);
        for cut in (8..whole.len() - 1).step_by(step) {
            let error = stage
                .sandbox
                .load(spec("hostile", whole[..cut].to_vec().into(), json!({})))
                .await;
            let error = error.expect_err(&format!("cut at {cut} of {}", whole.len()));
            let expected = ["truncated", "invalid", "not_a_policy"].contains(&error.code.as_str());
            assert!(
                expected,
                "cut at {cut} of {}: {}: {error}",
                whole.len(),
                error.code
            );
        }
        stage.the_neighbour_answers_as_before().await;
    }
}

/// What is not valid any more is refused before a compiler sees it, so it needs no
/// child; what still is, goes through one.
#[tokio::test]
async fn a_flipped_bit_is_refused_or_harmless() {
    let (here, in_child) = (Stage::new().await, Stage::with_child().await);
    let mut seed = 7;
    let (mut refused, mut compiled) = (0, 0);
    for whole in [Shape::default().module(), Shape::default().component()] {
        for _ in 0..500 {
            let mut flipped = whole.clone();
            let at = next(&mut seed) as usize % flipped.len();
            flipped[at] ^= 1 << (next(&mut seed) % 8);
            let is_valid = wasmparser::validate(&flipped).is_ok();
            let stage = if is_valid { &in_child } else { &here };
            let loaded = stage
                .sandbox
                .load(spec("hostile", flipped.into(), json!({})))
                .await;
            compiled += u32::from(is_valid);
            let Err(error) = loaded else {
                assert!(is_valid, "byte {at} made it invalid, and it was loaded");
                continue;
            };
            refused += 1;
            assert!(!error.code.is_empty(), "at byte {at}: {error}");
            assert!(!error.reason.contains("panicked"), "at byte {at}: {error}");
        }
        here.the_neighbour_answers_as_before().await;
        in_child.the_neighbour_answers_as_before().await;
    }
    assert!(refused > 500 && compiled > 100, "{refused}, {compiled}");
}

/// The contract in the module names another package beside its own: reading it overflows
/// the stack, which no process survives. Found by flipping bits.
#[tokio::test]
async fn a_module_that_crashes_the_compiler_costs_the_child_alone() {
    let stage = Stage::with_child().await;
    let mut crashes = Shape::default().module();
    let name = b"tollgate:policy/http-call@0.1.0";
    let at = crashes
        .windows(name.len())
        .position(|window| window == name)
        .expect("it imports that");
    crashes[at + b"tollgate:".len()] = b'q';
    let error = stage.refused_bytes(crashes).await;
    says(&error, "compile_budget", "crashed");
}

#[tokio::test]
async fn a_core_module_without_the_contract_in_it_is_no_policy() {
    let stage = Stage::new().await;
    let error = stage.refused_bytes(Shape::default().bare()).await;
    assert!(
        ["not_a_policy", "unknown_import", "invalid"].contains(&error.code.as_str()),
        "{}: {error}",
        error.code
    );
    says(
        &stage.refused_bytes(wat("(module)")).await,
        "not_a_policy",
        "tollgate:policy/policy@0.1.0",
    );
    says(
        &stage.refused_bytes(wat("(component)")).await,
        "not_a_policy",
        "tollgate:policy/policy@0.1.0",
    );
}

#[tokio::test]
async fn a_missing_export_is_named() {
    let stage = Stage::new().await;
    let shape = Shape {
        on_request_name: "[method]session.on-requests",
        ..Shape::default()
    };
    let error = stage.refused_bytes(shape.module()).await;
    says(&error, "invalid", "on-request");
}

#[tokio::test]
async fn an_import_that_the_contract_does_not_have_is_named() {
    let stage = Stage::new().await;
    let component = wat(
        r#"(component (import "tollgate:policy/shell@0.1.0" (instance (export "run" (func)))))"#,
    );
    let error = stage.refused_bytes(component).await;
    assert!(
        ["not_a_policy", "unknown_import"].contains(&error.code.as_str()),
        "{}: {error}",
        error.code
    );
    for (module, name) in [("env", "system"), ("wasi_snapshot_preview1", "fd_write")] {
        let text = Shape::default().text();
        let import = format!("(module (import \"{module}\" \"{name}\" (func))");
        let module_bytes = with_contract(&text.replacen("(module", &import, 1));
        says(
            &stage.refused_bytes(module_bytes).await,
            "unknown_import",
            module,
        );
    }
}

#[tokio::test]
async fn a_component_that_wants_the_machine_is_refused_by_name() {
    let stage = Stage::new().await;
    let mut component = wat(
        r#"(component (import "wasi:http/outgoing-handler@0.2.0" (instance)) (instance $p) (export "tollgate:policy/policy@0.1.0" (instance $p)))"#,
    );
    says(
        &stage.refused_bytes(component.clone()).await,
        "unknown_import",
        "wasi:http/outgoing-handler@0.2.0",
    );
    component.truncate(component.len() - 1);
    assert!(stage.refused_bytes(component).await.code != "unknown_import");
}

#[tokio::test]
async fn an_empty_export_of_the_right_name_does_not_fit_the_contract() {
    let stage = Stage::new().await;
    let component =
        wat(r#"(component (instance $p) (export "tollgate:policy/policy@0.1.0" (instance $p)))"#);
    let error = stage.refused_bytes(component).await;
    assert!(error.reason.contains("describe"), "{}: {error}", error.code);
}

#[tokio::test]
async fn an_import_that_is_not_granted_is_named() {
    let stage = Stage::new().await;
    for interface in [
        "kv",
        "limits",
        "secrets",
        "geo",
        "http-call",
        "cache",
        "shadow",
        "endpoints",
    ] {
        let mut spec = spec("hostile", guest::hostile(), json!({}));
        let grants = &mut spec.config.grants;
        match interface {
            "kv" => grants.kv = false,
            "limits" => grants.limits = false,
            "secrets" => grants.secrets.clear(),
            "geo" => grants.geo = false,
            "cache" => grants.cache = false,
            "shadow" => grants.shadow = false,
            "endpoints" => grants.endpoints = false,
            _ => grants.http_call = None,
        }
        says(
            &stage.refused(spec).await,
            "not_granted",
            &format!("`{interface}`"),
        );
    }
}

#[tokio::test]
async fn memories_that_the_engine_does_not_run_are_refused() {
    let stage = Stage::new().await;
    for (memory, extra) in [("i64 4", ""), ("4 8 shared", ""), ("4", "(memory 1)")] {
        let shape = Shape {
            memory,
            extra: extra.to_owned(),
            ..Shape::default()
        };
        let error = stage.refused_bytes(shape.module()).await;
        assert_eq!(error.code, "invalid", "{memory} {extra}: {error}");
        assert!(
            error.reason.contains("memor") || error.reason.contains("i64"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_memory_of_four_gibibytes_from_the_start_is_refused() {
    let stage = Stage::new().await;
    let error = stage
        .refused_bytes(
            Shape {
                memory: "65536",
                ..Shape::default()
            }
            .module(),
        )
        .await;
    assert_eq!(error.code, "start", "{error}");
    assert!(error.reason.contains("memory"), "{error}");
}

#[tokio::test]
async fn a_table_beyond_the_bound_from_the_start_is_refused() {
    let stage = Stage::new().await;
    let extra = "(table 10000000 funcref)".to_owned();
    let error = stage
        .refused_bytes(
            Shape {
                extra,
                ..Shape::default()
            }
            .module(),
        )
        .await;
    assert_eq!(error.code, "start", "{error}");
    assert!(error.reason.contains("table"), "{error}");
}

#[tokio::test]
async fn a_table_cannot_grow_beyond_its_bound() {
    let stage = Stage::new().await;
    let grows = Shape {
        extra: "(table $t 1 funcref)".to_owned(),
        on_request: "(call $drop (local.get $message))
            (if (i32.ne (table.grow $t (ref.null func) (i32.const 1000000)) (i32.const -1)) (then (unreachable)))"
            .to_owned(),
        ..Shape::default()
    };
    stage
        .load(spec("hostile", grows.module().into(), json!({})))
        .await;
    stage.the_neighbour_answers_as_before().await;
}

#[tokio::test]
async fn another_version_of_the_contract_is_named() {
    let stage = Stage::new().await;
    for version in ["0.2.0", "0.0.9", "999.0.0", "0.1.0-rc.1"] {
        let shape = Shape {
            version,
            ..Shape::default()
        };
        for wasm in [shape.module(), shape.component()] {
            let error = stage.refused_bytes(wasm).await;
            says(&error, "contract_version", version);
            assert!(
                error.reason.contains("this gateway speaks 0.1.0"),
                "{error}"
            );
        }
    }
}

fn wat(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap_or_else(|error| panic!("{error}"))
}

/// A module in text, with the contract written into it.
fn with_contract(text: &str) -> Vec<u8> {
    Shape::default().embed(wat(text))
}

/// SplitMix64: the same bytes in every run.
fn next(seed: &mut u64) -> u64 {
    *seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*seed ^ (*seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
