//! `tollgate check`: what policies do together, and everything that is wrong at once.

use std::{fs, path::Path, process::Output};

use serde_json::{Value, json};
use tollgate::{
    Options, Warning,
    demo::standin::{Standin, StandinOptions},
};

use crate::{
    fixture::{cache, chat_through, guest, lay_out},
    program::tollgate,
};

/// A folder with this configuration, and the plugins that it names.
async fn laid_out(config: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let options = StandinOptions::behaving("tokens=1").unwrap();
    let standin = Standin::start(([127, 0, 0, 1], 0).into(), options)
        .await
        .unwrap();
    fs::write(folder.path().join("canary.txt"), "canary-of-the-secret").unwrap();
    lay_out(folder.path(), config, &standin);
    folder
}

async fn warnings(config: &str) -> Vec<Warning> {
    let folder = laid_out(config).await;
    let mut options = Options::new(folder.path().join("tollgate.yaml"));
    options.compiler = Some(env!("CARGO_BIN_EXE_tollgate").into());
    options.instances = 256;
    let checked = tollgate::check(&options).await;
    let mut warnings = checked
        .unwrap_or_else(|refused| panic!("{refused}"))
        .warnings;
    let there = format!("{}/", folder.path().display());
    for warning in &mut warnings {
        warning.message = warning.message.replace(&there, "");
    }
    warnings
}

fn codes(warnings: &[Warning]) -> Vec<&str> {
    warnings
        .iter()
        .map(|warning| warning.code.as_str())
        .collect()
}

const CALLERS: &str = "callers: { plugin: api-keys, on_error: refuse, settings: { keys: [ { caller: ada, sha256: \"2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b\" } ] } }";
const ANSWERS: &str =
    "answers: { plugin: cache, on_error: bypass, grants: { cache: true }, settings: { ttl: 10m } }";

fn composed(order: &str, policies: &[&str]) -> String {
    let policies: String = policies
        .iter()
        .map(|policy| format!("\n  {policy}"))
        .collect();
    chat_through(order, &policies)
}

#[tokio::test]
async fn two_policies_that_set_the_same_field_are_warned_of_where_the_second_stands() {
    let one = "one: { PROBE, on_error: refuse, settings: { request: { set_json: { /temperature: 0.5 }, facts: { team: a } } } }";
    let other = "other: { PROBE, on_error: refuse, settings: { request: { set_json: { /temperature: 1 } }, response: { set_headers: { x-a: b } } } }";
    let warnings = warnings(&composed("one, other", &[one, other])).await;
    assert_eq!(codes(&warnings), ["same_field"]);
    let warning = &warnings[0];
    assert_eq!(
        warning.message,
        format!(
            "\
tollgate.yaml:10:75: in the route `chat`, `one` and `other` both set `/temperature` of the request, and only one can have the last word
   |
10 |   - {{ name: chat, match: {{ path: /v1/chat/completions }}, policies: [ one, other ] }}
   | {}^",
            " ".repeat(74)
        )
    );
    assert_eq!(warning.line, Some(10));
}

#[tokio::test]
async fn rules_for_one_model_are_not_held_against_rules_for_another() {
    let rules = |name: &str, model: &str| {
        format!(
            "{name}: {{ plugin: model-rules, on_error: refuse, settings: {{ rules: [ {{ models: [ {model} ], request: {{ set: {{ /temperature: 0 }} }} }} ] }} }}"
        )
    };
    let (a, b) = (rules("a", "small"), rules("b", "large"));
    assert_eq!(warnings(&composed("a, b", &[&a, &b])).await, []);
    let b = rules("b", "small");
    assert_eq!(
        codes(&warnings(&composed("a, b", &[&a, &b])).await),
        ["same_field"]
    );
}

const AT_THE_ROUTE: &str =
    "one: { PROBE, on_error: refuse, settings: { request: { set_json: { /temperature: 0.5 } } } }";
const AT_A_TARGET: &str =
    "other: { PROBE, on_error: refuse, settings: { attempt: { set_json: { /temperature: 1 } } } }";

#[tokio::test]
async fn policies_of_a_target_that_is_only_fallen_back_on_are_compared_too() {
    let one = AT_A_TARGET.replace("other:", "one:");
    let config = composed("", &[&one, AT_A_TARGET]).replace(
        "targets: [ { upstream: standin } ]",
        "targets: [ { upstream: standin } ], fallback: [ { upstream: standin, model: spare, policies: [ one, other ] } ]",
    );
    let warnings = warnings(&config).await;
    assert_eq!(codes(&warnings), ["same_field"], "{warnings:#?}");
    let message = &warnings[0].message;
    assert!(
        message.contains("in fallback 1 of the model `small`, `one` and `other` both set ")
            && message.contains("`/temperature` of the request"),
        "{message}"
    );
}

#[tokio::test]
async fn a_target_that_sets_what_its_route_set_is_warned_of_where_it_stands() {
    let at_the_target = |config: String| {
        config.replace(
            "targets: [ { upstream: standin } ]",
            "targets: [ { upstream: standin, policies: [ other ] } ]",
        )
    };
    let both = at_the_target(composed("one", &[AT_THE_ROUTE, AT_A_TARGET]));
    let both = warnings(&both).await;
    assert_eq!(codes(&both), ["same_field"], "{both:#?}");
    assert_eq!(both[0].line, Some(8));
    assert!(
        both[0].message.contains(
            "in target 1 of the model `small`, `other` sets `/temperature` of the request, and so does `one` in the route `chat`"
        ),
        "{}",
        both[0]
    );
    let elsewhere = AT_THE_ROUTE.replace("/temperature", "/top_p");
    let neither = at_the_target(composed("one", &[&elsewhere, AT_A_TARGET]));
    assert_eq!(warnings(&neither).await, []);
}

#[tokio::test]
async fn an_upstream_that_sets_what_a_route_to_it_set_is_warned_of_where_it_stands() {
    let at_the_upstream = |config: String| {
        config.replace(
            "endpoints: [ \"http://UPSTREAM\" ]",
            "endpoints: [ \"http://UPSTREAM\" ], policies: [ other ]",
        )
    };
    let by_model = at_the_upstream(composed("one", &[AT_THE_ROUTE, AT_A_TARGET]));
    let direct = by_model.replace("policies: [ one ]", "policies: [ one ], upstream: standin");
    assert_ne!(by_model, direct);
    for config in [&by_model, &direct] {
        let both = warnings(config).await;
        assert_eq!(codes(&both), ["same_field"], "{both:#?}");
        assert_eq!(both[0].line, Some(7));
        assert!(
            both[0].message.contains(
                "in the upstream `standin`, `other` sets `/temperature` of the request, and so does `one` in the route `chat`"
            ),
            "{}",
            both[0]
        );
    }
    let unled = by_model.replace(
        "targets: [ { upstream: standin } ]",
        "targets: [ { upstream: spare } ]",
    );
    let spare = "upstreams: { spare: { endpoints: [ \"http://UPSTREAM\" ] }, ";
    let unled = unled.replace("upstreams: { ", spare);
    assert_eq!(
        warnings(&unled).await,
        [],
        "nothing leads there from the route"
    );
}

#[tokio::test]
async fn what_nothing_uses_is_shown_where_it_is_written() {
    let warnings = warnings(&composed("", &[AT_THE_ROUTE])).await;
    assert_eq!(codes(&warnings), ["config"], "{warnings:#?}");
    let warning = &warnings[0];
    assert_eq!(warning.line, Some(5), "{warning}");
    assert!(
        warning
            .message
            .contains("the policy `one` is used by nothing: name it in a route")
            && warning.message.ends_with("^"),
        "{warning}"
    );
}

#[tokio::test]
async fn an_access_policy_behind_one_that_answers_is_warned_of() {
    let answer = "answer: { PROBE, on_error: refuse, settings: { reply: { status: 200 } } }";
    let behind = warnings(&composed("answer, callers", &[answer, CALLERS])).await;
    assert_eq!(codes(&behind), ["answer_before_access"]);
    assert!(
        behind[0].message.contains("put `callers` before `answer`"),
        "{}",
        behind[0]
    );
    assert_eq!(
        warnings(&composed("callers, answer", &[answer, CALLERS])).await,
        []
    );
}

#[tokio::test]
async fn a_cache_before_the_policy_that_guards_or_redacts_is_warned_of() {
    let behind = warnings(&composed("answers, callers", &[ANSWERS, CALLERS])).await;
    assert_eq!(codes(&behind), ["cache_before_guard"]);
    let redact = "private: { plugin: redact, on_error: refuse, settings: { kinds: [ email ] } }";
    let behind = warnings(&composed("answers, private", &[ANSWERS, redact])).await;
    assert_eq!(codes(&behind), ["cache_before_text"], "{behind:#?}");
    let order = "callers, private, answers";
    assert_eq!(
        warnings(&composed(order, &[CALLERS, redact, ANSWERS])).await,
        []
    );
}

#[tokio::test]
async fn a_policy_that_guards_and_is_bypassed_when_it_fails_is_warned_of() {
    let open = CALLERS.replace("on_error: refuse", "on_error: bypass");
    let warnings = warnings(&composed("callers", &[&open])).await;
    assert_eq!(codes(&warnings), ["guard_bypassed"]);
    assert!(
        warnings[0]
            .message
            .contains("\n5 |   callers: { plugin: api-keys, on_error: bypass,"),
        "{}",
        warnings[0]
    );
}

#[tokio::test]
async fn a_policy_that_counts_and_says_who_may_ask_is_a_guard_as_well() {
    let counts = CALLERS.replace(
        "on_error: refuse",
        "on_error: bypass, grants: { limits: true }",
    );
    assert_eq!(
        codes(&warnings(&composed("callers", &[&counts])).await),
        ["guard_bypassed"]
    );
}

async fn check(folder: &Path, arguments: &[&str]) -> Output {
    let mut arguments = arguments.to_vec();
    arguments.insert(0, "check");
    let mut command = tollgate(&arguments, Path::new("tollgate.yaml"));
    command
        .current_dir(folder)
        .stdout(std::process::Stdio::piped());
    command.output().await.unwrap()
}

#[tokio::test]
async fn the_command_fails_on_warnings_only_where_it_is_to_be_strict() {
    let open = CALLERS.replace("on_error: refuse", "on_error: bypass");
    let folder = laid_out(&composed("callers", &[&open])).await;
    let fine = check(folder.path(), &[]).await;
    assert!(fine.status.success());
    let (out, err) = (
        String::from_utf8_lossy(&fine.stdout),
        String::from_utf8_lossy(&fine.stderr),
    );
    assert!(err.contains("warning: tollgate.yaml:5:"), "{err}");
    assert!(
        out.contains("There is a warning.") && out.contains("Next: tollgate run"),
        "{out}"
    );
    let strict = check(folder.path(), &["--strict"]).await;
    assert_eq!(strict.status.code(), Some(1));
    let out = String::from_utf8_lossy(&strict.stdout);
    assert!(
        out.ends_with("There is a warning, and with --strict this check fails for it: mend what stands above, or check without --strict.\n"),
        "{out}"
    );
    let strict = check(folder.path(), &["--strict", "--json"]).await;
    assert_eq!(strict.status.code(), Some(1));
    let shown: Value = serde_json::from_slice(&strict.stdout).unwrap();
    assert_eq!(shown["ok"], false);
    let warning = &shown["checked"]["warnings"][0];
    assert_eq!(
        (&warning["code"], &warning["line"], &warning["file"]),
        (&json!("guard_bypassed"), &json!(5), &json!("tollgate.yaml"))
    );
}

#[tokio::test]
async fn everything_that_is_wrong_is_named_at_once() {
    let config = chat_through(
        "a, b, c",
        "
  a: { plugin: model-rules, on_error: refuse, settings: { rules: 1, colour: blue } }
  b: { plugin: api-keys, on_error: refuse, settings: { keys: [ { caller: 1 } ] } }
  c: { plugin: nowhere, on_error: refuse, grants: { secrets: [ gone ] } }",
    );
    let folder = laid_out(&format!(
        "secrets: {{ gone: {{ file: gone.txt }} }}\n{config}"
    ))
    .await;
    let refused = check(folder.path(), &["--json"]).await;
    assert_eq!(refused.status.code(), Some(1));
    let shown: Value = serde_json::from_slice(&refused.stdout).unwrap();
    let problems: Vec<_> = shown["problems"]
        .as_array()
        .unwrap()
        .iter()
        .map(|problem| (problem["code"].as_str().unwrap(), problem["line"].as_u64()))
        .collect();
    assert_eq!(
        problems,
        [
            ("missing_plugin", Some(8)),
            ("settings", Some(6)),
            ("settings", Some(6)),
            ("settings", Some(7)),
            ("settings", Some(7)),
            ("secret", Some(4)),
        ],
        "{shown:#}"
    );
    let message = |nth: usize| shown["problems"][nth]["message"].as_str().unwrap();
    assert!(
        message(0).contains("\n8 |   c: { plugin: nowhere,") && message(0).ends_with("^"),
        "{shown:#}"
    );
    assert!(
        message(1).contains("^") && message(3).contains("/keys/0"),
        "{shown:#}"
    );
    let told = check(folder.path(), &[]).await;
    let told = String::from_utf8_lossy(&told.stderr).into_owned();
    assert!(told.ends_with("\n6 problems\n"), "{told}");
}

#[tokio::test]
async fn no_example_is_warned_of() {
    for example in [
        "kserve-front",
        "platform-gateway",
        "seldon-front",
        "team-gateway",
    ] {
        let folder = tempfile::tempdir().unwrap();
        let there = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../../examples")
            .join(example);
        let text = fs::read_to_string(there.join("tollgate.yaml")).unwrap();
        let plugins = folder.path().join("plugins");
        fs::create_dir(&plugins).unwrap();
        for name in crate::schema::STANDARD {
            if text.contains(&format!("plugin: {name}")) {
                fs::copy(guest(name), plugins.join(format!("{name}.wasm"))).unwrap();
            }
        }
        let kept = cache().display().to_string();
        let text: String = text
            .lines()
            .map(|line| match line.split_once(": ") {
                Some(("plugins", _)) => "plugins: plugins\n".to_owned(),
                Some(("cache", _)) => format!("cache: {kept}\n"),
                _ => format!("{line}\n"),
            })
            .collect();
        fs::write(folder.path().join("tollgate.yaml"), text).unwrap();
        let checked = check(folder.path(), &["--strict"]).await;
        let said = String::from_utf8_lossy(&checked.stderr).into_owned();
        assert!(checked.status.success(), "{example}: {said}");
    }
}
