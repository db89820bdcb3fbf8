//! What pages show of the output of commands is what comes out.
//!
//! Most of it is seen by running the page: each such page has a test that does. The rest
//! is made here, by the code that prints it.

use std::fs;

use serde_json::{Value, json};

use super::{Block, Rule, commands::lines, of_rule, words::literals};
use crate::{
    cli::trace::view::View,
    trace::{Attempt, Decision, Edit, Read, Step, Trace},
};

/// Pages whose commands a test runs and whose output it compares, and what it says of them.
const RUN: &[(&str, &str, &str)] = &[
    (
        "docs/first-policy.md",
        "tests/first-policy/run",
        "docs/first-policy.md",
    ),
    (
        "docs/writing-policies.md",
        "tests/e2e/authoring/first_policy.rs",
        "docs/writing-policies.md",
    ),
    (
        "examples/team-gateway/README.md",
        "tests/e2e/examples.rs",
        "run(\"team-gateway\"",
    ),
    (
        "examples/platform-gateway/README.md",
        "tests/e2e/examples.rs",
        "run(\"platform-gateway\"",
    ),
    (
        "examples/vllm-fleet/README.md",
        "tests/e2e/examples.rs",
        "run(\"vllm-fleet\"",
    ),
    (
        "examples/kserve-front/README.md",
        "tests/servers/test_readmes.py",
        "\"kserve-front\"",
    ),
    (
        "examples/seldon-front/README.md",
        "tests/servers/test_readmes.py",
        "\"seldon-front\"",
    ),
    (
        "examples/policy-in-javascript/README.md",
        "tests/foreign/run",
        "for language in javascript",
    ),
    (
        "examples/policy-in-python/README.md",
        "tests/foreign/run",
        " python",
    ),
];
/// Pages whose output is made by tests of this file.
const MADE: &[&str] = &["docs/operating.md", "plugins/token-budget/README.md"];

/// What a block shows beside its commands.
fn output(block: &Block) -> String {
    if block.kind != "console" {
        return String::new();
    }
    let commands = lines(&block.kind, &block.text).join("\n");
    let is_command = |line: &str| {
        let line = line.strip_prefix("$ ").unwrap_or(line);
        commands.lines().any(|command| command == line)
    };
    let shown = block.text.lines().filter(|line| !is_command(line));
    shown.map(|line| format!("{line}\n")).collect()
}

/// The one block of a page that shows output.
fn block_of(page: &str) -> Block {
    let mut found = of_rule(Rule::Commands, 1);
    found.retain(|block| block.page == page && !output(block).is_empty());
    assert_eq!(found.len(), 1, "{page}");
    found.remove(0)
}

#[test]
fn what_comes_out_of_commands_is_seen_by_a_test() {
    for (page, test, names) in RUN {
        let text = fs::read_to_string(super::root().join(test)).unwrap();
        assert!(text.contains(names), "{test} does not run {page}");
    }
    let of_none = of_rule(Rule::Commands, 1).into_iter().filter(|block| {
        let is_run = RUN.iter().any(|(page, ..)| *page == block.page);
        !is_run && !MADE.contains(&block.page.as_str()) && !output(block).is_empty()
    });
    let of_none: Vec<_> = of_none.map(|block| block.place()).collect();
    assert!(
        of_none.is_empty(),
        "shown, and seen by no test: {of_none:?}"
    );
    MADE.iter().for_each(|page| drop(block_of(page)));
}

fn step(policy: &str, plugin: &str, hook: &str, us: u64) -> Step {
    Step {
        policy: policy.to_owned(),
        plugin: plugin.to_owned(),
        hook: hook.to_owned(),
        us,
        decision: Some(Decision {
            verdict: "next".to_owned(),
            ..Decision::default()
        }),
        ..Step::default()
    }
}

/// An exchange whose temperature is lowered on its way.
fn cooled() -> Trace {
    Trace {
        id: "8f0c…".to_owned(),
        time_ms: 45_296_789,
        generation: 3,
        route: Some("chat".to_owned()),
        method: "POST".to_owned(),
        path: "/v1/chat/completions".to_owned(),
        model: Some("small".to_owned()),
        upstream: Some("vllm".to_owned()),
        status: 200,
        ending: "complete".to_owned(),
        total_us: 12_345,
        attempts: vec![Attempt {
            upstream: "vllm".to_owned(),
            model: Some("meta-llama/Llama-3.3-70B-Instruct".to_owned()),
            at_us: 200,
            us: 11_000,
            status: Some(200),
            error: None,
        }],
        steps: vec![
            Step {
                at_us: 100,
                reads: vec![Read {
                    part: "json".to_owned(),
                    name: "/model".to_owned(),
                    value: Some(json!("small")),
                }],
                edits: vec![Edit {
                    edit: "set-json".to_owned(),
                    name: Some("/temperature".to_owned()),
                    before: Some(json!(1.7)),
                    after: Some(json!(1)),
                }],
                ..step("rules", "model-rules", "on_request", 42)
            },
            Step {
                at_us: 11_500,
                ..step("private", "redact", "on_response", 180)
            },
        ],
        ..Trace::default()
    }
}

#[test]
fn the_trace_on_the_operators_page_is_what_the_command_prints() {
    let shown = output(&block_of("docs/operating.md"));
    let printed = View { colored: false }.trace(&cooled());
    assert_eq!(shown.trim_end(), printed.trim_end());
}

#[test]
fn a_metric_of_a_plugin_is_shown_as_the_admin_port_gives_it() {
    let block = block_of("plugins/token-budget/README.md");
    let shown = output(&block).replace(",…]", "]");
    let shown: Value = serde_json::from_str(&shown).unwrap();
    let row = &shown["rows"][0];
    let keys = |value: &Value| -> Vec<String> {
        let keys = value.as_object().unwrap().keys();
        keys.cloned().collect()
    };
    assert!(row["value"].is_u64(), "{row}");
    // In the order in which it writes them.
    let admin = literals(&["host/gateway/src/admin/pages.rs"]);
    let mut admin = admin.iter();
    for key in [keys(row), keys(&shown)].concat() {
        assert!(admin.any(|written| *written == key), "{key}");
    }
    let plugin = literals(&["plugins/token-budget/src"]);
    let metric = shown["metric"].as_str().unwrap().to_owned();
    for name in keys(&row["labels"]).into_iter().chain([metric]) {
        assert!(plugin.contains(&name), "{name}");
    }
}
