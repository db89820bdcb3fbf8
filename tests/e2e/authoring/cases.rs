//! What a case shows of a policy, and what makes one fail.

use std::fs;

use super::{Said, tollgate};
use crate::fixture::guest;

/// Runs one case on a plugin.
fn run(plugin: &'static str, case: &str, arguments: &[&str]) -> Said {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("it.yaml"), case).unwrap();
    let file = guest(plugin);
    let file = file.to_string_lossy();
    let test = ["plugin", "test", &file, "--cases", "."];
    tollgate(folder.path(), &[&test, arguments].concat())
}

fn passes(plugin: &'static str, case: &str) {
    let said = run(plugin, case, &[]);
    assert!(said.is_good, "{}\n{}\n{case}", said.out, said.error);
}

/// What is said of one that fails.
fn fails(plugin: &'static str, case: &str, arguments: &[&str]) -> String {
    let said = run(plugin, case, arguments);
    assert!(!said.is_good, "{}\n{case}", said.out);
    said.out
}

#[test]
fn a_stream_ends_where_a_policy_ends_it_and_last_hooks_are_told_so() {
    passes(
        "probe",
        r#"
settings: { reply_instead: { status: 418, body: gone } }
answer:
  events: [ { data: "[DONE]" } ]
  usage: { input: 1, output: 1 }
  ending: upstream_failed
expect:
  on_response: { verdict: { reply: { status: 418, body: gone } } }
  on_events: null
  events: null
  on_finish: { metrics: [ 'finishes{ending="Ending::Complete",status="418"} +1' ] }
"#,
    );
    let text = |text| {
        format!("{{ data: {{ choices: [ {{ index: 0, delta: {{ content: {text} }} }} ] }} }}")
    };
    let (go, stop, on) = (text("go"), text("stop"), text("on"));
    passes(
        "probe",
        &format!(
            r#"
settings: {{ events: [ {{ text: stop, act: end }} ] }}
answer: {{ events: [ {go}, {stop}, {on}, {{ data: "[DONE]" }} ] }}
expect:
  events: [ {go}, {stop}, {{ data: "[DONE]" }} ]
  on_finish: {{ metrics: [ 'finishes{{ending="Ending::Cut",status="200"}} +1' ] }}
"#
        ),
    );
}

#[test]
fn where_a_copy_goes_is_a_call_and_can_be_expected() {
    passes(
        "shadower",
        r#"
settings: { model: small }
expect:
  on_request:
    shadow: { model: small }
    calls: [ 'shadow.send_to(model "small") -> done' ]
"#,
    );
    passes(
        "shadower",
        r#"
expect:
  on_request:
    shadow: null
    calls: [ "shadow.send_to() -> error: nowhere" ]
"#,
    );
    let out = fails(
        "shadower",
        "settings: { model: small }\nexpect: { on_request: { calls: [], shadow: null } }\n",
        &[],
    );
    assert!(
        out.contains("+ shadow: { model: small }") && out.contains("shadow.send_to("),
        "{out}"
    );
}

#[test]
fn a_case_that_gives_what_nobody_asks_for_fails_and_names_it() {
    let out = fails(
        "probe",
        r#"
settings: { call: "http://a/used" }
given:
  limits: { caller=bob: { used: 900 } }
  calls: [ { url: "http://a/used" }, { url: "http://a/other" } ]
expect: { on_request: { verdict: next } }
"#,
        &[],
    );
    for line in [
        " nobody asked for given.calls: GET http://a/other\n",
        " nobody asked for given.limits: \"caller=bob\"\n",
    ] {
        assert!(out.contains(line), "{out}");
    }
    assert!(!out.contains("http://a/used"), "{out}");
}

#[test]
fn host_calls_are_bounded_by_a_budget_from_the_first_on() {
    let case = "expect: { on_request: { verdict: next } }\n";
    // It asks the clock when its session opens.
    let out = fails("probe", case, &["--budget", "host_calls=0"]);
    assert!(
        out.contains(" open made 1 host calls, and 0 are allowed\n"),
        "{out}"
    );
    assert!(run("probe", case, &["--budget", "host_calls=5"]).is_good);
}

#[test]
fn the_limits_of_a_policy_can_be_set() {
    let case = "request: { headers: { x-probe: loop } }\nexpect:\n  on_request:\n    failure: \"ran longer than 30ms in one hook\"\n";
    let said = run("probe", case, &["--hook-time", "30ms"]);
    assert!(said.is_good, "{}{}", said.out, said.error);
    let out = fails("probe", case, &[]);
    assert!(out.contains("ran longer than 10ms in one hook"), "{out}");

    let case = "expect: { on_request: { verdict: next } }\n";
    let out = fails("probe", case, &["--memory", "64KiB"]);
    assert!(out.contains("load_error"), "{out}");
    assert!(run("probe", case, &["--memory", "64MiB"]).is_good);
    let said = run("probe", case, &["--memory", "1KiB"]);
    assert!(
        said.error
            .contains("`1KiB` is no size from `64KiB` to `4GiB`"),
        "{}",
        said.error
    );
}
