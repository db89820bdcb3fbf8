//! Ticks, which are of no exchange: whatever they do, exchanges go on, and so do ticks.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};
use tokio::{
    io::AsyncReadExt,
    net::{TcpListener, TcpStream},
    time::sleep,
};
use tollgate_capabilities::Namespace;
use tollgate_config::Isolation;
use tollgate_sandbox::{Failure, Hook, Policy};

use crate::{
    bounds::trapped_with,
    guest,
    shape::Shape,
    stage::{Stage, options, spec, strike},
    twins::hostile_component,
};

const HOUR: Duration = Duration::from_secs(3600);

/// Tells ticks of a policy in the mode `ask` what to do.
async fn plan(stage: &Stage, plan: Value) {
    let (store, of) = (&stage.capabilities.kv, Namespace::of_plugin("hostile"));
    let put = store.put(&of, "plan", plan.to_string().as_bytes(), Duration::ZERO);
    put.get().await.expect("there is room");
}

/// What the last tick that came back says it saw.
async fn ticked(stage: &Stage) -> String {
    let (store, of) = (&stage.capabilities.kv, Namespace::of_plugin("hostile"));
    let seen = store.get(&of, "ticked").get().await.expect("it is there");
    String::from_utf8_lossy(&seen.unwrap_or_default()).into_owned()
}

async fn asked(stage: &Stage) -> Arc<Policy> {
    stage.hostile(json!({ "mode": "ask" })).await
}

fn ticks(policy: &Policy) -> u64 {
    policy.stats().calls[5]
}

fn failures(policy: &Policy) -> u64 {
    policy.stats().failures.iter().sum()
}

#[tokio::test]
async fn a_tick_that_traps_spins_or_floods_fails_and_no_exchange_does() {
    let stage = Stage::new().await;
    let component = stage
        .load(spec(
            "hostile",
            hostile_component(),
            json!({ "mode": "ask" }),
        ))
        .await;
    for policy in [asked(&stage).await, component] {
        for (mode, amount) in [
            ("unreachable", 0),
            ("panic", 3),
            ("recursion", 0),
            ("memory-bomb", 0),
            ("loop", 0),
            ("host-calls", 100_000),
            ("log", 100_000),
        ] {
            plan(
                &stage,
                json!({ "mode": mode, "hook": "tick", "amount": amount }),
            )
            .await;
            let before = failures(&policy);
            let failure = policy.tick().await.expect_err(mode);
            match mode {
                "loop" => assert!(matches!(failure, Failure::OutOfTime(_)), "{failure}"),
                "host-calls" | "log" => assert_eq!(failure, Failure::TooManyHostCalls(1000)),
                _ => assert!(trapped_with(&failure, ""), "{mode}: {failure}"),
            }
            assert_eq!(failures(&policy), before + 1, "{mode} is counted");
            assert!(strike(&policy, "/honest").await.is_ok(), "after {mode}");
            stage.the_neighbour_answers_as_before().await;
        }
        plan(
            &stage,
            json!({ "mode": "spin", "hook": "tick", "amount": 5 }),
        )
        .await;
        assert_eq!(policy.tick().await, Ok(Some(Duration::from_millis(5))));
    }
}

#[tokio::test]
async fn ticks_that_fail_again_and_again_lead_to_no_quarantine() {
    let stage = Stage::new().await;
    let policy = asked(&stage).await;
    plan(&stage, json!({ "mode": "unreachable", "hook": "tick" })).await;
    for _ in 0..50 {
        assert!(policy.tick().await.is_err());
    }
    assert!(!policy.stats().quarantined);
    assert!(strike(&policy, "/honest").await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn however_soon_a_plugin_asks_for_it_there_is_one_tick_a_second_at_most() {
    let stage = Stage::new().await;
    let policy = asked(&stage).await;
    plan(
        &stage,
        json!({ "mode": "spin", "hook": "tick", "amount": 0 }),
    )
    .await;
    policy.start_timer().over().await;
    sleep(Duration::from_secs(110)).await;
    let count = ticks(&policy);
    assert!((100..=111).contains(&count), "{count} ticks in 110 s");
    // One that wants no more gets no more.
    plan(&stage, json!({ "mode": "spin", "hook": "request" })).await;
    sleep(Duration::from_secs(10)).await;
    let after = ticks(&policy);
    sleep(HOUR).await;
    assert_eq!(ticks(&policy), after);
}

#[tokio::test(start_paused = true)]
async fn however_late_a_plugin_asks_for_it_there_is_a_tick_a_day() {
    let stage = Stage::new().await;
    let policy = asked(&stage).await;
    plan(
        &stage,
        json!({ "mode": "", "hook": "tick", "amount": u64::MAX }),
    )
    .await;
    policy.start_timer().over().await;
    sleep(HOUR * 23).await;
    assert_eq!(ticks(&policy), 1);
    sleep(HOUR * 4).await;
    assert_eq!(ticks(&policy), 2);
}

#[tokio::test(start_paused = true)]
async fn ticks_that_fail_come_again_after_pauses_that_grow() {
    let stage = Stage::new().await;
    let policy = asked(&stage).await;
    plan(&stage, json!({ "mode": "unreachable", "hook": "tick" })).await;
    policy.start_timer().over().await;
    sleep(Duration::from_secs(600)).await;
    let failed = failures(&policy);
    assert!((13..=17).contains(&failed), "{failed} in ten minutes");
    plan(
        &stage,
        json!({ "mode": "spin", "hook": "tick", "amount": 0 }),
    )
    .await;
    sleep(Duration::from_secs(70)).await;
    let mended = ticks(&policy);
    sleep(Duration::from_secs(11)).await;
    assert!(ticks(&policy) >= mended + 9, "it goes on as it asks");
}

#[tokio::test(start_paused = true)]
async fn a_policy_has_one_timer_which_ends_with_it() {
    let stage = Stage::new().await;
    plan(
        &stage,
        json!({ "mode": "spin", "hook": "tick", "amount": 0 }),
    )
    .await;
    let policy = asked(&stage).await;
    policy.start_timer().over().await;
    policy.start_timer().over().await;
    assert_eq!(ticks(&policy), 1, "the second start is none");
    policy.retire();
    sleep(HOUR).await;
    assert_eq!(ticks(&policy), 1, "a retired one ticks no more");
    policy.start_timer().over().await;
    assert_eq!(ticks(&policy), 1, "and does not begin again");

    let gone = asked(&stage).await;
    gone.start_timer().over().await;
    let weak = Arc::downgrade(&gone);
    drop(gone);
    sleep(HOUR).await;
    assert!(weak.upgrade().is_none(), "its timer does not keep it alive");
}

/// A server that takes connections and says nothing.
async fn silent() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("it is bound"));
    (listener, url)
}

async fn heard(listener: &TcpListener) -> TcpStream {
    let (mut stream, _) = listener.accept().await.expect("it calls");
    let mut first = [0];
    stream.read_exact(&mut first).await.expect("it asks");
    stream
}

#[tokio::test]
async fn a_tick_that_waits_for_an_answer_is_cut_at_its_own_time() {
    let stage = Stage::new().await;
    let (_listener, url) = silent().await;
    let mut spec = spec("hostile", guest::hostile(), json!({ "mode": "ask" }));
    spec.config.sandbox.tick_time = Duration::from_millis(50);
    let grant = spec.config.grants.http_call.as_mut().expect("it has it");
    (grant.hosts, grant.timeout) = (vec![url.clone()], HOUR);
    let policy = stage.load(spec).await;
    plan(
        &stage,
        json!({ "mode": "http", "hook": "tick", "text": url, "amount": 5 }),
    )
    .await;
    assert_eq!(policy.tick().await, Ok(Some(Duration::from_millis(5))));
    assert_eq!(ticked(&stage).await, "Err(Error::TimedOut)");
}

#[tokio::test]
async fn exchanges_go_on_while_a_tick_waits_in_either_isolation() {
    for isolation in [Isolation::Exchange, Isolation::Shared] {
        let stage = Stage::with(options()).await;
        let (listener, url) = silent().await;
        let mut spec = spec("hostile", guest::hostile(), json!({ "mode": "ask" }));
        spec.config.isolation = isolation;
        spec.config.sandbox.tick_time = HOUR;
        let grant = spec.config.grants.http_call.as_mut().expect("it has it");
        (grant.hosts, grant.timeout) = (vec![url.clone()], HOUR);
        let policy = stage.load(spec).await;
        plan(
            &stage,
            json!({ "mode": "http", "hook": "tick", "text": url, "amount": 0 }),
        )
        .await;
        let first = policy.start_timer();
        let stream = heard(&listener).await;
        for _ in 0..20 {
            assert!(strike(&policy, "/honest").await.is_ok());
        }
        assert_eq!(ticks(&policy), 0, "it still waits");
        drop(stream);
        first.over().await;
        assert_eq!(ticks(&policy), 1);
        for _ in 0..20 {
            assert!(strike(&policy, "/honest").await.is_ok());
        }
        stage.the_neighbour_answers_as_before().await;
        assert_eq!(failures(&policy), 0);
    }
}

#[tokio::test]
async fn what_only_an_exchange_has_is_not_there_in_a_tick() {
    let stage = Stage::new().await;
    let policy = asked(&stage).await;
    for (mode, seen) in [
        ("cache-plan", "Err(Error::TooLate)"),
        ("shadow", "Err(Error::TooLate)"),
        ("score", "[] Err(Error::NotNow)"),
    ] {
        plan(
            &stage,
            json!({ "mode": mode, "hook": "tick", "text": "u", "amount": 1 }),
        )
        .await;
        assert!(policy.tick().await.is_ok(), "{mode}");
        assert_eq!(ticked(&stage).await, seen, "{mode}");
    }
}

const TIMER: &str = "tollgate:policy/timer@0.1.0#on-tick";

/// A tiny plugin whose `on-tick` has this body and returns what lies at the result.
fn with_timer(body: &str) -> Shape {
    let timer = format!(r#"(func (export "{TIMER}") (result i32) {body})"#);
    Shape {
        // 768: none. 784: some of 5000. 800: no such case.
        extra: format!(
            r#"{timer}
  (data (i32.const 768) "\00")
  (data (i32.const 784) "\01\00\00\00\00\00\00\00\88\13\00\00\00\00\00\00")
  (data (i32.const 800) "\07")"#
        ),
        world: "both",
        wit: Some(
            "package test:both; world both { \
             include tollgate:policy/plugin@0.1.0; export tollgate:policy/timer@0.1.0; }",
        ),
        ..Shape::default()
    }
}

#[tokio::test]
async fn what_a_tick_returns_is_read_with_care() {
    let stage = Stage::new().await;
    for (body, told) in [
        ("(i32.const 768)", Ok(None)),
        ("(i32.const 784)", Ok(Some(Duration::from_secs(5)))),
        ("(i32.const 800)", Err(())),
        ("(i32.const 785)", Err(())),
        ("(i32.const -16)", Err(())),
        ("(unreachable)", Err(())),
    ] {
        let shape = with_timer(body);
        for (wasm, form) in [(shape.module(), "module"), (shape.component(), "component")] {
            let policy = stage.load(spec("shape", wasm.into(), json!({}))).await;
            assert_eq!(policy.runs_as(), form, "{body}");
            assert!(policy.has(Hook::Tick));
            for _ in 0..3 {
                let ticked = policy.tick().await;
                let ticked = ticked.map_err(|failure| assert!(trapped_with(&failure, "")));
                assert_eq!(ticked, told, "{body} as a {form}");
                assert!(strike(&policy, "/").await.is_ok());
            }
        }
    }
    stage.the_neighbour_answers_as_before().await;
}

#[tokio::test]
async fn a_plugin_without_a_timer_is_not_asked() {
    let stage = Stage::new().await;
    let shape = Shape::default();
    for wasm in [shape.module(), shape.component()] {
        let policy = stage.load(spec("shape", wasm.into(), json!({}))).await;
        assert!(!policy.has(Hook::Tick));
        policy.start_timer().over().await;
        assert_eq!(policy.tick().await, Ok(None));
        assert_eq!(ticks(&policy), 0);
    }
}

/// A plugin with a timer that is this interface, as a component.
fn with_timer_of(interface: &str, wit: &'static str) -> Vec<u8> {
    let shape = with_timer("(i32.const 768)");
    let extra = shape
        .extra
        .replace("tollgate:policy/timer@0.1.0", interface);
    let wit = Some(wit);
    Shape {
        extra,
        wit,
        ..shape
    }
    .component()
}

#[tokio::test]
async fn a_timer_of_another_contract_is_refused_and_one_of_another_package_let_be() {
    let stage = Stage::new().await;
    let later = with_timer_of(
        "tollgate:policy/timer@0.2.0",
        "package test:both; \
         package tollgate:policy@0.2.0 { interface timer { on-tick: func() -> option<u64>; } } \
         world both { include tollgate:policy/plugin@0.1.0; export tollgate:policy/timer@0.2.0; }",
    );
    let error = stage.refused(spec("shape", later.into(), json!({}))).await;
    assert_eq!(error.code, "contract_version", "{error}");
    let other = with_timer_of(
        "test:both/timer",
        "package test:both; interface timer { on-tick: func() -> option<u64>; } \
         world both { include tollgate:policy/plugin@0.1.0; export timer; }",
    );
    let policy = stage.load(spec("shape", other.into(), json!({}))).await;
    assert!(!policy.has(Hook::Tick));
}
