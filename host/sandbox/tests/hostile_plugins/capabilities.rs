//! Imports: floods, sizes, and what was not granted.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use serde_json::{Value, json};
use tollgate_capabilities::{Capabilities, EmbeddedOptions, LogLine, LogSink};
use tollgate_sandbox::{ExchangeContext, Failure, Policy, contract::CacheKind};

use crate::{
    bounds::trapped_with,
    guest,
    stage::{Stage, head, options, spec, strike},
};

async fn seen(stage: &Stage, settings: Value) -> String {
    stage
        .struck(settings)
        .await
        .unwrap_or_else(|failure| panic!("it {failure}"))
        .seen()
}

#[derive(Default)]
struct CountingLog {
    lines: AtomicUsize,
    longest: AtomicUsize,
}

impl LogSink for CountingLog {
    fn write(&self, line: LogLine<'_>) {
        self.lines.fetch_add(1, Relaxed);
        self.longest.fetch_max(line.message.len(), Relaxed);
    }
}

#[tokio::test]
async fn a_flood_of_log_lines_is_cut_per_exchange() {
    let log = Arc::new(CountingLog::default());
    let capabilities = Capabilities {
        log: log.clone(),
        ..Capabilities::embedded(EmbeddedOptions::default())
    };
    let stage = Stage::on(options(), capabilities).await;
    let policy = stage
        .hostile(json!({ "mode": "log", "hook": "request", "amount": 900, "text": "flood" }))
        .await;
    strike(&policy, "/strike").await.unwrap();
    assert_eq!(log.lines.load(Relaxed), 20);
    assert_eq!(policy.stats().log_dropped, 880);
    stage.the_neighbour_answers_as_before().await;
}

#[tokio::test]
async fn log_lines_of_megabytes_that_steer_terminals_do_no_harm() {
    let stage = Stage::new().await;
    let text = "\u{1b}[2J\r\nlevel=error forged=1 \u{202e}";
    seen(
        &stage,
        json!({ "mode": "log-long", "hook": "request", "amount": 60_000, "text": text }),
    )
    .await;
}

#[tokio::test]
async fn a_flood_of_host_calls_is_cut() {
    let stage = Stage::new().await;
    for mode in ["host-calls", "log", "metric-names", "kv-flood"] {
        let failure = stage
            .fails(json!({ "mode": mode, "hook": "request", "amount": 100_000, "text": "x" }))
            .await;
        assert_eq!(failure, Failure::TooManyHostCalls(1000), "{mode}");
    }
}

#[tokio::test]
async fn a_flood_of_host_calls_in_the_constructor_is_cut() {
    let stage = Stage::new().await;
    let failure = stage
        .fails(json!({ "mode": "host-calls", "hook": "open", "amount": 100_000 }))
        .await;
    assert_eq!(failure, Failure::TooManyHostCalls(1000));
}

#[tokio::test]
async fn calls_in_the_constructor_are_counted() {
    let stage = Stage::new().await;
    let policy = stage
        .hostile(json!({ "mode": "host-calls", "hook": "open", "amount": 3 }))
        .await;
    let before = policy.stats().host_calls;
    let context = ExchangeContext::default();
    let mut session = policy.open(&head("/strike"), &context).await.unwrap();
    assert_eq!(session.spent().host_calls, 3);
    assert_eq!(policy.stats().host_calls - before, 3);
    session.on_events(&[], true).await.unwrap();
    assert_eq!(session.spent().host_calls, 3, "not counted again");
    assert_eq!(policy.stats().host_calls - before, 3);
    session.close().await;
}

#[tokio::test]
async fn many_names_in_one_call_count_as_many_calls() {
    let stage = Stage::new().await;
    for mode in ["json-many", "headers-many"] {
        let settings =
            json!({ "mode": mode, "hook": "request", "amount": 100_000, "text": "/model" });
        assert_eq!(
            stage.fails(settings).await,
            Failure::TooManyHostCalls(1000),
            "{mode}"
        );
    }
}

#[tokio::test]
async fn metric_names_and_labels_are_bounded() {
    let stage = Stage::new().await;
    for mode in ["metric-names", "metric-labels"] {
        let policy = stage
            .hostile(json!({ "mode": mode, "hook": "request", "amount": 900 }))
            .await;
        for _ in 0..4 {
            strike(&policy, "/strike").await.unwrap();
        }
    }
    let mut text = String::new();
    stage.capabilities.metrics.render(&mut text);
    assert!(text.contains("tollgate_plugin_"), "{text}");
    assert!(
        text.lines().count() < 1000,
        "{} lines",
        text.lines().count()
    );
    stage.the_neighbour_answers_as_before().await;
}

#[tokio::test]
async fn text_in_metric_names_and_labels_cannot_forge_a_line() {
    let stage = Stage::new().await;
    let text = "x\n} 1\nforged_metric 1\n\"\\\u{0}";
    seen(
        &stage,
        json!({ "mode": "metric-text", "hook": "request", "text": text }),
    )
    .await;
    let mut rendered = String::new();
    stage.capabilities.metrics.render(&mut rendered);
    assert!(
        !rendered
            .lines()
            .any(|line| line.starts_with("forged_metric")),
        "{rendered}"
    );
}

#[tokio::test]
async fn a_gibibyte_of_randomness_is_refused() {
    let stage = Stage::new().await;
    let failure = stage
        .fails(json!({ "mode": "random", "hook": "request", "amount": 1 << 30 }))
        .await;
    assert!(trapped_with(&failure, "4096"), "{failure}");
    assert_eq!(
        seen(
            &stage,
            json!({ "mode": "random", "hook": "request", "amount": 4096 })
        )
        .await,
        "4096"
    );
}

#[tokio::test]
async fn keys_and_values_beyond_their_bounds_are_refused() {
    let stage = Stage::new().await;
    for (mode, amount) in [("kv-huge-value", 8 << 20), ("kv-huge-key", 1 << 20)] {
        let said = seen(
            &stage,
            json!({ "mode": mode, "hook": "request", "amount": amount }),
        )
        .await;
        assert!(said.contains("TooLarge"), "{mode}: {said}");
    }
}

#[tokio::test]
async fn a_plan_for_the_answer_goes_on_with_the_request_and_is_bounded() {
    let stage = Stage::new().await;
    let planned = |hook: &str, amount: u32| {
        let settings = json!({ "mode": "cache-plan", "hook": hook, "amount": amount });
        let struck = stage.struck(settings);
        async {
            struck
                .await
                .unwrap_or_else(|failure| panic!("it {failure}"))
        }
    };
    let struck = planned("request", 1 << 20).await;
    let plan = struck.plan.as_deref().expect("it planned");
    assert_eq!(plan.key, vec![b'k'; 1 << 20]);
    assert_eq!(plan.kind, CacheKind::ChatCompletion);
    assert_eq!((plan.ttl_ms, plan.max_age_ms), (u64::MAX, Some(1 << 20)));
    assert!(plan.look_up && !plan.store && plan.stream_usage);
    let struck = planned("request", (1 << 20) + 1).await;
    assert!(struck.seen().contains("TooLarge") && struck.plan.is_none());
    for hook in ["attempt", "response", "events", "finish"] {
        let struck = planned(hook, 9).await;
        assert!(struck.plan.is_none(), "{hook}");
    }
}

#[tokio::test]
async fn where_a_copy_goes_lies_with_the_request_and_is_asked_for_before_it_goes_on() {
    let stage = Stage::new().await;
    let asked = |hook: &str, amount: u32, text: &str| {
        let settings = json!({ "mode": "shadow", "hook": hook, "amount": amount, "text": text });
        let struck = stage.struck(settings);
        async {
            struck
                .await
                .unwrap_or_else(|failure| panic!("it {failure}"))
        }
    };
    for (amount, text) in [(3, "spare"), (3, ""), (0, "spare")] {
        let struck = asked("request", amount, text).await;
        let to = struck.shadow.as_deref().expect("it asked");
        assert_eq!(to.model.as_deref(), (amount > 0).then_some("mmm"));
        assert_eq!(
            to.upstream.as_deref(),
            Some(text).filter(|text| !text.is_empty())
        );
    }
    for (amount, text) in [(0, ""), (257, ""), (1 << 20, "spare"), (3, "a\nb")] {
        let nowhere = asked("request", amount, text).await;
        assert!(nowhere.seen().contains("Nowhere") && nowhere.shadow.is_none());
    }
    for hook in ["attempt", "response", "events", "finish"] {
        assert!(asked(hook, 3, "spare").await.shadow.is_none(), "{hook}");
    }
}

#[tokio::test]
async fn endpoints_are_scored_when_a_try_is_made_and_by_one_number_each() {
    let stage = Stage::new().await;
    let asked = |hook: &str, text: &str| {
        let settings = json!({ "mode": "score", "hook": hook, "text": text });
        let struck = stage.struck(settings);
        async {
            struck
                .await
                .unwrap_or_else(|failure| panic!("it {failure}"))
        }
    };
    let struck = asked("attempt", "").await;
    assert_eq!(struck.scores.as_deref(), Some(&[0.0, 1.0][..]));
    let seen = struck.seen_at_attempt();
    for told in ["10.0.0.5:8000", "41.5", "0.75", "[::1]:80", "Ok(())"] {
        assert!(seen.contains(told), "{told}: {seen}");
    }
    for text in ["none", "no-number", "too-many"] {
        let struck = asked("attempt", text).await;
        assert!(struck.scores.is_none(), "{text}");
        assert!(struck.seen_at_attempt().contains("Invalid"), "{text}");
    }
    let flood = json!({ "mode": "score", "hook": "attempt", "text": "flood", "amount": 100_000 });
    assert_eq!(stage.fails(flood).await, Failure::TooManyHostCalls(1000));
    let early = asked("request", "").await;
    assert!(early.scores.is_none());
    assert_eq!(early.seen(), "[] Err(Error::NotNow)");
    for hook in ["response", "events", "finish"] {
        assert!(asked(hook, "").await.scores.is_none(), "{hook}");
    }
}

#[tokio::test]
async fn numbers_in_the_store_neither_wrap_nor_trap() {
    let stage = Stage::new().await;
    for mode in ["kv-not-a-number", "kv-overflow"] {
        let said = seen(&stage, json!({ "mode": mode, "hook": "request" })).await;
        assert!(said.contains("NotANumber"), "{mode}: {said}");
    }
}

async fn of_plugin(stage: &Stage, plugin: &str, settings: Value) -> Arc<Policy> {
    let mut spec = spec("hostile", guest::hostile(), settings);
    spec.config.plugin = plugin.to_owned();
    stage.load(spec).await
}

#[tokio::test]
async fn no_choice_of_key_reaches_another_plugins_entries() {
    let stage = Stage::new().await;
    let put = json!({ "mode": "kv-put", "hook": "request", "text": "b:c" });
    strike(&of_plugin(&stage, "a", put).await, "/strike")
        .await
        .unwrap();
    for (plugin, key) in [
        ("a:b", "c"),
        ("b", "c"),
        ("c", "b:c"),
        ("", "a:b:c"),
        ("a\u{0}", "b:c"),
    ] {
        let get = json!({ "mode": "kv-get", "hook": "request", "text": key });
        let said = strike(&of_plugin(&stage, plugin, get).await, "/strike")
            .await
            .unwrap()
            .seen();
        assert_eq!(said, "Ok(None)", "plugin {plugin:?}, key {key:?}");
    }
    let get = json!({ "mode": "kv-get", "hook": "request", "text": "b:c" });
    let own = strike(&of_plugin(&stage, "a", get).await, "/strike")
        .await
        .unwrap()
        .seen();
    assert!(own.starts_with("Ok(Some("), "{own}");
    stage.the_neighbour_answers_as_before().await;
}

#[tokio::test]
async fn a_secret_that_was_not_granted_is_denied() {
    let stage = Stage::new().await;
    for name in ["others", "no such", "", "granted\u{0}", "GRANTED"] {
        let said = seen(
            &stage,
            json!({ "mode": "secret", "hook": "request", "text": name }),
        )
        .await;
        assert!(said.contains("Denied"), "{name:?}: {said}");
    }
    let said = seen(
        &stage,
        json!({ "mode": "secret", "hook": "request", "text": "granted" }),
    )
    .await;
    assert!(said.starts_with("Ok("), "{said}");
}

#[tokio::test]
async fn a_place_is_told_whole_and_what_is_no_address_is_refused() {
    let stage = Stage::new().await;
    for (text, expected) in [
        (
            "192.0.2.1",
            r#"Ok(Some(Place { country: Some("DE"), region: None, continent: None, city: Some("München") }))"#,
        ),
        ("192.0.2.2", "Ok(None)"),
        ("192.0.2.3", "Err(Error::Unavailable)"),
        ("::1", "Err(Error::Unavailable)"),
        ("192.0.2.1:80", "Err(Error::Invalid)"),
        ("192.0.2.01", "Err(Error::Invalid)"),
        ("localhost", "Err(Error::Invalid)"),
        ("", "Err(Error::Invalid)"),
    ] {
        let said = seen(
            &stage,
            json!({ "mode": "place", "hook": "request", "text": text }),
        )
        .await;
        assert_eq!(said, expected, "{text:?}");
    }
}

#[tokio::test]
async fn a_call_to_a_host_that_was_not_granted_is_denied() {
    let stage = Stage::new().await;
    for url in [
        "http://169.254.169.254/latest/meta-data",
        "http://127.0.0.1:9@example.com/",
        "http://127.0.0.1:22/",
        "file:///etc/passwd",
        "http://127.0.0.1:9.example.com/",
        "not a url",
        "",
    ] {
        let said = seen(
            &stage,
            json!({ "mode": "http", "hook": "request", "text": url }),
        )
        .await;
        assert!(said.contains("Denied"), "{url}: {said}");
    }
}

#[tokio::test]
async fn settling_a_reservation_twice_traps() {
    let stage = Stage::new().await;
    let failure = stage
        .fails(json!({ "mode": "settle-twice", "hook": "request" }))
        .await;
    assert!(trapped_with(&failure, "settled before"), "{failure}");
}

#[tokio::test]
async fn reservations_that_are_never_settled_are_bounded() {
    let stage = Stage::new().await;
    let said = seen(
        &stage,
        json!({ "mode": "reserve-flood", "hook": "request", "amount": 100_000 }),
    )
    .await;
    assert!(
        said.starts_with("256: ") && said.contains("too many reservations"),
        "{said}"
    );
}

#[tokio::test]
async fn a_limit_of_nothing_is_an_error_and_no_division_by_zero() {
    let stage = Stage::new().await;
    let said = seen(
        &stage,
        json!({ "mode": "limit-of-nothing", "hook": "request" }),
    )
    .await;
    assert!(said.contains("Invalid"), "{said}");
}

#[tokio::test]
async fn a_body_range_beyond_the_end_is_empty() {
    let stage = Stage::new().await;
    assert_eq!(
        seen(
            &stage,
            json!({ "mode": "body-past-end", "hook": "request" })
        )
        .await,
        "0"
    );
}
