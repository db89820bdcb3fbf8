//! Many at once, and exchanges whose client went away.

use std::{sync::Arc, time::Duration};

use serde_json::json;
use tollgate_sandbox::{ExchangeContext, Failure, Policy, SandboxOptions};

use crate::{
    guest,
    stage::{Stage, event, head, message, options, outcome, spec, strike},
};

/// A policy whose hooks loop for longer than any test waits.
async fn patient(stage: &Stage, hook: &str) -> Arc<Policy> {
    let mut spec = spec(
        "hostile",
        guest::hostile(),
        json!({ "mode": "loop", "hook": hook }),
    );
    spec.config.sandbox.hook_time = Duration::from_secs(600);
    spec.config.sandbox.exchange_time = Duration::from_secs(600);
    stage.load(spec).await
}

/// Polls it a few times, while the guest loops, and drops it.
async fn gone<T>(call: impl Future<Output = T>) {
    let mut call = Box::pin(call);
    for _ in 0..3 {
        let polled = std::future::poll_fn(|context| {
            std::task::Poll::Ready(call.as_mut().poll(context).is_ready())
        });
        assert!(!polled.await, "it loops");
    }
}

#[tokio::test]
async fn a_client_that_goes_away_while_the_guest_runs_takes_the_instance_along() {
    let stage = Stage::new().await;
    let policy = patient(&stage, "request").await;
    for _ in 0..20 {
        let mut session = policy
            .open(&head("/strike"), &ExchangeContext::default())
            .await
            .unwrap();
        gone(session.on_request(&mut message("/strike"))).await;
        drop(session);
        assert!(strike(&policy, "/honest").await.is_ok());
    }
    stage.the_neighbour_answers_as_before().await;
}

#[tokio::test]
async fn a_client_that_goes_away_while_a_session_opens_does_no_harm() {
    let stage = Stage::new().await;
    let policy = patient(&stage, "open").await;
    for _ in 0..20 {
        gone(policy.open(&head("/strike"), &ExchangeContext::default())).await;
        assert!(strike(&policy, "/honest").await.is_ok());
    }
    stage.the_neighbour_answers_as_before().await;
}

#[tokio::test]
async fn a_session_whose_hook_was_dropped_is_spent() {
    let stage = Stage::new().await;
    for shared in [false, true] {
        let mut spec = spec(
            "hostile",
            guest::hostile(),
            json!({ "mode": "loop", "hook": "events" }),
        );
        spec.config.sandbox.hook_time = Duration::from_secs(600);
        if shared {
            spec.config.isolation = tollgate_config::Isolation::Shared;
        }
        let policy = stage.load(spec).await;
        for _ in 0..4 {
            let mut session = policy
                .open(&head("/strike"), &ExchangeContext::default())
                .await
                .unwrap();
            gone(session.on_events(&[event("x")], false)).await;
            assert!(session.on_events(&[event("x")], true).await.is_err());
            session
                .on_finish(&outcome())
                .await
                .expect("it is closed all the same");
            assert!(strike(&policy, "/honest").await.is_ok());
        }
        stage.the_neighbour_answers_as_before().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_that_is_larger_than_the_pool_waits_and_none_is_lost() {
    let stage = Stage::with(SandboxOptions {
        instances: 16,
        ..options()
    })
    .await;
    let policy = stage
        .hostile(json!({ "mode": "spin", "hook": "request", "amount": 1_000 }))
        .await;
    let tasks: Vec<_> = (0..200)
        .map(|_| {
            let policy = policy.clone();
            tokio::spawn(async move { strike(&policy, "/strike").await })
        })
        .collect();
    for task in tasks {
        let struck = task.await.expect("no task panics");
        assert!(struck.is_ok(), "{struck:?}");
    }
    stage.the_neighbour_answers_as_before().await;
    assert!(strike(&policy, "/strike").await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn who_finds_no_instance_in_time_is_told_so() {
    let stage = Stage::with(SandboxOptions {
        instances: 16,
        ..options()
    })
    .await;
    let policy = stage.hostile(json!({})).await;
    let mut open = Vec::new();
    let failure = loop {
        match policy.open(&head("/"), &ExchangeContext::default()).await {
            Ok(session) => open.push(session),
            Err(failure) => break failure,
        }
        assert!(open.len() <= 16, "more instances than the pool has");
    };
    assert_eq!(failure.failure, Failure::NoInstance);
    assert_eq!(policy.stats().failures[5], 1);
    assert!(
        !policy.stats().quarantined,
        "a full house is nobody's fault"
    );
    stage.the_neighbour_answers_as_before().await;
    open.clear();
    assert!(strike(&policy, "/").await.is_ok());
}

#[tokio::test]
async fn a_hundred_instances_at_their_memory_bound_leave_the_process_within_it() {
    let stage = Arc::new(Stage::new().await);
    let policy = stage
        .hostile(json!({ "mode": "memory-grow", "hook": "request" }))
        .await;
    let tasks: Vec<_> = (0..100)
        .map(|_| {
            let policy = policy.clone();
            tokio::spawn(async move { strike(&policy, "/strike").await })
        })
        .collect();
    for task in tasks {
        match task.await.expect("no task panics") {
            Ok(_) | Err(Failure::NoInstance) => {}
            Err(failure) => panic!("{failure}"),
        }
    }
    assert!(policy.stats().live <= u64::from(crate::stage::INSTANCES));
    stage.the_neighbour_answers_as_before().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn loopers_leave_the_neighbour_its_turn() {
    let stage = Arc::new(Stage::new().await);
    let policy = stage
        .hostile(json!({ "mode": "loop", "hook": "request" }))
        .await;
    let loopers: Vec<_> = (0..30)
        .map(|_| {
            let policy = policy.clone();
            tokio::spawn(async move { strike(&policy, "/strike").await })
        })
        .collect();
    for _ in 0..20 {
        stage.the_neighbour_answers_as_before().await;
    }
    for looper in loopers {
        let failure = looper.await.expect("no task panics").expect_err("it loops");
        assert!(
            matches!(
                failure,
                Failure::OutOfTime(_) | Failure::Quarantined | Failure::NoInstance
            ),
            "{failure}"
        );
    }
    assert!(policy.stats().quarantined);
}

#[tokio::test]
async fn spent_instances_are_given_back_to_the_pool() {
    let stage = Stage::new().await;
    let policy = stage
        .hostile(json!({ "mode": "unreachable", "hook": "finish" }))
        .await;
    for n in 0..1_000 {
        let path = if n % 100 == 0 { "/strike" } else { "/honest" };
        let _ = strike(&policy, path).await;
    }
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
    let stats = policy.stats();
    assert_eq!(
        stats.live, stats.ready,
        "an instance is alive that no one has"
    );
    stage.the_neighbour_answers_as_before().await;
}
