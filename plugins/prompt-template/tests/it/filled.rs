use tollgate_sdk::testing::counted;

use super::*;

fn support() -> Run<PromptTemplate> {
    run(json!({
        "version": "2",
        "variables": {
            "question": { "type": "string" },
            "tone": { "type": "enum", "values": ["plain", "warm"], "default": "plain" },
        },
        "messages": [
            { "role": "system", "content": "Answer in a {{tone}} tone. Write {{{{x}} as it is." },
            { "role": "user", "content": "{{question}} ({{ tone }})" },
        ],
        "set": { "model": "small", "temperature": 0.2, "max_tokens": 400, "stop": ["\n"] },
    }))
}

#[test]
fn the_model_is_sent_what_the_operator_wrote_with_the_variables_in_it() {
    let run = support();
    let decided = decide(
        &run,
        greet(json!({ "question": "Why \"is\"\nit?", "tone": "warm" })),
    );
    assert!(decided.is_next());
    let sent: Value = serde_json::from_slice(decided.body()).unwrap();
    assert_eq!(
        sent,
        json!({
            "model": "small",
            "temperature": 0.2,
            "max_tokens": 400,
            "stop": ["\n"],
            "messages": [
                { "role": "system", "content": "Answer in a warm tone. Write {{x}} as it is." },
                { "role": "user", "content": "Why \"is\"\nit? (warm)" },
            ],
        })
    );
    assert_eq!(decided.fact("prompt_template").as_deref(), Some("greet@2"));
    assert_eq!(counted("filled"), 1);
}

#[test]
fn what_is_pinned_stands_against_the_request_under_each_of_its_names() {
    let run = support();
    let mut asked = json!({
        "model": "large",
        "temperature": 2,
        "max_tokens": 9000,
        "max_completion_tokens": 9000,
        "max_output_tokens": 9000,
        "user": "ada",
        "messages": [],
        "prompt_template": { "name": "greet", "variables": { "question": "?" } },
    });
    let sent: Value = serde_json::from_slice(decide(&run, body(&asked)).body()).unwrap();
    assert_eq!(sent["max_tokens"], 400);
    assert_eq!(
        (&sent["model"], &sent["user"]),
        (&"small".into(), &"ada".into())
    );
    for gone in [
        "max_completion_tokens",
        "max_output_tokens",
        "prompt_template",
    ] {
        assert_eq!(sent.get(gone), None, "{gone}");
    }
    asked["messages"] = Value::Null;
    assert!(decide(&run, body(&asked)).is_next());
}

#[test]
fn a_completion_has_a_prompt() {
    let run = run(json!({
        "variables": { "a": { "type": "string" } },
        "prompt": "Say \"{{a}}\"\n",
    }));
    let decided = decide(&run, greet(json!({ "a": "\\x" })));
    assert_eq!(decided.json("/prompt"), Some("Say \"\\x\"\n".into()));
    assert_eq!(decided.json("/messages"), None);
    let own = body(&json!({ "prompt": "mine", "prompt_template": { "name": "greet" } }));
    assert_eq!(
        why(&run, own),
        "the variable `a` of `greet`: expected a text of at most 8192 characters, found nothing."
    );
    let own = json!({ "prompt": "mine", "prompt_template": { "name": "greet", "variables": { "a": "" } } });
    assert_eq!(
        why(&run, body(&own)),
        "/prompt: expected none, as `greet` has its own."
    );
}

#[test]
fn messages_of_the_request_are_refused_appended_or_dropped() {
    let of = |own: &str| {
        run(json!({
            "messages": [{ "role": "system", "content": "Be brief." }],
            "own_messages": own,
        }))
    };
    let with = |messages: Value| {
        body(&json!({ "messages": messages, "prompt_template": { "name": "greet" } }))
    };
    let mine = json!([{ "role": "user", "content": "Hi {{there}}" }, 1.50]);
    assert_eq!(
        refusal(&of("refuse"), with(mine.clone())),
        (
            400,
            "invalid_prompt_template".to_owned(),
            "/messages: expected none, as `greet` has its own.".to_owned()
        )
    );
    let appended = decide(&of("append"), with(mine.clone()));
    assert_eq!(
        appended.json("/messages").unwrap(),
        json!([{ "role": "system", "content": "Be brief." }, mine[0], 1.5])
    );
    for none in [json!([]), json!(null)] {
        for own in ["refuse", "append", "drop"] {
            let decided = decide(&of(own), with(none.clone()));
            assert_eq!(decided.json("/messages/1"), None, "{own}");
            assert!(decided.is_next(), "{own}");
        }
    }
    for odd in [json!("hello"), json!({}), json!(1)] {
        assert_eq!(why(&of("append"), with(odd)), "/messages: expected a list.");
    }
    let dropped = decide(&of("drop"), with(mine));
    assert_eq!(
        dropped.json("/messages").unwrap(),
        json!([{ "role": "system", "content": "Be brief." }])
    );
}

#[test]
fn a_request_without_a_template_passes_or_is_refused_as_the_operator_says() {
    let template = json!({ "messages": [{ "role": "user", "content": "Hi" }] });
    let run = run_with(template.clone(), json!({}));
    let plain = Exchange::chat();
    assert!(decide(&run, plain.clone()).is_untouched());
    assert!(decide(&run, asking(json!(null))).is_untouched());
    let strict = run_with(template, json!({ "without_template": "refuse" }));
    for exchange in [
        plain,
        Exchange::chat().body("not JSON"),
        Exchange::chat().to("GET", "/v1/models").body(""),
    ] {
        assert_eq!(
            refusal(&strict, exchange),
            (
                400,
                "prompt_template_required".to_owned(),
                "a request has to name a template here.".to_owned()
            )
        );
    }
    assert_eq!(counted("refused"), 3);
}
