use super::*;

fn errors(settings: Value) -> String {
    let errors = Run::<SchemaGuard>::try_new(settings).err().unwrap();
    errors.join("\n")
}

fn error_of(rule: &Value) -> String {
    let mut rule = rule.clone();
    if rule.get("models").is_none() {
        rule["models"] = json!(["m"]);
    }
    errors(json!({ "rules": [rule], "other_models": "allow" }))
}

#[test]
fn settings_are_refused_with_the_place_of_each_mistake() {
    let rule = json!({ "models": ["m"] });
    for (settings, expected) in [
        (json!({}), "/: missing field `rules`"),
        (
            json!({ "rules": [rule] }),
            "/: missing field `other_models`",
        ),
        (
            json!({ "rules": [rule], "other_models": "pass" }),
            "/other_models: unknown variant `pass`",
        ),
        (
            json!({ "rules": [], "other_models": "allow" }),
            "/rules: expected at least one rule",
        ),
        (
            json!({ "rules": [rule, rule], "other_models": "allow" }),
            "/rules/1/models/0: `m` is never reached here: /rules/0 has it already",
        ),
    ] {
        let errors = errors(settings.clone());
        assert!(errors.starts_with(expected), "{settings}: {errors}");
    }
}

#[test]
fn a_rule_is_refused_with_the_field_and_what_was_expected() {
    for (rule, expected) in [
        (
            json!({ "models": [] }),
            "/rules/0/models: expected at least one model",
        ),
        (
            json!({ "models": [""] }),
            "/rules/0/models/0: expected a name",
        ),
        (
            json!({ "max_token": {} }),
            "/rules/0/max_token: unknown field",
        ),
        (
            json!({ "max_tokens": {} }),
            "/rules/0/max_tokens: expected `min`, `max` or",
        ),
        (
            json!({ "max_tokens": { "max": -1 } }),
            "/rules/0/max_tokens/max: invalid value",
        ),
        (
            json!({ "n": { "min": 3, "max": 2 } }),
            "/rules/0/n/min: expected no more than `max`",
        ),
        (
            json!({ "body_bytes_max": 0 }),
            "/rules/0/body_bytes_max: invalid value",
        ),
        (
            json!({ "prompt": { "tokens_max": 1, "bytes_per_token": 0 } }),
            "/rules/0/prompt/bytes_per_token",
        ),
        (
            json!({ "images": {} }),
            "/rules/0/images: missing field `max`",
        ),
        (
            json!({ "tools": {} }),
            "/rules/0/tools: expected `allow`, `max` or both",
        ),
        (
            json!({ "required": ["user"] }),
            "/rules/0/required/0: `user` is no JSON pointer",
        ),
        (
            json!({ "required": ["/a"], "forbidden": ["/b", "/a"] }),
            "/rules/0/forbidden/1: `/a` is in `required`, too",
        ),
    ] {
        let errors = error_of(&rule);
        assert!(errors.starts_with(expected), "{rule}: {errors}");
    }
}

#[test]
fn a_schema_with_a_keyword_that_is_not_understood_is_refused_by_its_name() {
    for (schema, expected) in [
        (
            json!({ "pattern": "^a" }),
            "/rules/0/schema/pattern: unknown field `pattern`",
        ),
        (
            json!({ "properties": { "x": { "items": { "oneOf": [] } } } }),
            "/rules/0/schema/properties/x/items/oneOf: unknown field `oneOf`",
        ),
        (
            json!({ "additionalProperties": { "not": {} } }),
            "/rules/0/schema/additionalProperties/not",
        ),
        (
            json!({ "type": "int" }),
            "/rules/0/schema/type: unknown variant `int`",
        ),
        (
            json!({ "type": [] }),
            "/rules/0/schema/type: expected at least one type",
        ),
        (json!({ "type": ["string", 5] }), "/rules/0/schema/type/1"),
        (
            json!({ "minLength": -1 }),
            "/rules/0/schema/minLength: invalid value",
        ),
        (
            json!({ "minLength": 2, "maxLength": 1 }),
            "/rules/0/schema/minLength: expected no more",
        ),
        (
            json!({ "properties": { "a/b": { "minimum": 2, "maximum": 1.5 } } }),
            "/rules/0/schema/properties/a~1b/minimum: expected no more than `maximum`",
        ),
        (
            json!({ "items": { "enum": [] } }),
            "/rules/0/schema/items/enum: expected at least one",
        ),
        (
            json!([]),
            "/rules/0/schema: invalid type: sequence, expected a schema",
        ),
        (
            json!({ "items": [true] }),
            "/rules/0/schema/items: invalid type: sequence, expected a schema",
        ),
    ] {
        let errors = error_of(&json!({ "schema": schema }));
        assert!(errors.starts_with(expected), "{schema}: {errors}");
    }
    let nested = |depth: usize| (1..depth).fold(json!({}), |inner, _| json!({ "items": inner }));
    guard(&json!({ "schema": nested(32) }));
    let errors = error_of(&json!({ "schema": nested(33) }));
    assert!(
        errors.ends_with("expected a schema of at most 32 levels"),
        "{errors}"
    );
    let fine = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema", "$id": "x", "$comment": "c",
        "title": "t", "description": "d", "default": {}, "examples": [1],
    });
    guard(&json!({ "schema": fine }));
}

#[test]
fn the_published_schema_lists_the_keywords_and_no_alternatives() {
    let schema: Value = serde_json::from_str(&Run::<SchemaGuard>::settings_schema()).unwrap();
    let body = &schema["$defs"]["SchemaOfTheBody"];
    assert_eq!(body["type"], json!(["object", "boolean"]));
    assert_eq!(body["additionalProperties"], false);
    assert!(body["properties"]["minLength"].is_object());
    assert_eq!(schema["properties"]["rules"]["type"], "array");
    for definition in [
        "Rule",
        "Range",
        "Prompt",
        "Images",
        "Tools",
        "SchemaOfTheBody",
    ] {
        let definition = &schema["$defs"][definition];
        let required = definition["required"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        for (name, property) in definition["properties"].as_object().unwrap() {
            let text = property["description"]
                .as_str()
                .unwrap_or_default()
                .replace('\n', " ");
            let is_required = required.iter().any(|field| field == name);
            assert!(is_required || text.contains("Default: "), "{name}: {text}");
        }
    }
}

#[test]
fn the_samples_hold_for_any_settings() {
    for rules in [
        json!([{ "models": ["*"] }]),
        json!([{ "models": ["gpt-*"], "max_tokens": { "max": 5 } }, { "models": ["a"], "schema": false }]),
        json!([{ "models": ["gpt-*"] }, { "models": ["gpt-x*"], "max_tokens": { "max": u64::MAX } }]),
    ] {
        for other in ["allow", "refuse"] {
            Run::<SchemaGuard>::new(json!({ "rules": rules, "other_models": other })).prove();
        }
    }
}

#[test]
fn the_example_in_the_readme_holds() {
    let readme = include_str!("../../README.md");
    let yaml = readme
        .split("```yaml")
        .nth(1)
        .unwrap()
        .split("```")
        .next()
        .unwrap();
    let config: Value = serde_saphyr::from_str(yaml).unwrap();
    let settings = config.pointer("/policies/guard/settings").unwrap();
    Run::<SchemaGuard>::new(settings.clone()).prove();
}
