use super::*;

fn errors(settings: Value) -> String {
    Run::<PromptTemplate>::try_new(settings)
        .err()
        .unwrap()
        .join("\n")
}

/// Of one template `t` of these fields.
fn errors_of(mut template: Value) -> String {
    template["name"] = "t".into();
    errors(json!({ "templates": [template], "without_template": "pass" }))
}

#[test]
fn settings_are_refused_with_the_place_of_each_mistake() {
    let t = json!({ "name": "t", "messages": [{ "role": "user", "content": "Hi" }] });
    let mut versioned = t.clone();
    versioned["version"] = "1".into();
    for (settings, expected) in [
        (json!({}), "/: missing field `templates`"),
        (
            json!({ "templates": [t] }),
            "/: missing field `without_template`",
        ),
        (
            json!({ "templates": [], "without_template": "pass" }),
            "/templates: expected at least one template",
        ),
        (
            json!({ "templates": [t], "without_template": "allow" }),
            "/without_template: unknown variant `allow`",
        ),
        (
            json!({ "templates": [t], "without_template": "pass", "field": "a/b" }),
            "/field: expected the name of a field",
        ),
        (
            json!({ "templates": [t], "without_template": "pass", "header": "content-length" }),
            "/header: expected the name of a header",
        ),
        (
            json!({ "templates": [t, t], "without_template": "pass" }),
            "/templates/0/version: is missing: there are several `t`",
        ),
        (
            json!({ "templates": [versioned, versioned], "without_template": "pass" }),
            "/templates/1/name: `t@1` is /templates/0 already",
        ),
        (
            json!({ "templates": [{ "name": "a b", "prompt": "x" }], "without_template": "pass" }),
            "/templates/0/name: expected 1 to 64 letters",
        ),
    ] {
        let errors = errors(settings.clone());
        assert!(errors.starts_with(expected), "{settings}: {errors}");
    }
}

#[test]
fn a_template_is_refused_with_the_field_and_what_was_expected() {
    let say = |content: &str| json!([{ "role": "user", "content": content }]);
    for (template, expected) in [
        (json!({}), "/templates/0: expected `messages` or a `prompt`"),
        (
            json!({ "messages": say("x"), "prompt": "x" }),
            "/templates/0/prompt: expected no `messages`",
        ),
        (
            json!({ "prompt": "x", "own_messages": "append" }),
            "/templates/0/own_messages: expected `refuse` or `drop`",
        ),
        (
            json!({ "messages": say("{{a") }),
            "/templates/0/messages/0/content: expected the name of a variable and `}}` after `{{`, found `a`",
        ),
        (
            json!({ "messages": say("{{a}}") }),
            "/templates/0/messages/0/content: `a` is not in `variables`",
        ),
        (
            json!({ "prompt": "{{a}}" }),
            "/templates/0/prompt: `a` is not in `variables`",
        ),
        (
            json!({ "prompt": "x", "variables": { "a": { "type": "string" } } }),
            "/templates/0/variables/a: no text has `{{a}}`",
        ),
        (
            json!({ "prompt": "x", "variables": { "a b": { "type": "string" } } }),
            "/templates/0/variables/a b: expected 1 to 64 letters",
        ),
        (
            json!({ "messages": [{ "role": "tool", "content": "x" }] }),
            "/templates/0/messages/0/role: unknown variant `tool`",
        ),
        (
            json!({ "prompt": "x", "set": { "messages": [] } }),
            "/templates/0/set/messages: the template itself",
        ),
        (
            json!({ "prompt": "x", "set": { "prompt_template": 1 } }),
            "/templates/0/set/prompt_template: the template itself",
        ),
        (
            json!({ "prompt": "x", "text": 1 }),
            "/templates/0/text: unknown field",
        ),
    ] {
        let errors = errors_of(template.clone());
        assert!(errors.starts_with(expected), "{template}: {errors}");
    }
}

#[test]
fn a_variable_is_refused_with_the_field_and_what_was_expected() {
    for (variable, expected) in [
        (json!({}), ": missing field `type`"),
        (json!({ "type": "text" }), "/type: unknown variant `text`"),
        (
            json!({ "type": "string", "length": 1 }),
            "/length: unknown field",
        ),
        (
            json!({ "type": "string", "max_length": 0 }),
            "/max_length: invalid value",
        ),
        (
            json!({ "type": "integer", "max_length": 1 }),
            "/max_length: only a `string` or a `list` has it",
        ),
        (
            json!({ "type": "string", "min": 1 }),
            "/min: only an `integer` or a `number` has it",
        ),
        (
            json!({ "type": "list", "values": [] }),
            "/values: only an `enum` has it",
        ),
        (
            json!({ "type": "string", "separator": "," }),
            "/separator: only a `list` has it",
        ),
        (json!({ "type": "enum" }), "/values: expected 1 to 64 texts"),
        (
            json!({ "type": "integer", "min": 0.1, "max": 0.9 }),
            "/min: expected a whole number between it and `max`",
        ),
        (
            json!({ "type": "number", "min": 2, "max": 1 }),
            "/min: expected no more than `max`",
        ),
        (
            json!({ "type": "integer", "max": 3, "default": 4 }),
            "/default: expected a whole number of at most 3",
        ),
        (
            json!({ "type": "string", "required": true, "default": "x" }),
            "/required: expected no `default` beside it",
        ),
        (
            json!({ "type": "string", "from": { "cookie": "x" } }),
            "/from: unknown variant `cookie`",
        ),
        (
            json!({ "type": "string", "from": { "header": "a b" } }),
            "/from/header: expected the name of a header",
        ),
        (
            json!({ "type": "string", "from": { "fact": "" } }),
            "/from/fact: expected",
        ),
    ] {
        let errors = errors_of(json!({ "prompt": "{{v}}", "variables": { "v": variable } }));
        let expected = format!("/templates/0/variables/v{expected}");
        assert!(errors.starts_with(&expected), "{variable}: {errors}");
    }
}

#[test]
fn the_samples_hold_for_any_settings() {
    let variables = json!({
        "text": { "type": "string", "max_length": 1 },
        "above": { "type": "integer", "min": 3.5 },
        "below": { "type": "integer", "max": -3.5 },
        "part": { "type": "number", "min": 0.25, "max": 0.5 },
        "truth": { "type": "boolean" },
        "word": { "type": "enum", "values": ["é"] },
        "words": { "type": "list", "max_items": 1 },
        "who": { "type": "string", "from": { "fact": "caller" } },
        "stars": { "type": "integer", "min": 1, "from": { "header": "x-stars" } },
        "tags": { "type": "list", "from": { "header": "x-tags" } },
    });
    let text: String = variables
        .as_object()
        .unwrap()
        .keys()
        .map(|name| format!("{{{{{name}}}}}"))
        .collect();
    let chat = json!({
        "name": "all", "version": "1", "variables": variables, "set": { "model": "x" },
        "messages": [{ "role": "developer", "content": text }],
    });
    let plain = json!({ "name": "plain", "prompt": "Hi", "own_messages": "drop" });
    for without in ["pass", "refuse"] {
        let settings = json!({
            "templates": [chat, plain], "without_template": without,
            "field": "t", "header": "x-template",
        });
        let run = Run::<PromptTemplate>::new(settings);
        assert_eq!(run.samples().len(), 4);
        run.prove();
    }
}

#[test]
fn the_example_in_the_readme_holds() {
    let readme = include_str!("../../README.md");
    let yaml = readme.split("```yaml").nth(1).unwrap();
    let yaml = yaml.split("```").next().unwrap();
    let config: Value = serde_saphyr::from_str(yaml).unwrap();
    let settings = config.pointer("/policies/prompts/settings").unwrap();
    let run = Run::<PromptTemplate>::new(settings.clone());
    run.prove();
    let json = readme.split("```json").nth(1).unwrap();
    let asked: Value = serde_json::from_str(json.split("```").next().unwrap()).unwrap();
    let exchange = body(&asked).fact("caller", "ada");
    let sent: Value = serde_json::from_slice(decide(&run, exchange).body()).unwrap();
    let json = readme.split("```json").nth(2).unwrap();
    let expected: Value = serde_json::from_str(json.split("```").next().unwrap()).unwrap();
    assert_eq!(sent, expected);
}

#[test]
fn every_setting_says_what_it_is_and_what_it_is_by_default() {
    let schema: Value = serde_json::from_str(&Run::<PromptTemplate>::settings_schema()).unwrap();
    let mut seen = 0;
    for object in [
        &schema,
        &schema["$defs"]["Template"],
        &schema["$defs"]["Variable"],
    ] {
        let required = object["required"].as_array().unwrap();
        for (name, property) in object["properties"].as_object().unwrap() {
            let description = property["description"].as_str().unwrap_or_default();
            let is_required = required.iter().any(|field| field == name);
            assert!(!description.is_empty(), "{name}");
            assert!(
                is_required || description.contains("Default: "),
                "{name}: {description}"
            );
            seen += 1;
        }
    }
    assert_eq!(seen, 22);
}
