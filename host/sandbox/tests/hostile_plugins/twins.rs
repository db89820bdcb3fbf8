//! A plugin that runs as a module of its own and one that runs as a component answer
//! alike, whatever they do.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Value, json};
use tollgate_config::Isolation;
use tollgate_sandbox::{ExchangeContext, Failure, Message, Policy};

use crate::{
    guest,
    shape::Shape,
    stage::{Stage, head, message, spec, strike, strike_apart, strike_as},
};

/// What a strike comes to, without words that only one of both would use.
fn summary(struck: &Result<crate::stage::Struck, Failure>) -> String {
    match struck {
        Ok(struck) => format!("{struck:?}"),
        Err(Failure::Trapped(_)) => "trapped".to_owned(),
        Err(other) => other.what(),
    }
}

pub(crate) fn hostile_component() -> Bytes {
    wit_component::ComponentEncoder::default()
        .module(&guest::hostile())
        .and_then(|encoder| encoder.encode())
        .expect("the guest has the contract in it")
        .into()
}

async fn load(stage: &Stage, wasm: Bytes, isolation: Isolation, settings: &Value) -> Arc<Policy> {
    let mut spec = spec("hostile", wasm, settings.clone());
    spec.config.isolation = isolation;
    stage.load(spec).await
}

/// Three strikes and what an honest exchange sees after each, whether sessions open with
/// their first question or before.
async fn answers(policy: &Arc<Policy>, deed: &str) -> Vec<String> {
    let mut answers = Vec::new();
    for apart in [false, true, false] {
        for path in ["/strike", "/honest"] {
            let struck = match apart {
                true => strike_apart(policy, path, deed).await,
                false => strike_as(policy, path, deed).await,
            };
            answers.push(summary(&struck));
        }
    }
    let (together, apart) = (&answers[..2], &answers[2..4]);
    assert_eq!(together, apart, "{deed}");
    answers
}

#[tokio::test]
async fn a_module_and_its_component_answer_alike_whatever_they_do() {
    let stage = Stage::new().await;
    let mut twins = Vec::new();
    for wasm in [guest::hostile(), hostile_component()] {
        // Compiled once: the exchange says what is to be done.
        let spec = spec("hostile", wasm, json!({ "mode": "ask" }));
        twins.push(stage.prepare(spec).await);
    }
    let mut failed = 0;
    for &mode in MODES {
        for hook in HOOKS {
            let deed = json!({ "mode": mode, "hook": hook, "text": "x-text", "amount": 300 });
            // State that one leaves with the host is for both to find.
            let mut both = Vec::new();
            for twin in &twins {
                // One for each deed, or it would soon be in quarantine.
                let policy = stage.policy_of(twin);
                both.push((policy.runs_as(), answers(&policy, &deed.to_string()).await));
                failed += policy.stats().failures.iter().sum::<u64>();
            }
            assert_eq!((both[0].0, both[1].0), ("module", "component"));
            assert_eq!(both[0].1, both[1].1, "{mode} in {hook}");
        }
    }
    assert!(failed > 100, "only {failed} strikes failed: it did nothing");
    stage.the_neighbour_answers_as_before().await;
}

#[tokio::test]
async fn a_component_of_another_tool_is_asked_everything_too() {
    let stage = Stage::new().await;
    let shape = Shape::default();
    for (wasm, form) in [(shape.module(), "module"), (shape.component(), "component")] {
        let policy = stage.load(spec("shape", wasm.into(), json!({}))).await;
        assert_eq!(policy.runs_as(), form);
        for _ in 0..20 {
            assert!(strike(&policy, "/strike").await.is_ok());
        }
    }
}

/// One call may not make the host hold the body a thousand times.
#[tokio::test]
async fn one_field_asked_for_again_and_again_is_more_than_a_call_hands_over() {
    let stage = Stage::new().await;
    let settings = json!({ "mode": "json-many", "hook": "request", "text": "", "amount": 900 });
    for wasm in [guest::hostile(), hostile_component()] {
        let policy = load(&stage, wasm, Isolation::Exchange, &settings).await;
        let body = format!(r#"{{"model":"{}"}}"#, "m".repeat(1 << 20));
        let mut shown = Message {
            body: Some(body.into()),
            ..message("/strike")
        };
        let context = ExchangeContext::default();
        let mut session = policy.open(&head("/strike"), &context).await.unwrap();
        let failure = session.on_request(&mut shown).await.unwrap_err();
        assert!(failure.to_string().contains("asked for more"), "{failure}");
    }
    stage.the_neighbour_answers_as_before().await;
}

#[tokio::test]
async fn a_session_that_opens_with_its_first_question_has_a_count_of_calls_for_each() {
    let stage = Stage::new().await;
    let now = |times: usize| "(drop (call $now))".repeat(times);
    for (in_open, in_hook, calls) in [(8, 8, Some(16)), (11, 0, None), (0, 11, None)] {
        let shape = Shape {
            open: now(in_open),
            on_request: format!("{} (call $drop (local.get $message))", now(in_hook)),
            ..Shape::default()
        };
        for wasm in [shape.module(), shape.component()] {
            let mut spec = spec("shape", wasm.into(), json!({}));
            spec.config.sandbox.host_calls = 10;
            let Some(calls) = calls else {
                let error = stage.refused(spec).await;
                assert!(error.to_string().contains("host call"), "{error}");
                continue;
            };
            let policy = stage.load(spec).await;
            let (head, context) = (head("/"), ExchangeContext::default());
            let mut shown = message("/");
            let opened = policy.open_and_request((&head, &context), &mut shown);
            let (session, decided) = opened.await.unwrap();
            assert!(decided.is_ok(), "{decided:?}");
            assert_eq!(session.spent().host_calls, calls);
            assert!(strike_apart(&policy, "/", "").await.is_ok());
        }
    }
}

#[tokio::test]
async fn a_session_that_fails_to_open_is_not_taken_for_the_one_before() {
    let stage = Stage::new().await;
    let shape = Shape {
        realloc: "(if (i32.gt_u (local.get 3) (i32.const 500)) (then unreachable))",
        ..Shape::default()
    };
    for wasm in [shape.module(), shape.component()] {
        let mut spec = spec("shape", wasm.into(), json!({}));
        spec.config.isolation = Isolation::Shared;
        let policy = stage.load(spec).await;
        let context = ExchangeContext::default();
        for (path, opens) in [("/", true), (&"/long".repeat(200), false)] {
            let (head, mut shown) = (head(path), message("/"));
            let opened = policy.open_and_request((&head, &context), &mut shown);
            match opened.await {
                Ok((session, _)) => {
                    assert!(opens);
                    session.close().await;
                }
                Err(_) => assert!(!opens),
            }
        }
    }
}

#[tokio::test]
async fn memory_that_was_refused_before_the_first_host_call_is_still_told() {
    let stage = Stage::new().await;
    let shape = Shape {
        on_request: "(drop (memory.grow (i32.const 60000))) (drop (call $now)) unreachable".into(),
        ..Shape::default()
    };
    for wasm in [shape.module(), shape.component()] {
        let error = stage.refused_bytes(wasm).await;
        assert!(error.to_string().contains("`limits.memory`"), "{error}");
    }
}

#[tokio::test]
async fn what_may_only_be_planned_for_a_request_is_not_planned_while_a_session_opens() {
    let stage = Stage::new().await;
    let deed = json!({ "mode": "cache-plan", "hook": "open" }).to_string();
    for wasm in [guest::hostile(), hostile_component()] {
        let policy = load(&stage, wasm, Isolation::Exchange, &json!({ "mode": "ask" })).await;
        for struck in [
            strike_as(&policy, "/strike", &deed).await,
            strike_apart(&policy, "/strike", &deed).await,
        ] {
            assert!(struck.is_ok_and(|struck| struck.plan.is_none()));
        }
    }
}

#[tokio::test]
async fn an_import_that_is_called_while_the_host_waits_for_memory_traps() {
    let stage = Stage::new().await;
    let shape = Shape {
        // Not for the settings, `{}`, but for the head of an exchange.
        realloc: "(if (i32.gt_u (local.get 3) (i32.const 40)) (then (drop (call $now))))",
        ..Shape::default()
    };
    for wasm in [shape.module(), shape.component()] {
        let error = stage.refused_bytes(wasm).await;
        assert_eq!(error.code, "sample", "{error}");
    }
}

/// Where it does it.
pub(crate) const HOOKS: [&str; 7] = [
    "open", "request", "attempt", "response", "events", "finish", "drop",
];

/// All that the guest can do and that has no counter behind it that both would share.
pub(crate) const MODES: &[&str] = &[
    "",
    "cache-plan",
    "shadow",
    "score",
    "header-value",
    "header-bytes",
    "header-long",
    "header-name",
    "append-name",
    "remove-name",
    "method",
    "path",
    "set-status",
    "body",
    "json-pointer",
    "json-text",
    "json-number",
    "fact-name",
    "fact-long",
    "edits",
    "reply-status",
    "reply-no-content",
    "reply-header",
    "refuse-status",
    "go-to",
    "more-actions",
    "hold",
    "huge-event",
    "many-events",
    "event-name",
    "event-bytes",
    "end-always",
    "forge-out-of-bounds",
    "forge-wraps",
    "forge-huge-length",
    "forge-list-length",
    "forge-misaligned",
    "forge-enum",
    "forge-handle",
    "forge-other-handle",
    "forge-drop-twice",
    "forged-far",
    "forged-text",
    "unreachable",
    "leave-behind",
    "secret",
    "place",
    "body-past-end",
];
