//! Keys that are good for some models only.

use serde_json::{Value, json};
use tollgate_sdk::testing::{Exchange, Run};

use super::hash;
use crate::ApiKeys;

fn of_ann(models: Value, of_key: Option<Value>) -> Run<ApiKeys> {
    let mut key = json!({ "sha256": hash("k") });
    if let Some(models) = of_key {
        key["models"] = models;
    }
    Run::new(json!({
        "keys": [ { "sha256": hash("free"), "caller": "bob" } ],
        "callers": [ { "caller": "ann", "models": models, "keys": [ key ] } ],
    }))
}

fn asks(key: &str, model: &str) -> Exchange {
    Exchange::chat()
        .json("/model", model)
        .header("authorization", format!("Bearer {key}"))
}

fn may(run: &Run<ApiKeys>, model: &str) -> bool {
    let decided = run.open(asks("k", model)).request();
    if let Some(refusal) = decided.refusal() {
        assert_eq!(
            (refusal.status, refusal.code.as_str()),
            (403, "model_not_allowed")
        );
        let shown = "This API key is not good for the requested model.";
        assert_eq!(refusal.message, shown, "it tells of no model, asked or not");
    }
    decided.is_next()
}

#[test]
fn a_key_asks_for_the_models_on_its_list_and_for_no_other() {
    let run = of_ann(json!(["small", "gpt-4o-*"]), None);
    for model in ["small", "gpt-4o-", "gpt-4o-mini"] {
        assert!(may(&run, model), "{model}");
    }
    for model in [
        "", "smal", "smaller", "Small", "small ", "gpt-4o", "x/small",
    ] {
        assert!(!may(&run, model), "{model}");
    }
}

#[test]
fn a_list_of_a_key_narrows_its_callers_one() {
    let run = of_ann(json!(["gpt-*"]), Some(json!(["*-mini", "llama"])));
    assert!(may(&run, "gpt-4-mini"));
    for model in ["gpt-4", "llama", "o-mini"] {
        assert!(!may(&run, model), "{model}");
    }
}

#[test]
fn a_lone_key_can_have_a_list_and_one_without_asks_for_anything() {
    let run = Run::<ApiKeys>::new(json!({ "keys": [
        { "sha256": hash("k"), "caller": "ann", "models": [ "small" ] },
        { "sha256": hash("free"), "caller": "bob" },
    ] }));
    assert!(may(&run, "small"));
    assert!(!may(&run, "large"));
    assert!(run.open(asks("free", "large")).request().is_next());
    let without = asks("free", "x").body("no JSON at all");
    assert!(run.open(without).request().is_next());
}

#[test]
fn a_request_whose_model_cannot_be_told_is_not_let_through_on_a_list() {
    let run = of_ann(json!(["*"]), None);
    for body in [
        "",
        "no JSON at all",
        "{}",
        r#"{"model":null}"#,
        r#"{"model":["small"]}"#,
        r#"{"model":7}"#,
    ] {
        let decided = run.open(asks("k", "x").body(body)).request();
        let refusal = decided.refusal().unwrap();
        assert_eq!(
            (refusal.status, refusal.code.as_str()),
            (400, "model_required"),
            "{body}"
        );
    }
}

#[test]
fn who_asked_for_too_much_is_known_to_the_access_log() {
    let run = of_ann(json!(["small"]), None);
    let decided = run.open(asks("k", "large")).request();
    assert_eq!(decided.fact("caller").as_deref(), Some("ann"));
}

#[test]
fn only_a_list_has_the_body_read() {
    use tollgate_sdk::{Described, Hooks, Needs, Policy};
    let needs = |settings: Value| {
        let settings = serde_json::from_value(settings).unwrap();
        let (mut hooks, mut needs) = (ApiKeys::HOOKS, ApiKeys::NEEDS);
        ApiKeys::narrow(&settings, &mut hooks, &mut needs);
        assert_eq!(
            hooks,
            Hooks {
                request: true,
                ..Hooks::NONE
            }
        );
        needs
    };
    let key = json!({ "sha256": hash("k"), "caller": "ann", "expires": "2027-01-01" });
    assert_eq!(needs(json!({ "keys": [ key ] })), Needs::NONE);
    let mut listed = key.clone();
    listed["models"] = json!(["small"]);
    assert!(needs(json!({ "keys": [ key, listed ] })).request_json);
}

#[test]
fn a_list_of_nothing_is_a_mistake() {
    let errors = |settings: Value| Run::<ApiKeys>::try_new(settings).err().unwrap();
    let what = "expected at least one model; leave it out to allow all";
    let of_both = json!({
        "keys": [ { "sha256": hash("a"), "caller": "ann", "models": [] } ],
        "callers": [ { "caller": "bob", "models": [], "keys": [ { "sha256": hash("b"), "models": [] } ] } ],
    });
    assert_eq!(
        errors(of_both),
        [
            format!("/keys/0/models: {what}"),
            format!("/callers/0/models: {what}"),
            format!("/callers/0/keys/0/models: {what}"),
        ]
    );
    let key = json!({ "sha256": hash("a"), "caller": "ann", "models": [ "" ] });
    assert_eq!(
        errors(json!({ "keys": [ key ] })),
        ["/keys/0/models/0: expected a name of 1 to 256 bytes, `*` for any text, found 0 bytes"]
    );
}
