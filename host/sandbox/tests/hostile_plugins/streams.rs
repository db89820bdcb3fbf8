//! Answers about events that do not hold, and events that are held for ever.

use serde_json::json;
use tollgate_sandbox::{ExchangeContext, Failure, contract::EventAction};

use crate::stage::{Stage, event, head, outcome};

#[tokio::test]
async fn more_actions_than_events_do_not_hold() {
    let stage = Stage::new().await;
    let failure = stage
        .fails(json!({ "mode": "more-actions", "hook": "events", "amount": 3 }))
        .await;
    let Failure::BadDecision(reason) = &failure else {
        panic!("{failure}")
    };
    assert!(reason.contains("3 actions for 2 events"), "{reason}");
}

#[tokio::test]
async fn names_and_data_that_would_forge_an_event_do_not_hold() {
    let stage = Stage::new().await;
    for name in ["a\ndata: forged", "a\r", "a\u{0}"] {
        let failure = stage
            .fails(json!({ "mode": "event-name", "hook": "events", "text": name }))
            .await;
        assert!(
            matches!(failure, Failure::BadDecision(_)),
            "{name:?}: {failure}"
        );
    }
    let failure = stage
        .fails(json!({ "mode": "event-bytes", "hook": "events" }))
        .await;
    assert!(
        matches!(failure, Failure::BadDecision(_)),
        "bytes that are not UTF-8: {failure}"
    );
}

#[tokio::test]
async fn an_event_that_grows_to_many_megabytes_does_not_hold() {
    let stage = Stage::new().await;
    let failure = stage
        .fails(json!({ "mode": "huge-event", "hook": "events", "amount": 8 << 20 }))
        .await;
    assert!(
        matches!(failure, Failure::BadDecision(_) | Failure::Trapped(_)),
        "{failure}"
    );
}

#[tokio::test]
async fn an_event_that_becomes_a_hundred_thousand_does_not_hold() {
    let stage = Stage::new().await;
    let failure = stage
        .fails(json!({ "mode": "many-events", "hook": "events", "amount": 100_000 }))
        .await;
    assert!(!matches!(failure, Failure::NoInstance), "{failure}");
}

#[tokio::test]
async fn events_that_are_held_for_ever_end_with_the_guests_own_memory() {
    let stage = Stage::new().await;
    let policy = stage
        .hostile(json!({ "mode": "hold", "hook": "events" }))
        .await;
    let mut session = policy
        .open(&head("/strike"), &ExchangeContext::default())
        .await
        .unwrap();
    let big = [event(&"x".repeat(1 << 20))];
    let failure = loop {
        match session.on_events(&big, false).await {
            Ok(decision) => assert!(matches!(decision.actions[..], [EventAction::Drop])),
            Err(failure) => break failure,
        }
    };
    assert!(
        matches!(failure, Failure::Trapped(_) | Failure::OutOfTime(_)),
        "{failure}"
    );
    assert!(policy.stats().memory_peak_bytes <= policy.config().sandbox.memory_bytes as u64);
    stage.the_neighbour_answers_as_before().await;
}

#[tokio::test]
async fn ending_a_stream_twice_and_appending_after_it_is_only_data() {
    let stage = Stage::new().await;
    let policy = stage
        .hostile(json!({ "mode": "end-always", "hook": "events" }))
        .await;
    let mut session = policy
        .open(&head("/strike"), &ExchangeContext::default())
        .await
        .unwrap();
    for last in [false, true] {
        let decision = session
            .on_events(&[event("a"), event("b")], last)
            .await
            .unwrap();
        assert!(
            decision
                .actions
                .iter()
                .all(|action| matches!(action, EventAction::End(_)))
        );
    }
    session.on_finish(&outcome()).await.unwrap();
    session.close().await;
    stage.the_neighbour_answers_as_before().await;
}
