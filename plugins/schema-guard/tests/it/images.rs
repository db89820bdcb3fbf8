use super::*;

fn message(content: &Value) -> Value {
    json!({ "messages": [{ "role": "user", "content": "look" }, { "role": "user", "content": content }] })
}

fn by_url(url: &str) -> Value {
    json!({ "type": "image_url", "image_url": { "url": url } })
}

fn inline(chars: usize) -> String {
    format!("data:image/png;base64,{}", "A".repeat(chars))
}

#[test]
fn images_are_counted_in_every_dialect() {
    let rule = json!({ "images": { "max": 1 } });
    let one = by_url("https://x.example/a.png");
    let anthropic = json!({ "type": "image", "source": { "type": "base64", "data": "AAAA" } });
    let told = "/messages: expected at most 1 image, found 2.";
    assert_told(
        &rule,
        [
            (message(&json!([one])), ""),
            (
                message(&json!([{ "type": "text", "text": "data:image/png;base64,AAAA" }, one])),
                "",
            ),
            (message(&json!([one, one])), told),
            (message(&json!([anthropic, one])), told),
            (
                message(&json!([{ "image_url": "https://x.example" }, one])),
                told,
            ),
            (
                message(&json!([{ "type": "tool_result", "content": [anthropic, anthropic] }])),
                told,
            ),
            (
                json!({ "input": [{ "content": [
                    { "type": "input_image", "file_id": "f" },
                    { "type": "input_image", "image_url": "https://x.example" },
                ] }] }),
                "/input: expected at most 1 image, found 2.",
            ),
        ],
    );
}

#[test]
fn none_may_be_allowed() {
    let rule = json!({ "images": { "max": 0 } });
    assert_told(
        &rule,
        [(
            message(&json!([by_url("u")])),
            "/messages: expected at most 0 images, found 1.",
        )],
    );
}

#[test]
fn an_inline_file_is_measured_decoded_and_found_by_its_message() {
    let rule = json!({ "images": { "max": 9, "inline_bytes_max": 300 } });
    let told = "/messages/1: expected an inline file of at most 300 bytes, found 303 bytes.";
    assert_told(
        &rule,
        [
            (message(&json!([by_url(&inline(400))])), ""),
            (message(&json!([by_url(&inline(404))])), told),
            (
                message(&json!([by_url(&inline(404).replace("data:", "DATA:"))])),
                told,
            ),
            (
                message(&json!([{ "type": "image", "source": { "data": "A".repeat(404) } }])),
                told,
            ),
            (
                message(
                    &json!([{ "type": "input_audio", "input_audio": { "data": "A".repeat(404) } }]),
                ),
                told,
            ),
            (
                message(&json!([by_url(&format!(
                    "https://x.example/{}",
                    "A".repeat(404)
                ))])),
                "",
            ),
        ],
    );
    let rule = json!({ "images": { "max": 9, "inline_bytes_max": 0 } });
    let told = "/messages/1: expected no inline file, found 3 bytes.";
    assert_told(&rule, [(message(&json!([by_url(&inline(4))])), told)]);
}

#[test]
fn an_image_does_not_count_as_prompt() {
    let run = guard(&json!({ "prompt": { "tokens_max": 100 } }));
    assert_eq!(
        told(&run, with(&message(&json!([by_url(&inline(100_000))])))),
        None
    );
}

#[test]
fn what_is_escaped_is_counted_all_the_same() {
    let run = guard(&json!({ "images": { "max": 0, "inline_bytes_max": 0 } }));
    for part in [r#"{"\u0074ype":"\u0069mage"}"#, r#"{"image\u005furl":"x"}"#] {
        let body = format!(r#"{{"model":"m","messages":[{{"content":[{part}]}}]}}"#);
        assert!(told(&run, Exchange::chat().body(body)).is_some(), "{part}");
    }
}
