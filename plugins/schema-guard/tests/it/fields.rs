use super::*;

#[test]
fn the_output_asked_for_is_a_whole_number_within_bounds() {
    let rule = json!({ "max_tokens": { "min": 1, "max": 4096 } });
    let range = "expected a whole number from 1 to 4096, found";
    assert_told(
        &rule,
        [
            (json!({}), ""),
            (json!({ "max_tokens": 4096 }), ""),
            (json!({ "max_tokens": 1.0 }), ""),
            (json!({ "max_tokens": null, "max_output_tokens": 7 }), ""),
            (
                json!({ "max_tokens": 4097 }),
                &format!("/max_tokens: {range} 4097."),
            ),
            (
                json!({ "max_tokens": 0 }),
                &format!("/max_tokens: {range} 0."),
            ),
            (
                json!({ "max_tokens": -5 }),
                &format!("/max_tokens: {range} -5."),
            ),
            (
                json!({ "max_tokens": 0.5 }),
                &format!("/max_tokens: {range} 0.5."),
            ),
            (
                json!({ "max_tokens": "10" }),
                &format!("/max_tokens: {range} `10`."),
            ),
            (
                json!({ "max_tokens": [1] }),
                &format!("/max_tokens: {range} a list."),
            ),
            (
                json!({ "max_tokens": true }),
                &format!("/max_tokens: {range} true."),
            ),
            (
                json!({ "max_tokens": 1, "max_completion_tokens": u64::MAX }),
                &format!("/max_completion_tokens: {range} 18446744073709551615."),
            ),
        ],
    );
}

#[test]
fn what_has_to_be_stated_is_asked_for() {
    let rule = json!({ "max_tokens": { "required": true }, "n": { "max": 2 } });
    assert_told(
        &rule,
        [
            (json!({ "max_completion_tokens": 5 }), ""),
            (
                json!({}),
                "/max_tokens: expected a whole number, found nothing.",
            ),
            (
                json!({ "max_tokens": 5, "best_of": 3 }),
                "/best_of: expected a whole number of at most 2, found 3.",
            ),
        ],
    );
}

#[test]
fn fields_may_be_required_and_forbidden() {
    let rule = json!({ "required": ["/user", "/metadata/team"], "forbidden": ["/logit_bias"] });
    let fine = json!({ "user": "u", "metadata": { "team": "t" } });
    let and = |field: &str, value: Value| {
        let mut fields = fine.clone();
        fields[field] = value;
        fields
    };
    assert_told(
        &rule,
        [
            (fine.clone(), ""),
            (and("logit_bias", Value::Null), ""),
            (
                and("logit_bias", json!({ "50256": -100 })),
                "/logit_bias: expected no such field, found an object.",
            ),
            (
                and("user", Value::Null),
                "/user: expected this field, found nothing.",
            ),
            (
                and("metadata", json!({})),
                "/metadata/team: expected this field, found nothing.",
            ),
        ],
    );
}

#[test]
fn messages_are_counted_wherever_they_stand() {
    let rule = json!({ "messages_max": 2 });
    let of = |count: usize| Value::from(vec![json!({ "role": "user", "content": "x" }); count]);
    assert_told(
        &rule,
        [
            (json!({ "messages": of(2) }), ""),
            (json!({ "input": "text" }), ""),
            (
                json!({ "messages": of(3) }),
                "/messages: expected at most 2 messages, found more.",
            ),
            (
                json!({ "input": of(1000) }),
                "/input: expected at most 2 messages, found more.",
            ),
        ],
    );
}

#[test]
fn a_body_that_is_too_long_is_refused_before_it_is_looked_at() {
    let run = guard(&json!({ "body_bytes_max": 100, "schema": true }));
    let pad = |length: usize| with(&json!({ "pad": "x".repeat(length) }));
    assert_eq!(told(&run, pad(50)), None);
    let told = told(&run, pad(200)).unwrap();
    assert_eq!(
        told,
        "/: expected a body of at most 100 bytes, found 222 bytes."
    );
}

#[test]
fn the_prompt_is_estimated_by_what_the_model_reads() {
    let rule = json!({ "prompt": { "tokens_max": 100, "bytes_per_token": 2 } });
    let chat = |length: usize| json!([{ "role": "user", "content": "x".repeat(length) }]);
    assert_told(
        &rule,
        [
            (
                json!({ "messages": chat(100), "metadata": "x".repeat(1000) }),
                "",
            ),
            (
                json!({ "messages": chat(270) }),
                "/messages: expected a prompt of about 100 tokens at most, found about 150.",
            ),
            (
                json!({ "messages": chat(100), "tools": [{ "name": "x".repeat(100) }] }),
                "/tools: expected a prompt of about 100 tokens at most, found about 122.",
            ),
            (
                json!({ "prompt": "x".repeat(201) }),
                "/prompt: expected a prompt of about 100 tokens at most, found about 101.",
            ),
        ],
    );
}

#[test]
fn the_format_of_the_answer_is_one_of_those_allowed() {
    let rule = json!({ "response_formats": ["text", "json_object"] });
    assert_told(
        &rule,
        [
            (json!({}), ""),
            (json!({ "response_format": null }), ""),
            (json!({ "response_format": { "type": "json_object" } }), ""),
            (
                json!({ "text": { "format": { "type": "text" }, "verbosity": "low" } }),
                "",
            ),
            (
                json!({ "response_format": { "type": "json_schema", "json_schema": {} } }),
                "/response_format/type: expected `text` or `json_object`, found `json_schema`.",
            ),
            (
                json!({ "text": { "format": { "type": "grammar" } } }),
                "/text/format/type: expected `text` or `json_object`, found `grammar`.",
            ),
            (
                json!({ "response_format": "json_object" }),
                "/response_format: expected an object with the `type` `text` or `json_object`, \
                 found `json_object`.",
            ),
            (
                json!({ "response_format": { "type": ["text"] } }),
                "/response_format/type: expected `text` or `json_object`, found a list.",
            ),
        ],
    );
}
