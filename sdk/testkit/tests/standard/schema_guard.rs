use tollgate_testkit::Loaded;

use super::*;

fn guarded(isolation: Isolation) -> Loaded {
    let rule = json!({
        "models": ["sm*"],
        "max_tokens": { "max": 100 },
        "prompt": { "tokens_max": 500_000 },
        "images": { "max": 1 },
        "schema": { "properties": { "temperature": { "type": "number", "maximum": 1 } } },
    });
    let settings = json!({ "other_models": "refuse", "rules": [rule] });
    let plugin = standard("schema-guard").isolation(isolation);
    plugin.settings(settings).load().unwrap()
}

#[test]
fn a_field_that_does_not_fit_is_named_and_what_fits_is_left_as_it_is() {
    for isolation in ISOLATIONS {
        let policy = guarded(isolation);
        for (fields, says) in [
            (json!({ "max_tokens": 101 }), "/max_tokens: expected"),
            (json!({ "temperature": 2 }), "/temperature: expected"),
            (json!({ "model": "large" }), "/model: expected"),
        ] {
            let run = policy.run(asking(&fields)).unwrap();
            let Some(Verdict::Refuse(refusal)) = run.verdict else {
                panic!("{:?}", run.verdict)
            };
            assert_eq!(refusal.status, 400);
            let starts = format!("schema-guard: {says}");
            assert!(refusal.message.starts_with(&starts), "{}", refusal.message);
        }
        let body = r#"{ "model" : "small", "messages":[ ], "temperature": 1.0e0 }"#;
        let exchange = Exchange::post("/v1/chat/completions").body(body);
        let mut run = policy.run(exchange).unwrap();
        assert!(is_let_through(&run), "{:?}", run.verdict);
        assert_eq!(run.request.take_body().unwrap(), body);
    }
}

#[test]
fn a_body_of_a_mebibyte_is_checked_in_the_memory_that_a_plugin_has() {
    for isolation in ISOLATIONS {
        // What it does to time is measured elsewhere; here it may take some.
        let policy = guarded(isolation);
        let text = "word ".repeat((1 << 20) / 5 - 100);
        let run = policy.run(chat(&text)).unwrap();
        assert!(is_let_through(&run), "{:?}", run.verdict);
        assert!(run.report.memory_bytes <= 16 << 20, "{}", run.report);
        let run = policy.run(chat(&text.repeat(2))).unwrap();
        assert!(matches!(run.verdict, Some(Verdict::Refuse(_))));
    }
}
