use proptest::prelude::*;

use super::*;

fn all() -> Run<ModelRouter> {
    run(json!({
        "aliases": { "gpt-4": "chat" },
        "version_separator": "@", "version_header": "x-version",
        "country_header": "x-country", "region_header": "x-region",
        "known_models": ["chat", "a*b*c"],
        "list_models": true,
        "rules": [
            { "name": "h", "when": { "headers": { "x-a": ["*a*b*"], "x-b": { "not": ["*c*"], "present": true } } }, "then": { "model": "m" } },
            { "name": "j", "when": { "json": { "/a": ["*x*y*"], "/b/0": { "min": 1 } } }, "then": { "upstream": "u" } },
            { "name": "s", "when": { "models": ["split*"] }, "then": {
                "by": [{ "header": "x-session" }, { "json": "/user" }],
                "split": [{ "version": "1", "model": "x", "weight": 1 }, { "version": "2", "weight": 1 }],
            } },
        ],
    }))
}

/// Whatever it is, the gateway could carry the decision out.
fn is_sound(decided: &Decided) {
    let fits = |name: &str| (1..=256).contains(&name.len()) && !name.contains(char::is_control);
    if let Some(to) = decided.destination() {
        assert!(to.model.as_deref().is_none_or(fits), "{to:?}");
        assert!(to.upstream.as_deref().is_none_or(fits), "{to:?}");
    }
    if let Some(refusal) = decided.refusal() {
        assert!(refusal.message.len() <= 4096);
        assert!(
            !refusal.message.contains(char::is_control),
            "{}",
            refusal.message
        );
    }
    for name in [
        "country",
        "region",
        "routed_by",
        "routed_to",
        "routed_arm",
        "routed_version",
    ] {
        let fact = decided.fact(name);
        let fits = |fact: &str| fact.len() <= 1024 && !fact.contains(char::is_control);
        assert!(fact.as_deref().is_none_or(fits), "{name}: {fact:?}");
    }
}

#[test]
fn bodies_that_are_no_objects_have_no_model() {
    let run = all();
    let deep = format!(r#"{{"model":{}{}}}"#, "[".repeat(100), "]".repeat(100));
    for body in [
        "",
        "no JSON",
        "[]",
        "\"chat\"",
        "null",
        "{\"model\":5}",
        "{\"model\":null}",
        "{\"model\":\"\"}",
        "{\"model\":{\"x\":1}}",
        &deep,
    ] {
        let (status, code, _) = refused(&run, Exchange::chat().body(body));
        assert_eq!((status, &*code), (400, "model_required"), "{body}");
    }
}

#[test]
fn a_name_that_no_decision_can_have_is_that_of_no_model() {
    let run = all();
    for model in [
        "gpt-4@\u{7}".to_owned(),
        format!("gpt-4@{}", "1".repeat(300)),
    ] {
        let (status, code, message) = refused(&run, ask(&model));
        assert_eq!((status, &*code), (404, "model_not_found"));
        assert!(
            !message.contains('\u{7}') && message.len() < 1000,
            "{message}"
        );
    }
}

#[test]
fn values_of_any_length_are_taken_in_stride() {
    let run = all();
    let long = "ab".repeat(1 << 20);
    is_sound(&decide(&run, ask(&long)));
    is_sound(&decide(&run, ask("chat").json("/a", long.as_str())));
    is_sound(&decide(&run, ask("split").json("/user", long.as_str())));
    let header = "a".repeat(30_000);
    for name in [
        "x-a",
        "x-b",
        "x-version",
        "x-country",
        "x-region",
        "x-session",
    ] {
        is_sound(&decide(&run, ask("split").header(name, header.as_str())));
    }
}

#[test]
fn a_text_of_more_than_a_kibibyte_is_nothing_that_a_list_can_name() {
    let run = run(json!({ "rules": [
        { "name": "any", "when": { "headers": { "x-a": ["*"] } }, "then": { "model": "any" } },
        { "name": "not", "when": { "headers": { "x-a": { "not": ["b"], "present": true } } }, "then": { "model": "not" } },
    ] }));
    let with = |length: usize| Exchange::chat().header("x-a", "a".repeat(length));
    assert_eq!(led(&run, with(1024)), "any");
    assert_eq!(led(&run, with(1025)), "not");
}

#[test]
fn a_header_of_another_name_is_not_trusted() {
    let run = all();
    let decided = decide(
        &run,
        ask("chat")
            .header("country", "DE")
            .header("x-country-x", "DE"),
    );
    assert_eq!(decided.fact("country"), None);
}

proptest! {
    #[test]
    fn no_request_makes_a_decision_that_does_not_hold(
        model in "(chat|gpt-4|split|a|)(@|)(1|2|\\PC{0,20})",
        header in "(a|b|x-|)[a-z]{0,3}", value in prop::collection::vec(any::<u8>(), 0..40),
        text in ".{0,40}", number in any::<f64>(),
    ) {
        let plain: Vec<u8> = value.into_iter().filter(|byte| !matches!(byte, 0 | b'\r' | b'\n')).collect();
        let run = all();
        let mut exchange = ask(&model).json("/a", text.as_str()).json("/user", text.as_str());
        if number.is_finite() {
            exchange = exchange.json("/b", tollgate_sdk::Value::of(&[number]));
        }
        for name in ["x-a", "x-b", "x-version", "x-country", "x-region", "x-session"] {
            if name.ends_with(&header) || header.is_empty() {
                exchange = exchange.header(name, plain.clone());
            }
        }
        is_sound(&decide(&run, exchange));
    }
}
