//! The policy natively, hook by hook, and its settings as an operator meets them.

use model_rules::ModelRules;
use serde_json::{Value, json};
use tollgate_sdk::{
    Answer, RawEvent, Target,
    testing::{Exchange, Run, Session},
};

fn run(settings: Value) -> Run<ModelRules> {
    let run = Run::new(settings);
    run.prove();
    run
}

/// One rule for every model.
fn rule(rule: Value) -> Run<ModelRules> {
    let mut rule = rule;
    rule["models"] = json!(["*"]);
    run(json!({ "rules": [rule] }))
}

fn refused(settings: Value) -> Vec<String> {
    Run::<ModelRules>::try_new(settings)
        .err()
        .expect("the settings are refused")
}

fn chat(body: &Value) -> Exchange {
    Exchange::chat().body(body.to_string())
}

fn body_after(rules: &Run<ModelRules>, body: Value) -> Value {
    let decided = rules.open(chat(&body)).request();
    assert!(decided.is_next(), "{:?}", decided.verdict);
    decided.json("").expect("a JSON body")
}

fn target(model: Option<&str>) -> Target {
    Target {
        upstream: "vllm".to_owned(),
        dialect: "openai".to_owned(),
        model: model.map(str::to_owned),
        attempt: 1,
    }
}

#[test]
fn the_rules_of_the_demo_do_what_they_say() {
    let rules = run(json!({ "rules": [ {
        "models": ["assistant*"],
        "request": {
            "alias": "standin-small",
            "clamp": { "/temperature": { "max": 1 } },
            "default": { "/max_tokens": 256 },
            "remove": ["/user"],
            "prepend_system": "Answer in one sentence.",
        },
    } ] }));
    let after = body_after(
        &rules,
        json!({
            "model": "assistant-2",
            "messages": [{ "role": "user", "content": "hi" }],
            "temperature": 1.7,
            "user": "ada",
        }),
    );
    assert_eq!(
        after,
        json!({
            "model": "standin-small",
            "messages": [
                { "role": "system", "content": "Answer in one sentence." },
                { "role": "user", "content": "hi" },
            ],
            "temperature": 1,
            "max_tokens": 256,
        })
    );
}

#[test]
fn a_model_that_no_rule_has_passes_untouched() {
    let rules = run(json!({ "rules": [ { "models": ["gpt-*"], "request": { "alias": "x" } } ] }));
    let mut session = rules.open(Exchange::chat().json("/model", "llama"));
    assert!(session.request().is_untouched());
    assert!(
        session
            .response(Answer::new(200).json(&json!({})))
            .is_untouched()
    );
    let events = [RawEvent::text("a"), RawEvent::done()];
    assert_eq!(session.events(events.clone()).events, events);
}

#[test]
fn a_rule_that_only_names_models_shields_them_from_the_rules_below() {
    let rules = run(json!({ "rules": [
        { "models": ["gpt-raw"] },
        { "models": ["gpt-*"], "request": { "alias": "x" } },
    ] }));
    assert!(
        rules
            .open(Exchange::chat().json("/model", "gpt-raw"))
            .request()
            .is_untouched()
    );
    assert_eq!(
        body_after(&rules, json!({ "model": "gpt-4" }))["model"],
        "x"
    );
}

#[test]
fn later_steps_see_what_earlier_ones_did() {
    let rules = rule(json!({ "request": {
        "rename": { "/max_tokens": "/max_completion_tokens", "/options/heat": "/temperature" },
        "remove": ["/options"],
        "set": { "/metadata": { "by": "gateway" }, "/metadata/team": "search" },
        "default": { "/max_completion_tokens": 10, "/temperature": 0.5 },
        "clamp": { "/max_completion_tokens": { "max": 100 }, "/temperature": { "min": 0.1, "max": 1.0 } },
    } }));
    let after = body_after(
        &rules,
        json!({
            "model": "m", "messages": [], "max_tokens": 5000, "options": { "heat": 0 },
        }),
    );
    assert_eq!(
        after,
        json!({
            "model": "m", "messages": [], "max_completion_tokens": 100, "temperature": 0.1,
            "metadata": { "by": "gateway", "team": "search" },
        })
    );
    let after = body_after(
        &rules,
        json!({ "model": "m", "messages": [], "temperature": null }),
    );
    assert_eq!(
        (&after["temperature"], &after["max_completion_tokens"]),
        (&json!(0.5), &json!(10))
    );
}

#[test]
fn fields_below_null_or_nothing_are_set_and_missing_list_elements_are_not_made() {
    let rules = rule(json!({ "request": { "set": {
        "/stream_options/include_usage": true,
        "/a/b/c": 1,
        "/stop/0": "x",
        "/stop/7": "y",
    } } }));
    let before =
        json!({ "model": "m", "messages": [], "stream_options": null, "stop": ["s", "t"] });
    assert_eq!(
        body_after(&rules, before),
        json!({
            "model": "m", "messages": [], "stream_options": { "include_usage": true }, "stop": ["x", "t"],
            "a": { "b": { "c": 1 } },
        })
    );
}

#[test]
fn a_field_that_a_rule_cannot_work_on_is_the_clients_mistake_and_not_the_policys() {
    let rules = rule(json!({ "request": {
        "set": { "/metadata/team": "search" },
        "clamp": { "/max_tokens": { "max": 100 } },
    } }));
    for (field, value, said) in [
        (
            "/metadata",
            json!("x"),
            "The field `/metadata` has to be an object.",
        ),
        (
            "/metadata",
            json!(7),
            "The field `/metadata` has to be an object.",
        ),
        (
            "/max_tokens",
            json!("5000"),
            "The field `/max_tokens` has to be a number.",
        ),
        (
            "/max_tokens",
            json!({}),
            "The field `/max_tokens` has to be a number.",
        ),
    ] {
        let decided = rules.open(Exchange::chat().json(field, value)).request();
        let refusal = decided.refusal().expect("a refusal");
        assert_eq!(
            (refusal.status, refusal.code.as_str()),
            (400, "invalid_field")
        );
        assert_eq!(refusal.message, said);
    }
}

#[test]
fn a_number_too_large_for_a_float_is_clamped() {
    let rules = rule(json!({ "request": { "clamp": { "/max_tokens": { "max": 100 } } } }));
    for number in ["9223372036854775807", "18446744073709551615", "1e300"] {
        let number: Value = serde_json::from_str(number).unwrap();
        assert_eq!(
            body_after(&rules, json!({ "model": "m", "max_tokens": number }))["max_tokens"],
            100
        );
    }
}

#[test]
fn what_is_not_a_chat_keeps_its_messages_and_what_is_no_object_its_body() {
    let rules =
        rule(json!({ "request": { "prepend_system": "x", "headers": { "set": { "x-a": "1" } } } }));
    let mut session = rules.open(chat(&json!({ "model": "m", "messages": "no list" })));
    assert_eq!(session.request().json("/messages"), Some("no list".into()));

    let mut session = rules.open(Exchange::chat().body("[1]"));
    assert!(
        session.request().is_untouched(),
        "without a model no rule is found"
    );
    let decided = session.attempt(&target(Some("whisper")));
    assert_eq!(
        (decided.body(), decided.header("x-a").as_deref()),
        (&b"[1]"[..], Some("1"))
    );
}

#[test]
fn headers_are_removed_set_and_appended() {
    let rules = rule(json!({ "request": { "headers": {
        "remove": ["X-Old"], "set": { "X-Team": "search" }, "append": { "accept": "b" },
    } } }));
    let exchange = Exchange::chat()
        .header("x-old", "1")
        .header("x-team", "none")
        .header("accept", "a");
    let decided = rules.open(exchange).request();
    assert_eq!(decided.header("x-old"), None);
    assert_eq!(decided.header("x-team").as_deref(), Some("search"));
    assert_eq!(decided.header("accept").as_deref(), Some("a"));
}

#[test]
fn on_a_target_the_rule_goes_by_the_targets_model_or_the_name_that_was_asked_for() {
    let rules = run(json!({ "rules": [
        { "models": ["big/*"], "request": { "set": { "/by": "target" } } },
        { "models": ["asked"], "request": { "set": { "/by": "asked" } } },
        { "models": ["body"], "request": { "set": { "/by": "body" } } },
    ] }));
    let by = |asked: &str, model: Option<&str>| {
        rules
            .open(Exchange::chat().json("/model", asked))
            .attempt(&target(model))
            .json("/by")
    };
    assert_eq!(by("asked", Some("big/llama")), Some("target".into()));
    assert_eq!(by("asked", Some("other")), Some("asked".into()));
    assert_eq!(by("body", None), Some("body".into()));
    assert_eq!(by("none", Some("none")), None);
}

fn answered(rules: &Run<ModelRules>) -> Session<ModelRules> {
    let mut session = rules.open(Exchange::chat());
    session.request();
    session
}

#[test]
fn a_response_is_edited_where_it_is_json_and_fine() {
    let rules = rule(json!({ "response": {
        "remove": ["/system_fingerprint"],
        "set": { "/model": "assistant", "/usage/cost": 0, "/id/x": 1 },
        "headers": { "set": { "x-model": "assistant" }, "remove": ["server"] },
    } }));
    let good = json!({ "id": "a", "object": "chat.completion", "model": "m", "system_fingerprint": "f", "usage": {} });
    let decided = answered(&rules).response(Answer::new(200).header("server", "v").json(&good));
    assert_eq!(
        decided.json(""),
        Some(
            json!({ "id": "a", "object": "chat.completion", "model": "assistant", "usage": { "cost": 0 } })
        )
    );
    assert_eq!(
        (
            decided.header("x-model").as_deref(),
            decided.header("server")
        ),
        (Some("assistant"), None)
    );

    for answer in [
        Answer::new(500).json(&json!({ "error": {} })),
        Answer::new(200).json(&json!(["a"])),
        Answer::new(200).body("not JSON"),
        Answer::new(200),
    ] {
        let body = answer.body.clone();
        let decided = answered(&rules).response(answer);
        assert_eq!(decided.body(), body);
        assert_eq!(decided.header("x-model").as_deref(), Some("assistant"));
    }
}

#[test]
fn events_are_edited_and_all_else_in_them_stays_byte_for_byte() {
    let rules = rule(json!({ "events": {
        "set": { "/model": "assistant", "/choices/0/delta/seen": true },
        "remove": ["/system_fingerprint"],
        "replace_text": [{ "from": "cat", "to": "dog" }, { "from": "dogs", "to": "\"dogs\"" }],
    } }));
    let sent = answered(&rules).events([
        RawEvent::data(r#"{"id":"a", "x": 1.50, "model":"m","system_fingerprint":"f","choices":[{"index":0,"delta":{"content":"cats"}}]}"#),
        RawEvent::data(r#"{"error":{"message":"cat"}}"#),
        RawEvent::named("ping", "cat"),
        RawEvent::done(),
    ]);
    let expected = [
        RawEvent::data(
            r#"{"id":"a","x":1.50,"model":"assistant","choices":[{"index":0,"delta":{"content":"\"dogs\"","seen":true}}]}"#,
        ),
        RawEvent::data(r#"{"error":{"message":"cat"}}"#),
        RawEvent::named("ping", "cat"),
        RawEvent::done(),
    ];
    assert_eq!(sent.events, expected);
}

#[test]
fn events_of_a_kind_can_be_dropped_but_never_the_end() {
    let rules = rule(json!({ "events": { "drop_kinds": ["role", "other"] } }));
    let role = RawEvent::data(r#"{"choices":[{"delta":{"role":"assistant","content":""}}]}"#);
    let sent = answered(&rules).events([
        role,
        RawEvent::named("ping", ""),
        RawEvent::text("a"),
        RawEvent::done(),
    ]);
    assert_eq!(sent.events, [RawEvent::text("a"), RawEvent::done()]);
}

#[test]
fn events_that_have_nothing_to_change_are_kept() {
    let rules = rule(json!({ "events": {
        "set": { "/model": "m" }, "remove": ["/x", "/model/y"], "replace_text": [{ "from": "z", "to": "" }],
    } }));
    let events = [
        RawEvent::data(r#"{ "model":"m" , "choices":[{"delta":{"content":"a"}}]}"#),
        RawEvent::done(),
    ];
    assert_eq!(answered(&rules).events(events.clone()).events, events);
}

#[test]
fn the_rule_of_the_attempt_edits_the_response() {
    let rules = run(json!({ "rules": [
        { "models": ["at-target"], "response": { "set": { "/by": "target" } } },
        { "models": ["*"], "response": { "set": { "/by": "request" } } },
    ] }));
    let answer = || Answer::new(200).json(&json!({ "object": "x" }));
    let mut session = rules.open(Exchange::chat());
    session.request();
    assert_eq!(
        session.response(answer()).json("/by"),
        Some("request".into())
    );
    session.attempt(&target(Some("at-target")));
    assert_eq!(
        session.response(answer()).json("/by"),
        Some("target".into())
    );
}

fn case(case: Value) -> Value {
    json!({
        "rules": [ {
            "models": ["m"],
            "request": {
                "clamp": { "/temperature": { "max": 1 } },
                "headers": { "append": { "x-a": "2" } },
                "set": { "/metadata/by": "rule" },
            },
            "response": { "set": { "/model": "shown" } },
            "events": { "drop_kinds": ["role"], "set": { "/model": "shown" } },
        } ],
        "cases": [case],
    })
}

#[test]
fn cases_that_hold_let_the_settings_in() {
    let text =
        |model: &str| json!({ "model": model, "choices": [{ "delta": { "content": "a" } }] });
    let settings = case(json!({
        "name": "everything",
        "request": { "headers": { "X-A": "1" }, "body": { "model": "m", "temperature": 1.5 } },
        "expect": {
            "headers": { "x-a": "1, 2", "x-b": null },
            "body": { "temperature": 1.0, "metadata": { "by": "rule" }, "model": "m" },
        },
        "response": { "body": { "model": "m" } },
        "expect_response": { "body": { "model": "shown" } },
        "events": [{ "choices": [{ "delta": { "role": "assistant" } }] }, text("m"), "[DONE]"],
        "expect_events": [text("shown"), "[DONE]"],
    }));
    let names: Vec<String> = run(settings)
        .samples()
        .into_iter()
        .map(|sample| sample.name)
        .collect();
    assert_eq!(names, ["everything"]);

    run(case(json!({
        "name": "by the target's model",
        "model": "m",
        "request": { "body": { "model": "other" } },
        "expect": { "body": { "model": "other", "metadata": { "by": "rule" } } },
    })));
    run(case(json!({
        "name": "refused",
        "request": { "body": { "model": "m", "metadata": "x" } },
        "expect": { "refused": "invalid_field" },
    })));
}

#[test]
fn a_case_that_fails_says_what_was_expected_and_what_came() {
    let request = json!({ "body": { "model": "m", "temperature": 2, "metadata": {} } });
    for (rest, said) in [
        (
            json!({ "expect": { "body": { "model": "m", "temperature": 2, "metadata": { "by": "rule" } } } }),
            "/temperature: expected 2, got 1",
        ),
        (
            json!({ "expect": { "body": { "model": "m", "temperature": 1 } } }),
            r#"/metadata: expected nothing, got {"by":"rule"}"#,
        ),
        (
            json!({ "expect": { "headers": { "x-a": "3" } } }),
            r#"header `x-a`: expected "3", got "2""#,
        ),
        (
            json!({ "expect": { "headers": { "x-b": "3" } } }),
            r#"header `x-b`: expected "3", got nothing"#,
        ),
        (
            json!({ "expect": { "refused": "invalid_field" } }),
            "expected a refusal with `invalid_field`, got none",
        ),
        (
            json!({ "expect_response": { "body": { "model": "m" } } }),
            r#"response: /model: expected "m", got "shown""#,
        ),
        (
            json!({ "events": [{ "model": "m" }], "expect_events": [{ "model": "m" }] }),
            r#"event 0: /model: expected "m", got "shown""#,
        ),
        (
            json!({ "events": ["[DONE]"], "expect_events": [] }),
            "expected 0 events, got 1",
        ),
        (
            json!({}),
            "it expects nothing: write `expect`, `expect_response` or `expect_events`",
        ),
    ] {
        let mut one = rest;
        one["name"] = "clamps".into();
        one["request"] = request.clone();
        assert_eq!(
            refused(case(one)),
            [format!("/cases/0: case \"clamps\": {said}")]
        );
    }
    let misfit = json!({
        "name": "misfit",
        "request": { "body": { "model": "m", "metadata": "x" } },
        "expect": {},
    });
    assert_eq!(
        refused(case(misfit)),
        [
            "/cases/0: case \"misfit\": the request is refused: The field `/metadata` has to be an object."
        ]
    );
}

#[test]
fn settings_that_cannot_work_are_refused_where_they_stand() {
    let one = |request: Value| json!({ "rules": [{ "models": ["m"], "request": request }] });
    for (settings, said) in [
        (
            json!({ "rules": [{ "models": [] }] }),
            "/rules/0/models: a rule has at least one model",
        ),
        (
            json!({ "rules": [{ "models": [""] }] }),
            "/rules/0/models/0: expected a name of 1 to 256 bytes, `*` for any text, found 0 bytes",
        ),
        (
            json!({ "rules": [{ "models": ["a*"] }, { "models": ["b", "a*"] }] }),
            "/rules/1/models/1: `a*` is never reached here: /rules/0 has it already",
        ),
        (
            one(json!({ "remove": ["user"] })),
            "/rules/0/request/remove/0: `user` is no JSON pointer to a field",
        ),
        (
            one(json!({ "set": { "user": 1 } })),
            "`user` is no JSON pointer to a field: it starts with `/`, as in `/user`",
        ),
        (
            one(json!({ "rename": { "/a": "/a/b" } })),
            "/rules/0/request/rename/~1a: a field cannot move",
        ),
        (
            one(json!({ "clamp": { "/a/b": {} } })),
            "/rules/0/request/clamp/~1a~1b: needs `min`",
        ),
        (
            one(json!({ "clamp": { "/a": { "min": 2, "max": 1 } } })),
            "/rules/0/request/clamp/~1a: `min` is larger",
        ),
        (
            one(json!({ "alias": "" })),
            "/rules/0/request/alias: must not be empty",
        ),
        (
            one(json!({ "alais": "x" })),
            "/rules/0/request/alais: unknown field `alais`",
        ),
        (
            one(json!({ "headers": { "set": { "Host": "x" } } })),
            "the header `host` is written by the gateway alone",
        ),
        (
            one(json!({ "headers": { "set": { "x": "a\nb" } } })),
            "/rules/0/request/headers/set/x: a header's value",
        ),
        (
            json!({ "rules": [{ "models": ["m"], "events": { "replace_text": [{ "from": "", "to": "" }] } }] }),
            "/rules/0/events/replace_text/0/from: must not be empty",
        ),
        (
            json!({ "rules": [{ "models": ["m"], "events": { "drop_kinds": ["done"] } }] }),
            "unknown variant `done`",
        ),
    ] {
        let errors = refused(settings);
        assert!(
            errors.iter().any(|error| error.contains(said)),
            "{said}\n{errors:?}"
        );
    }
}

#[test]
fn the_schema_describes_what_is_written_and_not_what_is_kept() {
    let schema: Value = serde_json::from_str(&Run::<ModelRules>::settings_schema()).unwrap();
    let text = schema.to_string();
    assert_eq!(schema["additionalProperties"], false);
    assert!(
        schema["properties"]["rules"].to_string().contains("array")
            || schema["$defs"]["Rules"]["type"] == "array"
    );
    for kept in ["globs", "\"json\"", "tollgate"] {
        assert!(!text.contains(kept), "{kept}: {text}");
    }
    for field in ["prepend_system", "drop_kinds", "expect_events", "models"] {
        assert!(text.contains(field), "{field}");
    }
}

#[test]
fn without_cases_every_rule_has_a_sample() {
    let rules = run(json!({ "rules": [
        { "models": ["gpt-*"], "request": { "alias": "a" } },
        { "models": ["o1"], "events": { "drop_kinds": ["role"] } },
    ] }));
    let samples = rules.samples();
    assert_eq!(samples.len(), 2);
    assert!(samples[0].body.contains("gpt-x") && samples[0].events.is_empty());
    assert_eq!(samples[1].events.len(), 3);
}
