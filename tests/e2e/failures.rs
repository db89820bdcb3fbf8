//! Policies that fail: only their own exchange notices, and it gets what `on_error` says.

use serde_json::Value;
use tollgate::demo::standin::{Standin, StandinOptions};

use crate::{
    client::Ask,
    fixture::{Site, chat_through, lay_out},
    program::Program,
};

/// The policy that fails between two that do not.
fn between(on_error: &str, isolation: &str) -> String {
    chat_through(
        "first, probe, last",
        &format!(
            r#"
  first: {{ PROBE, on_error: refuse, isolation: {isolation}, settings: {{ request: {{ remove_headers: [ x-first ], append_headers: {{ x-order: first }} }} }} }}
  probe: {{ PROBE, on_error: {on_error}, isolation: {isolation}, settings: {{ mark: probe, request: {{ append_headers: {{ x-order: probe }} }} }} }}
  last: {{ PROBE, on_error: refuse, isolation: {isolation}, settings: {{ request: {{ append_headers: {{ x-order: last }} }} }} }}"#
        ),
    )
}

/// What `x-probe` asks for concerns one policy alone: the first hides it from none, so
/// the failing one stands alone here.
fn alone(on_error: &str, isolation: &str) -> String {
    chat_through(
        "probe",
        &format!(
            "\n  probe: {{ PROBE, on_error: {on_error}, isolation: {isolation}, limits: {{ hook_time: 300ms, memory: 4MiB }}, settings: {{ mark: probe }} }}"
        ),
    )
}

const DEEDS: [(&str, &str); 3] = [
    ("trap", "trapped"),
    ("loop", "out_of_time"),
    ("memory", "trapped"),
];

async fn neighbour_is_well(site: &Site, after: &str) {
    let answer = site.chat().send().await;
    assert_eq!(answer.status, 200, "after {after}: {}", answer.text());
    assert_eq!(answer.json()["mark"], "probe", "after {after}");
    assert_eq!(
        answer.json()["system_fingerprint"],
        "probe",
        "after {after}"
    );
}

async fn fails_closed(isolation: &str) {
    let site = Site::start(&alone("refuse", isolation)).await;
    for hook in ["request", "response"] {
        for (deed, failure) in DEEDS {
            let answer = site
                .chat()
                .header("x-probe", format!("{deed}@{hook}"))
                .send()
                .await;
            assert_eq!(
                answer.refusal(),
                (500, "policy_failed".to_owned()),
                "{deed}@{hook}"
            );
            assert!(
                !answer.text().contains("as told"),
                "the inner failure stays inside: {}",
                answer.text()
            );
            neighbour_is_well(&site, &format!("{deed}@{hook}")).await;
            let lines = site.exchanges(1).await;
            let line = lines
                .iter()
                .rev()
                .find(|line| line["status"] == 500)
                .unwrap();
            assert_eq!(
                line["policies"][0]["failure"], failure,
                "{deed}@{hook}: {line}"
            );
        }
    }
    let seen = site.standin.seen();
    assert_eq!(
        seen.requests,
        6 + 3,
        "neighbours, and those that failed on the way back"
    );
}

async fn fails_open(isolation: &str) {
    let site = Site::start(&alone("bypass", isolation)).await;
    for hook in ["request", "response", "finish"] {
        for (deed, _) in DEEDS {
            let answer = site
                .chat()
                .header("x-probe", format!("{deed}@{hook}"))
                .send()
                .await;
            assert_eq!(answer.status, 200, "{deed}@{hook}: {}", answer.text());
            let mark = if hook == "finish" { "probe" } else { "" };
            assert_eq!(
                answer.json()["mark"].as_str().unwrap_or(""),
                mark,
                "{deed}@{hook}"
            );
            neighbour_is_well(&site, &format!("{deed}@{hook}")).await;
        }
    }
    site.metric_becomes("tollgate_exchanges_open", 0.0).await;
    assert!(site.metric("tollgate_policy_errors_total").await >= 9.0);
}

#[tokio::test]
async fn a_policy_that_traps_loops_or_hoards_refuses_its_exchange_alone() {
    fails_closed("exchange").await;
}

#[tokio::test]
async fn a_shared_policy_that_traps_loops_or_hoards_refuses_its_exchange_alone() {
    fails_closed("shared").await;
}

#[tokio::test]
async fn a_policy_that_traps_loops_or_hoards_is_bypassed_where_that_is_said() {
    fails_open("exchange").await;
}

#[tokio::test]
async fn a_shared_policy_that_traps_loops_or_hoards_is_bypassed_where_that_is_said() {
    fails_open("shared").await;
}

#[tokio::test]
async fn the_log_line_of_a_failure_names_policy_plugin_hook_and_reason() {
    let folder = tempfile::tempdir().unwrap();
    let options = StandinOptions::behaving("tokens=2").unwrap();
    let standin = Standin::start(([127, 0, 0, 1], 0).into(), options)
        .await
        .unwrap();
    std::fs::write(folder.path().join("canary.txt"), "canary-of-the-secret").unwrap();
    let config = alone("bypass", "exchange").replace("  probe: {", "  guard: {");
    let config = config.replace("policies: [ probe ]", "policies: [ guard ]");
    lay_out(folder.path(), &config, &standin);
    let program = Program::start(&folder.path().join("tollgate.yaml"));
    let addr = program.address("addr").await;
    for hook in ["request", "response", "events", "finish"] {
        let ask = Ask::chat(addr, "small").set("stream", hook == "events");
        let ask = ask.header("x-probe", format!("trap@{hook}"));
        assert_eq!(ask.send().await.status, 200, "{hook}");
        let line = program.logged(&format!("\"on_{hook}\"")).await;
        let line: Value = serde_json::from_str(&line).unwrap();
        let said = |name: &str| line[name].as_str();
        assert_eq!(
            (said("policy"), said("plugin"), said("hook")),
            (Some("guard"), Some("probe"), Some(&*format!("on_{hook}"))),
            "{line}"
        );
        let failure = said("failure").unwrap_or_default();
        assert!(failure.starts_with("trapped: "), "{line}");
    }
}

#[tokio::test]
async fn the_policies_around_one_that_is_bypassed_run_as_ever() {
    let site = Site::start(&between("bypass", "exchange")).await;
    assert_eq!(site.chat().send().await.status, 200);
    assert_eq!(
        site.standin
            .seen()
            .newest()
            .unwrap()
            .header_values("x-order"),
        ["first", "probe", "last"]
    );
    // Each of them would trap, so the first refuses.
    let answer = site.chat().header("x-probe", "trap").send().await;
    assert_eq!(answer.refusal(), (500, "policy_failed".to_owned()));
    assert_eq!(site.standin.seen().requests, 1);
}

#[tokio::test]
async fn a_policy_that_fails_at_its_target_is_treated_as_its_on_error_says() {
    for (on_error, status) in [("refuse", 500), ("bypass", 200)] {
        let config = format!(
            r#"
policies: {{ adapter: {{ PROBE, on_error: {on_error} }} }}
upstreams: {{ standin: {{ endpoints: [ "http://UPSTREAM" ] }} }}
models: {{ small: {{ targets: [ {{ upstream: standin, policies: [ adapter ] }} ] }} }}
routes: [ {{ match: {{ path: /v1/chat/completions }} }} ]
"#
        );
        let site = Site::start(&config).await;
        for (deed, _) in DEEDS {
            let answer = site
                .chat()
                .header("x-probe", format!("{deed}@attempt"))
                .send()
                .await;
            assert_eq!(
                answer.status,
                status,
                "{deed}, {on_error}: {}",
                answer.text()
            );
            assert_eq!(
                site.chat().send().await.status,
                200,
                "after {deed}, {on_error}"
            );
        }
    }
}

#[tokio::test]
async fn a_policy_that_fails_within_a_stream_ends_it_or_is_left_out_of_it() {
    let site = Site::start(&alone("refuse", "exchange")).await;
    for (deed, _) in DEEDS {
        let stream = site
            .streamed()
            .header("x-probe", format!("{deed}@events"))
            .stream()
            .await
            .collect()
            .await;
        assert!(!stream.is_whole, "{deed}: {stream:?}");
        assert_eq!(
            stream.error_code().as_deref(),
            Some("policy_failed"),
            "{deed}"
        );
        assert!(
            site.streamed().stream().await.collect().await.is_complete(),
            "after {deed}"
        );
    }
    let site = Site::start(&alone("bypass", "exchange")).await;
    for (deed, _) in DEEDS {
        let stream = site
            .streamed()
            .header("x-probe", format!("{deed}@events"))
            .stream()
            .await
            .collect()
            .await;
        assert!(stream.is_complete(), "{deed}: {stream:?}");
        assert!(
            !stream.events.iter().any(|event| event.contains("\"mark\"")),
            "{deed}: {stream:?}"
        );
    }
}

#[tokio::test]
async fn a_policy_that_keeps_failing_is_quarantined_and_asked_again_later() {
    let site = Site::start(&alone("bypass", "exchange")).await;
    let mut failed = 0;
    while site.metric("tollgate_policy_quarantined").await == 0.0 {
        assert_eq!(
            site.chat().header("x-probe", "trap").send().await.status,
            200
        );
        failed += 1;
        assert!(failed < 100, "it is still asked after {failed} failures");
    }
    let policies = site.look("/policies").await.json();
    assert_eq!(policies["policies"][0]["quarantined"], true);
    let answer = site.chat().send().await;
    assert_eq!(answer.status, 200);
    let lines = site.exchanges(failed + 1).await;
    assert_eq!(lines[failed]["policies"][0]["failure"], "quarantined");
    assert!(answer.json()["mark"].is_null());
    // After a pause it is tried with one exchange, and is back.
    while site.metric("tollgate_policy_quarantined").await == 1.0 {
        assert_eq!(site.chat().send().await.status, 200);
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    neighbour_is_well(&site, "the quarantine").await;
}

#[tokio::test]
async fn a_policy_in_quarantine_still_refuses_if_it_guards() {
    let site = Site::start(&alone("refuse", "exchange")).await;
    for _ in 0..12 {
        assert_eq!(
            site.chat().header("x-probe", "trap").send().await.status,
            500
        );
    }
    assert_eq!(site.metric("tollgate_policy_quarantined").await, 1.0);
    assert_eq!(
        site.chat().send().await.refusal(),
        (500, "policy_failed".to_owned())
    );
    assert_eq!(site.standin.seen().requests, 0);
}
