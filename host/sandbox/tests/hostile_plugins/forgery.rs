//! Pointers, lengths and handles that lie, at the level of the canonical ABI.

use serde_json::json;
use tollgate_sandbox::Failure;

use crate::{
    shape::Shape,
    stage::{Stage, spec, strike},
};

#[tokio::test]
async fn pointers_lengths_and_handles_that_lie_trap() {
    let stage = Stage::new().await;
    for mode in [
        "forge-out-of-bounds",
        "forge-wraps",
        "forge-huge-length",
        "forge-list-length",
        "forge-misaligned",
        "forge-not-utf8",
        "forge-enum",
        "forge-handle",
        "forge-other-handle",
        "forge-drop-twice",
        "forge-return-area",
    ] {
        let failure = stage
            .fails(json!({ "mode": mode, "hook": "request", "text": "text" }))
            .await;
        assert!(matches!(failure, Failure::Trapped(_)), "{mode}: {failure}");
    }
}

#[tokio::test]
async fn lists_that_share_one_megabyte_cannot_make_the_host_hold_gigabytes() {
    let stage = Stage::new().await;
    let before = peak_memory();
    let settings =
        json!({ "mode": "forge-overlap", "hook": "request", "text": "text", "amount": 100_000 });
    let failure = stage.fails(settings).await;
    assert!(matches!(failure, Failure::Trapped(_)), "{failure}");
    let settings = json!({ "mode": "forged-overlap", "hook": "request", "amount": 100_000 });
    let failure = stage.fails(settings).await;
    assert!(matches!(failure, Failure::Trapped(_)), "{failure}");
    assert!(
        peak_memory() - before < 1 << 30,
        "{} bytes more",
        peak_memory() - before
    );
}

#[tokio::test]
async fn answers_whose_pointers_lie_trap() {
    let stage = Stage::new().await;
    for mode in ["forged-far", "forged-long", "forged-text"] {
        let failure = stage
            .fails(json!({ "mode": mode, "hook": "request" }))
            .await;
        assert!(matches!(failure, Failure::Trapped(_)), "{mode}: {failure}");
    }
}

#[tokio::test]
async fn a_message_that_is_kept_beyond_its_hook_traps() {
    let stage = Stage::new().await;
    let wasm = Shape {
        on_request: String::new(),
        ..Shape::default()
    }
    .module();
    let error = stage.refused_bytes(wasm).await;
    assert_eq!(error.code, "sample");
    assert!(error.reason.contains("borrow"), "{error}");
}

#[tokio::test]
async fn the_plain_shape_itself_is_a_good_plugin() {
    let stage = Stage::new().await;
    for wasm in [Shape::default().module(), Shape::default().component()] {
        let policy = stage.load(spec("shape", wasm.into(), json!({}))).await;
        assert!(strike(&policy, "/strike").await.is_ok());
    }
}

/// The most memory that this process has ever had, in bytes.
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("this is Linux");
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM"))
        .expect("the kernel counts it");
    let kibibytes: u64 = line
        .split_whitespace()
        .nth(1)
        .expect("a number follows")
        .parse()
        .expect("it is a number");
    kibibytes << 10
}
