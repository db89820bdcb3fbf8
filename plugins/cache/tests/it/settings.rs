use tollgate_sdk::testing::Run;

use super::*;

fn errors(settings: Value) -> String {
    Run::<Cache>::try_new(settings).err().unwrap().join("\n")
}

#[test]
fn settings_are_refused_with_the_place_of_each_mistake() {
    let cases = [
        (json!({}), "/: missing field `ttl`"),
        (json!({ "ttl": "soon" }), "/ttl: `soon` is not a period"),
        (json!({ "ttl": 5 }), "/ttl: invalid type"),
        (json!({ "ttl": "1m", "size": 1 }), "/size: unknown field"),
        (
            json!({ "ttl": "1m", "by": [""] }),
            "/by/0: expected a name of 1 to 64 bytes",
        ),
        (
            json!({ "ttl": "1m", "paths": ["chat"] }),
            "/paths/0: expected the end of a path",
        ),
        (
            json!({ "ttl": "1m", "headers": ["X-A"] }),
            "/headers/0: expected a header's name in lower case",
        ),
        (
            json!({ "ttl": "1m", "ignored": vec!["a"; 65] }),
            "/ignored: expected at most 64 names",
        ),
        (
            json!({ "ttl": "1m", "cache_control": "obey" }),
            "/cache_control: unknown variant",
        ),
        (
            json!({ "ttl": "1m", "body_bytes_max": 0 }),
            "/body_bytes_max: expected 1 to 1000000 bytes",
        ),
        (
            json!({ "ttl": "1m", "rules": [{ "models": [""] }] }),
            "/rules/0/models/0: expected a name",
        ),
        (
            json!({ "ttl": "1m", "rules": [{ "model": "x" }] }),
            "/rules/0/model: unknown field",
        ),
    ];
    for (settings, expected) in cases {
        let errors = errors(settings.clone());
        assert!(errors.starts_with(expected), "{settings}: {errors}");
    }
}

#[test]
fn every_setting_but_the_time_has_a_default_that_its_description_names() {
    let schema: Value = serde_json::from_str(&Run::<Cache>::settings_schema()).unwrap();
    let fields = schema["properties"].as_object().unwrap();
    assert_eq!(schema["required"], json!(["ttl"]));
    for (name, field) in fields {
        let description = field["description"].as_str().unwrap();
        assert!(
            name == "ttl" || description.contains("Default: "),
            "{name}: {description}"
        );
    }
    assert_eq!(fields.len(), 9);
}

#[test]
fn the_example_in_the_readme_holds() {
    let readme = include_str!("../../README.md");
    let yaml = readme.split("```yaml\n").nth(1).unwrap();
    let yaml = yaml.split("```").next().unwrap();
    let config: Value = serde_saphyr::from_str(yaml).unwrap();
    let policy = &config["policies"]["answers"];
    assert_eq!(policy["grants"], json!({ "cache": true }));
    drop(Run::<Cache>::new(policy["settings"].clone()));
}
