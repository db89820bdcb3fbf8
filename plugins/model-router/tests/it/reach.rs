use proptest::{prelude::*, sample::select};

use super::*;

/// The mistakes of rules with these conditions, each named by its place.
fn mistakes(conditions: Value) -> Vec<String> {
    let rules: Vec<_> = conditions
        .as_array()
        .unwrap()
        .iter()
        .enumerate()
        .map(|(nth, when)| json!({ "name": format!("r{nth}"), "when": when, "then": {} }))
        .collect();
    let settings = json!({ "rules": rules, "version_header": "x-version" });
    Run::<ModelRouter>::try_new(settings)
        .err()
        .unwrap_or_default()
}

#[test]
fn a_rule_behind_one_that_always_holds_is_refused() {
    assert_eq!(
        mistakes(json!([{}, { "models": ["a"] }])),
        ["/rules/1: `r1` can never match: /rules/0 (`r0`) always does before"]
    );
    for conditions in [
        json!([{ "models": ["a", "b"] }, { "models": ["b"] }]),
        json!([{ "models": ["gpt-*"] }, { "models": ["gpt-4*", "gpt-5"] }]),
        json!([{ "tiers": ["gold"] }, { "tiers": ["gold"], "models": ["a"] }]),
        json!([{ "groups": ["x", "y"] }, { "groups": ["y"] }]),
        json!([{ "countries": ["DE"] }, { "countries": ["de"] }]),
        json!([{ "headers": { "x-a": { "present": true } } }, { "headers": { "X-A": ["1"] } }]),
        json!([{ "headers": { "x-a": { "not": ["0"] } } }, { "headers": { "x-a": ["1", "2"] } }]),
        json!([{ "headers": { "x-a": { "not": ["0"] } } }, { "headers": { "x-a": { "not": ["0", "1"] } } }]),
        json!([{ "facts": { "x": { "not": ["0"] } } }, { "facts": { "x": { "present": false } } }]),
        json!([{ "json": { "/n": { "min": 1 } } }, { "json": { "/n": { "min": 2, "max": 4 } } }]),
        json!([{ "json": { "/n": { "min": 1, "max": 9 } } }, { "json": { "/n": [2, 3] } }]),
        json!([{ "json": { "/n": { "present": true } } }, { "json": { "/n": { "max": 4 } } }]),
        json!([{ "json": { "/n": { "max": 4 } } }, { "json": { "/n": { "max": 3 } } }]),
        json!([{ "streaming": true }, { "streaming": true, "versions": ["1"] }]),
    ] {
        let mistakes = mistakes(conditions.clone());
        assert_eq!(mistakes.len(), 1, "{conditions}: {mistakes:?}");
        assert!(mistakes[0].starts_with("/rules/1: `r1` can never match: /rules/0 (`r0`)"));
    }
}

#[test]
fn a_rule_that_several_cover_together_is_refused() {
    for conditions in [
        json!([{ "models": ["a"] }, { "models": ["b"] }, { "models": ["a", "b"] }]),
        json!([
            { "models": ["a"], "tiers": ["x"] },
            { "models": ["a"], "tiers": ["y"] },
            { "models": ["b"] },
            { "models": ["a", "b"], "tiers": ["x", "y"] },
        ]),
        json!([{ "streaming": true }, { "streaming": false }, { "models": ["a"] }]),
    ] {
        let last = conditions.as_array().unwrap().len() - 1;
        assert_eq!(
            mistakes(conditions),
            [format!(
                "/rules/{last}: `r{last}` can never match: one of the rules before always does"
            )]
        );
    }
}

#[test]
fn a_rule_that_some_request_reaches_is_taken() {
    for conditions in [
        json!([{ "models": ["a"] }, { "models": ["a", "b"] }]),
        json!([{ "models": ["gpt-4*"] }, { "models": ["gpt-*"] }]),
        json!([{ "models": ["a"], "tiers": ["x"] }, { "models": ["a"] }, {}]),
        json!([{ "models": ["*"] }, {}]),
        json!([{ "headers": { "x-a": ["1"] } }, { "headers": { "x-b": ["1"] } }]),
        json!([{ "headers": { "x-a": { "not": ["1*"] } } }, { "headers": { "x-a": ["1", "2"] } }]),
        json!([{ "headers": { "x-a": { "not": ["1"] } } }, { "headers": { "x-a": { "present": true } } }]),
        json!([{ "json": { "/n": { "min": 2 } } }, { "json": { "/n": { "min": 1 } } }]),
        json!([{ "json": { "/n": { "min": 2 } } }, { "json": { "/n": [2, "x"] } }]),
        json!([{ "json": { "/n": { "max": 2 } } }, { "json": { "/n": { "max": 3 } } }]),
        json!([{ "json": { "/n": ["1"] } }, { "json": { "/n": [1] } }]),
        json!([{ "streaming": true }, { "models": ["a"] }]),
        json!([{ "facts": { "x": { "present": true } } }, { "facts": { "x": { "not": ["1"] } } }]),
    ] {
        assert_eq!(mistakes(conditions.clone()), [""; 0], "{conditions}");
    }
}

#[test]
fn many_rules_with_long_lists_are_judged_in_time() {
    let list =
        |start: usize| -> Vec<_> { (start..start + 40).map(|nth| format!("m{nth}")).collect() };
    let conditions: Vec<_> = (0..200)
        .map(|nth| {
            json!({
                "models": list(nth), "tiers": list(nth), "groups": list(nth),
                "headers": { "x-a": list(nth) }, "facts": { "b": list(nth) },
            })
        })
        .collect();
    assert_eq!(mistakes(json!(conditions)), [""; 0]);
}

/// Conditions of a few kinds, so that some cover others.
fn when() -> impl Strategy<Value = Value> {
    let lists = |entries: &'static [&'static str]| {
        prop::option::of(prop::collection::vec(select(entries), 1..3))
    };
    let header = select(vec![
        json!(["0"]),
        json!(["1*"]),
        json!({ "not": ["0"] }),
        json!({ "not": ["1*"], "present": true }),
        json!({ "present": true }),
        json!({ "present": false }),
    ]);
    let field = select(vec![
        json!([1, "1"]),
        json!([2]),
        json!({ "min": 2 }),
        json!({ "max": 2 }),
        json!({ "min": 1, "max": 3 }),
        json!({ "not": [1] }),
        json!({ "present": true }),
    ]);
    (
        lists(&["a", "b", "a*", "*"]),
        lists(&["x", "y"]),
        prop::option::of(any::<bool>()),
        prop::option::of(header),
        prop::option::of(field),
    )
        .prop_map(|(models, tiers, streaming, header, field)| {
            let mut when = json!({ "models": models, "tiers": tiers, "streaming": streaming });
            if let Some(header) = header {
                when["headers"] = json!({ "x-a": header });
            }
            if let Some(field) = field {
                when["json"] = json!({ "/n": field });
            }
            when
        })
}

/// Requests of each kind that those conditions tell apart.
fn requests() -> Vec<Exchange> {
    let mut requests = Vec::new();
    let numbers = [json!(null), json!(1), json!(2), json!(3.5), json!("1")];
    for model in ["a", "b", "ab", "c"] {
        for tier in ["x", "y", ""] {
            for header in ["0", "1", "10", ""] {
                for number in &numbers {
                    let mut exchange =
                        ask(model).json("/n", tollgate_sdk::Value::from(number.clone()));
                    if !tier.is_empty() {
                        exchange = exchange.fact("tier", tier);
                    }
                    if !header.is_empty() {
                        exchange = exchange.header("x-a", header);
                    }
                    requests.push(exchange.clone());
                    requests.push(exchange.streaming());
                }
            }
        }
    }
    requests
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Whoever comes to one that is refused would have been led by one before.
    #[test]
    fn only_rules_that_no_request_reaches_are_refused(whens in prop::collection::vec(when(), 2..5)) {
        let refused = mistakes(json!(whens));
        prop_assert!(refused.iter().all(|mistake| mistake.contains("can never match")), "{refused:?}");
        let alone: Vec<_> = whens
            .iter()
            .map(|when| run(json!({ "rules": [{ "name": "x", "when": when, "then": { "model": "hit" } }] })))
            .collect();
        let requests = requests();
        for (place, run) in alone.iter().enumerate() {
            let named = format!("/rules/{place}: ");
            if !refused.iter().any(|mistake| mistake.starts_with(&named)) {
                continue;
            }
            for request in &requests {
                if led(run, request.clone()) == "hit" {
                    let mut before = alone[..place].iter();
                    prop_assert!(before.any(|run| led(run, request.clone()) == "hit"), "{place}: {whens:?}");
                }
            }
        }
    }
}
