//! Time, stack, memory and traps: what one instance may use up.

use std::time::Duration;

use serde_json::json;
use tollgate_config::SandboxLimits;
use tollgate_sandbox::{ExchangeContext, Failure, contract::Head};

use crate::{
    guest,
    shape::Shape,
    stage::{Stage, event, head, message, options, outcome, spec, strike},
};

const HOOKS: [&str; 6] = ["open", "request", "attempt", "response", "events", "finish"];

#[tokio::test]
async fn an_endless_loop_in_any_hook_is_out_of_time() {
    let stage = Stage::new().await;
    for hook in HOOKS {
        let failure = stage.fails(json!({ "mode": "loop", "hook": hook })).await;
        assert!(
            matches!(failure, Failure::OutOfTime(_)),
            "{hook}: {failure}"
        );
    }
}

#[tokio::test]
async fn an_endless_loop_of_memory_fill_is_out_of_time() {
    let stage = Stage::new().await;
    let failure = stage
        .fails(json!({ "mode": "fill", "hook": "request" }))
        .await;
    assert!(matches!(failure, Failure::OutOfTime(_)), "{failure}");
    let said = failure.to_string();
    assert!(
        said.contains(" in one hook") && said.contains("raise `limits.hook_time` of the policy"),
        "{said}"
    );
}

#[tokio::test]
async fn many_short_calls_use_up_the_exchange() {
    let stage = Stage::new().await;
    let mut spec = spec(
        "hostile",
        guest::hostile(),
        json!({ "mode": "spin", "hook": "events", "amount": 300_000 }),
    );
    spec.config.sandbox.exchange_time = Duration::from_millis(100);
    let policy = stage.load(spec).await;
    let mut session = policy
        .open(&head("/strike"), &ExchangeContext::default())
        .await
        .unwrap();
    let mut calls = 0;
    let failure = loop {
        match session.on_events(&[event("x")], false).await {
            Ok(_) => calls += 1,
            Err(failure) => break failure,
        }
        assert!(calls < 100_000, "nothing bounds the exchange");
    };
    assert_eq!(
        failure,
        Failure::ExchangeOutOfTime(policy.config().sandbox.exchange_time)
    );
    let said = failure.to_string();
    assert!(
        said.starts_with("ran longer than 100ms in all hooks of the exchange together")
            && said.contains("`limits.exchange_time`"),
        "{said}"
    );
    assert!(calls > 5, "it was no single call: {calls}");
    stage.the_neighbour_answers_as_before().await;
}

#[tokio::test]
async fn endless_recursion_traps_in_any_hook() {
    let stage = Stage::new().await;
    for hook in HOOKS {
        let failure = stage
            .fails(json!({ "mode": "recursion", "hook": hook }))
            .await;
        assert!(trapped_with(&failure, "stack"), "{hook}: {failure}");
    }
}

#[tokio::test]
async fn endless_recursion_through_a_table_traps() {
    let stage = Stage::new().await;
    let failure = stage
        .fails(json!({ "mode": "indirect", "hook": "request" }))
        .await;
    assert!(trapped_with(&failure, "stack"), "{failure}");
}

#[tokio::test]
async fn a_trap_in_any_hook_ends_that_session_alone() {
    let stage = Stage::new().await;
    for hook in HOOKS {
        let failure = stage
            .fails(json!({ "mode": "unreachable", "hook": hook }))
            .await;
        assert!(trapped_with(&failure, "unreachable"), "{hook}: {failure}");
        assert!(!trapped_with(&failure, "memory"), "{hook}: {failure}");
    }
}

#[tokio::test]
async fn a_session_is_spent_after_a_trap() {
    let stage = Stage::new().await;
    let policy = stage
        .hostile(json!({ "mode": "unreachable", "hook": "events" }))
        .await;
    let mut session = policy
        .open(&head("/strike"), &ExchangeContext::default())
        .await
        .unwrap();
    assert!(matches!(
        session.on_events(&[event("x")], false).await,
        Err(Failure::Trapped(_))
    ));
    let again = session.on_request(&mut message("/strike")).await;
    assert_eq!(again.unwrap_err(), Failure::Quarantined);
    session
        .on_finish(&outcome())
        .await
        .expect("it is closed all the same");
    stage.the_neighbour_answers_as_before().await;
}

#[tokio::test]
async fn a_panic_with_a_message_of_a_megabyte_is_a_short_failure() {
    let stage = Stage::new().await;
    let failure = stage
        .fails(json!({ "mode": "panic", "hook": "request", "amount": 1 << 20 }))
        .await;
    assert!(matches!(failure, Failure::Trapped(_)), "{failure}");
}

#[tokio::test]
async fn an_exit_of_the_guest_is_a_trap() {
    let stage = Stage::new().await;
    let failure = stage
        .fails(json!({ "mode": "exit", "hook": "request" }))
        .await;
    assert!(matches!(failure, Failure::Trapped(_)), "{failure}");
}

#[tokio::test]
async fn a_memory_bomb_traps_within_its_bound() {
    let stage = Stage::new().await;
    let policy = stage
        .hostile(json!({ "mode": "memory-bomb", "hook": "request" }))
        .await;
    let failure = strike(&policy, "/strike").await.unwrap_err();
    assert!(
        matches!(failure, Failure::Trapped(_) | Failure::OutOfTime(_)),
        "{failure}"
    );
    let (stats, bound) = (policy.stats(), policy.config().sandbox.memory_bytes as u64);
    assert!(
        stats.memory_peak_bytes <= bound,
        "{} of {bound}",
        stats.memory_peak_bytes
    );
    stage.the_neighbour_answers_as_before().await;
}

#[tokio::test]
async fn memory_that_was_refused_is_named_beside_the_trap_that_it_led_to() {
    let stage = Stage::new().await;
    let mut spec = spec(
        "hostile",
        guest::hostile(),
        json!({ "mode": "memory-bomb", "hook": "request" }),
    );
    spec.config.sandbox.hook_time = Duration::from_secs(30);
    spec.config.sandbox.exchange_time = Duration::from_secs(30);
    let kib = spec.config.sandbox.memory_bytes >> 10;
    let policy = stage.load(spec).await;
    let failure = strike(&policy, "/strike").await.unwrap_err();
    let words = format!("memory beyond `limits.memory` ({kib} KiB) was refused in this hook");
    assert!(trapped_with(&failure, &words), "{failure}");
}

#[tokio::test]
async fn growing_memory_is_refused_at_the_bound_and_said_to_the_guest() {
    let stage = Stage::new().await;
    let policy = stage
        .hostile(json!({ "mode": "memory-grow", "hook": "request" }))
        .await;
    let pages: u64 = strike(&policy, "/strike")
        .await
        .unwrap()
        .seen()
        .parse()
        .unwrap();
    let bound = policy.config().sandbox.memory_bytes as u64;
    assert!(pages > 0 && pages * 65_536 <= bound, "{pages} pages");
    assert!(policy.stats().memory_refused > 0);
    assert!(policy.stats().memory_peak_bytes <= bound);
    stage.the_neighbour_answers_as_before().await;
}

#[tokio::test]
async fn more_memory_than_the_process_was_started_with_is_refused_with_the_advice_to_restart() {
    let stage = Stage::new().await;
    let room = options().memory_bytes;
    let mut spec = spec("hostile", guest::hostile(), json!({}));
    spec.config.sandbox.memory_bytes = room;
    stage.load(spec.clone()).await;
    spec.config.sandbox.memory_bytes = room + 1;
    let error = stage.refused(spec).await;
    assert_eq!(error.code, "restart_needed", "{error}");
    assert!(
        error.reason.contains("`limits.memory`") && error.reason.contains("restart the gateway"),
        "{error}"
    );
}

#[tokio::test]
async fn a_table_as_large_as_the_configuration_allows_has_room_in_the_pool() {
    let stage = Stage::new().await;
    let most = SandboxLimits::TABLE_ELEMENTS_MAX;
    let wasm = Shape {
        extra: format!("(table {most} funcref)"),
        ..Shape::default()
    }
    .module();
    let mut spec = spec("hostile", wasm.into(), json!({}));
    spec.config.sandbox.table_elements = most;
    let policy = stage.load(spec).await;
    strike(&policy, "/strike").await.unwrap();
    stage.the_neighbour_answers_as_before().await;
}

#[tokio::test]
async fn one_trap_in_a_hundred_exchanges_is_no_reason_for_quarantine() {
    let stage = Stage::new().await;
    let policy = stage
        .hostile(json!({ "mode": "unreachable", "hook": "request" }))
        .await;
    for n in 0..500 {
        let path = if n % 100 == 99 { "/strike" } else { "/honest" };
        assert_eq!(
            strike(&policy, path).await.is_ok(),
            path == "/honest",
            "exchange {n}"
        );
    }
    assert!(!policy.stats().quarantined);
    assert_eq!(policy.stats().failures[0], 5);
    stage.the_neighbour_answers_as_before().await;
}

#[tokio::test]
async fn a_trap_in_every_exchange_leads_to_quarantine() {
    let stage = Stage::new().await;
    let policy = stage
        .hostile(json!({ "mode": "unreachable", "hook": "request" }))
        .await;
    let mut failures = Vec::new();
    for _ in 0..30 {
        failures.push(strike(&policy, "/strike").await.unwrap_err());
    }
    assert!(policy.stats().quarantined);
    assert_eq!(failures.last(), Some(&Failure::Quarantined));
    stage.the_neighbour_answers_as_before().await;
}

#[tokio::test]
async fn a_trap_in_on_finish_alone_leads_to_quarantine_too() {
    let stage = Stage::new().await;
    let policy = stage
        .hostile(json!({ "mode": "unreachable", "hook": "finish" }))
        .await;
    for _ in 0..60 {
        assert!(strike(&policy, "/strike").await.is_err());
    }
    assert!(policy.stats().quarantined);
    stage.the_neighbour_answers_as_before().await;
}

pub(crate) fn trapped_with(failure: &Failure, word: &str) -> bool {
    matches!(failure, Failure::Trapped(trapped) if trapped.to_string().contains(word))
}

#[tokio::test]
async fn what_led_to_a_session_that_does_not_open_is_recorded() {
    let stage = Stage::new().await;
    let policy = stage.hostile(json!({ "mode": "ask" })).await;
    let plan = json!({ "mode": "host-calls", "hook": "open", "amount": 100_000 });
    let head = Head {
        route: plan.to_string(),
        ..head("/strike")
    };
    let mut context = ExchangeContext::default();
    for recorded in [true, false] {
        context.recorded = recorded;
        let not = policy.open(&head, &context).await.unwrap_err();
        assert!(matches!(not.failure, Failure::TooManyHostCalls(_)), "{not}");
        assert_eq!(not.recording.is_some(), recorded);
        if let Some(recording) = not.recording {
            let first = &recording.calls[0];
            assert_eq!(first.name, "clock.now-ms");
        }
    }
    stage.the_neighbour_answers_as_before().await;
}
