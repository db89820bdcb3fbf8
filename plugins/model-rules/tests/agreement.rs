//! A case comes out as live traffic does, and no request makes a decision that the
//! gateway would refuse (the test kit panics at one).

use model_rules::ModelRules;
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use tollgate_sdk::testing::{Exchange, Run};

fn pointer() -> impl Strategy<Value = String> {
    let token = prop::sample::select(vec!["a", "b", "0", "1"]);
    prop::collection::vec(token, 1..4).prop_map(|tokens| {
        tokens
            .into_iter()
            .map(|token| format!("/{token}"))
            .collect()
    })
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop::sample::select(vec![
        json!(null),
        json!(true),
        json!(-1.5),
        json!(3),
        json!("x"),
        json!([]),
        json!({}),
    ]);
    leaf.prop_recursive(3, 12, 3, |inner| {
        let name = prop::sample::select(vec!["a", "b", "0", "1"]).prop_map(str::to_owned);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::btree_map(name, inner, 0..3)
                .prop_map(|fields| Value::Object(fields.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

fn map(values: impl Strategy<Value = Value>) -> impl Strategy<Value = Value> {
    prop::collection::btree_map(pointer(), values, 0..3).prop_map(|map| json!(map))
}

prop_compose! {
    fn rule()(
        rename in map(pointer().prop_map(Value::from)),
        remove in prop::collection::vec(pointer(), 0..3),
        set in map(value()),
        default in map(value()),
        clamp in map(Just(json!({ "min": 0, "max": 2 }))),
        system in prop::option::of("[a-z\"\n]{0,4}"),
    ) -> Value {
        json!({
            "rename": rename, "remove": remove, "set": set, "default": default, "clamp": clamp,
            "prepend_system": system, "headers": { "append": { "x-a": "1" } },
        })
    }
}

proptest! {
    #[test]
    fn a_case_comes_out_as_live_traffic_does(
        request in rule(),
        a in value(),
        b in value(),
        messages in value(),
    ) {
        let body = json!({ "model": "m", "messages": messages, "a": a, "b": b });
        let mut settings = json!({ "rules": [{ "models": ["m"], "request": request }] });
        let Ok(run) = Run::<ModelRules>::try_new(settings.clone()) else { return Ok(()) };
        let decided = run.open(Exchange::chat().body(body.to_string())).request();
        let expect = match decided.refusal() {
            Some(refusal) => json!({ "refused": refusal.code }),
            None => json!({ "body": decided.json(""), "headers": { "x-a": "1" } }),
        };
        settings["cases"] = json!([{ "name": "live", "request": { "body": body }, "expect": expect }]);
        prop_assert_eq!(Run::<ModelRules>::try_new(settings).err(), None);
    }
}
