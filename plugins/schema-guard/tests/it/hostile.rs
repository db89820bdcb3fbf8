use super::*;

/// Everything at once, with room for nothing unusual.
fn strict() -> Run<SchemaGuard> {
    guard(&json!({
        "max_tokens": { "max": 100 },
        "messages_max": 10,
        "prompt": { "tokens_max": 1000 },
        "images": { "max": 1, "inline_bytes_max": 100 },
        "tools": { "allow": ["a"], "max": 2 },
        "response_formats": ["text"],
        "required": ["/messages"],
        "forbidden": ["/user"],
        "schema": { "type": "object", "properties": { "messages": { "type": "array" } } },
    }))
}

fn raw(fields: &str) -> Exchange {
    Exchange::chat().body(format!(r#"{{"model":"m","messages":[],{fields}}}"#))
}

#[test]
fn what_nests_without_end_is_refused_and_not_tried() {
    let run = strict();
    let deep = "[".repeat(123) + &"]".repeat(123);
    for fields in [
        format!(r#""messages2":{deep},"x":1"#),
        format!(r#""tools":{deep}"#),
        format!(r#""input":{deep}"#),
    ] {
        let told = told(&run, raw(&fields)).unwrap();
        assert!(told.contains("more than 120 levels"), "{told}");
    }
    let run = guard(&json!({ "max_tokens": { "max": 1 } }));
    assert_eq!(
        told(&run, raw(&format!(r#""x":{deep}"#))),
        None,
        "nothing asked for it"
    );
}

#[test]
fn a_name_longer_than_any_models_is_refused_before_it_is_copied() {
    for other in ["allow", "refuse"] {
        let run = Run::<SchemaGuard>::new(
            json!({ "rules": [{ "models": ["gpt-*"] }], "other_models": other }),
        );
        let exchange = Exchange::chat().json("/model", "gpt-".repeat(16 * 1024));
        let told = told(&run, exchange).unwrap();
        assert_eq!(
            told,
            "/model: expected a name of at most 1024 bytes, found a longer one."
        );
    }
}

#[test]
fn a_body_beyond_what_a_plugin_can_read_is_refused_unless_the_rule_says_otherwise() {
    let body = || with(&json!({ "pad": "x".repeat(2 << 20) }));
    for rule in [
        json!({ "schema": true }),
        json!({ "images": { "max": 1 } }),
        json!({ "required": ["/pad"] }),
    ] {
        let told = told(&guard(&rule), body()).unwrap();
        assert!(
            told.starts_with("/: expected a body of at most 1048576 bytes"),
            "{told}"
        );
    }
    for rule in [
        json!({ "schema": true, "body_bytes_max": 4 << 20 }),
        json!({ "max_tokens": { "max": 1 }, "messages_max": 1 }),
    ] {
        assert_eq!(told(&guard(&rule), body()), None);
    }
}

#[test]
fn names_of_64_kib_are_cut_where_they_are_shown() {
    let run = strict();
    let long = "x\u{1}".repeat(32 * 1024);
    for fields in [
        json!({ "messages": [], "tools": [{ "name": long }] }),
        json!({ "messages": [], "response_format": { "type": long } }),
        json!({ "messages": [], "max_tokens": long }),
        json!({ "messages": [], "user": long }),
    ] {
        assert!(told(&run, with(&fields)).is_some());
    }
    let run = guard(&json!({ "schema": { "additionalProperties": { "type": "string" } } }));
    let fields = json!({ long: 1 });
    assert!(told(&run, with(&fields)).is_some());
}

#[test]
fn fields_of_other_kinds_never_get_past_what_is_to_be_checked() {
    let run = strict();
    for fields in [
        r#""max_tokens":1e400"#,
        r#""max_tokens":{"a":1}"#,
        r#""tools":true"#,
        r#""tools":0"#,
        r#""response_format":[]"#,
        r#""response_format":{"type":null}"#,
    ] {
        assert!(told(&run, raw(fields)).is_some(), "{fields}");
    }
    assert_eq!(told(&run, raw(r#""max_tokens":100"#)), None);
}
