use super::*;

fn with_cases(cases: Value) -> Value {
    json!({
        "aliases": { "gpt-4": "chat" },
        "version_separator": "@",
        "known_models": ["small"],
        "rules": [
            { "name": "eu", "when": { "countries": ["DE"], "json": { "/a/b": [1] } }, "then": { "upstream": "eu" } },
            { "name": "stream", "when": { "models": ["chat"], "streaming": true, "routes": ["r"] }, "then": { "model": "fast" } },
            { "name": "chat", "when": { "models": ["chat"] }, "then": {
                "by": [{ "header": "x-session" }],
                "split": [{ "version": "1", "model": "chat-1", "weight": 1 }, { "version": "2", "model": "chat-2", "weight": 0 }],
                "shift": { "to": "2", "steps": [{ "at": "2027-01-01T00:00:00Z", "percent": 100 }] },
            } },
        ],
        "cases": cases,
    })
}

#[test]
fn cases_that_come_out_as_expected_are_taken() {
    let session = json!({ "X-Session": "s" });
    let run = run(with_cases(json!([
        { "name": "place", "request": { "facts": { "country": "DE" }, "body": { "a": { "b": 1 } } }, "expect": { "rule": "eu", "upstream": "eu" } },
        { "name": "stream", "request": { "model": "gpt-4", "route": "r", "body": { "stream": true } }, "expect": { "rule": "stream", "model": "fast" } },
        { "name": "before", "request": { "model": "gpt-4", "headers": session }, "expect": { "rule": "chat", "arm": "1", "model": "chat-1" } },
        { "name": "after", "request": { "model": "chat", "headers": session, "at": "2027-01-01T00:00:00Z" }, "expect": { "arm": "2" } },
        { "name": "pinned", "request": { "body": { "model": "chat@2" } }, "expect": { "model": "chat-2" } },
        { "name": "drawn", "request": { "model": "chat" }, "expect": { "rule": "chat" } },
        { "name": "known", "request": { "model": "small" }, "expect": { "model": "small" } },
        { "name": "unknown", "request": { "model": "x" }, "expect": { "refused": "model_not_found" } },
    ])));
    assert_eq!(led(&run, ask("small")), "-");
}

#[test]
fn a_case_that_comes_out_otherwise_is_refused_with_what_came_of_it() {
    for (request, expect, says) in [
        (
            json!({ "model": "small" }),
            json!({ "rule": "chat" }),
            "expected the rule `chat`, found none",
        ),
        (
            json!({ "model": "chat", "headers": { "x-session": "s" } }),
            json!({ "arm": "2" }),
            "expected the arm `2`, found `1`",
        ),
        (
            json!({ "model": "chat@2" }),
            json!({ "model": "chat-1" }),
            "expected the model `chat-1`, found `chat-2`",
        ),
        (
            json!({ "model": "chat" }),
            json!({ "model": "chat-1" }),
            "it is drawn anew each time: expected something of `by` in the request",
        ),
        (
            json!({ "model": "x" }),
            json!({ "model": "x" }),
            "it is refused as `model_not_found`: model-router: the model `x` does not exist.",
        ),
        (
            json!({ "model": "x" }),
            json!({ "refused": "model_required" }),
            "it is refused as `model_not_found`: model-router: the model `x` does not exist.",
        ),
        (
            json!({ "model": "small" }),
            json!({ "refused": "model_not_found" }),
            "expected it to be refused as `model_not_found`, and it is not",
        ),
    ] {
        let case = json!({ "name": "mine", "request": request, "expect": expect });
        let fine =
            json!({ "name": "fine", "request": {}, "expect": { "refused": "model_required" } });
        assert_eq!(
            errors(with_cases(json!([fine, case]))),
            [format!("/cases/1: case \"mine\": {says}")]
        );
    }
}

#[test]
fn a_case_is_refused_with_the_field_and_what_was_expected() {
    let error = |case: Value| errors(with_cases(json!([case]))).join("\n");
    assert_eq!(
        error(json!({ "name": "x", "request": {} })),
        "/cases/0: missing field `expect`"
    );
    let misspelt = error(json!({ "name": "x", "request": { "fact": {} }, "expect": {} }));
    assert!(
        misspelt.starts_with("/cases/0/request/fact: unknown field `fact`"),
        "{misspelt}"
    );
}
