use proptest::prelude::*;
use serde_json::json;
use tollgate_settings::Pattern;

fn has(pattern: &str, name: &str) -> bool {
    pattern.parse::<Pattern>().unwrap().has(name)
}

#[test]
fn a_star_stands_for_any_text_and_nothing_else_is_special() {
    let those_that_do = [
        ("llama-3", "llama-3"),
        ("gpt-*", "gpt-"),
        ("gpt-*", "gpt-4o"),
        ("*", ""),
        ("*", "a/b"),
        ("*-mini", "o-mini-mini"),
        ("a*b*c", "a-b-b-c"),
        ("a**c", "abc"),
        ("é*", "ée"),
        ("m.[x]?", "m.[x]?"),
    ];
    for (pattern, name) in those_that_do {
        assert!(has(pattern, name), "{pattern} {name}");
    }
    let those_that_do_not = [
        ("llama-3", "llama-31"),
        ("llama-3", "Llama-3"),
        ("gpt-*", "xgpt-4"),
        ("*-mini", "a-mini-x"),
        ("a*b*c", "a-c-b"),
        ("a*a", "a"),
        ("m.x", "m-x"),
    ];
    for (pattern, name) in those_that_do_not {
        assert!(!has(pattern, name), "{pattern} {name}");
    }
}

#[test]
fn a_pattern_made_to_backtrack_ends() {
    let pattern = "*a".repeat(100) + "*b";
    assert!(!has(&pattern, &"a".repeat(20_000)));
}

#[test]
fn what_is_no_pattern_is_refused_with_what_was_expected_and_found() {
    for (text, bytes) in [(String::new(), 0), ("x".repeat(257), 257)] {
        let error = serde_json::from_value::<Pattern>(json!(text)).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("expected a name of 1 to 256 bytes, `*` for any text, found {bytes} bytes")
        );
    }
    assert!(serde_json::from_value::<Pattern>(json!("x".repeat(256))).is_ok());
    assert!(serde_json::from_value::<Pattern>(json!(1)).is_err());
}

#[test]
fn its_schema_is_that_of_a_text() {
    let schema = schemars::schema_for!(Pattern);
    let says = "A name, or a glob in which each `*` stands for any text, also none.";
    assert_eq!(schema.as_value()["type"], "string");
    assert_eq!(schema.as_value()["description"], says);
}

/// By trying everything: right beyond doubt, and far too slow to use.
fn slowly(pattern: &[u8], name: &[u8]) -> bool {
    match (pattern.split_first(), name.split_first()) {
        (None, _) => name.is_empty(),
        (Some((b'*', rest)), _) => (0..=name.len()).any(|taken| slowly(rest, &name[taken..])),
        (Some((byte, rest)), Some((first, others))) => byte == first && slowly(rest, others),
        (Some(_), None) => false,
    }
}

proptest! {
    #[test]
    fn it_has_what_trying_everything_finds(pattern in "[ab*]{1,8}", name in "[ab]{0,12}") {
        prop_assert_eq!(has(&pattern, &name), slowly(pattern.as_bytes(), name.as_bytes()));
    }

    #[test]
    fn a_text_without_a_star_has_itself_alone(pattern in "[^*]{1,20}", name in ".{0,20}") {
        let parsed: Pattern = pattern.parse().unwrap();
        prop_assert!(!parsed.is_glob() && parsed.has(&pattern));
        prop_assert_eq!(parsed.has(&name), pattern == name);
    }

    #[test]
    fn it_has_its_example(pattern in ".{1,20}") {
        let pattern: Pattern = pattern.parse().unwrap();
        prop_assert!(pattern.has(&pattern.example()));
        prop_assert_eq!(pattern.to_string(), pattern.as_str());
    }
}
