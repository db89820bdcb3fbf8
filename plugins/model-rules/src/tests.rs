use serde_json::{Value as Json, json};
use tollgate_sdk::{
    Answer, RawEvent, Target,
    testing::{Decided, Exchange, Run, Session},
};

use super::ModelRules;

fn open(rule: Json) -> Session<ModelRules> {
    Run::new(json!({ "rules": [rule] })).open(Exchange::chat().json("/model", "llama-3"))
}

fn decided(request: Json, exchange: Exchange) -> Decided {
    Run::<ModelRules>::new(json!({ "rules": [ { "models": ["llama-*"], "request": request } ] }))
        .open(exchange)
        .request()
}

fn chat() -> Exchange {
    Exchange::chat().json("/model", "llama-3")
}

#[test]
fn every_change_of_a_request_is_made() {
    let decided = decided(
        json!({
            "alias": "meta/llama-3",
            "rename": { "/max_tokens": "/max_completion_tokens" },
            "remove": ["/logit_bias", "/not/there"],
            "default": { "/top_p": 0.9, "/seed": 1 },
            "set": { "/user": "gateway", "/metadata/by": "rules", "/stop": ["a"] },
            "clamp": { "/temperature": { "min": 0.1, "max": 1.0 }, "/seed": { "max": 3 } },
            "prepend_system": "Be \"brief\".",
            "headers": { "set": { "x-a": "1" }, "append": { "X-B": "2" }, "remove": ["x-c"] },
        }),
        chat()
            .json("/max_tokens", 100)
            .json("/logit_bias", json!({ "50256": -100 }))
            .json("/seed", 7)
            .json("/temperature", 1.7)
            .header("x-c", "3"),
    );
    let body: Json = serde_json::from_slice(decided.body()).unwrap();
    assert_eq!(
        body,
        json!({
            "model": "meta/llama-3",
            "messages": [
                { "role": "system", "content": "Be \"brief\"." },
                { "role": "user", "content": "hello" },
            ],
            "seed": 3,
            "temperature": 1,
            "max_completion_tokens": 100,
            "top_p": 0.9,
            "user": "gateway",
            "metadata": { "by": "rules" },
            "stop": ["a"],
        })
    );
    assert_eq!(decided.header("x-a").as_deref(), Some("1"));
    assert_eq!(decided.header("x-b").as_deref(), Some("2"));
    assert_eq!(decided.header("x-c"), None);
}

#[test]
fn a_model_without_a_rule_is_left_alone() {
    let exchange = Exchange::chat().json("/model", "gpt-4");
    assert!(
        decided(
            json!({ "set": { "/a": 1 }, "headers": { "set": { "x-a": "1" } } }),
            exchange
        )
        .is_untouched()
    );
}

#[test]
fn all_rules_that_match_apply_in_order() {
    let run = Run::<ModelRules>::new(json!({ "rules": [
        { "models": ["*"], "request": { "set": { "/a": 1, "/b": 1 } } },
        { "models": ["gpt-*", "llama-3"], "request": { "set": { "/b": 2 }, "alias": "other" } },
        { "models": ["other"], "request": { "set": { "/b": 3 } } },
    ] }));
    let decided = run.open(chat()).request();
    assert_eq!(decided.json("/a"), Some(1.into()));
    assert_eq!(decided.json("/b"), Some(2.into()));
}

#[test]
fn a_field_that_is_there_keeps_its_name_and_its_value() {
    let rule =
        json!({ "rename": { "/max_tokens": "/max_completion_tokens" }, "default": { "/n": 1 } });
    let decided = decided(
        rule,
        chat()
            .json("/max_tokens", 1)
            .json("/max_completion_tokens", 2)
            .json("/n", 3),
    );
    assert_eq!(decided.json("/max_completion_tokens"), Some(2.into()));
    assert_eq!(decided.json("/max_tokens"), None);
    assert_eq!(decided.json("/n"), Some(3.into()));
}

#[test]
fn numbers_that_no_float_can_hold_are_clamped() {
    let rule = json!({ "clamp": { "/max_tokens": { "max": 4096 }, "/seed": { "min": 0 } } });
    let exchange = chat().json("/max_tokens", u64::MAX).json("/seed", i64::MIN);
    let decided = decided(rule, exchange);
    assert_eq!(decided.json("/max_tokens"), Some(4096.into()));
    assert_eq!(decided.json("/seed"), Some(0.into()));
}

#[test]
fn odd_bodies_of_clients_never_make_a_decision_that_is_refused() {
    let rule = json!({
        "set": { "/metadata/by": "rules", "/messages/7/name": "x", "/tools/-": {} },
        "default": { "/response_format/type": "text" },
        "rename": { "/a": "/b/c" },
        "clamp": { "/temperature": { "max": 1 } },
        "prepend_system": "Be brief.",
    });
    let odd = [
        json!({ "model": "llama-3", "metadata": 5, "response_format": "x", "tools": "none", "a": 1, "b": 2 }),
        json!({ "model": "llama-3", "messages": "hello", "temperature": "hot" }),
        json!({ "model": "llama-3", "messages": [], "metadata": [] }),
        json!({ "model": 5 }),
        json!(["model", "llama-3"]),
        json!("llama-3"),
        json!(null),
    ];
    for body in odd {
        let decided = decided(rule.clone(), Exchange::chat().body(body.to_string()));
        assert!(decided.is_next(), "{body}");
        assert_eq!(decided.json("/a"), body.pointer("/a").cloned(), "{body}");
    }
    assert!(decided(rule, Exchange::chat().body("not JSON {")).is_untouched());
}

#[test]
fn an_empty_list_of_messages_gets_its_system_message() {
    let decided = decided(
        json!({ "prepend_system": "Hi" }),
        chat().json("/messages", json!([])),
    );
    assert_eq!(
        decided.json("/messages"),
        Some(json!([{ "role": "system", "content": "Hi" }]))
    );
}

#[test]
fn at_a_target_the_rules_are_for_the_model_that_the_target_calls() {
    let mut session = Run::<ModelRules>::new(json!({ "rules": [
        { "models": ["meta/*"], "request": { "set": { "/a": 1 } }, "events": { "set": { "/model": "llama-3" } } },
    ] }))
    .open(chat());
    let target = |model: Option<&str>| Target {
        upstream: "vllm".into(),
        dialect: "openai".into(),
        model: model.map(str::to_owned),
        attempt: 1,
    };
    assert!(session.attempt(&target(None)).is_untouched());
    assert_eq!(
        session.attempt(&target(Some("meta/llama"))).json("/a"),
        Some(1.into())
    );
    let sent = session.events([RawEvent::data(r#"{"model":"meta/llama"}"#)]);
    assert_eq!(sent.events, [RawEvent::data(r#"{"model":"llama-3"}"#)]);
}

#[test]
fn a_response_is_changed_and_a_failure_only_in_its_headers() {
    let rule = json!({ "models": ["llama-3"], "response": {
        "set": { "/model": "llama-3" },
        "remove": ["/system_fingerprint"],
        "replace_text": [ { "from": "ACME", "to": "we" } ],
        "headers": { "set": { "x-served-by": "gateway" }, "remove": ["server"] },
    } });
    let mut session = open(rule.clone());
    session.request();
    let answer = json!({
        "model": "meta/llama-3",
        "system_fingerprint": "fp",
        "choices": [
            { "index": 0, "message": { "content": "ACME and ACME" } },
            { "index": 1, "message": { "content": null } },
            { "index": 2, "text": "ACME" },
        ],
    });
    let decided = session.response(Answer::new(200).header("server", "vllm").json(&answer));
    assert_eq!(decided.json("/model"), Some("llama-3".into()));
    assert_eq!(decided.json("/system_fingerprint"), None);
    assert_eq!(
        decided.json("/choices/0/message/content"),
        Some("we and we".into())
    );
    assert_eq!(decided.json("/choices/2/text"), Some("we".into()));
    assert_eq!(decided.header("server"), None);

    let mut session = open(rule);
    session.request();
    let decided = session.response(Answer::new(500).json(&json!({ "error": { "message": "no" } })));
    assert_eq!(decided.json("/model"), None);
    assert_eq!(decided.header("x-served-by").as_deref(), Some("gateway"));
    for body in ["", "text", "[1]", "\"x\""] {
        let decided = session.response(Answer::new(200).body(body));
        assert_eq!(decided.body(), body.as_bytes());
    }
}

fn chunk(text: &str) -> RawEvent {
    RawEvent::data(format!(
        r#"{{"id":"1","choices":[{{"index":0,"delta":{{"content":"{text}"}}}}]}}"#
    ))
}

#[test]
fn events_are_dropped_changed_and_their_text_replaced() {
    let mut session = open(json!({ "models": ["llama-3"], "events": {
        "drop_if": [ { "at": "/choices/0/delta/reasoning_content" }, { "at": "/ping", "equals": null } ],
        "replace_text": [ { "from": "ACME", "to": "we" } ],
        "set": { "/model": "llama-3" },
        "remove": ["/system_fingerprint"],
    } }));
    session.request();
    let sent = session.events([
        RawEvent::data(r#"{"choices":[{"delta":{"reasoning_content":"hm"}}]}"#),
        RawEvent::data(r#"{"ping":null}"#),
        RawEvent::data(r#"{"model":"m","system_fingerprint":"fp","ping":1}"#),
        RawEvent::data("not JSON"),
    ]);
    assert_eq!(
        sent.events,
        [
            RawEvent::data(r#"{"model":"llama-3","ping":1}"#),
            RawEvent::data("not JSON")
        ]
    );

    let sent = session.events([chunk("At AC"), chunk("ME, "), chunk("A")]);
    assert_eq!(sent.text(), "At we, ");
    let sent = session.events([RawEvent::finish("stop"), RawEvent::done()]);
    assert_eq!(sent.text(), "A");
    assert_eq!(sent.events.len(), 3);
    assert_eq!(sent.events[2], RawEvent::done());
}

#[test]
fn text_that_was_held_back_is_sent_when_the_stream_just_ends() {
    let mut session = open(
        json!({ "models": ["*"], "events": { "replace_text": [ { "from": "ACME", "to": "we" } ] } }),
    );
    session.request();
    assert_eq!(session.events([chunk("AC")]).text(), "");
    assert_eq!(session.end().text(), "AC");
}

#[test]
fn settings_whose_cases_hold_are_taken() {
    let settings = json!({
        "rules": [ {
            "models": ["llama-*"],
            "request": { "alias": "meta", "clamp": { "/temperature": { "max": 1 } }, "headers": { "remove": ["x-a"] } },
            "response": { "set": { "/model": "llama" }, "headers": { "set": { "x-b": "1" } } },
            "events": { "drop_if": [ { "at": "/x" } ], "replace_text": [ { "from": "ab", "to": "c" } ] },
        } ],
        "cases": [ {
            "name": "all of it",
            "request": { "headers": { "X-A": "1" }, "body": { "model": "llama-3", "temperature": 2 } },
            "expect": { "headers": { "x-a": null }, "body": { "model": "meta", "temperature": 1.0 } },
            "response": { "body": { "model": "meta", "choices": [] } },
            "expect_response": { "headers": { "X-B": "1" }, "body": { "model": "llama", "choices": [] } },
            "events": [ { "x": 1 }, { "choices": [ { "delta": { "content": "ab" } } ] }, "[DONE]" ],
            "expect_events": [ { "choices": [ { "delta": { "content": "c" } } ] }, "[DONE]" ],
        } ],
    });
    Run::<ModelRules>::new(settings).prove();
}

#[test]
fn settings_whose_cases_fail_are_refused_with_the_difference() {
    let refused = |expect: Json| {
        let settings = json!({
            "rules": [ { "models": ["llama-3"], "request": { "set": { "/temperature": 0.2 } } } ],
            "cases": [ {
                "name": "cool",
                "request": { "body": { "model": "llama-3" } },
                "expect": expect,
            } ],
        });
        Run::<ModelRules>::try_new(settings)
            .err()
            .unwrap()
            .join("\n")
    };
    assert_eq!(
        refused(json!({ "body": { "model": "llama-3", "temperature": 0.3 } })),
        "/cases/0: `cool`: in the request, /temperature is 0.2, expected 0.3"
    );
    assert_eq!(
        refused(json!({ "body": { "model": "llama-3" } })),
        "/cases/0: `cool`: in the request, /temperature is 0.2, expected missing"
    );
    assert_eq!(
        refused(json!({ "headers": { "x-a": "1" } })),
        "/cases/0: `cool`: in the request, the header `x-a` is nothing, expected `1`"
    );
}

#[test]
fn mistakes_in_the_settings_are_named_with_their_place() {
    let errors = |rule: Json| {
        Run::<ModelRules>::try_new(json!({ "rules": [rule] }))
            .err()
            .unwrap()
            .join("\n")
    };
    assert_eq!(
        errors(json!({ "models": [] })),
        "/rules/0/models: at least one model is needed"
    );
    assert_eq!(
        errors(
            json!({ "models": ["a"], "request": { "clamp": { "/t": { "min": 2, "max": 1 } } } })
        ),
        "/rules/0/request/clamp/~1t: expected `min`, `max`, or both, the lower one first"
    );
    assert_eq!(
        errors(json!({ "models": ["a"], "request": { "remove": ["temperature"] } })),
        "/rules/0/request/remove/0: expected a JSON pointer to a field, such as `/temperature`"
    );
    assert_eq!(
        errors(json!({ "models": ["a"], "request": { "rename": { "/a": "/a/b" } } })),
        "/rules/0/request/rename/~1a: `/a/b` is a part of it, or the other way round"
    );
    assert!(
        errors(json!({ "models": ["a"], "request": { "headers": { "set": { "Content-Length": "1" } } } }))
            .contains("the header `content-length` is written by the gateway alone")
    );
    assert_eq!(
        errors(
            json!({ "models": ["a"], "events": { "replace_text": [ { "from": "", "to": "x" } ] } })
        ),
        "/rules/0/events/replace_text/0/from: expected 1 to 256 bytes"
    );
    assert!(
        errors(json!({ "models": ["a"], "requets": {} }))
            .starts_with("/rules/0/requets: unknown field")
    );
}
