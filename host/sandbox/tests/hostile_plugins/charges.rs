//! Tokens that are held for an exchange, and who lets go of them.

use std::sync::Arc;

use serde_json::{Value, json};
use tollgate_config::Isolation;
use tollgate_sandbox::{
    About, Charge, ExchangeContext, Message, Policy, Recalled, Remembered,
    contract::{Ending, Head, Outcome, Usage},
};

use crate::{
    guest,
    shape::Shape,
    stage::{Stage, about, head, header, message, outcome, spec, strike},
    twins::hostile_component,
};

async fn twins(stage: &Stage, settings: Value) -> [Arc<Policy>; 2] {
    let twin = async |wasm, name: &str| {
        let mut settings = settings.clone();
        settings["text"] = name.into();
        stage.load(spec("hostile", wasm, settings)).await
    };
    let twins = [
        twin(guest::hostile(), "a").await,
        twin(hostile_component(), "b").await,
    ];
    assert_eq!(
        twins.each_ref().map(|twin| twin.runs_as()),
        ["module", "component"]
    );
    twins
}

/// As the gateway has it decide: without waiting, where that can be.
async fn decides(
    policy: &Policy,
    remembered: &Remembered,
    about: &About<'_>,
    shown: &mut Message,
) -> bool {
    let before = shown.charges.len();
    match policy.decide_at_once(remembered, about, shown) {
        Some(true) => true,
        Some(false) => {
            assert_eq!(shown.charges.len(), before, "nothing is held");
            false
        }
        None => {
            assert_eq!(shown.charges.len(), before, "nothing is held");
            policy.decide_again(remembered, about, shown).await
        }
    }
}

/// What it said, and what it holds.
async fn ask(policy: &Arc<Policy>, body_bytes: Option<u64>) -> (String, Vec<Charge>) {
    let (head, mut shown) = (
        Head {
            body_bytes,
            ..head("/strike")
        },
        message("/strike"),
    );
    let context = ExchangeContext::default();
    let about = about(&head);
    let decision = match policy.recall(&about, &mut shown, true) {
        Recalled::Known(remembered) if decides(policy, &remembered, &about, &mut shown).await => {
            remembered.decision().clone()
        }
        recalled => {
            let asked = policy.ask((&about, recalled), (&head, &context), &mut shown, true);
            let (session, decided) = asked.await.expect("it opens");
            session.close().await;
            decided.expect("it decides")
        }
    };
    (header(&decision, "x-seen"), shown.charges)
}

fn used(tokens: u64) -> Outcome {
    Outcome {
        usage: Some(Usage {
            input_tokens: tokens,
            output_tokens: 0,
            cached_tokens: 0,
        }),
        ..outcome()
    }
}

async fn settle(charges: Vec<Charge>, outcome: &Outcome) {
    for charge in charges {
        charge.settle(outcome).get().await;
    }
}

#[tokio::test]
async fn tokens_are_held_by_the_bodys_length_and_charged_when_the_exchange_is_over() {
    let stage = Stage::new().await;
    let hold = json!({ "mode": "hold-tokens", "hook": "request", "amount": 100 });
    for policy in twins(&stage, hold).await {
        let mut all = Vec::new();
        for _ in 0..10 {
            // Three of input, for ten bytes at four each, and seven of output.
            let (said, charges) = ask(&policy, Some(10)).await;
            assert_eq!((said.as_str(), charges.len()), ("Ok(())", 1));
            all.push(charges);
        }
        let (said, charges) = ask(&policy, None).await;
        assert!(
            said.contains("remaining: 0") && charges.is_empty(),
            "{said}"
        );
        settle(all.pop().unwrap(), &used(2)).await;
        let (said, charges) = ask(&policy, Some(5)).await;
        assert!(
            said.contains("remaining: 8") && charges.is_empty(),
            "{said}"
        );
        let (said, charges) = ask(&policy, Some(4)).await;
        assert_eq!((said.as_str(), charges.len()), ("Ok(())", 1));
        // Whoever loses it has paid all of it.
        drop(charges);
        drop(all);
        let (said, _) = ask(&policy, Some(0)).await;
        assert!(said.contains("remaining: 0"), "{said}");
    }
    stage.the_neighbour_answers_as_before().await;
}

#[tokio::test]
async fn what_is_remembered_holds_again_and_never_more_than_there_is() {
    let stage = Stage::new().await;
    let hold = json!({ "mode": "hold-tokens", "hook": "request", "text": "c", "amount": 1000 });
    let policy = stage.hostile(hold).await;
    let mut all = Vec::new();
    loop {
        let (said, charges) = ask(&policy, Some(10)).await;
        if charges.is_empty() {
            // It is asked what it makes of that, and says so itself.
            assert!(said.contains("remaining: 0"), "{said}");
            break;
        }
        all.extend(charges);
    }
    assert_eq!(all.len(), 100);
    let remembered = policy.stats().remembered;
    assert_eq!(remembered, 99);
    settle(all, &used(0)).await;
    let (_, charges) = ask(&policy, Some(10)).await;
    assert_eq!(
        (charges.len(), policy.stats().remembered),
        (1, remembered + 1)
    );
}

#[tokio::test]
async fn a_thousand_at_once_hold_no_more_than_there_is() {
    let stage = Stage::new().await;
    let hold = json!({ "mode": "hold-tokens", "hook": "request", "text": "d", "amount": 5005 });
    let policy = stage.hostile(hold).await;
    let mut asked = tokio::task::JoinSet::new();
    for _ in 0..1000 {
        let policy = policy.clone();
        asked.spawn(async move { ask(&policy, Some(10)).await });
    }
    let asked = asked.join_all().await;
    let held = asked.iter().filter(|(_, charges)| !charges.is_empty());
    assert_eq!(held.count(), 500);
    assert!(policy.stats().remembered > 0);
}

#[tokio::test]
async fn tokens_are_held_for_a_request_alone_and_only_so_often() {
    let stage = Stage::new().await;
    // As much as one holds, whose body has 13 bytes.
    let hold = |hook: &str| json!({ "mode": "hold-tokens", "hook": hook, "amount": 11 });
    for hook in ["open", "attempt", "response", "events", "finish", "drop"] {
        for policy in twins(&stage, hold(hook)).await {
            let struck = strike(&policy, "/strike").await.unwrap();
            if hook == "attempt" {
                let said = struck.seen_at_attempt();
                assert!(said.contains("when its request comes"), "{said}");
            }
        }
    }
    // So there is all of it.
    for policy in twins(&stage, hold("request")).await {
        assert_eq!(ask(&policy, Some(13)).await.0, "Ok(())");
    }
    let of_nothing = json!({ "mode": "hold-tokens-of-nothing", "hook": "request", "amount": 9 });
    for policy in twins(&stage, of_nothing).await {
        let (said, charges) = ask(&policy, Some(10)).await;
        assert!(
            said.contains("at least one byte") && charges.is_empty(),
            "{said}"
        );
    }
    let flood = json!({ "mode": "hold-tokens-flood", "hook": "request", "amount": 200 });
    for policy in twins(&stage, flood).await {
        let (said, charges) = ask(&policy, Some(10)).await;
        assert!(
            said.starts_with("64: ") && said.contains("too many"),
            "{said}"
        );
        assert_eq!(charges.len(), 64);
    }
    let labels = json!({ "mode": "hold-tokens-labels", "hook": "request", "amount": 100_000 });
    for policy in twins(&stage, labels).await {
        let (said, charges) = ask(&policy, Some(10)).await;
        assert!(said.contains("too many labels"), "{said}");
        assert!(charges.is_empty());
    }
    stage.the_neighbour_answers_as_before().await;
}

/// A policy that says this of itself in its first hook, and that has all others.
async fn says(stage: &Stage, word: u32, isolation: Isolation) -> Arc<Policy> {
    let shape = Shape {
        extra: r#"(global (export "tollgate_seen") i32 (i32.const 3000))"#.to_owned(),
        on_request: format!(
            "(i32.store (i32.const 3000) (i32.const {word})) (call $drop (local.get $message))"
        ),
        ..Shape::default()
    };
    let mut spec = spec("shape", shape.module().into(), json!({}));
    spec.config.isolation = isolation;
    stage.load(spec).await
}

const LEAVES: u32 = 1 << 3;
const STATELESS: u32 = 1 << 31;

#[tokio::test]
async fn who_leaves_with_the_request_is_asked_nothing_else_and_can_be_remembered() {
    let stage = Stage::new().await;
    for (word, isolation, remembered) in [
        (0, Isolation::Exchange, 0),
        (LEAVES, Isolation::Exchange, 3),
        (LEAVES, Isolation::Shared, 0),
        (LEAVES | STATELESS, Isolation::Shared, 3),
        (STATELESS, Isolation::Shared, 0),
    ] {
        let policy = says(&stage, word, isolation).await;
        let leaves = word & LEAVES != 0;
        for _ in 0..5 {
            let (head, context) = (head("/"), ExchangeContext::default());
            let mut shown = message("/");
            let about = about(&head);
            let recalled = policy.recall(&about, &mut shown, false);
            if let Recalled::Known(remembered) = &recalled {
                assert!(policy.decide_again(remembered, &about, &mut shown).await);
                continue;
            }
            let asked = policy.ask((&about, recalled), (&head, &context), &mut shown, false);
            let (mut session, decided) = asked.await.unwrap();
            decided.unwrap();
            assert_eq!(session.has_left(), leaves, "{word} {isolation:?}");
            session.on_finish(&outcome()).await.unwrap();
            session.close().await;
        }
        let stats = policy.stats();
        // The first shows that it leaves, and of the second it is kept.
        assert_eq!(stats.remembered, remembered, "{word} {isolation:?}");
        assert_eq!(
            stats.calls[4],
            if leaves { 0 } else { 5 },
            "{word} {isolation:?}"
        );
    }
}

#[tokio::test]
async fn who_leaves_a_session_that_opened_before_is_asked_nothing_else_either() {
    let stage = Stage::new().await;
    let policy = says(&stage, LEAVES, Isolation::Exchange).await;
    let context = ExchangeContext::default();
    let mut session = policy.open(&head("/"), &context).await.unwrap();
    assert!(!session.has_left());
    session.on_request(&mut message("/")).await.unwrap();
    assert!(session.has_left());
    let ended = Outcome {
        ending: Ending::ClientGone,
        ..outcome()
    };
    session.on_finish(&ended).await.unwrap();
    assert_eq!(policy.stats().calls[4], 0);
}
