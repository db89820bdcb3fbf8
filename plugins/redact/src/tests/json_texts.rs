use proptest::{collection::vec, prelude::*};
use serde_json::Value;

use crate::json::{Texts, Unread};

fn find<'a>(json: &'a str, name: &'a str) -> Result<Texts<'a>, Unread> {
    Texts::find(json, name, &mut usize::MAX.clone())
}

/// What the texts say, and the ways to them.
fn said(json: &str, name: &str) -> Vec<(String, String)> {
    let texts = find(json, name).unwrap();
    let way = |spot| {
        let steps = texts.way_to(spot).into_iter().skip(1);
        let steps = steps.map(|step| match step.index {
            Some(index) => format!("{}#{index}", step.name),
            None => step.name,
        });
        steps.collect::<Vec<_>>().join("/")
    };
    let list = texts.list.iter();
    list.map(|spot| (way(spot), spot.said.to_string()))
        .collect()
}

#[test]
fn texts_are_found_by_the_names_of_their_fields() {
    let json = r#"{"id":"a","choices":[{"delta":{"content":"b","role":"c"}},
        {"delta":{"tool_calls":[{"function":{"name":"d","arguments":"e"},"index":7}]},"index":3}]}"#;
    let expected = [
        ("choices#0/delta/content", "b"),
        ("choices#3/delta/tool_calls#7/function/arguments", "e"),
    ];
    let expected = expected.map(|(way, said)| (way.to_owned(), said.to_owned()));
    assert_eq!(said(json, ""), expected);
}

#[test]
fn of_the_input_of_a_tool_every_string_is_text() {
    let texts = said(
        r#"[{"input":{"a":["b",{"c":"d"}],"type":"e"},"type":"f"}]"#,
        "content",
    );
    let texts: Vec<String> = texts.into_iter().map(|(_, said)| said).collect();
    assert_eq!(texts, ["b", "d", "e"]);
}

#[test]
fn escapes_are_read_and_half_pairs_stand_for_some_character() {
    let texts = said(
        r#"["\ud83d\ude42 \u00fc\n\"\\\/ \ud83d \ud83d\u0041"]"#,
        "content",
    );
    assert_eq!(texts[0].1, "🙂 ü\n\"\\/ \u{fffd} \u{fffd}A");
}

#[test]
fn what_cannot_be_followed_is_said_to_be_so() {
    for json in [
        "{",
        "[}]]",
        r#""a"#,
        r#"{"text":"\u12"}"#,
        &"[".repeat(5000),
    ] {
        assert_eq!(find(json, "").unwrap_err(), Unread::Malformed, "{json:.20}");
    }
    let mut left = 100;
    let text = format!(r#"["{}"]"#, "a".repeat(90));
    assert_eq!(
        Texts::find(&text, "content", &mut left).unwrap_err(),
        Unread::TooMuch
    );
}

fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<i32>().prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        let name = prop_oneof![
            Just("content".to_owned()),
            Just("index".to_owned()),
            ".{0,4}"
        ];
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Value::from),
            vec((name, inner), 0..6).prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn a_text_says_what_is_written_at_its_place(value in json(), pretty in any::<bool>()) {
        let json = if pretty { format!("{value:#}") } else { value.to_string() };
        for spot in find(&json, "content").unwrap().list {
            let written: String = serde_json::from_str(&json[spot.span.clone()]).unwrap();
            prop_assert_eq!(written, spot.said);
        }
    }

    #[test]
    fn nothing_that_is_written_brings_it_down(text in r#"[\[\]{}:,"\\u0-9a ü]{0,40}"#) {
        let _ = find(&text, "content");
    }
}
