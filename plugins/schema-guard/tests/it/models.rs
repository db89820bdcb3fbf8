use tollgate_sdk::Target;

use super::*;

fn guard_of_two(other: &str) -> Run<SchemaGuard> {
    Run::new(json!({
        "rules": [
            { "models": ["gpt-4"] },
            { "models": ["gpt-*", "o1"], "max_tokens": { "max": 10 } },
        ],
        "other_models": other,
    }))
}

fn ask(model: &str) -> Exchange {
    Exchange::chat()
        .json("/model", model)
        .json("/max_tokens", 11)
}

#[test]
fn the_first_rule_that_has_the_model_is_the_one_that_counts() {
    let run = guard_of_two("allow");
    assert_eq!(told(&run, ask("gpt-4")), None);
    assert!(told(&run, ask("gpt-5")).is_some());
    assert!(told(&run, ask("o1")).is_some());
    assert_eq!(told(&run, ask("llama")), None);
}

#[test]
fn a_model_without_a_rule_is_allowed_or_refused_as_the_operator_says() {
    let run = guard_of_two("refuse");
    let decided = run.open(ask("llama")).request();
    assert_eq!(decided.refusal().unwrap().code, "model_not_allowed");
    for body in ["not JSON", "{}", r#"{"model":["gpt-4"]}"#] {
        assert!(told(&run, Exchange::chat().body(body)).is_some());
    }
}

#[test]
fn what_has_no_body_asks_no_model() {
    let run = guard_of_two("refuse");
    assert_eq!(
        told(&run, Exchange::chat().to("GET", "/v1/models").body("")),
        None
    );
}

#[test]
fn attached_to_a_target_it_goes_by_the_targets_name_or_the_one_asked_for() {
    let run = guard_of_two("refuse");
    let target = |model: &str| Target {
        upstream: "u".to_owned(),
        dialect: "openai".to_owned(),
        model: Some(model.to_owned()),
        attempt: 1,
    };
    assert!(!run.open(ask("fast")).attempt(&target("gpt-5")).is_next());
    assert!(!run.open(ask("gpt-5")).attempt(&target("hosted")).is_next());
    assert!(run.open(ask("fast")).attempt(&target("gpt-4")).is_next());
    assert!(!run.open(ask("fast")).attempt(&target("hosted")).is_next());
}
