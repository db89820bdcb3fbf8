use super::*;

/// Whether a rule with these conditions is for the exchange.
fn is_for(when: Value, exchange: Exchange) -> bool {
    let run = run(json!({ "rules": [{ "name": "x", "when": when, "then": { "model": "hit" } }] }));
    led(&run, exchange) == "hit"
}

fn assert_for<const N: usize>(when: &Value, cases: [(Exchange, bool); N]) {
    for (nth, (exchange, expected)) in cases.into_iter().enumerate() {
        assert_eq!(is_for(when.clone(), exchange), expected, "{when} {nth}");
    }
}

#[test]
fn without_conditions_a_rule_is_for_every_request() {
    assert!(is_for(json!({}), Exchange::chat()));
    assert!(is_for(json!({}), Exchange::chat().body("no JSON")));
}

#[test]
fn facts_of_earlier_policies_are_asked() {
    let chat = Exchange::chat;
    assert_for(
        &json!({ "tiers": ["gold", "team-*"] }),
        [
            (chat().fact("tier", "gold"), true),
            (chat().fact("tier", "team-x"), true),
            (chat().fact("tier", "Gold"), false),
            (chat(), false),
        ],
    );
    assert_for(
        &json!({ "callers": ["ada"], "routes": ["chat"] }),
        [
            (chat().fact("caller", "ada").route("chat"), true),
            (chat().fact("caller", "ada"), false),
            (chat().route("chat"), false),
        ],
    );
    assert_for(
        &json!({ "groups": ["beta", "dev-*"] }),
        [
            (chat().fact("groups", "beta"), true),
            (chat().fact("groups", "a, beta,c"), true),
            (chat().fact("groups", "a,dev-x"), true),
            (chat().fact("groups", "alphabeta"), false),
            (chat().fact("groups", ""), false),
            (chat(), false),
        ],
    );
    assert_for(
        &json!({ "facts": { "plan": ["pro"], "trial": { "present": false } } }),
        [
            (chat().fact("plan", "pro"), true),
            (chat().fact("plan", "pro").fact("trial", "1"), false),
            (chat().fact("plan", "free"), false),
        ],
    );
}

#[test]
fn headers_are_asked_by_name_in_any_case() {
    let chat = Exchange::chat;
    assert_for(
        &json!({ "headers": { "X-Beta": ["1", "on-*"] } }),
        [
            (chat().header("x-beta", "1"), true),
            (chat().header("X-BETA", "on-x"), true),
            (chat().header("x-beta", "0"), false),
            (chat().header("x-beta", b"\xff".to_vec()), false),
            (chat(), false),
        ],
    );
    assert_for(
        &json!({ "headers": { "x-beta": { "not": ["0", "off"] } } }),
        [
            (chat().header("x-beta", "1"), true),
            (chat().header("x-beta", "off"), false),
            (chat(), true),
        ],
    );
    assert_for(
        &json!({ "headers": { "x-beta": { "not": ["0"], "present": true } } }),
        [
            (chat().header("x-beta", b"\xff".to_vec()), true),
            (chat().header("x-beta", "0"), false),
            (chat(), false),
        ],
    );
    assert_for(
        &json!({ "headers": { "x-beta": { "is": ["a*"], "not": ["ab*"] } } }),
        [
            (chat().header("x-beta", "ac"), true),
            (chat().header("x-beta", "abc"), false),
        ],
    );
}

#[test]
fn fields_are_asked_by_their_kind() {
    let with =
        |value: Value| Exchange::chat().json("/metadata/x", tollgate_sdk::Value::from(value));
    assert_for(
        &json!({ "json": { "/metadata/x": ["a*", 7, true] } }),
        [
            (with(json!("ab")), true),
            (with(json!(7)), true),
            (with(json!(7.0)), true),
            (with(json!(true)), true),
            (with(json!("7")), false),
            (with(json!("true")), false),
            (with(json!(false)), false),
            (with(json!(null)), false),
            (with(json!(["a"])), false),
            (Exchange::chat(), false),
        ],
    );
    assert_for(
        &json!({ "json": { "/metadata/x": { "min": 10, "max": 20.5 } } }),
        [
            (with(json!(10)), true),
            (with(json!(20.5)), true),
            (with(json!(9.99)), false),
            (with(json!(21)), false),
            (with(json!("15")), false),
            (Exchange::chat(), false),
        ],
    );
    assert_for(
        &json!({ "json": { "/metadata/x": { "present": true } } }),
        [
            (with(json!({})), true),
            (with(json!(0)), true),
            (with(json!(null)), false),
            (Exchange::chat(), false),
        ],
    );
    // A whole number that no float holds exactly is a number still.
    assert_for(
        &json!({ "json": { "/metadata/x": { "min": 1e18 } } }),
        [(with(json!(u64::MAX)), true), (with(json!(12)), false)],
    );
}

#[test]
fn all_conditions_have_to_hold() {
    let when = json!({
        "models": ["chat"], "tiers": ["gold"], "streaming": true,
        "headers": { "x-a": ["1"] }, "json": { "/n": { "max": 4 } },
    });
    let all = || {
        ask("chat")
            .fact("tier", "gold")
            .header("x-a", "1")
            .json("/n", 4)
            .streaming()
    };
    assert!(is_for(when.clone(), all()));
    assert!(!is_for(when.clone(), all().json("/model", "talk")));
    assert!(!is_for(when.clone(), all().json("/n", 5)));
    assert!(!is_for(
        when,
        ask("chat")
            .fact("tier", "gold")
            .header("x-a", "1")
            .json("/n", 4)
    ));
}
