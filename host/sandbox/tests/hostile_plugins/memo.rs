//! What a policy decided before, and when it has to be asked all the same.

use std::sync::Arc;

use serde_json::json;
use tollgate_config::Isolation;
use tollgate_sandbox::{
    AskedOnce, ExchangeContext, Failure, Message, Policy,
    contract::{Decision, Head},
};

use crate::{
    guest,
    shape::Shape,
    stage::{Stage, head, message, spec},
    twins::{HOOKS, MODES, hostile_component},
};

/// As the gateway asks a policy that it will ask nothing else in the exchange.
async fn ask(policy: &Arc<Policy>, head: &Head, shown: &mut Message) -> Result<Decision, Failure> {
    match policy
        .ask_once((head, &ExchangeContext::default()), shown)
        .await?
    {
        AskedOnce::Remembered(decision, spent) => {
            assert_eq!(spent.host_calls, 0);
            Ok(decision)
        }
        AskedOnce::Asked(session, decided) => {
            session.close().await;
            decided
        }
    }
}

async fn ask_anew(
    policy: &Arc<Policy>,
    head: &Head,
    shown: &mut Message,
) -> Result<Decision, Failure> {
    let context = ExchangeContext::default();
    let (session, decided) = policy.open_and_request((head, &context), shown).await?;
    session.close().await;
    decided
}

/// Of the same requests, one after the other.
fn summary(decided: &Result<Decision, Failure>) -> String {
    match decided {
        Ok(decided) => format!("{decided:?}"),
        Err(failure) => failure.what(),
    }
}

#[tokio::test]
async fn being_remembered_changes_nothing_whatever_a_policy_does() {
    // Two stages, since what a guest leaves with the host is for all its policies to find.
    let stages = [Stage::new().await, Stage::new().await];
    let mut prepared = Vec::new();
    for stage in &stages {
        let spec = spec("hostile", guest::hostile(), json!({ "mode": "ask" }));
        prepared.push(stage.prepare(spec).await);
    }
    let mut remembered = 0;
    for &mode in MODES.iter().chain(&WITH_THE_HOST) {
        for hook in HOOKS {
            let deed = json!({ "mode": mode, "hook": hook, "text": "x-text", "amount": 300 });
            let [one, other] = [0, 1].map(|at| stages[at].policy_of(&prepared[at]));
            for path in ["/strike", "/strike", "/honest", "/strike", "/honest"] {
                let head = Head {
                    route: deed.to_string(),
                    ..head(path)
                };
                let (mut first, mut second) = (message(path), message(path));
                let before = one.stats().remembered;
                let was_remembered = || one.stats().remembered > before;
                let decided = ask(&one, &head, &mut first).await;
                let anew = ask_anew(&other, &head, &mut second).await;
                assert_eq!(summary(&decided), summary(&anew), "{mode} in {hook}");
                let left = |shown: &Message| format!("{:?} {:?}", shown.plan, shown.shadow);
                assert_eq!(left(&first), left(&second), "{mode} in {hook}");
                let asks_the_host = ["open", "request"].contains(&hook)
                    && path == "/strike"
                    && WITH_THE_HOST.contains(&mode);
                assert!(!asks_the_host || !was_remembered(), "{mode} in {hook}");
            }
            let (calls, calls_anew) = (one.stats().calls, other.stats().calls);
            assert_eq!(calls, calls_anew, "{mode} in {hook}");
            assert_eq!(one.stats().failures, other.stats().failures);
            remembered += one.stats().remembered;
        }
    }
    assert!(remembered > 400, "it was asked each time: {remembered}");
    for stage in &stages {
        stage.the_neighbour_answers_as_before().await;
    }
}

/// What is another each time, or leaves something with the host.
const WITH_THE_HOST: [&str; 8] = [
    "log",
    "kv-put",
    "kv-get",
    "host-calls",
    "secret",
    "place",
    "cache-plan",
    "shadow",
];

/// How often the same request is not even asked about, of five times.
async fn remembered(policy: &Arc<Policy>) -> u64 {
    for _ in 0..5 {
        let asked = ask(policy, &head("/honest"), &mut message("/honest")).await;
        assert!(asked.is_ok(), "{asked:?}");
    }
    policy.stats().remembered
}

#[tokio::test]
async fn the_same_request_is_asked_about_once() {
    let stage = Stage::new().await;
    let policy = stage.hostile(json!({})).await;
    assert_eq!(remembered(&policy).await, 4);
    stage.the_neighbour_answers_as_before().await;
}

#[tokio::test]
async fn nothing_is_remembered_of_a_component_or_without_room() {
    let stage = Stage::new().await;
    let component = spec("hostile", hostile_component(), json!({}));
    assert_eq!(remembered(&stage.load(component).await).await, 0);
    let mut none = spec("hostile", guest::hostile(), json!({}));
    none.config.sandbox.decisions = 0;
    assert_eq!(remembered(&stage.load(none).await).await, 0);
}

#[tokio::test]
async fn who_watches_sees_the_policy_asked() {
    let stage = Stage::new().await;
    let policy = stage.hostile(json!({})).await;
    assert_eq!(remembered(&policy).await, 4);
    let context = ExchangeContext {
        recorded: true,
        ..ExchangeContext::default()
    };
    let (head, mut shown) = (head("/honest"), message("/honest"));
    let asked = policy.ask_once((&head, &context), &mut shown).await;
    assert!(matches!(asked, Ok(AskedOnce::Asked(..))));
}

#[tokio::test]
async fn a_policy_in_quarantine_does_not_look_well() {
    let stage = Stage::new().await;
    let settings = json!({ "mode": "unreachable", "hook": "request" });
    let policy = stage.hostile(settings).await;
    assert_eq!(remembered(&policy).await, 4);
    for _ in 0..30 {
        let asked = ask(&policy, &head("/strike"), &mut message("/strike")).await;
        asked.unwrap_err();
    }
    assert!(policy.stats().quarantined);
    let asked = ask(&policy, &head("/honest"), &mut message("/honest")).await;
    assert_eq!(asked.unwrap_err(), Failure::Quarantined);
}

/// A policy that says where the word is that the host looks into, with this in it.
fn says(word: u32, address: u32) -> Vec<u8> {
    Shape {
        extra: format!(r#"(global (export "tollgate_seen") i32 (i32.const {address}))"#),
        on_request: format!(
            "(i32.store (i32.const 3000) (i32.const {word})) (call $drop (local.get $message))"
        ),
        ..Shape::default()
    }
    .module()
}

#[tokio::test]
async fn what_a_policy_says_that_it_did_not_see_does_not_tell_requests_apart() {
    let stage = Stage::new().await;
    for (word, of_length, of_time) in [(0, 4, 4), (1, 0, 4), (2, 4, 0), (3, 0, 0), (4, 0, 0)] {
        for (by_length, expected) in [(true, of_length), (false, of_time)] {
            let policy = stage
                .load(spec("shape", says(word, 3000).into(), json!({})))
                .await;
            assert_eq!(policy.runs_as(), "module");
            for n in 0..5 {
                let mut head = head("/");
                match by_length {
                    true => head.body_bytes = Some(n),
                    false => head.deadline_ms = n as u32,
                }
                ask(&policy, &head, &mut message("/")).await.unwrap();
            }
            assert_eq!(policy.stats().remembered, expected, "{word} {by_length}");
        }
    }
}

#[tokio::test]
async fn shared_instances_are_asked_each_time_unless_they_keep_nothing() {
    let stage = Stage::new().await;
    for (word, isolation, times) in [
        (0, Isolation::Shared, 0),
        (0, Isolation::Exchange, 4),
        (1 << 31, Isolation::Shared, 4),
        (1 << 31, Isolation::Exchange, 4),
    ] {
        let mut spec = spec("shape", says(word, 3000).into(), json!({}));
        spec.config.isolation = isolation;
        let policy = stage.load(spec).await;
        assert_eq!(remembered(&policy).await, times, "{word} {isolation:?}");
    }
}

#[tokio::test]
async fn a_word_that_is_not_in_the_memory_says_nothing() {
    let stage = Stage::new().await;
    for address in [4 * 65536 - 3, 4 * 65536, u32::MAX] {
        let policy = stage
            .load(spec("shape", says(0, address).into(), json!({})))
            .await;
        assert_eq!(remembered(&policy).await, 0, "{address}");
    }
}
