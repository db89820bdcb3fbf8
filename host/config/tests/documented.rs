//! `docs/configuration.md` says what the code does: every key is there, and writing
//! a default down changes nothing.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::{collections::BTreeSet, fs, path::Path};

use serde_json::{Map, Value, json};
use tollgate_config::{Config, Location, json_schema, parse_str};

/// The first two cells of every row that begins with a key.
fn rows() -> Vec<(String, String)> {
    let page = fs::read_to_string("../../docs/configuration.md").unwrap();
    // What comes then are words of the command line, and names of warnings.
    let keys = page.split("\n## Checking\n").next().unwrap();
    let rows = keys.lines().filter_map(|line| {
        let mut cells = line.strip_prefix("| `")?.split(" | ");
        let key = cells.next()?.strip_suffix('`')?;
        Some((key.to_owned(), cells.next()?.to_owned()))
    });
    rows.collect()
}

/// A configuration in which every key has a place.
fn least() -> Value {
    json!({
        "geo": { "file": "places.mmdb" },
        "policies": {
            "p": { "plugin": "x", "on_error": "refuse", "grants": { "http-call": { "hosts": ["http://h"] } } }
        },
        "upstreams": {
            "u": { "endpoints": [{ "url": "http://h" }], "health": { "active": {}, "breaker": {} }, "concurrency": { "endpoint": 64 } }
        },
        "overload": { "concurrency": 64 },
        "models": { "m": { "targets": [ { "upstream": "u" }, { "upstream": "u" } ], "fallback": [ { "upstream": "u" } ] } },
        "routes": [ { "match": { "path": "/" }, "mirror": { "upstream": "u" } } ],
    })
}

/// Every number has the range in the schema that the code holds it to.
#[test]
fn the_schema_has_the_range_of_every_number() {
    let schema = json_schema();
    let mut numbers = Vec::new();
    collect_numbers(&schema, &schema, "", &mut numbers);
    for (key, range) in &numbers {
        let [Some(least), Some(most)] = range else {
            panic!("`{key}` has no range in the schema")
        };
        for number in [*least, *most] {
            assert!(takes(key, number), "`{key}`: {number}");
        }
        assert!(!takes(key, most + 1), "`{key}`: {most} is not the most");
        let below = least.checked_sub(1);
        assert!(
            below.is_none_or(|below| !takes(key, below)),
            "`{key}`: {least} is not the least"
        );
    }
    assert!(numbers.len() > 30, "only {numbers:?} were found");
}

/// Every key of a number, and the least and the most it may be.
fn collect_numbers(
    root: &Value,
    node: &Value,
    path: &str,
    numbers: &mut Vec<(String, [Option<u64>; 2])>,
) {
    if let Some(reference) = node["$ref"].as_str()
        && !SAID_ELSEWHERE.contains(&path)
    {
        collect_numbers(root, root.pointer(&reference[1..]).unwrap(), path, numbers);
    }
    for choice in ["anyOf", "oneOf"] {
        for node in node[choice].as_array().into_iter().flatten() {
            collect_numbers(root, node, path, numbers);
        }
    }
    let kinds = match &node["type"] {
        Value::Array(kinds) => kinds.clone(),
        kind => vec![kind.clone()],
    };
    // A size is a text, too; what stands in a list has no key.
    if kinds.contains(&json!("integer"))
        && !kinds.contains(&json!("string"))
        && !path.ends_with("[]")
    {
        let range = ["minimum", "maximum"].map(|end| node[end].as_u64());
        numbers.push((path.to_owned(), range));
    }
    for (name, node) in node["properties"].as_object().into_iter().flatten() {
        let key = if path.is_empty() {
            name.clone()
        } else {
            format!("{path}.{name}")
        };
        collect_numbers(root, node, &key, numbers);
    }
    for (below, step) in [("additionalProperties", ".*"), ("items", "[]")] {
        if node[below].is_object() {
            collect_numbers(root, &node[below], &format!("{path}{step}"), numbers);
        }
    }
}

fn takes(key: &str, number: u64) -> bool {
    let mut written = least_for(key);
    write(&mut written, key, number.into());
    let text = serde_json::to_string_pretty(&written).unwrap();
    match parse_str(&text, "tollgate.yaml", Path::new("/etc/tollgate")) {
        Ok(_) => true,
        Err(error) => {
            let error = error.to_string();
            assert!(error.contains("is out of range"), "`{key}`: {error}");
            false
        }
    }
}

/// As [`least`], with what an option of a way to balance stands beside.
fn least_for(key: &str) -> Value {
    let mut least = least();
    if let Some(option) = key.strip_prefix("upstreams.*.balance.") {
        let way = option.split('.').next().unwrap();
        let options = match way {
            "consistent-hash" => json!({ "on": { "fact": "caller" } }),
            _ => json!({}),
        };
        write(&mut least, "upstreams.*.balance", json!({ way: options }));
    }
    if key.starts_with("overload.priorities.weights.") {
        let priorities = json!({ "weights": { "n": 1 }, "default": "n" });
        write(&mut least, "overload.priorities", priorities);
    }
    least
}

fn load(written: &Value) -> Config {
    let text = serde_json::to_string_pretty(written).unwrap();
    let mut config = parse_str(&text, "tollgate.yaml", Path::new("/etc/tollgate"))
        .unwrap_or_else(|error| panic!("{error}"));
    for policy in config.policies.values_mut() {
        policy.settings_at = Location::default();
    }
    for route in &mut config.routes {
        route.at = Location::default();
    }
    config
}

/// Writes `value` at a key such as `models.*.targets[].weight`.
fn write(within: &mut Value, key: &str, value: Value) {
    let Some((token, rest)) = split(key) else {
        *within = value;
        return;
    };
    let next = match token {
        "[]" => within.get_mut(0).unwrap(),
        "*" => within.as_object_mut().unwrap().values_mut().next().unwrap(),
        name => {
            let object = within.as_object_mut().unwrap();
            object.entry(name).or_insert(Value::Object(Map::new()))
        }
    };
    write(next, rest, value);
}

/// The first step of a key, and what is left of it.
fn split(key: &str) -> Option<(&str, &str)> {
    let key = key.strip_prefix('.').unwrap_or(key);
    let end = match key {
        "" => return None,
        key if key.starts_with("[]") => 2,
        key => key.find(['.', '[']).unwrap_or(key.len()),
    };
    Some(key.split_at(end))
}

#[test]
fn writing_a_default_down_changes_nothing() {
    let mut defaults = 0;
    for (key, cell) in rows() {
        let Some(default) = cell
            .strip_prefix('`')
            .and_then(|cell| cell.strip_suffix('`'))
        else {
            continue;
        };
        let value = serde_json::from_str(default).unwrap_or_else(|_| default.into());
        let unwritten = least_for(&key);
        let mut written = unwritten.clone();
        write(&mut written, &key, value);
        assert_eq!(load(&written), load(&unwritten), "the default of `{key}`");
        defaults += 1;
    }
    assert!(defaults > 40, "only {defaults} defaults were found");
}

#[test]
fn every_key_has_a_row_and_every_row_a_key() {
    let documented: BTreeSet<String> = rows().into_iter().map(|(key, _)| key).collect();
    let schema = json_schema();
    let mut keys = BTreeSet::new();
    collect(&schema, &schema, "", &mut keys);
    let missing: Vec<_> = keys
        .iter()
        .filter(|key| {
            !documented.contains(*key)
                && !documented.iter().any(|row| {
                    row.starts_with(&format!("{key}.")) || row.starts_with(&format!("{key}["))
                })
        })
        .collect();
    assert!(
        missing.is_empty(),
        "not in docs/configuration.md: {missing:?}"
    );
    let invented: Vec<_> = documented.difference(&keys).collect();
    assert!(invented.is_empty(), "there is no such key: {invented:?}");
}

/// Whose keys are those of another, said once: of `sandbox`, and of routes.
const SAID_ELSEWHERE: [&str; 4] = [
    "policies.*.limits",
    "models.*.retries",
    "models.*.hedge",
    "models.*.timeouts",
];

/// Every key that the schema knows, parents included.
fn collect(root: &Value, node: &Value, path: &str, keys: &mut BTreeSet<String>) {
    if let Some(reference) = node["$ref"].as_str()
        && !SAID_ELSEWHERE.contains(&path)
    {
        collect(root, root.pointer(&reference[1..]).unwrap(), path, keys);
    }
    for choice in ["anyOf", "oneOf"] {
        for node in node[choice].as_array().into_iter().flatten() {
            collect(root, node, path, keys);
        }
    }
    for (name, node) in node["properties"].as_object().into_iter().flatten() {
        let key = if path.is_empty() {
            name.clone()
        } else {
            format!("{path}.{name}")
        };
        collect(root, node, &key, keys);
        keys.insert(key);
    }
    if node["additionalProperties"].is_object() {
        collect(
            root,
            &node["additionalProperties"],
            &format!("{path}.*"),
            keys,
        );
    }
    if node["items"].is_object() {
        collect(root, &node["items"], &format!("{path}[]"), keys);
    }
}
