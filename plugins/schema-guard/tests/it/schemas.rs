use super::*;

fn assert_fits<const N: usize>(schema: &Value, cases: [(Value, &str); N]) {
    let rule = json!({ "schema": { "properties": { "x": schema } } });
    assert_told(&rule, cases.map(|(x, told)| (json!({ "x": x }), told)));
}

#[test]
fn a_value_has_one_of_its_types() {
    assert_fits(
        &json!({ "type": ["integer", "null"] }),
        [
            (json!(5), ""),
            (json!(5.0), ""),
            (json!(null), ""),
            (
                json!(5.5),
                "/x: expected a whole number or null, found 5.5.",
            ),
            (
                json!("5"),
                "/x: expected a whole number or null, found `5`.",
            ),
            (
                json!([]),
                "/x: expected a whole number or null, found a list.",
            ),
        ],
    );
    for (kind, fits) in [
        ("boolean", json!(true)),
        ("number", json!(0.5)),
        ("string", json!("")),
        ("array", json!([1])),
        ("object", json!({})),
    ] {
        assert_fits(&json!({ "type": kind }), [(fits, "")]);
    }
}

#[test]
fn a_value_is_one_of_those_listed() {
    assert_fits(
        &json!({ "enum": ["a", 1, { "b": [1] }] }),
        [
            (json!("a"), ""),
            (json!(1.0), ""),
            (json!({ "b": [1.0] }), ""),
            (
                json!("b"),
                "/x: expected one of `a`, 1, an object, found `b`.",
            ),
        ],
    );
    assert_fits(
        &json!({ "const": null }),
        [(json!(null), ""), (json!(0), "/x: expected null, found 0.")],
    );
}

#[test]
fn numbers_text_and_lists_have_bounds() {
    assert_fits(
        &json!({
            "minimum": 0, "maximum": 2, "minLength": 2, "maxLength": 3, "minItems": 1, "maxItems": 2,
        }),
        [
            (json!(2), ""),
            (json!(2.01), "/x: expected at most 2, found 2.01."),
            (json!(-1), "/x: expected at least 0, found -1."),
            (json!(1e300), "/x: expected at most 2, found 1e+300."),
            (json!("éé"), ""),
            (json!("é"), "/x: expected at least 2 characters, found 1."),
            (json!("abcd"), "/x: expected at most 3 characters, found 4."),
            (json!([1]), ""),
            (json!([]), "/x: expected at least 1 element, found 0."),
            (
                json!([1, 2, 3]),
                "/x: expected at most 2 elements, found 3.",
            ),
            (json!(true), ""),
        ],
    );
    assert_fits(
        &json!({ "exclusiveMinimum": 0, "exclusiveMaximum": 9007199254740993_u64 }),
        [
            (json!(0), "/x: expected more than 0, found 0."),
            (json!(9007199254740992_u64), ""),
            (
                json!(9007199254740993_u64),
                "/x: expected less than 9007199254740993, found 9007199254740993.",
            ),
        ],
    );
}

#[test]
fn members_and_elements_are_found_by_their_place() {
    let schema = json!({
        "type": "object",
        "required": ["messages"],
        "properties": {
            "model": true,
            "messages": { "type": "array", "items": {
                "required": ["role"],
                "properties": { "role": { "enum": ["user", "assistant"] }, "content": {} },
                "additionalProperties": false,
            } },
        },
        "additionalProperties": { "type": "number" },
    });
    let role = |role: &str| json!({ "role": role });
    assert_told(
        &json!({ "schema": schema }),
        [
            (
                json!({ "messages": [role("user")], "temperature": 0.5 }),
                "",
            ),
            (json!({}), "/messages: expected this field, found nothing."),
            (
                json!({ "messages": [role("user"), role("system")] }),
                "/messages/1/role: expected one of `user`, `assistant`, found `system`.",
            ),
            (
                json!({ "messages": [{ "content": 1 }] }),
                "/messages/0/role: expected this field, found nothing.",
            ),
            (
                json!({ "messages": [{ "role": "user", "a/b": { "c": 1 } }] }),
                "/messages/0/a~1b: expected no such field, found an object.",
            ),
            (
                json!({ "messages": [], "stop": "x" }),
                "/stop: expected a number, found `x`.",
            ),
        ],
    );
}
