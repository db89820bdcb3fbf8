//! What one exchange leaves behind, and who could find it.

use std::{collections::HashSet, sync::Arc};

use serde_json::json;
use tollgate_config::Isolation;
use tollgate_sandbox::{ExchangeContext, Failure, Policy, Session};

use crate::{
    guest,
    shape::Shape,
    stage::{Stage, head, header, message, outcome, spec, strike},
};

async fn shared(stage: &Stage, settings: serde_json::Value) -> Arc<Policy> {
    let mut spec = spec("hostile", guest::hostile(), settings);
    spec.config.isolation = Isolation::Shared;
    stage.load(spec).await
}

/// What the guest found from before, in the request hook.
async fn probe(session: &mut Session, path: &str) -> Result<String, Failure> {
    let decided = session.on_request(&mut message(path)).await?;
    Ok(header(&decided, "x-seen"))
}

#[tokio::test]
async fn no_exchange_ever_finds_what_another_left_behind() {
    let stage = Stage::new().await;
    let policy = stage
        .hostile(json!({ "mode": "leave-behind", "hook": "request" }))
        .await;
    let mut open: Vec<(Session, u32, bool)> = Vec::new();
    let mut seed = 3_u64;
    for n in 0..100_000 {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let dice = (seed >> 33) as usize;
        if open.len() < 20 && (open.is_empty() || !dice.is_multiple_of(3)) {
            let session = policy
                .open(&head(&format!("/strike/{n}")), &ExchangeContext::default())
                .await
                .unwrap();
            open.push((session, n, false));
            continue;
        }
        let (mut session, opened, asked) = open.swap_remove(dice % open.len());
        let found = probe(&mut session, "/strike").await.unwrap();
        let own = if asked {
            format!("/strike/{opened}")
        } else {
            String::new()
        };
        assert_eq!(found, own, "exchange {opened} found what it did not leave");
        match dice % 5 {
            0 => drop(session),
            1 => open.push((session, opened, true)),
            _ => {
                session.on_finish(&outcome()).await.unwrap();
                session.close().await;
            }
        }
    }
    drop(open);
    stage.the_neighbour_answers_as_before().await;
}

/// Documented as possible, with the setting: an author who chooses it keeps
/// nothing of one exchange in statics.
#[tokio::test]
async fn shared_isolation_does_not_promise_that() {
    let stage = Stage::new().await;
    let policy = shared(&stage, json!({ "mode": "leave-behind", "hook": "request" })).await;
    let mut found = HashSet::new();
    for n in 0..50 {
        found.insert(
            strike(&policy, &format!("/strike/{n}"))
                .await
                .unwrap()
                .seen(),
        );
    }
    assert!(
        found.len() > 1,
        "an instance serves one exchange after another"
    );
    stage.the_neighbour_answers_as_before().await;
}

#[tokio::test]
async fn a_shared_instance_retires_after_a_trap() {
    let stage = Stage::new().await;
    let policy = shared(&stage, json!({ "mode": "unreachable", "hook": "request" })).await;
    for _ in 0..20 {
        strike(&policy, "/honest").await.unwrap();
    }
    let made = policy.stats().instances_made;
    for _ in 0..5 {
        strike(&policy, "/strike").await.unwrap_err();
        strike(&policy, "/honest").await.unwrap();
    }
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
    assert!(
        policy.stats().instances_made > made,
        "spent instances are replaced"
    );
    for _ in 0..20 {
        strike(&policy, "/honest").await.unwrap();
    }
    stage.the_neighbour_answers_as_before().await;
}

#[tokio::test]
async fn a_shared_instance_retires_when_its_destructor_traps_or_loops() {
    let stage = Stage::new().await;
    for mode in ["unreachable", "loop"] {
        let policy = shared(&stage, json!({ "mode": mode, "hook": "drop" })).await;
        for _ in 0..8 {
            strike(&policy, "/strike").await.unwrap();
            strike(&policy, "/honest").await.unwrap();
        }
        stage.the_neighbour_answers_as_before().await;
    }
}

#[tokio::test]
async fn a_shared_instance_retires_when_its_memory_grew() {
    let stage = Stage::new().await;
    let policy = shared(&stage, json!({ "mode": "memory-grow", "hook": "request" })).await;
    for _ in 0..20 {
        let pages: u64 = strike(&policy, "/strike")
            .await
            .unwrap()
            .seen()
            .parse()
            .unwrap();
        assert!(pages > 0, "it met an instance that had grown");
    }
    stage.the_neighbour_answers_as_before().await;
}

#[tokio::test]
async fn one_plugin_twice_in_a_chain_is_two_policies() {
    let stage = Stage::new().await;
    let settings = json!({ "mode": "leave-behind", "hook": "request" });
    let first = stage
        .load(spec("first", guest::hostile(), settings.clone()))
        .await;
    let second = stage.load(spec("second", guest::hostile(), settings)).await;
    let mut one = first
        .open(&head("/strike/one"), &ExchangeContext::default())
        .await
        .unwrap();
    let mut two = second
        .open(&head("/strike/two"), &ExchangeContext::default())
        .await
        .unwrap();
    for (nth, own) in ["", "/strike/one"].into_iter().enumerate() {
        assert_eq!(probe(&mut one, "/").await.unwrap(), own);
        assert_eq!(
            probe(&mut two, "/").await.unwrap(),
            own.replace("one", "two"),
            "round {nth}"
        );
    }
    stage.the_neighbour_answers_as_before().await;
}

/// A component of components cannot be snapshotted: each instance is configured anew.
#[tokio::test]
async fn a_nested_component_runs_or_is_refused_and_never_harms() {
    let stage = Stage::new().await;
    let inner = Shape::default().component();
    let outer = inner_in_outer(&inner);
    match stage
        .sandbox
        .load(spec("nested", outer.into(), json!({})))
        .await
    {
        Ok(policy) => assert!(strike(&policy, "/strike").await.is_ok()),
        Err(error) => assert_eq!(error.code, "not_a_policy", "{error}"),
    }
    stage.the_neighbour_answers_as_before().await;
}

/// A component that carries another one and exports nothing of it.
fn inner_in_outer(inner: &[u8]) -> Vec<u8> {
    let mut outer = b"\0asm\x0d\0\x01\0".to_vec();
    outer.push(4);
    let mut length = inner.len();
    while length >= 0x80 {
        outer.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    outer.push(length as u8);
    outer.extend_from_slice(inner);
    outer
}
