//! What is read of a request without taking it apart.

use std::ops::ControlFlow;

use super::*;
use crate::{Message, contract::Edit, edit::Side};

#[test]
fn a_request_tells_its_model_and_stream() {
    let facts = |text: &str| scan_request(text.as_bytes()).map(|facts| (facts.model, facts.stream));
    let model = || Some("m/1".to_owned());
    assert_eq!(
        facts(r#"{"model":"m/1","stream":true}"#),
        Ok((model(), true))
    );
    assert_eq!(
        facts(" {\"messages\":[{\"model\":\"no\",\"stream\":true}] , \"model\" : \"m\\/1\" } "),
        Ok((model(), false))
    );
    assert_eq!(
        facts(r#"{"mod\u0065l":"m/1","stream":false,"x":1,"x":2}"#),
        Ok((model(), false))
    );
    for text in [
        "{}",
        "[]",
        "1",
        r#"{"model":7,"stream":"true"}"#,
        r#"{"model":null,"stream":1}"#,
        r#"{"Model":"x"}"#,
        r#"[{"model":"x"}]"#,
    ] {
        assert_eq!(facts(text), Ok((None, false)), "{text}");
    }
    for text in [
        r#"{"model":"a","model":"a"}"#,
        r#"{"model":"a","mode\u006c":"b"}"#,
        r#"{"stream":true,"stream":true}"#,
    ] {
        assert!(
            matches!(facts(text).unwrap_err().fault, JsonFault::DuplicateKey(_)),
            "{text}"
        );
    }
    for text in [
        "",
        "{",
        "{}}",
        "{\"model\":}",
        r#"{"model":"\ud800"}"#,
        r#"{"model":"a",}"#,
        "\u{feff}{}",
        "{\"model\":\"a\"} x",
    ] {
        assert!(facts(text).is_err(), "{text}");
    }
    assert!(scan_request(b"{\"model\":\"\xff\"}").is_err());
}

#[test]
fn a_prompt_is_the_same_whether_its_places_are_known_or_the_body_is_taken_apart() {
    let seen = |message: &mut Message| {
        let mut seen = Vec::new();
        message.prompt(|field| {
            seen.push(String::from_utf8(field.to_vec()).unwrap());
            match field {
                b"last" => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            }
        });
        seen
    };
    for (body, wanted) in [
        (
            r#"{ "messages" : [ {"role":"user"} ] ,"system":"a\n\u00e9" }"#,
            vec!["a\né", r#"[ {"role":"user"} ]"#],
        ),
        (
            r#"{"input":{"a":1},"prompt":"last","instructions":"x"}"#,
            vec!["x", "last"],
        ),
        (
            r#"{"in\u0070ut":"","prompt":7,"system":null,"messages":"\ud800"}"#,
            vec![""],
        ),
        (r#"{"nested":{"prompt":"no"}}"#, vec![]),
        (r#"["prompt"]"#, vec![]),
        ("{}", vec![]),
        ("no json", vec![]),
    ] {
        let body = Bytes::from(body);
        let mut message = Message {
            body: Some(body.clone()),
            ..Message::default()
        };
        assert_eq!(seen(&mut message), wanted, "taken apart: {body:?}");
        let facts = scan_request(&body).unwrap_or_default();
        let mut known = Message {
            body: Some(body.clone()),
            prompt: Some(facts.prompt),
            ..Message::default()
        };
        assert_eq!(seen(&mut known), wanted, "its places known: {body:?}");
        // What a policy puts in its place was not looked at.
        known.replace_body(Some(r#"{"prompt":"new"}"#.into()));
        assert_eq!(seen(&mut known), ["new"]);
        let edit = |value: &str| Edit::SetJson(("/prompt".into(), Value::Text(value.into())));
        if known.apply(vec![edit("newer")], Side::Request).is_ok() {
            assert_eq!(seen(&mut known), ["newer"]);
        }
    }
}
