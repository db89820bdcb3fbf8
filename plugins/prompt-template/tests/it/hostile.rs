use super::*;

fn repeated() -> Run<PromptTemplate> {
    run_with(
        json!({
            "variables": { "a": { "type": "string", "max_length": 100_000 } },
            "messages": [{ "role": "user", "content": "{{a}}".repeat(100) }],
        }),
        json!({ "bytes_max": 10_000 }),
    )
}

#[test]
fn a_prompt_that_grows_too_long_is_refused_before_it_is_made() {
    let run = repeated();
    assert_eq!(
        said(&run, greet(json!({ "a": "x".repeat(90) }))).len(),
        9000
    );
    let (status, code, message) = refusal(&run, greet(json!({ "a": "x".repeat(200) })));
    assert_eq!((status, &*code), (400, "invalid_prompt_variable"));
    assert!(message.ends_with("expected at most 10000."), "{message}");
    // By what it is in JSON, where a control character takes six bytes.
    assert!(
        decide(&run, greet(json!({ "a": "\u{1}".repeat(30) })))
            .refusal()
            .is_some()
    );
}

#[test]
fn a_body_that_is_too_long_names_nothing() {
    let long = json!({
        "model": "m",
        "pad": "x".repeat(10_000),
        "prompt_template": { "name": "greet", "variables": { "a": "x" } },
    });
    let pass = repeated();
    assert!(decide(&pass, body(&long)).is_untouched());
    let settings =
        json!({ "bytes_max": 10_000, "header": "x-template", "without_template": "refuse" });
    let strict = run_with(
        json!({ "messages": [{ "role": "user", "content": "Hi" }] }),
        settings,
    );
    assert_eq!(refusal(&strict, body(&long)).1, "prompt_template_required");
    assert_eq!(
        why(&strict, body(&long).header("x-template", "greet")),
        "expected a body of at most 10000 bytes."
    );
}

#[test]
fn what_is_odd_in_a_body_is_refused_or_left_alone_and_never_a_panic() {
    let run = repeated();
    let deep = format!("{}1{}", "[".repeat(100), "]".repeat(100));
    for variables in [
        r#"{"a":"\ud800"}"#,
        r#"{"a":1e400}"#,
        r#"{"a":-}"#,
        &format!(r#"{{"a":{deep}}}"#),
        &format!(r#"{{"b":{deep}}}"#),
    ] {
        let text = format!(r#"{{"prompt_template":{{"name":"greet","variables":{variables}}}}}"#);
        let decided = decide(&run, Exchange::chat().body(text));
        let forwarded = decided.json("/messages").is_some();
        assert!(!forwarded, "{variables}");
    }
    for text in ["", "[]", "null", "{\"prompt_template\":", "\u{feff}{}"] {
        assert!(
            decide(&run, Exchange::chat().body(text)).is_untouched(),
            "{text}"
        );
    }
}

#[test]
fn thousands_of_unknown_variables_are_one_refusal() {
    let run = repeated();
    let many: Value = (0..500)
        .map(|nth| (format!("v{nth}"), json!(1)))
        .collect::<serde_json::Map<_, _>>()
        .into();
    assert_eq!(
        why(&run, greet(many)),
        "`greet` has no variable `v0`: expected `a`."
    );
}
