use tollgate_testkit::Loaded;

use super::*;

fn templated(isolation: Isolation) -> Loaded {
    let template = json!({
        "name": "support",
        "variables": {
            "question": { "type": "string", "max_length": 400_000 },
            "who": { "type": "string", "from": { "fact": "caller" } },
            "locale": { "type": "string", "from": { "header": "x-locale" }, "default": "en" },
        },
        "messages": [
            { "role": "system", "content": "{{who}} {{locale}}" },
            { "role": "user", "content": "{{question}}{{question}}" },
        ],
        "set": { "model": "large", "max_tokens": 9 },
    });
    let settings = json!({ "templates": [template], "without_template": "pass" });
    let plugin = standard("prompt-template").isolation(isolation);
    plugin.settings(settings).load().unwrap()
}

fn asked(question: &str) -> Exchange {
    let asked = json!({ "name": "support", "variables": { "question": question } });
    asking(&json!({ "prompt_template": asked })).fact("caller", "ada")
}

#[test]
fn a_template_is_filled_and_what_names_none_is_left_as_it_is() {
    for isolation in ISOLATIONS {
        let policy = templated(isolation);
        let run = policy
            .run(asked("\"{{who}}\"").header("x-locale", "de"))
            .unwrap();
        assert!(is_let_through(&run), "{:?}", run.verdict);
        let expected = json!({
            "model": "large",
            "messages": [
                { "role": "system", "content": "ada de" },
                { "role": "user", "content": "\"{{who}}\"\"{{who}}\"" },
            ],
            "max_tokens": 9,
        });
        assert_eq!(sent(run), expected);
        let body = r#"{ "model" : "small", "messages":[ ], "temperature": 1.0e0 }"#;
        let exchange = Exchange::post("/v1/chat/completions").body(body);
        let mut run = policy.run(exchange).unwrap();
        assert!(is_let_through(&run), "{:?}", run.verdict);
        assert_eq!(run.request.take_body().unwrap(), body);
    }
}

#[test]
fn what_does_not_fit_is_refused_by_name() {
    for isolation in ISOLATIONS {
        let policy = templated(isolation);
        let nobody = asking(&json!({ "prompt_template": { "name": "nobody" } }));
        for (exchange, status, says) in [
            (nobody, 404, "there is no template `nobody`."),
            (
                asking(&json!({ "prompt_template": { "name": "support" } })).fact("caller", "ada"),
                400,
                "the variable `question` of `support`: expected a text",
            ),
        ] {
            let run = policy.run(exchange).unwrap();
            let Some(Verdict::Refuse(refusal)) = run.verdict else {
                panic!("{:?}", run.verdict)
            };
            assert_eq!(refusal.status, status);
            let starts = format!("prompt-template: {says}");
            assert!(refusal.message.starts_with(&starts), "{}", refusal.message);
        }
    }
}

#[test]
fn the_longest_prompt_is_filled_in_the_memory_that_a_plugin_has() {
    for isolation in ISOLATIONS {
        let policy = templated(isolation);
        // Control characters take six bytes each, in the request as in the prompt.
        for (text, count) in [("x", 260_000), ("\u{1}", 43_000), ("é", 130_000)] {
            let run = policy.run(asked(&text.repeat(count))).unwrap();
            assert!(is_let_through(&run), "{:?}", run.verdict);
            assert!(run.report.memory_bytes <= 16 << 20, "{}", run.report);
            let run = policy.run(asked(&text.repeat(count + 9000))).unwrap();
            assert!(matches!(run.verdict, Some(Verdict::Refuse(_))), "{text}");
        }
    }
}
