//! Configurations on pages: whole ones, parts of one, a policy's entry, and cases.
//!
//! A whole one, which listens and has routes, is read as it stands.
//! A part is completed with what it names and does not define, as little as there can
//! be, and then read as any configuration. So a key that does not exist, a value that
//! does not fit and a setting that a standard plugin does not have all fail.

use std::{collections::BTreeSet, fs};

use serde_json::{Map, Value, json};

use super::{Block, FOLLOWED, Rule, of_rule, read, root};

/// The text as data; nothing but comments is an empty map.
fn parsed(text: &str) -> Result<Value, String> {
    match serde_saphyr::from_str::<Value>(text) {
        Ok(Value::Null) => Ok(json!({})),
        Ok(value) => Ok(value),
        Err(error) => Err(error.to_string()),
    }
}

fn has(value: &Value, key: &str) -> bool {
    value.get(key).is_some()
}

/// A policy's entry, as `dev.yaml` has it, in the place that it has in a configuration.
fn placed(mut value: Value) -> Value {
    if has(&value, "policies") || !(has(&value, "settings") || has(&value, "grants")) {
        return value;
    }
    let secrets = value
        .as_object_mut()
        .and_then(|entry| entry.remove("secrets"));
    let entry = value.as_object_mut().unwrap();
    entry.insert("plugin".to_owned(), json!("of-ones-own"));
    entry.entry("on_error").or_insert(json!("refuse"));
    let secrets = secrets.unwrap_or(json!({}));
    json!({ "policies": { "one": value }, "secrets": secrets })
}

/// All values at this path, where `*` stands for each entry of a list or map.
fn at<'a>(value: &'a Value, path: &str) -> Vec<&'a Value> {
    let Some((first, rest)) = path.split_once('/') else {
        return vec![value];
    };
    let (key, _) = rest.split_once('/').unwrap_or((rest, ""));
    let behind = &rest[key.len()..];
    debug_assert!(first.is_empty());
    let below: Vec<&Value> = match (value, key) {
        (Value::Array(items), "*") => items.iter().collect(),
        (Value::Object(fields), "*") => fields.values().collect(),
        (value, key) => value.get(key).into_iter().collect(),
    };
    below.into_iter().flat_map(|one| at(one, behind)).collect()
}

fn names(value: &Value, paths: &[&str]) -> BTreeSet<String> {
    let found = paths.iter().flat_map(|path| at(value, path));
    found
        .filter_map(|name| name.as_str().map(str::to_owned))
        .collect()
}

/// Defines those of these names that are not.
fn define(value: &mut Value, section: &str, names: BTreeSet<String>, as_what: &Value) {
    if names.is_empty() {
        return;
    }
    let section = value.as_object_mut().unwrap().entry(section);
    let section = section.or_insert(json!({})).as_object_mut().unwrap();
    for name in names {
        section.entry(name).or_insert_with(|| as_what.clone());
    }
}

/// A configuration that has all that it names.
fn completed(mut value: Value) -> Value {
    const SOME: &str = "some";
    if !has(&value, "routes") {
        value["routes"] = json!([{ "upstream": SOME }]);
    }
    let by_model = at(&value, "/routes/*")
        .iter()
        .any(|route| !has(route, "upstream"));
    let mut models = names(&value, &["/routes/*/mirror/model"]);
    if by_model && !has(&value, "models") {
        models.insert(SOME.to_owned());
    }
    define(
        &mut value,
        "models",
        models,
        &json!({ "targets": [{ "upstream": SOME }] }),
    );
    let policies = names(
        &value,
        &[
            "/routes/*/policies/*",
            "/models/*/targets/*/policies/*",
            "/models/*/fallback/*/policies/*",
        ],
    );
    let policy = json!({ "plugin": "of-ones-own", "on_error": "refuse" });
    define(&mut value, "policies", policies, &policy);
    let upstreams = names(
        &value,
        &[
            "/routes/*/upstream",
            "/routes/*/mirror/upstream",
            "/models/*/targets/*/upstream",
            "/models/*/fallback/*/upstream",
        ],
    );
    let upstream = json!({ "endpoints": ["http://127.0.0.1:9000"] });
    define(&mut value, "upstreams", upstreams, &upstream);
    let mut secrets = names(&value, &["/policies/*/grants/secrets/*", "/admin_token"]);
    for header in names(&value, &["/upstreams/*/headers/*"]) {
        let secret = header.split_once("${secret:").map(|(_, rest)| rest);
        secrets.extend(secret.and_then(|rest| Some(rest.split_once('}')?.0.to_owned())));
    }
    define(
        &mut value,
        "secrets",
        secrets,
        &json!({ "env": "A_SECRET" }),
    );
    value
}

/// What is wrong with a configuration or a part of one.
fn wrong(text: &str, place: &str, schema: &jsonschema::Validator) -> Option<String> {
    let (value, whole) = match parsed(text) {
        Ok(value) if has(&value, "listen") && has(&value, "routes") => (value, text.to_owned()),
        Ok(value) => {
            let value = completed(placed(value));
            let whole = serde_json::to_string_pretty(&value).unwrap();
            (value, whole)
        }
        Err(error) => return Some(error),
    };
    if let Err(error) = tollgate_config::parse_str(&whole, place, &root()) {
        return Some(error.to_string());
    }
    let errors: Vec<_> = schema
        .iter_errors(&value)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    (!errors.is_empty()).then(|| errors.join("\n"))
}

/// With the settings of the standard plugins.
fn schema() -> jsonschema::Validator {
    let schema = serde_json::from_str(&read("examples/tollgate.schema.json")).unwrap();
    jsonschema::validator_for(&schema).unwrap()
}

pub(super) fn is_case(block: &Block) -> bool {
    let fields = parsed(&block.text).unwrap_or_default();
    let fields: Option<&Map<_, _>> = fields.as_object();
    fields.is_some_and(|fields| fields.contains_key("expect"))
}

#[test]
fn configurations_and_parts_of_them_are_read_as_the_gateway_reads_them() {
    let schema = schema();
    let (mut wrongs, mut count) = (Vec::new(), 0);
    for block in of_rule(Rule::Configuration, 25) {
        count += usize::from(block.text.contains("listen:") && block.text.contains("routes:"));
        let place = block.place();
        wrongs.extend(wrong(&block.text, &place, &schema).map(|what| format!("{place}: {what}")));
    }
    assert!(wrongs.is_empty(), "{}", wrongs.join("\n\n"));
    assert!(count >= 2, "{count} whole ones");
}

#[test]
fn cases_are_read_as_the_cases_of_a_plugin() {
    let folder = tempfile::tempdir().unwrap();
    let mut count = 0;
    for block in of_rule(Rule::Case, 3) {
        count += 1;
        fs::write(folder.path().join(format!("{count}.yaml")), &block.text).unwrap();
        let cases = tollgate_cases::read_folder(folder.path());
        assert_eq!(
            cases
                .map(|cases| cases.len())
                .map_err(|error| error.to_string()),
            Ok(count),
            "{}",
            block.place()
        );
    }
    // Those of the page that a script follows are among them.
    assert!(count >= 3, "{count} with those of {FOLLOWED}");
}

#[test]
fn what_is_not_so_is_found() {
    let schema = schema();
    for (text, is_wrong) in [
        ("# nothing", false),
        (
            "routes: [ { match: { path: /a }, policies: [ a ] } ]",
            false,
        ),
        ("grants: { kv: true, secrets: [ a ] }", false),
        (
            "settings: { a: 1 }\nlimits: { memory: 32MiB }\nsecrets: { a: { env: A } }",
            false,
        ),
        (
            "upstreams: { u: { endpoints: [ 'http://a' ], headers: { x: '${secret:a}' } } }",
            false,
        ),
        ("listn: 127.0.0.1:1", true),
        ("routes: [ { match: { path: a } } ]", true),
        ("grants: { kw: true }", true),
        ("routes: [ { retries: { on: [ sometimes ] } } ]", true),
        (
            "policies: { a: { plugin: redact, on_error: refuse, settings: { colour: blue } } }",
            true,
        ),
        (
            "listen: 127.0.0.1:0\nroutes: [ { upstream: a } ]\nupstreams: { a: { endpoints: [ 'http://a' ] } }",
            false,
        ),
        ("listen: 127.0.0.1:0\nroutes: [ { upstream: a } ]", true),
        ("a: [", true),
    ] {
        let found = wrong(text, "a page", &schema);
        assert_eq!(found.is_some(), is_wrong, "{text}: {found:?}");
    }
}
