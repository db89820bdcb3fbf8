//! What a policy decided before, and when it has to be asked all the same.

use std::{collections::HashSet, sync::Arc};

use serde_json::json;
use tollgate_config::Isolation;
use tollgate_sandbox::{
    About, ExchangeContext, Failure, Message, Policy, Recalled,
    contract::{Decision, Head},
};

use crate::{
    guest,
    shape::Shape,
    stage::{Stage, about, head, message, spec},
    twins::{HOOKS, MODES, hostile_component},
};

/// As the gateway asks a policy that it will ask nothing else in the exchange.
async fn ask(policy: &Arc<Policy>, head: &Head, shown: &mut Message) -> Result<Decision, Failure> {
    let context = ExchangeContext::default();
    let about = about(head);
    let recalled = match policy.recall(&about, shown, true) {
        Recalled::Known(remembered) if policy.decide_again(&remembered, &about, shown).await => {
            return Ok(remembered.decision().clone());
        }
        recalled => recalled,
    };
    let (session, decided) = policy
        .ask((&about, recalled), (head, &context), shown, true)
        .await?;
    session.close().await;
    decided
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

/// The head is the same each time, so it is what is read that tells requests apart.
#[tokio::test]
async fn what_is_read_in_whatever_way_tells_requests_apart() {
    let stage = Stage::new().await;
    let settings = json!({ "mode": "read-all", "hook": "request" });
    let policies = [
        stage.hostile(settings.clone()).await,
        stage.hostile(settings).await,
    ];
    let mut seen = HashSet::new();
    let changes: [fn(&mut Message); 9] = [
        |_| {},
        |shown| drop(shown.headers.insert("x-a", "1".parse().unwrap())),
        |shown| drop(shown.headers.insert("x-b", "1".parse().unwrap())),
        |shown| drop(shown.headers.insert("x-c", "1".parse().unwrap())),
        |shown| shown.body = Some(r#"{"a":1}"#.into()),
        |shown| shown.body = Some(r#"{"b":1}"#.into()),
        |shown| shown.body = Some(r#"{"c":"1"}"#.into()),
        |shown| shown.set_fact("f", "1"),
        |shown| shown.set_fact("x-a", "1"),
    ];
    for round in 0..3 {
        for (nth, change) in changes.iter().enumerate() {
            let shown = || {
                let mut shown = message("/strike");
                change(&mut shown);
                shown
            };
            let (head, mut one, mut other) = (head("/strike"), shown(), shown());
            let decided = ask(&policies[0], &head, &mut one).await;
            let anew = ask_anew(&policies[1], &head, &mut other).await;
            assert_eq!(summary(&decided), summary(&anew), "{nth} in round {round}");
            seen.insert(summary(&anew));
        }
    }
    // That a fact has a header's name makes no difference to who reads the header.
    assert_eq!(seen.len(), changes.len() - 1);
    let remembered = policies[0].stats().remembered;
    assert_eq!(remembered as usize, 2 * changes.len() + 1);
}

#[tokio::test]
async fn one_failure_in_a_hundred_is_borne_where_the_rest_is_remembered() {
    let stage = Stage::new().await;
    let settings = json!({ "mode": "unreachable", "hook": "request" });
    let policy = stage.hostile(settings).await;
    for _ in 0..50 {
        for _ in 0..99 {
            let asked = ask(&policy, &head("/honest"), &mut message("/honest")).await;
            asked.unwrap();
        }
        let asked = ask(&policy, &head("/strike"), &mut message("/strike")).await;
        asked.unwrap_err();
    }
    assert!(!policy.stats().quarantined);
    assert!(policy.stats().remembered > 4900);
}

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
    none.config.sandbox.remembered_decisions = 0;
    assert_eq!(remembered(&stage.load(none).await).await, 0);
}

#[tokio::test]
async fn who_watches_sees_the_policy_asked() {
    let stage = Stage::new().await;
    let policy = stage.hostile(json!({})).await;
    assert_eq!(remembered(&policy).await, 4);
    let (head, mut shown) = (head("/honest"), message("/honest"));
    let about = About {
        recorded: true,
        ..about(&head)
    };
    let recalled = policy.recall(&about, &mut shown, true);
    assert!(matches!(recalled, Recalled::Resting));
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
    // Of the lengths one is 0, so who saw whether there is a body is asked twice.
    for (word, of_length, of_time) in [
        (0, 4, 4),
        (1, 0, 4),
        (2, 4, 0),
        (3, 0, 0),
        (4, 3, 4),
        (16, 0, 0),
    ] {
        for (by_length, expected) in [(true, of_length), (false, of_time)] {
            let policy = stage
                .load(spec("shape", says(word, 3000).into(), json!({})))
                .await;
            assert_eq!(policy.runs_as(), "module");
            for n in 0..5 {
                let mut head = head("/");
                match by_length {
                    true => head.body_bytes = Some(n),
                    false => head.deadline_ms = 60_000 * n as u32,
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
