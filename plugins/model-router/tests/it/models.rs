use tollgate_sdk::{Destination, testing::counted};

use super::*;

#[test]
fn the_first_rule_that_is_for_a_request_leads_it() {
    let run = run(json!({ "rules": [
        { "name": "gold", "when": { "models": ["chat"], "tiers": ["gold"] }, "then": { "model": "chat-large" } },
        { "name": "chat", "when": { "models": ["chat", "talk-*"] }, "then": { "model": "chat-small" } },
        { "name": "embed", "when": { "models": ["embed"] }, "then": { "upstream": "vectors" } },
        { "name": "both", "when": { "models": ["code"] }, "then": { "model": "coder", "upstream": "eu" } },
    ] }));
    assert_eq!(led(&run, ask("chat").fact("tier", "gold")), "chat-large");
    assert_eq!(led(&run, ask("chat").fact("tier", "free")), "chat-small");
    assert_eq!(led(&run, ask("talk-2")), "chat-small");
    let embed = decide(&run, ask("embed"));
    let to = |model: Option<&str>, upstream: Option<&str>| Destination {
        model: model.map(str::to_owned),
        upstream: upstream.map(str::to_owned),
    };
    assert_eq!(embed.destination(), Some(&to(None, Some("vectors"))));
    let both = decide(&run, ask("code"));
    assert_eq!(both.destination(), Some(&to(Some("coder"), Some("eu"))));
    let other = decide(&run, ask("other"));
    assert!(other.is_next() && other.is_untouched());
}

#[test]
fn the_log_is_told_which_rule_led_a_request_and_where() {
    let run = run(json!({ "rules": [
        { "name": "one", "when": { "models": ["a"] }, "then": { "model": "x" } },
        { "name": "two", "when": { "models": ["b"] }, "then": { "upstream": "u" } },
        { "name": "three", "when": { "models": ["c"] }, "then": { "model": "x", "upstream": "u" } },
        { "name": "four", "when": { "models": ["d"] }, "then": {} },
        { "name": "five", "when": { "models": ["e"] }, "then": {
            "by": [], "split": [{ "weight": 1, "model": "x", "version": "7" }, { "weight": 0, "model": "y" }],
        } },
    ] }));
    for (model, by, to, arm, version) in [
        ("a", Some("one"), Some("x"), None, None),
        ("b", Some("two"), Some("via u"), None, None),
        ("c", Some("three"), Some("x via u"), None, None),
        ("d", Some("four"), None, None, None),
        ("e", Some("five"), Some("x"), Some("7"), Some("7")),
        ("f", None, None, None, None),
    ] {
        let decided = decide(&run, ask(model));
        let fact = |name: &str| decided.fact(name);
        let facts = [
            fact("routed_by"),
            fact("routed_to"),
            fact("routed_arm"),
            fact("routed_version"),
        ];
        let facts = facts.each_ref().map(Option::as_deref);
        assert_eq!(facts, [by, to, arm, version], "{model}");
    }
    assert_eq!(counted("routed"), 1, "of splits alone");
}

#[test]
fn an_alias_stands_for_a_model_before_rules_are_asked() {
    let run = run(json!({
        "aliases": { "gpt-4": "chat", "best": "large" },
        "rules": [{ "name": "chat", "when": { "models": ["chat"] }, "then": { "model": "chat-2" } }],
    }));
    assert_eq!(led(&run, ask("gpt-4")), "chat-2");
    assert_eq!(led(&run, ask("chat")), "chat-2");
    let best = decide(&run, ask("best"));
    assert_eq!(best.destination().unwrap().model.as_deref(), Some("large"));
    assert_eq!(best.fact("routed_to").as_deref(), Some("large"));
    assert_eq!(best.fact("routed_by"), None);
    assert_eq!(led(&run, ask("large")), "-");
}

#[test]
fn a_rule_that_leads_nowhere_else_leaves_an_alias_in_place() {
    let run = run(json!({
        "aliases": { "best": "large" },
        "rules": [{ "name": "large", "when": { "models": ["large"] }, "then": { "upstream": "eu" } }],
    }));
    let decided = decide(&run, ask("best"));
    let to = decided.destination().unwrap();
    assert_eq!(to.model.as_deref(), Some("large"));
    assert_eq!(to.upstream.as_deref(), Some("eu"));
}

#[test]
fn a_model_that_is_not_known_does_not_exist() {
    let settings = |more: Value| {
        let mut settings = json!({
            "known_models": ["small", "embed-*"],
            "rules": [{ "name": "new", "when": { "models": ["new"], "groups": ["beta"] }, "then": {} }],
        });
        settings
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        settings
    };
    let quiet = run(settings(json!({})));
    for model in ["small", "embed-3"] {
        assert_eq!(led(&quiet, ask(model)), "-");
    }
    assert_eq!(led(&quiet, ask("new").fact("groups", "alpha,beta")), "-");
    for model in ["new", "smal", "Small", "embed"] {
        let (status, code, message) = refused(&quiet, ask(model));
        assert_eq!((status, &*code), (404, "model_not_found"));
        assert_eq!(
            message,
            format!("model-router: the model `{model}` does not exist.")
        );
    }
    let (_, _, message) = refused(&run(settings(json!({ "list_models": true }))), ask("x"));
    assert_eq!(
        message,
        "model-router: the model `x` does not exist. Known: `small`, `embed-*`."
    );
    assert_eq!(counted("refused"), 5);
}

#[test]
fn a_request_without_a_model_is_told_so_only_where_models_have_to_be_known() {
    let body = r#"{"messages":[]}"#;
    let known = run(json!({ "known_models": ["small"] }));
    let (status, code, _) = refused(&known, Exchange::chat().body(body));
    assert_eq!((status, &*code), (400, "model_required"));
    let open = run(json!({ "aliases": { "a": "b" } }));
    assert_eq!(led(&open, Exchange::chat().body(body)), "-");
}

#[test]
fn a_long_list_of_models_is_cut() {
    let models: Vec<_> = (0..1000).map(|nth| format!("model-{nth:04}")).collect();
    let run = run(json!({ "known_models": models, "list_models": true }));
    let (_, _, message) = refused(&run, ask("x"));
    assert!(message.len() < 4096, "{}", message.len());
    assert!(message.contains("`model-0000`, `model-0001`"));
    assert!(message.ends_with(" more."), "{message}");
}

#[test]
fn what_an_earlier_policy_made_of_the_model_is_what_counts() {
    let run = run(json!({ "rules": [
        { "name": "a", "when": { "models": ["small"] }, "then": { "model": "x" } },
    ] }));
    // The head says what the client sent; the body is what goes on.
    assert_eq!(led(&run, ask("other").json("/model", "small")), "x");
}
