use tollgate_sdk::{Described, Hooks, Needs, Policy};

use super::*;

fn errors(settings: Value) -> Vec<String> {
    Run::<RateLimit>::try_new(settings).err().unwrap()
}

fn error_of(limit: Value) -> String {
    errors(json!({ "limits": [limit] })).join("\n")
}

#[test]
fn settings_are_refused_with_the_place_of_each_mistake() {
    let cases = [
        (json!({}), "/: missing field `limits`"),
        (
            json!({ "limits": [] }),
            "/limits: expected 1 to 64 limits, found 0",
        ),
        (
            json!({ "limits": {} }),
            "/limits: invalid type: map, expected a sequence",
        ),
        (
            json!({ "limits": [], "header": true }),
            "/header: unknown field",
        ),
        (
            json!({ "limits": [], "headers": "yes" }),
            "/headers: invalid type",
        ),
    ];
    for (settings, expected) in cases {
        let errors = errors(settings.clone()).join("\n");
        assert!(errors.starts_with(expected), "{settings}: {errors}");
    }
}

/// A limit with some fields changed; those that become `"-"` are left out.
fn limit(changes: &Value) -> Value {
    let mut limit = json!({ "name": "x", "by": ["caller"], "requests": 1, "period": "1m" });
    for (key, value) in changes.as_object().unwrap() {
        if value == "-" {
            limit.as_object_mut().unwrap().remove(key);
        } else {
            limit[key] = value.clone();
        }
    }
    limit
}

fn assert_refused<const N: usize>(cases: [(Value, &str); N]) {
    for (changes, expected) in cases {
        let error = error_of(limit(&changes));
        assert!(error.starts_with(expected), "{changes}: {error}");
    }
}

#[test]
fn a_name_is_refused_with_the_field_and_what_was_expected() {
    assert_refused([
        (json!({ "name": "-" }), "/limits/0: missing field `name`"),
        (json!({ "by": "-" }), "/limits/0: missing field `by`"),
        (
            json!({ "name": "" }),
            "/limits/0/name: expected 1 to 64 letters",
        ),
        (
            json!({ "name": "a b" }),
            "/limits/0/name: expected 1 to 64 letters",
        ),
        (
            json!({ "name": "a".repeat(65) }),
            "/limits/0/name: expected 1 to 64 letters",
        ),
        (
            json!({ "by": "caller" }),
            "/limits/0/by: invalid type: string",
        ),
        (
            json!({ "by": [""] }),
            "/limits/0/by/0: expected `caller`, `tier`, `model`, `route`",
        ),
        (
            json!({ "by": ["b".repeat(65536)] }),
            "/limits/0/by/0: expected `caller`",
        ),
        (
            json!({ "by": ["x", "y", "x"] }),
            "/limits/0/by/2: `x` is listed before",
        ),
    ]);
}

#[test]
fn a_number_or_time_is_refused_with_the_field_and_what_was_expected() {
    assert_refused([
        (
            json!({ "requests": 0 }),
            "/limits/0/requests: invalid value: integer `0`",
        ),
        (
            json!({ "requests": -1 }),
            "/limits/0/requests: invalid value: integer `-1`",
        ),
        (
            json!({ "requests": 1.5 }),
            "/limits/0/requests: invalid type: floating point",
        ),
        (
            json!({ "requests": 1e30 }),
            "/limits/0/requests: invalid type: floating point",
        ),
        (
            json!({ "requests": "6" }),
            "/limits/0/requests: invalid type: string",
        ),
        (
            json!({ "period": "1 minute" }),
            "/limits/0/period: `1 minute` is not a period",
        ),
        (
            json!({ "period": 60 }),
            "/limits/0/period: invalid type: integer",
        ),
        (
            json!({ "period": "-" }),
            "/limits/0/period: is missing: expected the time for `requests`",
        ),
        (
            json!({ "requests": "-" }),
            "/limits/0/requests: is missing: expected how many",
        ),
        (
            json!({ "requests": "-", "period": "-" }),
            "/limits/0: limits nothing: expected `requests`",
        ),
        (
            json!({ "algorithm": "leaky" }),
            "/limits/0/algorithm: unknown variant `leaky`, expected",
        ),
        (
            json!({ "burst": 5 }),
            "/limits/0/burst: only a limit with `algorithm: token-bucket`",
        ),
        (
            json!({ "burst": 0, "algorithm": "token-bucket" }),
            "/limits/0/burst: invalid value",
        ),
        (
            json!({ "requests": 5000, "period": "1s", "burst": 1, "algorithm": "token-bucket" }),
            "/limits/0/burst: is too small for this rate",
        ),
        (
            json!({ "requests": "-", "period": "-", "burst": 1, "concurrency": 1, "algorithm": "token-bucket" }),
            "/limits/0/burst: expected `requests` and `period` beside it",
        ),
        (
            json!({ "concurrency": 0 }),
            "/limits/0/concurrency: invalid value",
        ),
        (
            json!({ "on_missing": "deny" }),
            "/limits/0/on_missing: unknown variant",
        ),
        (
            json!({ "match": { "model": [] } }),
            "/limits/0/match/model: unknown field `model`",
        ),
        (
            json!({ "match": { "models": [""] } }),
            "/limits/0/match/models/0: expected a name of 1 to 256 bytes",
        ),
        (json!({ "per": "1m" }), "/limits/0/per: unknown field `per`"),
    ]);
}

#[test]
fn all_mistakes_are_said_at_once() {
    let limit = json!({ "name": "x", "by": ["a", "a"], "requests": 1, "burst": 2 });
    assert_eq!(
        errors(json!({ "limits": [limit, limit] })),
        [
            "/limits/0/period: is missing: expected the time for `requests`",
            "/limits/0/burst: only a limit with `algorithm: token-bucket` has one",
            "/limits/0/by/1: `a` is listed before",
            "/limits/1/name: `x` is the name of /limits/0 already",
            "/limits/1/period: is missing: expected the time for `requests`",
            "/limits/1/burst: only a limit with `algorithm: token-bucket` has one",
            "/limits/1/by/1: `a` is listed before",
        ]
    );
}

fn narrowed(settings: Value) -> (Hooks, Needs) {
    let settings = serde_json::from_value(settings).unwrap();
    let (mut hooks, mut needs) = (RateLimit::HOOKS, RateLimit::NEEDS);
    RateLimit::narrow(&settings, &mut hooks, &mut needs);
    (hooks, needs)
}

#[test]
fn hooks_and_needs_without_a_use_are_left_out() {
    let rate = json!({ "name": "r", "by": ["caller"], "requests": 1, "period": "1m" });
    let places = json!({ "name": "p", "by": [], "concurrency": 1 });
    let (hooks, needs) = narrowed(json!({ "limits": [rate] }));
    assert!(hooks.response && !hooks.finish && !needs.request_json);
    let (hooks, needs) = narrowed(json!({ "limits": [places] }));
    assert!(!hooks.response && hooks.finish && !needs.request_json);
    let (hooks, _) = narrowed(json!({ "limits": [rate, places], "headers": false }));
    assert!(!hooks.response && hooks.finish);
    for more in [
        json!({ "by": ["model"] }),
        json!({ "match": { "models": ["m"] } }),
    ] {
        let mut limit = rate.clone();
        limit
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        assert!(narrowed(json!({ "limits": [limit] })).1.request_json);
    }
}

#[test]
fn the_samples_hold_for_any_settings() {
    for limits in [
        json!([{ "name": "a", "by": [], "requests": 1, "period": "366d" }]),
        json!([{ "name": "a", "by": ["caller"], "requests": 1, "period": "1h", "concurrency": 1 }]),
        json!([{ "name": "a", "by": ["tier"], "requests": 1, "period": "1h", "match": { "tiers": ["x"] } }]),
        json!([
            { "name": "a", "by": ["model", "route"], "requests": 1, "period": "1h" },
            { "name": "b", "by": ["team"], "on_missing": "share", "requests": 1, "period": "1h" },
            { "name": "c", "by": ["org", "caller"], "concurrency": 1, "match": { "models": ["*"] } },
            { "name": "d", "by": ["tier"], "concurrency": 1, "match": { "routes": ["sample"] } },
        ]),
    ] {
        run(limits).prove();
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
    let settings = config.pointer("/policies/limits/settings").unwrap();
    Run::<RateLimit>::new(settings.clone()).prove();
}

#[test]
fn every_setting_says_what_it_is_and_what_it_is_by_default() {
    let schema: Value = serde_json::from_str(&Run::<RateLimit>::settings_schema()).unwrap();
    let limit = &schema["$defs"]["Limit"];
    let optional = limit["properties"]
        .as_object()
        .unwrap()
        .iter()
        .filter(|(name, _)| {
            let required = limit["required"].as_array().unwrap();
            !required.iter().any(|field| field == *name)
        });
    let mut seen = 0;
    for (name, property) in optional {
        let description = property["description"].as_str().unwrap_or_default();
        let description = description.replace('\n', " ");
        let has_default = description.contains("Default: ") || name == "period";
        assert!(has_default, "{name}: {description}");
        seen += 1;
    }
    assert_eq!(seen, 7);
}
