//! The JSON schema of the file, for editors and for `tollgate check`'s readers.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use crate::file::File;

/// The JSON schema (2020-12) of a configuration file.
///
/// Says what keys there are and how values are spelled; that names exist and
/// numbers are in range is for [`load`](crate::load) to prove. The copy in
/// `host/config/schema` is kept equal by a test.
pub fn json_schema() -> Value {
    schemars::schema_for!(File).into()
}

/// The same with what may stand in the `settings` of each plugin, by the plugin's name
/// and the JSON schema that it gives.
pub fn json_schema_with(plugins: &BTreeMap<String, Value>) -> Value {
    let mut schema = json_schema();
    let mut cases = Vec::new();
    let mut names = BTreeSet::new();
    for (name, settings) in plugins {
        let key = format!("settings-of-{name}");
        let called = called(name, plugins);
        cases.push(case(&called, &key, settings));
        names.extend(called);
        let below = format!("#/$defs/{key}");
        schema["$defs"][&key] = moved(settings.clone(), &below);
    }
    let policy = &mut schema["$defs"]["Policy"];
    if !cases.is_empty() {
        policy["allOf"] = Value::Array(cases);
        policy["properties"]["plugin"]["examples"] = names.into_iter().collect();
    }
    schema
}

/// The names that a configuration may call a plugin by: cargo writes `_` for `-`.
fn called(name: &str, plugins: &BTreeMap<String, Value>) -> Vec<String> {
    let dashed = name.replace('_', "-");
    let mut called = vec![name.to_owned()];
    if dashed != name && !plugins.contains_key(&dashed) {
        called.push(dashed);
    }
    called
}

fn case(called: &[String], key: &str, settings: &Value) -> Value {
    let mut then = Map::new();
    let reference = json!({ "$ref": format!("#/$defs/{key}") });
    then.insert("properties".to_owned(), json!({ "settings": reference }));
    let required = settings["required"].as_array();
    if required.is_some_and(|required| !required.is_empty()) {
        then.insert("required".to_owned(), json!(["settings"]));
    }
    json!({
        "if": { "properties": { "plugin": { "enum": called } }, "required": ["plugin"] },
        "then": then,
    })
}

/// A schema that stands `below` another's root: its references lead there.
fn moved(mut schema: Value, below: &str) -> Value {
    if let Value::Object(members) = &mut schema {
        for key in ["$schema", "$id"] {
            members.shift_remove(key);
        }
    }
    lead(&mut schema, below);
    schema
}

fn lead(schema: &mut Value, below: &str) {
    match schema {
        Value::Object(members) => {
            for (key, member) in members {
                match member {
                    Value::String(reference) if key == "$ref" => {
                        if let Some(rest) = reference.strip_prefix('#') {
                            *reference = format!("{below}{rest}");
                        }
                    }
                    other => lead(other, below),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| lead(item, below)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_settings_of_a_plugin_stand_below_the_root_with_their_references() {
        let settings = json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": "Settings",
            "required": ["rule"],
            "properties": { "rule": { "$ref": "#/$defs/Rule" }, "$ref": { "type": "string" } },
            "$defs": { "Rule": { "items": { "$ref": "#" } } },
        });
        let plugins = BTreeMap::from([("my_rules".to_owned(), settings)]);
        let schema = json_schema_with(&plugins);
        let own = &schema["$defs"]["settings-of-my_rules"];
        assert_eq!(own["$schema"], Value::Null);
        assert_eq!(
            own["properties"]["rule"]["$ref"],
            "#/$defs/settings-of-my_rules/$defs/Rule"
        );
        assert_eq!(own["properties"]["$ref"]["type"], "string");
        assert_eq!(
            own["$defs"]["Rule"]["items"]["$ref"],
            "#/$defs/settings-of-my_rules"
        );
        let policy = &schema["$defs"]["Policy"];
        assert_eq!(
            policy["allOf"][0]["if"]["properties"]["plugin"]["enum"],
            json!(["my_rules", "my-rules"])
        );
        assert_eq!(policy["allOf"][0]["then"]["required"], json!(["settings"]));
        assert_eq!(
            policy["properties"]["plugin"]["examples"],
            json!(["my-rules", "my_rules"])
        );
    }

    #[test]
    fn without_plugins_it_is_the_published_one() {
        assert_eq!(json_schema_with(&BTreeMap::new()), json_schema());
    }
}
