//! A policy is told in the test kit what the gateway would tell it: how a stream begins and
//! ends, and how its exchange did.

#![allow(
    clippy::unwrap_used,
    reason = "clippy sees only `#[test]` functions as tests"
)]

use std::path::Path;

use serde_json::{Value, json};
use tollgate_testkit::{Exchange, Grants, Loaded, Plugin, contract::Ending};

/// A policy that does what its settings say.
fn probe(settings: Value) -> Loaded {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/guests/probe");
    let grants = Grants {
        kv: true,
        secrets: vec!["none".to_owned()],
        http_call: Some(tollgate_testkit::HttpCallGrant {
            hosts: Vec::new(),
            timeout: std::time::Duration::from_secs(1),
            max_response_bytes: 1024,
            max_calls: 1,
        }),
        ..Grants::default()
    };
    let plugin = Plugin::build(folder).unwrap().grants(grants);
    plugin.settings(settings).load().unwrap()
}

fn chat() -> Exchange {
    Exchange::post("/v1/chat/completions").json(json!({ "model": "m", "stream": true }))
}

const HELLO: &str = r#"{"choices":[{"index":0,"delta":{"content":"hello"}}]}"#;

#[test]
fn a_stream_ends_for_a_policy_if_it_ends_cleanly_and_before_the_mark() {
    let policy = probe(json!({ "farewell": "bye" }));
    let ended = |ending| {
        let exchange = chat().streamed(&[HELLO, "[DONE]"]).ending(ending);
        let run = policy.run(exchange).unwrap();
        assert_eq!(run.outcome.ending, ending);
        run.events
    };
    assert_eq!(ended(Ending::Complete), [HELLO, "bye", "[DONE]"]);
    let broken = chat().streamed(&[HELLO]);
    let run = policy.run(broken.ending(Ending::UpstreamFailed)).unwrap();
    assert_eq!(run.events, [HELLO], "it broke: there is no end to tell of");
    assert_eq!(run.outcome.ending, Ending::UpstreamFailed);
}

#[test]
fn a_stream_says_that_it_is_one() {
    let policy = probe(json!({ "response": { "set_headers": { "x-seen": "yes" } } }));
    let run = policy.run(chat().streamed(&[HELLO])).unwrap();
    let response = run.response.unwrap();
    assert_eq!(response.headers["content-type"], "text/event-stream");
    assert_eq!(response.headers["x-seen"], "yes");
    assert!(response.body.is_none());
}

#[test]
fn an_exchange_that_a_policy_refuses_or_answers_is_told_as_such_and_not_as_complete() {
    let refuse = json!({ "refuse": { "status": 403, "code": "no", "message": "No." } });
    let run = probe(refuse).run(chat().usage(5, 7)).unwrap();
    let outcome = &run.outcome;
    assert_eq!((outcome.ending, outcome.status), (Ending::Refused, 403));
    assert_eq!((outcome.attempts, &outcome.upstream), (0, &None));
    assert!(outcome.usage.is_none() && run.response.is_none());

    let run = probe(json!({})).run(chat().usage(5, 7)).unwrap();
    let outcome = &run.outcome;
    assert_eq!((outcome.ending, outcome.status), (Ending::Complete, 200));
    assert_eq!(outcome.attempts, 1);
    assert_eq!(outcome.usage.map(|usage| usage.output_tokens), Some(7));
}

#[test]
fn an_answer_in_the_place_of_a_stream_is_the_end_of_the_stream() {
    let policy = probe(json!({ "reply_instead": { "status": 418 }, "farewell": "bye" }));
    let exchange = chat().streamed(&[HELLO]).usage(5, 7);
    let run = policy.run(exchange.ending(Ending::UpstreamFailed)).unwrap();
    assert_eq!(run.events, [""; 0]);
    assert_eq!(
        (run.outcome.ending, run.outcome.status),
        (Ending::Complete, 418)
    );
    assert!(run.outcome.usage.is_none(), "nobody read it");
}
