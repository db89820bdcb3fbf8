//! The next target in line.

use super::*;
use crate::{anthropic::claude, scripted::Scripted};

#[tokio::test]
async fn each_failure_leads_to_the_next_target() {
    let far = standin("").await;
    let refusing = refusing();
    let waits = "timeouts: { first_byte: 300ms }";
    for (near, outcome) in [
        (None, "connect"),
        (Some("cut-headers"), "reset"),
        (Some("stall-before"), "first_byte_timeout"),
        (Some("fail=500"), "status"),
        (Some("fail=429,retry-after=60"), "status"),
        (Some("fail=529"), "status"),
    ] {
        let near = match near {
            Some(behaviour) => Some(standin(behaviour).await),
            None => None,
        };
        let first = near.as_ref().map_or(url(refusing.addr), Standin::url);
        let site = Site::start(&in_line(&first, &far.url(), waits)).await;
        let answer = site.chat().send().await;
        assert_eq!(answer.status, 200, "{outcome}: {}", answer.text());
        assert_eq!(answer.json()["model"], "other");
        let line = site.exchanges(1).await.pop().unwrap();
        assert_eq!(outcomes(&line), [outcome]);
        assert_eq!(
            (&line["upstream"], &line["target_model"], &line["reason"]),
            (&"far".into(), &"other".into(), &"fallback".into())
        );
        let each = r#"tollgate_upstream_attempts_total{upstream="near",reason="first"}"#;
        assert_eq!(site.metric(each).await, 1.0);
        let each = r#"tollgate_upstream_attempts_total{upstream="far",reason="fallback"}"#;
        assert_eq!(site.metric(each).await, 1.0);
    }
}

#[tokio::test]
async fn what_is_the_clients_fault_leads_nowhere_else() {
    let far = standin("").await;
    for status in [400, 401, 404, 422] {
        let near = standin(&format!("fail={status}")).await;
        let site = Site::start(&in_line(&near.url(), &far.url(), "")).await;
        assert_eq!(site.chat().send().await.status, status);
    }
    let near = standin("fail=503").await;
    let only = "fallback_on: [ connect ]";
    let site = Site::start(&in_line(&near.url(), &far.url(), only)).await;
    assert_eq!(site.chat().send().await.status, 503);
    assert_eq!(far.seen().requests, 0);
}

#[tokio::test]
async fn the_last_failure_is_the_answer() {
    let (near, far) = (standin("fail=503").await, refusing());
    let site = Site::start(&in_line(&near.url(), &url(far.addr), "")).await;
    assert_eq!(
        site.chat().send().await.refusal(),
        (502, "upstream_unreachable".to_owned())
    );
    let line = site.exchanges(1).await.pop().unwrap();
    assert_eq!(outcomes(&line), ["status", "connect"]);
    assert_eq!(
        (&line["attempts"], &line["upstream"]),
        (&2.into(), &"far".into())
    );
}

#[tokio::test]
async fn an_upstream_that_a_policy_named_has_nobody_behind_it() {
    let (near, far) = (standin("fail=503").await, standin("").await);
    let config = format!(
        "policies: {{ probe: {{ PROBE, on_error: refuse, settings: {{ go_to: {{ upstream: near }} }} }} }}\n{}",
        in_line(&near.url(), &far.url(), "").replace("match:", "policies: [ probe ], match:")
    );
    let site = Site::start(&config).await;
    assert_eq!(site.chat().send().await.status, 503);
    assert_eq!((near.seen().requests, far.seen().requests), (1, 0));
}

/// Two targets with a policy each that marks what it sees.
fn marked(near: &str, far: &str, first: &str, second: &str) -> String {
    format!(
        r#"
policies:
  a: {{ PROBE, on_error: refuse, settings: {{ mark: a, attempt: {{ append_headers: {{ x-by: a }} }}, response: {{ append_headers: {{ x-back: a }} }} }} }}
  b: {{ PROBE, on_error: refuse, settings: {{ mark: b, attempt: {{ append_headers: {{ x-by: b }} }}, response: {{ append_headers: {{ x-back: b }} }} }} }}
upstreams:
  near: {{ endpoints: [ "{near}" ] }}
  far: {{ endpoints: [ "{far}" ] }}
models:
  small:
    targets: [ {{ upstream: near, policies: [ {first} ] }} ]
    fallback: [ {{ upstream: far, policies: [ {second} ] }} ]
routes: [ {{ name: chat, match: {{ path: /v1/chat/completions }} }} ]
"#
    )
}

#[tokio::test]
async fn policies_of_a_target_that_was_given_up_have_no_part_in_anothers_answer() {
    let (near, far) = (standin("fail=503").await, standin("tokens=4").await);
    let site = Site::start(&marked(&near.url(), &far.url(), "a", "b")).await;
    let answer = site.chat().send().await;
    assert_eq!(answer.json()["mark"], "b");
    assert_eq!(answer.header("x-back"), Some("b"));
    let seen = far.seen();
    let heard = seen.newest().unwrap();
    assert_eq!(
        heard.header_values("x-by"),
        ["b"],
        "from what the route left"
    );
    assert_eq!(heard.header("x-attempt"), Some("far openai small 2"));
    let stream = site.streamed().stream().await.collect().await;
    assert!(stream.is_complete());
    assert!(stream.events[0].contains(r#""mark":"b""#), "{stream:?}");
    assert!(
        !stream
            .events
            .iter()
            .any(|event| event.contains(r#""mark":"a""#))
    );
    // Both were told how it ended.
    for line in site.exchanges(2).await {
        let policies = line["policies"].as_array().unwrap();
        let names: Vec<_> = policies.iter().map(|policy| &policy["policy"]).collect();
        assert_eq!(names, ["a", "b"], "{line}");
        assert!(policies.iter().all(|policy| policy["failure"].is_null()));
    }
    site.metric_becomes("tollgate_exchanges_open", 0.0).await;
}

#[tokio::test]
async fn a_policy_of_both_targets_keeps_its_session_and_takes_the_place_of_the_second() {
    let (near, far) = (standin("fail=503").await, standin("").await);
    let site = Site::start(&marked(&near.url(), &far.url(), "a", "b, a")).await;
    let answer = site.chat().send().await;
    let back: Vec<_> = answer.headers.get_all("x-back").iter().collect();
    assert_eq!(back, ["a", "b"], "the last is asked first on the way back");
    let seen = far.seen();
    let heard = seen.newest().unwrap();
    assert_eq!(heard.header_values("x-by"), ["b", "a"]);
    let line = site.exchanges(1).await.pop().unwrap();
    assert_eq!(line["policies"].as_array().unwrap().len(), 2, "{line}");
}

#[tokio::test]
async fn a_fallback_may_speak_another_dialect() {
    let far = Scripted::start(claude::answer).await;
    for near in ["fail=503", "cut-headers"] {
        let near = standin(near).await;
        let config = format!(
            r#"
policies:
  dialect: {{ plugin: anthropic, on_error: refuse, limits: {{ hook_time: 500ms }}, settings: {{ client: openai }} }}
upstreams:
  near: {{ endpoints: [ "{}" ] }}
  far: {{ endpoints: [ "http://{}" ], dialect: anthropic, headers: {{ x-api-key: key }} }}
models:
  small:
    targets: [ {{ upstream: near }} ]
    fallback: [ {{ upstream: far, model: inner, policies: [ dialect ] }} ]
routes: [ {{ name: chat, match: {{ path: /v1/chat/completions }} }} ]
"#,
            near.url(),
            far.addr
        );
        let site = Site::start(&config).await;
        let answer = site.chat().send().await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let said = answer.json();
        assert_eq!(said["object"], "chat.completion");
        assert_eq!(said["choices"][0]["message"]["content"], claude::SAYS);
        assert_eq!(far.newest().path, "/v1/messages");
        assert_eq!(far.newest().json()["model"], "inner");
        let stream = site.streamed().stream().await.collect().await;
        assert!(stream.is_complete(), "{stream:?}");
        assert_eq!(stream.text(), claude::SAYS);
        assert_eq!(near.seen().newest().unwrap().path, "/v1/chat/completions");
    }
}

#[tokio::test]
async fn a_dialect_in_front_does_not_read_what_its_fallback_answers() {
    let near = Scripted::saying(crate::scripted::Said::json(
        529,
        &serde_json::json!({ "type": "error", "error": { "type": "overloaded_error", "message": "m" } }),
    ))
    .await;
    let far = standin("").await;
    let config = format!(
        r#"
policies:
  dialect: {{ plugin: anthropic, on_error: refuse, limits: {{ hook_time: 500ms }}, settings: {{ client: openai }} }}
upstreams:
  near: {{ endpoints: [ "http://{}" ], dialect: anthropic }}
  far: {{ endpoints: [ "{}" ] }}
models:
  small:
    targets: [ {{ upstream: near, model: inner, policies: [ dialect ] }} ]
    fallback: [ {{ upstream: far }} ]
routes: [ {{ name: chat, match: {{ path: /v1/chat/completions }} }} ]
"#,
        near.addr,
        far.url()
    );
    let site = Site::start(&config).await;
    let answer = site.chat().send().await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.json()["model"], "small");
    let seen = far.seen();
    let heard = seen.newest().unwrap();
    assert_eq!(heard.path, "/v1/chat/completions");
    assert_eq!(heard.json()["messages"][0]["content"], "Name three rivers.");
    assert_eq!(near.newest().path, "/v1/messages");
    assert!(site.streamed().stream().await.collect().await.is_complete());
}
