//! Valid modules and components that nobody meant: wasm-smith's, made by `tests/random`
//! and kept, since the crate itself would have wasmtime built with other features.

use std::collections::BTreeMap;

use serde_json::json;

use crate::{
    shape::Shape,
    stage::{Stage, spec},
};

/// Each begins with its length in four bytes.
fn all() -> Vec<Vec<u8>> {
    let mut rest = &include_bytes!("random.bin")[..];
    let mut all = Vec::new();
    while let Some((length, after)) = rest.split_first_chunk() {
        let (one, after) = after.split_at(u32::from_le_bytes(*length) as usize);
        all.push(one.to_vec());
        rest = after;
    }
    all
}

fn is_module(wasm: &[u8]) -> bool {
    wasm[4] == 1
}

/// How many were refused by which code.
async fn refused(stage: &Stage, all: Vec<Vec<u8>>) -> BTreeMap<String, u32> {
    let mut codes = BTreeMap::new();
    for (nth, wasm) in all.into_iter().enumerate() {
        let loaded = stage
            .sandbox
            .load(spec("hostile", wasm.into(), json!({})))
            .await;
        let error = loaded.expect_err(&format!("number {nth} is no policy"));
        assert!(!error.reason.is_empty() && error.reason.len() < 8192);
        *codes.entry(error.code).or_default() += 1;
        if nth % 50 == 0 {
            stage.the_neighbour_answers_as_before().await;
        }
    }
    stage.the_neighbour_answers_as_before().await;
    println!("{codes:?}");
    // No code of a compiler that failed or was stopped.
    assert!(
        !codes.contains_key("compile") && !codes.contains_key("compile_budget"),
        "{codes:?}"
    );
    codes
}

#[tokio::test]
async fn random_modules_and_components_are_no_policies() {
    let codes = refused(&Stage::with_child().await, all()).await;
    assert!(codes["not_a_policy"] > 100, "{codes:?}");
}

/// With the contract in them they get as far as their imports and exports let them:
/// some have a policy's, and are started and asked to describe themselves.
#[tokio::test]
async fn random_modules_with_the_contract_in_them_are_no_policies() {
    let shape = Shape::default();
    let modules = all().into_iter().filter(|wasm| is_module(wasm));
    let modules = modules.map(|wasm| shape.embed(wasm)).collect();
    let codes = refused(&Stage::with_child().await, modules).await;
    assert!(codes.len() > 2, "{codes:?}");
}
