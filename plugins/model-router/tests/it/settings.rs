use tollgate_sdk::{Described, Hooks, Needs, Policy};

use super::*;

fn error_of(rule: Value) -> String {
    errors(json!({ "rules": [rule] })).join("\n")
}

/// A rule with some fields of `then` or `when`.
fn rule(more: &Value) -> Value {
    let mut rule = json!({ "name": "x", "then": { "model": "m" } });
    rule.as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    rule
}

fn assert_refused<const N: usize>(cases: [(Value, &str); N]) {
    for (more, expected) in cases {
        let error = error_of(rule(&more));
        assert!(error.starts_with(expected), "{more}: {error}");
    }
}

#[test]
fn settings_are_refused_with_the_place_of_each_mistake() {
    for (settings, expected) in [
        (
            json!({}),
            "/: does nothing: expected `rules`, `aliases` or `known_models`",
        ),
        (json!({ "rule": [] }), "/rule: unknown field `rule`"),
        (
            json!({ "rules": {} }),
            "/rules: invalid type: map, expected a sequence",
        ),
        (
            json!({ "rules": [{ "then": {} }] }),
            "/rules/0: missing field `name`",
        ),
        (
            json!({ "rules": [{ "name": "x" }] }),
            "/rules/0: missing field `then`",
        ),
        (
            json!({ "aliases": { "a": "b", "b": "c" } }),
            "/aliases/a: `b` is an alias itself: expected a model",
        ),
        (
            json!({ "aliases": { "a/*": "b" } }),
            "/aliases/a~1*: expected the name of a model, without `*`",
        ),
        (
            json!({ "aliases": { "a": "" } }),
            "/aliases/a: expected a name",
        ),
        (
            json!({ "aliases": { "a": "b" }, "list_models": true }),
            "/list_models: expected `known_models` beside it",
        ),
        (
            json!({ "known_models": [""] }),
            "/known_models/0: expected a text of 1 to 256 bytes",
        ),
        (
            json!({ "known_models": [], "version_separator": "*" }),
            "/version_separator: expected 1 to 4 characters",
        ),
        (
            json!({ "country_header": "host" }),
            "/country_header: expected the name of a header",
        ),
        (
            json!({ "region_header": "x region" }),
            "/region_header: expected the name of a header",
        ),
    ] {
        let errors = errors(settings.clone()).join("\n");
        assert!(errors.starts_with(expected), "{settings}: {errors}");
    }
}

#[test]
fn a_condition_is_refused_with_the_field_and_what_was_expected() {
    let when = |when: Value| json!({ "when": when });
    assert_refused([
        (
            json!({ "name": "a b" }),
            "/rules/0/name: expected 1 to 64 letters",
        ),
        (
            when(json!({ "model": ["a"] })),
            "/rules/0/when/model: unknown field `model`",
        ),
        (
            when(json!({ "models": "a" })),
            "/rules/0/when/models: invalid type: string",
        ),
        (
            when(json!({ "models": [] })),
            "/rules/0/when/models: expected at least one value",
        ),
        (
            when(json!({ "tiers": [7] })),
            "/rules/0/when/tiers/0: invalid type: integer `7`",
        ),
        (
            when(json!({ "countries": ["DEU"] })),
            "/rules/0/when/countries/0: expected the two letters",
        ),
        (
            when(json!({ "streaming": "yes" })),
            "/rules/0/when/streaming: invalid type: string",
        ),
        (
            when(json!({ "versions": ["1"] })),
            "/rules/0/when/versions: expected `version_separator` or",
        ),
        (
            when(json!({ "headers": { "x-a": "1" } })),
            "/rules/0/when/headers/x-a: invalid type: string \"1\", expected a list of values, or a map",
        ),
        (
            when(json!({ "headers": { "x-a": [1] } })),
            "/rules/0/when/headers/x-a/0: invalid type: integer `1`",
        ),
        (
            when(json!({ "headers": { "x-a": { "min": 1 } } })),
            "/rules/0/when/headers/x-a/min: unknown field `min`",
        ),
        (
            when(json!({ "headers": { "x-a": {} } })),
            "/rules/0/when/headers/x-a: asks for nothing: expected a list",
        ),
        (
            when(json!({ "facts": { "x": { "is": ["ab"], "not": ["a*"] } } })),
            "/rules/0/when/facts/x/is/0: is ruled out by `not`",
        ),
        (
            when(json!({ "facts": { "x": { "is": ["a"], "present": false } } })),
            "/rules/0/when/facts/x/present: expected nothing beside it",
        ),
        (
            when(json!({ "json": { "/a/b": { "min": 2, "max": 1 } } })),
            "/rules/0/when/json/~1a~1b/min: is more than `max`",
        ),
        (
            when(json!({ "json": { "/a": { "min": 2, "is": [3] } } })),
            "/rules/0/when/json/~1a/is: expected it, or `min` and `max`, not both",
        ),
        (
            when(json!({ "json": { "/a": [null] } })),
            "/rules/0/when/json/~1a/0: invalid type: null, expected a text, a number or a boolean",
        ),
    ]);
    let error = error_of(rule(&when(json!({ "json": { "a": [1] } }))));
    assert!(error.contains("expected a JSON pointer such as"), "{error}");
}

#[test]
fn a_destination_is_refused_with_the_field_and_what_was_expected() {
    let then = |then: Value| json!({ "then": then });
    let arms = json!([{ "model": "a", "weight": 1 }, { "model": "b", "weight": 1 }]);
    assert_refused([
        (
            then(json!({ "models": "m" })),
            "/rules/0/then/models: unknown field `models`",
        ),
        (
            then(json!({ "model": " m" })),
            "/rules/0/then/model: expected a name",
        ),
        (
            then(json!({ "upstream": "a\nb" })),
            "/rules/0/then/upstream: expected a name",
        ),
        (
            then(json!({ "model": "m", "by": [] })),
            "/rules/0/then/by: only a `split` has it",
        ),
        (
            then(json!({ "split": arms })),
            "/rules/0/then/by: is missing: expected what a caller",
        ),
        (
            then(json!({ "split": arms, "by": [], "model": "m" })),
            "/rules/0/then/model: expected it in the arms of the `split`",
        ),
        (
            then(json!({ "split": [], "by": [] })),
            "/rules/0/then/split: expected 1 to 32 arms, found 0",
        ),
        (
            then(json!({ "split": [{ "model": "a" }], "by": [] })),
            "/rules/0/then/split/0: missing field `weight`",
        ),
        (
            then(json!({ "split": [{ "weight": -1 }], "by": [] })),
            "/rules/0/then/split/0/weight: invalid value: integer `-1`",
        ),
        (
            then(json!({ "split": [{ "weight": 1_000_001 }], "by": [] })),
            "/rules/0/then/split/0/weight: expected a number from 0 to 1000000",
        ),
        (
            then(json!({ "split": [{ "model": "a", "weight": 0 }], "by": [] })),
            "/rules/0/then/split: expected an arm with a weight of more than 0",
        ),
        (
            then(json!({ "split": [{ "weight": 1 }, { "weight": 2 }], "by": [] })),
            "/rules/0/then/split/1: `as-asked` is /split/0 already: expected a `name`",
        ),
        (
            then(json!({ "split": arms, "by": [{ "cookie": "x" }] })),
            "/rules/0/then/by/0: unknown variant `cookie`, expected one of `fact`, `header`, `json`",
        ),
        (
            then(json!({ "split": arms, "by": [{ "json": "user" }] })),
            "/rules/0/then/by/0/json: expected a JSON pointer",
        ),
        (
            then(json!({ "split": arms, "by": [{ "fact": "x" }, { "fact": "x" }] })),
            "/rules/0/then/by/1: is listed before",
        ),
        (
            then(json!({ "split": arms, "by": [], "on_missing": "skip" })),
            "/rules/0/then/on_missing: unknown variant `skip`",
        ),
        (
            then(json!({ "split": arms, "by": [], "seed": "a b" })),
            "/rules/0/then/seed: expected 1 to 64 letters",
        ),
    ]);
}

#[test]
fn what_nobody_can_ask_for_is_refused() {
    let settings = |model: &str| {
        json!({
            "aliases": { "gpt-4": "chat" }, "version_separator": "@",
            "rules": [{ "name": "x", "when": { "models": [model] }, "then": {} }],
        })
    };
    assert_eq!(
        errors(settings("gpt-4")),
        ["/rules/0/when/models/0: `gpt-4` is an alias and never comes here: expected `chat`"]
    );
    assert_eq!(
        errors(settings("chat@2")),
        ["/rules/0/when/models/0: expected the model without its version: `chat`, and `versions`"]
    );
    assert!(Run::<ModelRouter>::try_new(settings("chat")).is_ok());
}

#[test]
fn all_mistakes_are_said_at_once() {
    let rule =
        json!({ "name": "x", "when": { "models": [] }, "then": { "model": "m", "seed": "s" } });
    assert_eq!(
        errors(json!({ "rules": [rule, rule], "list_models": true })),
        [
            "/rules/0/when/models: expected at least one value",
            "/rules/0/then/seed: only a `split` has it",
            "/rules/1/name: `x` is the name of /rules/0 already",
            "/rules/1/when/models: expected at least one value",
            "/rules/1/then/seed: only a `split` has it",
            "/list_models: expected `known_models` beside it",
        ]
    );
}

#[test]
fn too_much_is_refused() {
    let rules: Vec<_> = (0..257).map(|nth| json!({ "name": format!("r{nth}"), "when": { "models": [format!("m{nth}")] }, "then": {} })).collect();
    assert_eq!(
        errors(json!({ "rules": rules })),
        ["/rules: expected at most 256 rules, found 257"]
    );
    let headers: serde_json::Map<_, _> = (0..65)
        .map(|nth| (format!("x-{nth}"), json!(["1"])))
        .collect();
    assert_eq!(
        errors(json!({ "rules": [{ "name": "x", "when": { "headers": headers }, "then": {} }] })),
        ["/rules: look at 65 things of a request: expected at most 64"]
    );
}

fn needs_json(settings: Value) -> bool {
    let settings = serde_json::from_value(settings).unwrap();
    let (mut hooks, mut needs): (Hooks, Needs) = (ModelRouter::HOOKS, ModelRouter::NEEDS);
    ModelRouter::narrow(&settings, &mut hooks, &mut needs);
    assert!(hooks.request && !hooks.response && !hooks.finish);
    needs.request_json
}

#[test]
fn the_body_is_read_only_if_something_in_it_matters() {
    let rules = |when: Value, then: Value| json!({ "rules": [{ "name": "x", "when": when, "then": then }] });
    let split =
        |by: Value| json!({ "by": by, "split": [{ "weight": 1 }, { "model": "b", "weight": 1 }] });
    for settings in [
        rules(
            json!({ "headers": { "x-a": ["1"] }, "tiers": ["t"] }),
            json!({ "model": "m" }),
        ),
        rules(
            json!({}),
            split(json!([{ "header": "x-session" }, { "fact": "caller" }])),
        ),
        json!({ "country_header": "x-country" }),
    ] {
        assert!(!needs_json(settings.clone()), "{settings}");
    }
    for settings in [
        rules(json!({ "models": ["a"] }), json!({})),
        rules(json!({ "json": { "/a": ["1"] } }), json!({})),
        rules(json!({ "streaming": true }), json!({})),
        rules(json!({}), split(json!([{ "json": "/user" }]))),
        rules(json!({}), json!({ "model": "m", "version": "1" })),
        json!({ "known_models": ["a"] }),
        json!({ "aliases": { "a": "b" } }),
    ] {
        assert!(needs_json(settings.clone()), "{settings}");
    }
}

#[test]
fn the_samples_hold_for_any_settings_and_show_each_rule_that_they_can() {
    let settings = json!({
        "version_separator": "@",
        "known_models": ["sample", "small"],
        "country_header": "x-country",
        "rules": [
            { "name": "eu", "when": { "countries": ["DE"], "models": ["chat-*"] }, "then": { "upstream": "eu" } },
            { "name": "fields", "when": { "json": { "/a/b": [7], "/c": { "min": 2 } }, "groups": ["g*"] }, "then": {} },
            { "name": "route", "when": { "routes": ["chat"] }, "then": {} },
            { "name": "stream", "when": { "streaming": true, "tiers": ["x"] }, "then": {} },
            { "name": "old", "when": { "models": ["chat"], "versions": ["0"] }, "then": { "model": "old" } },
            { "name": "chat", "when": { "models": ["chat"], "headers": { "x-a": { "present": true } } }, "then": {
                "by": [{ "json": "/user" }], "on_missing": "refuse",
                "split": [{ "version": "1", "weight": 1 }, { "version": "2", "weight": 0, "model": "b" }],
            } },
        ],
    });
    let run = run(settings);
    run.prove();
    let names: Vec<_> = run
        .samples()
        .into_iter()
        .map(|sample| sample.name)
        .collect();
    assert_eq!(
        names,
        [
            "a streamed chat",
            "a chat that `eu` is for",
            "a chat that `fields` is for",
            "a chat that `old` is for",
            "a chat that `chat` is for",
            "the version of `1` in `chat`",
            "the version of `2` in `chat`",
            "a model that is not there",
        ]
    );
}

#[test]
fn the_examples_in_the_readme_hold() {
    let readme = include_str!("../../README.md");
    let mut seen = 0;
    for part in readme.split("```yaml").skip(1) {
        let yaml = part.split("```").next().unwrap();
        let config: Value = serde_saphyr::from_str(yaml).unwrap();
        let settings = config.pointer("/policies/models/settings").unwrap();
        Run::<ModelRouter>::new(settings.clone()).prove();
        seen += 1;
    }
    assert_eq!(seen, 1);
}

/// Properties without a default are required; of all others, the description says it.
#[test]
fn every_setting_says_what_it_is_and_what_it_is_by_default() {
    let schema: Value = serde_json::from_str(&Run::<ModelRouter>::settings_schema()).unwrap();
    let definitions = schema["$defs"].as_object().unwrap();
    let mut seen = 0;
    for (name, object) in definitions
        .iter()
        .map(|(name, object)| (name.as_str(), object))
        .chain([("Settings", &schema)])
    {
        let required = object["required"].as_array().cloned().unwrap_or_default();
        for (field, property) in object["properties"].as_object().into_iter().flatten() {
            let description = property["description"].as_str().unwrap_or_default();
            assert!(!description.is_empty(), "{name}.{field}");
            let description = description.replace('\n', " ");
            let is_required = required.iter().any(|required| required == field);
            assert!(
                is_required || description.contains("Default: ") || field == "by",
                "{name}.{field}: {description}"
            );
            seen += 1;
        }
    }
    assert!(seen > 40, "{seen}");
}
