use super::*;

/// One message that is the variable `v` of this type.
fn of(variable: Value) -> Run<PromptTemplate> {
    run(json!({
        "variables": { "v": variable },
        "messages": [{ "role": "user", "content": "{{v}}" }],
    }))
}

#[test]
fn each_type_takes_its_values_and_says_what_it_expected_of_others() {
    let cases = [
        (
            json!({ "type": "string", "max_length": 3 }),
            vec![
                (json!("a\"b"), "a\"b"),
                (json!("ééé"), "ééé"),
                (json!(""), ""),
            ],
            vec![
                json!("four"),
                json!(1),
                json!(["a"]),
                json!({}),
                json!(true),
            ],
            "a text of at most 3 characters",
        ),
        (
            json!({ "type": "integer", "min": -2, "max": 5 }),
            vec![(json!(5), "5"), (json!(-2), "-2"), (json!(3.0), "3")],
            vec![json!(6), json!(-3), json!(1.5), json!("1"), json!(1e300)],
            "a whole number from -2 to 5",
        ),
        (
            json!({ "type": "integer" }),
            vec![(json!(9_007_199_254_740_991_i64), "9007199254740991")],
            vec![json!(9_007_199_254_740_993_i64), json!(u64::MAX), json!([])],
            "a whole number",
        ),
        (
            json!({ "type": "number", "min": 0.5 }),
            vec![
                (json!(0.5), "0.5"),
                (json!(2.0), "2"),
                (json!(1e300), "1e+300"),
            ],
            vec![json!(0.4), json!("1"), json!(false)],
            "a number of at least 0.5",
        ),
        (
            json!({ "type": "boolean" }),
            vec![(json!(true), "true"), (json!(false), "false")],
            vec![json!("true"), json!(1)],
            "`true` or `false`",
        ),
        (
            json!({ "type": "enum", "values": ["red", "green"] }),
            vec![(json!("red"), "red")],
            vec![json!("Red"), json!(""), json!(0)],
            "one of `red`, `green`",
        ),
        (
            json!({ "type": "list", "max_items": 2, "max_length": 3, "separator": "\n- " }),
            vec![(json!(["a", "b"]), "a\n- b"), (json!([]), "")],
            vec![
                json!(["a", "b", "c"]),
                json!(["four"]),
                json!([1]),
                json!("a"),
            ],
            "a list of at most 2 texts of at most 3 characters each",
        ),
    ];
    for (variable, fitting, others, expected) in cases {
        let run = of(variable.clone());
        for (value, text) in fitting {
            assert_eq!(said(&run, greet(json!({ "v": value }))), text, "{variable}");
        }
        for value in others {
            let (status, code, message) = refusal(&run, greet(json!({ "v": value })));
            assert_eq!((status, &*code), (400, "invalid_prompt_variable"));
            let start = format!("the variable `v` of `greet`: expected {expected}, found ");
            assert!(message.starts_with(&start), "{value}: {message}");
        }
    }
}

#[test]
fn what_was_found_is_shown_short() {
    let run = of(json!({ "type": "boolean" }));
    for (value, found) in [
        (json!("y\u{7}s"), "`y\\u{7}s`, 3 characters."),
        (json!([1]), "a list."),
        (json!({ "a": 1 }), "an object."),
        (json!(12.5), "12.5."),
    ] {
        let message = why(&run, greet(json!({ "v": value })));
        assert!(message.ends_with(&format!("found {found}")), "{message}");
    }
    let long = why(&run, greet(json!({ "v": "x".repeat(100_000) })));
    assert!(
        long.len() < 250 && long.contains("100000 characters"),
        "{long}"
    );
}

#[test]
fn one_that_is_not_given_is_its_default_or_empty_or_refused() {
    for (variable, expected) in [
        (json!({ "type": "integer", "default": 7 }), "7"),
        (json!({ "type": "list", "default": ["a", "b"] }), "a, b"),
        (json!({ "type": "string", "required": false }), ""),
    ] {
        let run = of(variable.clone());
        for variables in [json!({}), json!({ "v": null }), json!(null)] {
            assert_eq!(said(&run, greet(variables)), expected, "{variable}");
        }
    }
    let run = of(json!({ "type": "integer", "max": 3 }));
    assert_eq!(
        why(&run, greet(json!({}))),
        "the variable `v` of `greet`: expected a whole number of at most 3, found nothing."
    );
}

#[test]
fn one_that_is_not_known_is_refused_with_those_that_are() {
    let run = run(json!({
        "variables": {
            "a": { "type": "string", "default": "" },
            "b": { "type": "string", "default": "" },
            "who": { "type": "string", "from": { "fact": "caller" } },
        },
        "messages": [{ "role": "user", "content": "{{a}}{{b}}{{who}}" }],
    }));
    for name in ["c", "who", "A"] {
        let (status, code, message) = refusal(&run, greet(json!({ "a": "", name: "x" })));
        assert_eq!((status, &*code), (400, "invalid_prompt_variable"));
        let says = format!("`greet` has no variable `{name}`: expected `a`, `b`.");
        assert_eq!(message, says);
    }
}

#[test]
fn facts_and_headers_are_sources_that_the_field_cannot_replace() {
    let run = run(json!({
        "variables": {
            "who": { "type": "string", "max_length": 5, "from": { "fact": "caller" } },
            "locale": { "type": "enum", "values": ["de", "en"], "from": { "header": "X-Locale" }, "default": "en" },
            "stars": { "type": "integer", "from": { "header": "x-stars" }, "required": false },
            "tags": { "type": "list", "max_items": 2, "from": { "header": "x-tags" }, "required": false },
        },
        "messages": [{ "role": "user", "content": "{{who}} {{locale}} {{stars}} {{tags}}" }],
    }));
    let ask = || greet(json!({}));
    assert_eq!(said(&run, ask().fact("caller", "ada")), "ada en  ");
    let all = ask()
        .fact("caller", "ada")
        .header("x-locale", "de")
        .header("x-stars", " 3 ")
        .header("x-tags", "a, b");
    assert_eq!(said(&run, all), "ada de 3 a, b");
    assert_eq!(
        refusal(&run, ask()),
        (
            403,
            "invalid_prompt_variable".to_owned(),
            "the variable `who` (the fact `caller`) of `greet`: expected a text of at most \
             5 characters, found nothing."
                .to_owned()
        )
    );
    let ask = || ask().fact("caller", "ada");
    for (header, value) in [
        ("x-locale", "fr"),
        ("x-stars", "three"),
        ("x-stars", "0x3"),
        ("x-tags", "a,b,c"),
    ] {
        let (status, _, message) = refusal(&run, ask().header(header, value));
        assert_eq!(status, 400);
        assert!(
            message.contains(&format!("(the header `{header}`)")),
            "{message}"
        );
        assert!(message.ends_with("found another value."), "{message}");
    }
    let long = why(&run, greet(json!({})).fact("caller", "someone else"));
    assert!(!long.contains("someone"), "{long}");
}
