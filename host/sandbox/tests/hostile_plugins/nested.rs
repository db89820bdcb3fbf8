//! Plugins that no snapshot can be taken of: each instance is configured when it is
//! made, by the same code that runs exchanges.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};
use tollgate_config::Isolation;
use tollgate_sandbox::Policy;
use wasmtime_wizer::Wizer;

use crate::{
    guest,
    stage::{Stage, spec, strike},
};

/// The hostile guest as a component that carries another one with a module in it.
fn hostile() -> Vec<u8> {
    let mut component = wit_component::ComponentEncoder::default()
        .module(&guest::hostile())
        .and_then(|encoder| encoder.encode())
        .expect("the guest fits the contract");
    let nested = wat::parse_str("(component (core module))").expect("it is right");
    component.push(4);
    component.push(u8::try_from(nested.len()).expect("it is tiny"));
    component.extend(nested);
    assert!(
        Wizer::new().instrument_component(&component).is_err(),
        "a snapshot can be taken of it now: make it stranger"
    );
    component
}

async fn load(stage: &Stage, isolation: Isolation, settings: Value) -> Arc<Policy> {
    let mut spec = spec("nested", hostile().into(), settings);
    spec.config.isolation = isolation;
    stage.load(spec).await
}

#[tokio::test]
async fn each_instance_knows_its_settings() {
    let stage = Stage::with_child().await;
    for isolation in [Isolation::Exchange, Isolation::Shared] {
        let first = load(&stage, isolation, json!({ "text": "first" })).await;
        let second = load(&stage, isolation, json!({ "text": "second" })).await;
        for n in 0..50 {
            for (policy, text) in [(&first, "first"), (&second, "second")] {
                let path = format!("/strike/{n}");
                let struck = strike(policy, &path).await.unwrap();
                let answer = format!("{text} {path} gateway");
                assert_eq!(struck.neighbour(), answer, "{isolation:?}");
            }
        }
        assert_eq!(first.stats().failures, [0; 6]);
    }
    stage.the_neighbour_answers_as_before().await;
}

#[tokio::test]
async fn a_shared_instance_is_configured_once_and_goes_on() {
    let stage = Stage::new().await;
    let policy = load(&stage, Isolation::Shared, json!({ "text": "told" })).await;
    strike(&policy, "/").await.unwrap();
    let made = policy.stats().instances_made;
    for _ in 0..100 {
        strike(&policy, "/").await.unwrap();
    }
    assert_eq!(policy.stats().instances_made, made);
    stage.the_neighbour_answers_as_before().await;
}

#[tokio::test]
async fn a_fresh_instance_has_its_settings_and_nothing_of_another_exchange() {
    let stage = Stage::new().await;
    let settings = json!({ "mode": "leave-behind", "hook": "request" });
    let policy = load(&stage, Isolation::Exchange, settings).await;
    for n in 0..200 {
        let struck = strike(&policy, &format!("/strike/{n}")).await.unwrap();
        assert_eq!(struck.seen(), "");
    }
    stage.the_neighbour_answers_as_before().await;
}

#[tokio::test]
async fn settings_that_it_refuses_keep_it_out() {
    let stage = Stage::new().await;
    let settings = json!({ "mode": "errors", "hook": "configure", "text": "/limit: too low" });
    let error = stage
        .refused(spec("nested", hostile().into(), settings))
        .await;
    assert_eq!(error.code, "settings", "{error}");
    assert_eq!(error.settings_pointer(), Some("/limit"));
}

/// The compiling child is patient with a `configure`; an exchange that needs a new
/// instance is not.
#[tokio::test]
async fn a_configure_that_takes_longer_than_a_hook_may_keeps_it_out() {
    let stage = Stage::new().await;
    let settings = json!({ "mode": "spin", "hook": "configure", "amount": 500_000_000 });
    let mut spec = spec("nested", hostile().into(), settings);
    spec.config.sandbox.hook_time = Duration::from_millis(1);
    let error = stage.refused(spec).await;
    assert_eq!(error.code, "sample", "{error}");
    assert!(error.reason.contains("longer than"), "{error}");
}
