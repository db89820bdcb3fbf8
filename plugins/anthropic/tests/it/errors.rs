//! What an upstream's errors become.

use serde_json::{Value, json};
use tollgate_sdk::{Answer, testing::Decided};

use crate::stage::{begun, run};

fn answered(client: &str, answer: Answer) -> Decided {
    begun(&run(client), client).response(answer)
}

fn body(decided: &Decided) -> Value {
    serde_json::from_slice(decided.body()).unwrap()
}

#[test]
fn an_error_of_anthropic_is_one_of_openai() {
    let error = json!({ "type": "error", "error": { "type": "rate_limit_error", "message": "Slow down." }, "request_id": "r" });
    let decided = answered(
        "openai",
        Answer::new(429).header("retry-after", "3").json(&error),
    );
    assert_eq!(decided.status(), 429);
    assert_eq!(decided.header("retry-after").as_deref(), Some("3"));
    assert_eq!(
        body(&decided),
        json!({ "error": { "message": "Slow down.", "type": "rate_limit_error", "param": null, "code": "rate_limit_exceeded" } })
    );
}

#[test]
fn an_error_of_openai_is_one_of_anthropic() {
    let error = json!({ "error": { "message": "No such model.", "type": "invalid_request_error", "param": null, "code": "model_not_found" } });
    let decided = answered("anthropic", Answer::new(404).json(&error));
    assert_eq!(decided.status(), 404);
    assert_eq!(
        body(&decided),
        json!({ "type": "error", "error": { "type": "not_found_error", "message": "No such model." } })
    );
}

#[test]
fn an_overloaded_anthropic_is_unavailable_to_others() {
    let error = json!({ "type": "error", "error": { "type": "overloaded_error", "message": "Overloaded" } });
    let decided = answered("openai", Answer::new(529).json(&error));
    assert_eq!(decided.status(), 503);
    assert_eq!(body(&decided)["error"]["code"], "overloaded");
}

#[test]
fn an_error_that_cannot_be_read_is_told_by_its_status() {
    let page = || {
        Answer::new(502)
            .header("content-type", "text/html")
            .body("<html>")
    };
    let decided = answered("openai", page());
    assert_eq!(decided.status(), 502);
    assert_eq!(
        decided.header("content-type").as_deref(),
        Some("application/json")
    );
    assert_eq!(
        body(&decided)["error"]["message"],
        "The upstream answered with status 502."
    );
    let decided = answered("anthropic", page());
    assert_eq!(body(&decided)["error"]["type"], "api_error");
}
