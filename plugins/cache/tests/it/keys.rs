use tollgate_sdk::{Value as SdkValue, cache::Kind};

use super::*;

#[test]
fn what_does_not_matter_is_not_in_the_key() {
    let run = run(json!({}));
    let one = key(&run, chat());
    for other in [
        chat().json("/user", "u-1"),
        chat().json("/metadata", SdkValue::of(&json!({ "team": "x" }))),
        chat().json("/stop", SdkValue::Null),
        chat().streaming(),
        chat()
            .streaming()
            .json("/stream_options/include_usage", true),
        chat().header("x-request-id", "7"),
        chat().header("authorization", "Bearer k"),
    ] {
        assert_eq!(key(&run, other), one);
    }
}

#[test]
fn what_matters_is_in_the_key() {
    let run = run(json!({}));
    let mut keys = vec![key(&run, chat())];
    for other in [
        chat().json("/model", "another"),
        chat().json("/messages/0/content", "another"),
        chat().json("/messages/0/role", "system"),
        chat().json("/max_tokens", 5),
        chat().json("/tools", SdkValue::of(&json!([{ "type": "function" }]))),
        chat().json("/n", 2),
        chat().json("/seed", 7),
        chat().json("/an_unknown_field", 1),
        chat().header("openai-organization", "org-1"),
        chat().header("openai-project", "org-1"),
        Exchange::chat()
            .fact("caller", "bob")
            .json("/temperature", 0.0),
    ] {
        let key = key(&run, other);
        assert!(!keys.contains(&key));
        keys.push(key);
    }
}

#[test]
fn who_shares_is_said_by_the_settings() {
    let of = |caller: &str, team: &str| {
        Exchange::chat()
            .fact("caller", caller)
            .fact("team", team)
            .json("/temperature", 0.0)
    };
    let everybody = run(json!({ "by": [] }));
    assert_eq!(
        key(&everybody, of("ada", "x")),
        key(&everybody, of("bob", "y"))
    );
    assert!(plan(&everybody, Exchange::chat().json("/temperature", 0.0)).is_some());
    let teams = run(json!({ "by": ["team"] }));
    assert_eq!(key(&teams, of("ada", "x")), key(&teams, of("bob", "x")));
    assert_ne!(key(&teams, of("ada", "x")), key(&teams, of("ada", "y")));
    let both = run(json!({ "by": ["caller", "team"] }));
    assert_ne!(key(&both, of("a", "bc")), key(&both, of("ab", "c")));
    assert_eq!(plan(&both, chat()), None, "nobody knows its team");
    assert_eq!(
        plan(&run(json!({})), Exchange::chat().json("/temperature", 0.0)),
        None
    );
}

#[test]
fn only_a_chat_may_serve_both_forms() {
    let run = run(json!({}));
    assert_eq!(plan(&run, chat()).unwrap().kind, Kind::ChatCompletion);
    let embeddings = chat().to("POST", "/v1/embeddings?x=1");
    assert_eq!(plan(&run, embeddings).unwrap().kind, Kind::AsItCame);
    let asks = chat()
        .streaming()
        .json("/stream_options/include_usage", true);
    assert!(plan(&run, asks).unwrap().stream_usage);
    assert!(!plan(&run, chat().streaming()).unwrap().stream_usage);
}
