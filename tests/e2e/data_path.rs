//! Requests without a stream, from a client to the stand-in and back.

use serde_json::json;

use crate::fixture::{Site, chat_through, probing};

#[tokio::test]
async fn a_request_passes_a_policy_and_is_answered() {
    let site = Site::start(&probing(
        r#"mark: "one", request: { set_headers: { x-added: "yes" } }"#,
    ))
    .await;
    let answer = site.chat().send().await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.json()["system_fingerprint"], "one");
    assert_eq!(answer.json()["mark"], "one");
    assert_eq!(answer.header("x-tollgate-generation"), Some("1"));
    assert_eq!(
        site.standin.seen().newest().unwrap().header("x-added"),
        Some("yes")
    );
}
