use super::*;

fn canary() -> Run<ModelRouter> {
    run(json!({
        "version_separator": "@",
        "version_header": "x-model-version",
        "aliases": { "gpt-4": "chat", "stable": "chat@1" },
        "rules": [
            { "name": "old", "when": { "models": ["chat"], "versions": ["0", "0.*"] }, "then": { "model": "chat-archive" } },
            { "name": "chat", "when": { "models": ["chat"] }, "then": {
                "by": [{ "fact": "caller" }],
                "split": [
                    { "version": "1", "model": "chat-1", "weight": 100 },
                    { "version": "2", "model": "chat-2", "weight": 0 },
                ],
            } },
            { "name": "plain", "when": { "models": ["plain"] }, "then": { "model": "plain-1" } },
            { "name": "one", "when": { "models": ["one"] }, "then": { "model": "one-1", "version": "1" } },
            { "name": "eu", "when": { "models": ["eu"] }, "then": { "upstream": "eu" } },
        ],
    }))
}

#[test]
fn a_pinned_version_goes_before_weights() {
    let run = canary();
    assert_eq!(led(&run, ask("chat")), "chat-1");
    assert_eq!(led(&run, ask("chat@1")), "chat-1");
    assert_eq!(led(&run, ask("chat@2")), "chat-2");
    assert_eq!(
        led(&run, ask("chat").header("X-Model-Version", "2")),
        "chat-2"
    );
    let decided = decide(&run, ask("chat@2"));
    assert_eq!(decided.fact("routed_version").as_deref(), Some("2"));
}

#[test]
fn a_rule_may_ask_for_versions() {
    let run = canary();
    assert_eq!(led(&run, ask("chat@0")), "chat-archive");
    assert_eq!(led(&run, ask("chat@0.7")), "chat-archive");
}

#[test]
fn an_alias_has_a_version_or_takes_the_clients() {
    let run = canary();
    assert_eq!(led(&run, ask("gpt-4")), "chat-1");
    assert_eq!(led(&run, ask("gpt-4@2")), "chat-2");
    assert_eq!(led(&run, ask("stable")), "chat-1");
    // The alias says which one it is, so there is no other.
    assert_eq!(led(&run, ask("stable@2")), "-");
}

#[test]
fn a_version_that_is_not_there_is_never_answered_by_another() {
    let run = canary();
    for model in ["chat@3", "plain@1", "one@2"] {
        let (status, code, message) = refused(&run, ask(model));
        assert_eq!((status, &*code), (404, "model_not_found"), "{model}");
        let (name, version) = model.split_once('@').unwrap();
        assert_eq!(
            message,
            format!("model-router: the model `{name}` has no version `{version}`.")
        );
    }
    assert_eq!(led(&run, ask("one@1")), "one-1");
    assert_eq!(led(&run, ask("one")), "one-1");
    // The name goes on as it came: who is there may know the version.
    assert_eq!(led(&run, ask("eu@9")), "-");
}

#[test]
fn two_versions_at_once_are_the_clients_mistake() {
    let run = canary();
    let both = |model: &str| ask(model).header("x-model-version", "2");
    assert_eq!(led(&run, both("chat@2")), "chat-2");
    let (status, code, _) = refused(&run, both("chat@1"));
    assert_eq!((status, &*code), (400, "conflicting_model_versions"));
    assert_eq!(refused(&run, both("stable")).0, 400);
}

#[test]
fn a_name_has_a_version_only_if_both_parts_are_there() {
    let run = canary();
    for model in ["@2", "chat@", "@"] {
        assert_eq!(led(&run, ask(model)), "-", "{model}");
    }
    let without = self::run(json!({ "rules": [
        { "name": "a", "when": { "models": ["chat@2"] }, "then": { "model": "x" } },
    ] }));
    assert_eq!(
        led(&without, ask("chat@2")),
        "x",
        "names have no versions here"
    );
}

#[test]
fn several_arms_of_one_version_share_who_pins_it() {
    let run = run(json!({
        "version_separator": "@",
        "rules": [{ "name": "chat", "then": { "by": [{ "fact": "caller" }], "split": [
            { "name": "a", "version": "1", "model": "a", "weight": 1 },
            { "name": "b", "version": "1", "model": "b", "weight": 1 },
            { "name": "c", "version": "2", "model": "c", "weight": 0 },
            { "name": "d", "version": "2", "model": "d", "weight": 0 },
        ] } }],
    }));
    let all = |model: &str| {
        let callers = (0..100).map(|nth| ask(model).fact("caller", format!("c{nth}")));
        let mut led: Vec<_> = callers.map(|exchange| led(&run, exchange)).collect();
        led.sort_unstable();
        led.dedup();
        led
    };
    assert_eq!(all("chat"), ["a", "b"]);
    assert_eq!(all("chat@1"), ["a", "b"]);
    assert_eq!(all("chat@2"), ["c", "d"], "whatever their weights");
}
