//! Cases that a plugin carries: the gateway proves them before it takes it.

use std::{fs, path::Path};

use tollgate_cases::{Case, with_cases};

use super::tollgate;
use crate::fixture;

const CONFIG: &str = r#"
listen: 127.0.0.1:0
admin: 127.0.0.1:0
plugins: plugins
policies:
  rules:
    plugin: model-rules
    on_error: refuse
    settings: { rules: [] }
upstreams:
  none: { endpoints: [ "http://127.0.0.1:9" ] }
routes:
  - { match: { path: "/*" }, upstream: none, policies: [ rules ] }
"#;

const CASE: &str = r#"
settings: { rules: [ { models: [ a ], request: { set: { /temperature: 0 } } } ] }
request: { json: { model: a, messages: [] } }
expect:
  on_request: { edits: [ { set_json: { /temperature: TEMPERATURE } } ] }
"#;

/// What `tollgate check` says of a gateway whose plugin carries these cases.
fn checked(cases: &[(&str, &str)]) -> super::Said {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("plugins")).unwrap();
    fs::write(folder.path().join("tollgate.yaml"), CONFIG).unwrap();
    let read = |(name, text): &(&str, &str)| {
        Case::read(Path::new(&format!("{name}.yaml")), (*text).to_owned()).unwrap()
    };
    let cases: Vec<Case> = cases.iter().map(read).collect();
    let wasm = fs::read(fixture::guest("model-rules")).unwrap();
    let wasm = with_cases(&wasm, &cases).unwrap();
    fs::write(folder.path().join("plugins/model-rules.wasm"), wasm).unwrap();
    tollgate(folder.path(), &["check", "--config", "tollgate.yaml"])
}

#[test]
fn cases_in_a_plugin_are_proven_before_it_goes_live_whatever_the_settings() {
    let said = checked(&[("cold", &CASE.replace("TEMPERATURE", "0"))]);
    assert!(said.is_good, "{}", said.error);
}

#[test]
fn a_case_that_fails_keeps_a_plugin_out_and_is_named_with_the_difference() {
    let good = CASE.replace("TEMPERATURE", "0");
    let bad = CASE.replace("TEMPERATURE", "1");
    let said = checked(&[("cold", &good), ("warm", &bad)]);
    assert!(!said.is_good);
    assert!(
        said.error.contains(
            "policy `rules` (plugin `model-rules`): its case `warm` does not hold: expected `- set_json: { \
             /temperature: 1 }`, got `- set_json: { /temperature: 0 }`"
        ),
        "{}",
        said.error
    );
}

#[test]
fn cases_of_too_many_settings_are_refused_before_any_is_tried() {
    let cases: Vec<(String, String)> = (0..9)
        .map(|nth| {
            let settings = format!("settings: {{ rules: [ {{ models: [ m{nth} ] }} ] }}\n");
            let expect = "expect: { on_request: { verdict: next } }\n";
            (format!("c{nth}"), format!("{settings}{expect}"))
        })
        .collect();
    let cases: Vec<(&str, &str)> = cases
        .iter()
        .map(|(name, text)| (&**name, &**text))
        .collect();
    let said = checked(&cases);
    assert!(
        said.error
            .contains("the cases in it have 9 different settings; at most 8 are tried"),
        "{}",
        said.error
    );
}
