use super::*;

fn versions() -> Run<PromptTemplate> {
    let of = |name: &str, version: &str| {
        json!({
            "name": name,
            "version": version,
            "variables": { "who": { "type": "string", "default": "you" } },
            "messages": [{ "role": "user", "content": format!("{name} {version} {{{{who}}}}") }],
        })
    };
    Run::new(json!({
        "without_template": "pass",
        "field": "template",
        "header": "X-Template",
        "templates": [of("a", "2"), of("a", "1"), of("b", "1")],
    }))
}

fn named(asked: Value) -> Exchange {
    body(&json!({ "model": "m", "template": asked }))
}

#[test]
fn a_version_is_found_and_without_one_the_first() {
    let run = versions();
    for (asked, expected) in [
        (json!({ "name": "a" }), "a 2 you"),
        (json!({ "name": "a", "version": "1" }), "a 1 you"),
        (
            json!({ "name": "a", "version": null, "variables": null }),
            "a 2 you",
        ),
        (
            json!({ "name": "b", "variables": { "who": "me" } }),
            "b 1 me",
        ),
    ] {
        assert_eq!(said(&run, named(asked.clone())), expected, "{asked}");
    }
}

#[test]
fn a_header_names_it_too_and_goes_no_further() {
    let run = versions();
    for (value, asked, expected) in [
        ("a", json!(null), "a 2 you"),
        (" a@1 ", json!(null), "a 1 you"),
        ("b@1", json!({ "variables": { "who": "me" } }), "b 1 me"),
    ] {
        let decided = decide(&run, named(asked).header("x-template", value));
        assert_eq!(decided.json("/messages/0/content"), Some(expected.into()));
        assert_eq!(decided.header("x-template"), None);
        assert_eq!(decided.json("/template"), None);
    }
    let twice = named(json!({ "name": "a" })).header("x-template", "b");
    assert_eq!(
        why(&run, twice),
        "`template`: expected nothing but `variables`, as the header names the template."
    );
    let bytes = named(json!(null)).header("x-template", [0xff]);
    assert_eq!(
        why(&run, bytes),
        "`x-template`: expected the name of a template, or `NAME@VERSION`."
    );
}

#[test]
fn a_header_without_an_object_to_fill_is_refused() {
    let run = versions();
    for text in ["", "not JSON", "[]", "1", "\"{}\""] {
        let exchange = Exchange::chat().body(text).header("x-template", "a");
        assert_eq!(
            why(&run, exchange),
            "expected a JSON object as the body.",
            "{text}"
        );
    }
    let empty = Exchange::chat().body("{}").header("x-template", "a");
    assert_eq!(said(&run, empty), "a 2 you");
}

#[test]
fn what_is_not_there_is_not_found_by_its_name() {
    let run = versions();
    for (asked, expected) in [
        (json!({ "name": "c" }), "there is no template `c`."),
        (
            json!({ "name": "b", "version": "2" }),
            "the template `b` has no version `2`.",
        ),
        (json!({ "name": "" }), "there is no template ``."),
        (
            json!({ "name": "a\n{{b}}" }),
            "there is no template `a\\n{{b}}`.",
        ),
    ] {
        let (status, code, message) = refusal(&run, named(asked));
        assert_eq!((status, &*code), (404, "prompt_template_not_found"));
        assert_eq!(message, expected);
    }
    let long = why(&run, named(json!({ "name": "x".repeat(100_000) })));
    assert!(long.len() < 150, "{}", long.len());
}

#[test]
fn what_names_a_template_has_a_form() {
    let run = versions();
    for asked in [
        json!("a"),
        json!(["a"]),
        json!(true),
        json!({}),
        json!({ "variables": {} }),
        json!({ "name": 1 }),
        json!({ "name": "a", "version": 1 }),
        json!({ "name": "a", "variable": {} }),
        json!({ "name": "a", "variables": [] }),
        json!({ "name": "a", "variables": "who" }),
    ] {
        let (status, code, message) = refusal(&run, named(asked.clone()));
        assert_eq!(
            (status, &*code),
            (400, "invalid_prompt_template"),
            "{asked}"
        );
        assert!(message.contains("expected "), "{message}");
    }
}
