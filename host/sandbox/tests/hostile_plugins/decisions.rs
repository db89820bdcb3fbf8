//! Decisions that do not hold: refused as a whole, never applied in part.

use serde_json::{Value, json};
use tollgate_sandbox::Failure;

use crate::stage::{Stage, strike};

async fn bad(stage: &Stage, settings: Value) -> String {
    let failure = stage.fails(settings.clone()).await;
    let Failure::BadDecision(reason) = failure else {
        panic!("{settings}: {failure}")
    };
    assert!(
        reason.len() < 1024,
        "{settings}: a reason of {} bytes",
        reason.len()
    );
    reason
}

#[tokio::test]
async fn header_values_that_would_end_a_line_do_not_hold() {
    let stage = Stage::new().await;
    for value in ["a\r\nx-forged: 1", "a\n", "a\rb", "a\u{0}b", "\u{7f}"] {
        bad(
            &stage,
            json!({ "mode": "header-value", "hook": "request", "text": value }),
        )
        .await;
        bad(
            &stage,
            json!({ "mode": "reply-value", "hook": "request", "text": value }),
        )
        .await;
    }
    bad(&stage, json!({ "mode": "header-bytes", "hook": "request" })).await;
}

#[tokio::test]
async fn header_names_that_are_none_do_not_hold() {
    let stage = Stage::new().await;
    for name in [
        "", " x", "x ", "x:", ":path", ":status", "x\r\ny", "x\u{0}", "x y", "é", "(x)",
    ] {
        bad(
            &stage,
            json!({ "mode": "header-name", "hook": "request", "text": name }),
        )
        .await;
        bad(
            &stage,
            json!({ "mode": "append-name", "hook": "response", "text": name }),
        )
        .await;
    }
}

#[tokio::test]
async fn framing_and_hop_by_hop_headers_are_the_hosts() {
    let stage = Stage::new().await;
    for name in [
        "content-length",
        "Content-Length",
        "transfer-encoding",
        "connection",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "upgrade",
        "host",
    ] {
        for mode in ["header-name", "append-name", "remove-name", "reply-header"] {
            bad(
                &stage,
                json!({ "mode": mode, "hook": "request", "text": name }),
            )
            .await;
        }
    }
}

#[tokio::test]
async fn a_status_that_is_no_final_status_does_not_hold() {
    let stage = Stage::new().await;
    for status in [0, 1, 99, 100, 101, 103, 199, 600, 1000, 65_535] {
        bad(
            &stage,
            json!({ "mode": "reply-status", "hook": "request", "amount": status }),
        )
        .await;
        bad(
            &stage,
            json!({ "mode": "set-status", "hook": "response", "amount": status }),
        )
        .await;
    }
    for status in [0, 101, 200, 302, 1000] {
        bad(
            &stage,
            json!({ "mode": "refuse-status", "hook": "request", "amount": status }),
        )
        .await;
    }
}

#[tokio::test]
async fn a_path_that_is_none_does_not_hold() {
    let stage = Stage::new().await;
    for path in [
        "",
        "v1",
        "/a b",
        "/a\r\nhost: b",
        "/a\u{0}",
        "http://other/",
        "/a#b",
        "/../admin",
        "/a/../../admin",
        "/%61dmin",
        "/v1%2fadmin",
        "/é",
    ] {
        bad(
            &stage,
            json!({ "mode": "path", "hook": "request", "text": path }),
        )
        .await;
    }
}

#[tokio::test]
async fn a_method_that_is_none_or_opens_a_tunnel_does_not_hold() {
    let stage = Stage::new().await;
    for method in [
        "CONNECT",
        "TRACE",
        "",
        "G ET",
        "GET\r\n",
        "GET /x HTTP/1.1\r\n",
    ] {
        bad(
            &stage,
            json!({ "mode": "method", "hook": "request", "text": method }),
        )
        .await;
    }
}

#[tokio::test]
async fn edits_on_the_wrong_side_do_not_hold() {
    let stage = Stage::new().await;
    bad(
        &stage,
        json!({ "mode": "set-status", "hook": "request", "amount": 200 }),
    )
    .await;
    bad(
        &stage,
        json!({ "mode": "path", "hook": "response", "text": "/a" }),
    )
    .await;
    bad(
        &stage,
        json!({ "mode": "method", "hook": "response", "text": "GET" }),
    )
    .await;
    bad(
        &stage,
        json!({ "mode": "go-to", "hook": "response", "text": "u" }),
    )
    .await;
    bad(
        &stage,
        json!({ "mode": "go-to", "hook": "attempt", "text": "u" }),
    )
    .await;
}

#[tokio::test]
async fn too_many_edits_do_not_hold() {
    let stage = Stage::new().await;
    let reason = bad(
        &stage,
        json!({ "mode": "edits", "hook": "request", "amount": 65 }),
    )
    .await;
    assert!(reason.contains("65 edits; at most 64"), "{reason}");
    let failure = stage
        .fails(json!({ "mode": "edits", "hook": "request", "amount": 1_000_000 }))
        .await;
    assert!(!matches!(failure, Failure::NoInstance), "{failure}");
}

#[tokio::test]
async fn a_body_beyond_the_guests_memory_traps() {
    let stage = Stage::new().await;
    let failure = stage
        .fails(json!({ "mode": "body", "hook": "request", "amount": 64 << 20 }))
        .await;
    assert!(matches!(failure, Failure::Trapped(_)), "{failure}");
}

#[tokio::test]
async fn json_that_is_none_does_not_hold() {
    let stage = Stage::new().await;
    for text in ["", "{", "1 2", "NaN", "{\"a\":}", "\u{0}"] {
        bad(
            &stage,
            json!({ "mode": "json-text", "hook": "request", "text": text }),
        )
        .await;
    }
    let deep = "[".repeat(10_000) + &"]".repeat(10_000);
    bad(
        &stage,
        json!({ "mode": "json-text", "hook": "request", "text": deep }),
    )
    .await;
    bad(&stage, json!({ "mode": "json-number", "hook": "request" })).await;
    for pointer in ["model", "/a~2", "/a~"] {
        bad(
            &stage,
            json!({ "mode": "json-pointer", "hook": "request", "text": pointer }),
        )
        .await;
    }
    let deep = "/a".repeat(10_000);
    bad(
        &stage,
        json!({ "mode": "json-pointer", "hook": "request", "text": deep }),
    )
    .await;
}

#[tokio::test]
async fn an_answer_without_content_has_no_body() {
    let stage = Stage::new().await;
    bad(
        &stage,
        json!({ "mode": "reply-no-content", "hook": "request" }),
    )
    .await;
}

#[tokio::test]
async fn a_header_or_fact_of_a_megabyte_does_not_hold() {
    let stage = Stage::new().await;
    bad(
        &stage,
        json!({ "mode": "header-long", "hook": "request", "amount": 1 << 20 }),
    )
    .await;
    bad(
        &stage,
        json!({ "mode": "fact-long", "hook": "request", "amount": 1 << 20 }),
    )
    .await;
}

#[tokio::test]
async fn a_bad_decision_counts_toward_quarantine() {
    let stage = Stage::new().await;
    let policy = stage
        .hostile(json!({ "mode": "path", "hook": "request", "text": "x" }))
        .await;
    for _ in 0..20 {
        assert!(strike(&policy, "/strike").await.is_err());
    }
    assert!(policy.stats().quarantined);
    stage.the_neighbour_answers_as_before().await;
}
