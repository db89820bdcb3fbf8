use proptest::prelude::*;

use super::{
    verdict::{check_answer, check_events, check_refusal},
    *,
};
use crate::{
    Message,
    contract::{Answer, Destination, Event, EventAction, EventsDecision, Refusal, Verdict},
};

fn header(name: &str, value: &[u8]) -> Header {
    Header {
        name: name.to_owned(),
        value: value.to_vec(),
    }
}

fn set_header(name: &str, value: &[u8]) -> Edit {
    Edit::SetHeader(header(name, value))
}

fn set_json(pointer: &str, value: Value) -> Edit {
    Edit::SetJson((pointer.to_owned(), value))
}

fn fact(name: &str, value: &str) -> Edit {
    Edit::SetFact((name.to_owned(), value.to_owned()))
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

fn message(body: &'static str) -> Message {
    let mut message = Message {
        path: "/".into(),
        status: 200,
        body: Some(body.into()),
        ..Message::default()
    };
    message
        .headers
        .insert("x-old", HeaderValue::from_static("1"));
    message
}

fn refused(edit: Edit, side: Side) -> String {
    let mut message = message("{\"a\":1}");
    let alone = message.apply(vec![edit.clone()], side).unwrap_err();
    if !matches!(alone, BadEdit::Json { .. } | BadEdit::NotJson { .. }) {
        assert_eq!(
            check_edits(vec![edit.clone()], side).err(),
            Some(alone.clone())
        );
    }
    let others = vec![
        set_header("x-new", b"1"),
        fact("f", "1"),
        set_json("/a", Value::Null),
        edit,
    ];
    assert!(message.apply(others, side).is_err());
    assert_eq!(message.headers.len(), 1);
    assert_eq!(
        (message.path.as_str(), message.status, &message.method),
        ("/", 200, &Method::GET)
    );
    assert!(message.facts.is_empty());
    assert_eq!(message.take_body().unwrap(), "{\"a\":1}");
    alone.to_string()
}

#[test]
fn headers_that_frame_a_message_or_belong_to_a_connection_are_refused() {
    for name in [
        "content-length",
        "Transfer-Encoding",
        "CONNECTION",
        "host",
        "te",
        "trailer",
        "upgrade",
        "keep-alive",
        "proxy-connection",
        "Proxy-Authorization",
        "expect",
        "http2-settings",
    ] {
        for edit in [
            set_header(name, b"1"),
            Edit::AppendHeader(header(name, b"1")),
            Edit::RemoveHeader(name.into()),
        ] {
            assert!(refused(edit, Side::Request).ends_with("is written by the gateway alone"));
        }
        let answer = Answer {
            status: 200,
            headers: vec![header(name, b"1")],
            body: Vec::new(),
        };
        assert!(matches!(
            check_answer(&answer),
            Err(BadEdit::OwnHeader { edit: "reply", .. })
        ));
    }
}

#[test]
fn a_header_cannot_smuggle_another() {
    for name in [
        "",
        ":path",
        ":x",
        "a b",
        "a:",
        "a\r\nb",
        "ä",
        "a\0",
        "x_(",
        &"a".repeat(300),
    ] {
        assert!(
            refused(set_header(name, b"1"), Side::Response).ends_with("is no header name"),
            "{name}"
        );
        assert!(
            refused(Edit::RemoveHeader(name.into()), Side::Response).ends_with("is no header name")
        );
    }
    for value in [
        &b"a\r\nb: c"[..],
        b"\n",
        b"\r",
        b"\0",
        b"\x7f",
        b"\x0b",
        &[b'a'; HEADER_VALUE_MAX + 1],
    ] {
        assert!(refused(set_header("x", value), Side::Request).contains("the value of `x`"));
        assert!(
            refused(Edit::AppendHeader(header("x", value)), Side::Request)
                .contains("the value of `x`")
        );
    }
    assert_eq!(
        refused(set_header("a\r\nb", b""), Side::Request),
        "set-header: \"a\\r\\nb\" is no header name"
    );
}

#[test]
fn methods_paths_and_statuses_are_checked_and_fit_one_side() {
    for method in [
        "",
        "CONNECT",
        "connect",
        "TRACE",
        "PRI",
        "GE T",
        "GET\r\n",
        &"A".repeat(100),
    ] {
        assert!(
            refused(Edit::SetMethod(method.into()), Side::Request).starts_with("set-method: "),
            "{method}"
        );
    }
    for path in [
        "", "x", "/a b", "/../x", "/%2e%2e", "/a\r\nb", "/#", "//x", "/%61",
    ] {
        assert!(
            refused(Edit::SetPath(path.into()), Side::Request).starts_with("set-path: "),
            "{path}"
        );
    }
    for status in [0, 99, 100, 101, 199, 600, 1000, u16::MAX] {
        assert!(
            refused(Edit::SetStatus(status), Side::Response).starts_with("set-status: "),
            "{status}"
        );
    }
    assert_eq!(
        refused(Edit::SetMethod("GET".into()), Side::Response),
        "set-method: fits no response"
    );
    assert_eq!(
        refused(Edit::SetPath("/x".into()), Side::Response),
        "set-path: fits no response"
    );
    assert_eq!(
        refused(Edit::SetStatus(200), Side::Request),
        "set-status: fits no request"
    );
}

#[test]
fn facts_are_short_and_plain() {
    for name in ["", "a b", "ä", "a\n", &"a".repeat(65)] {
        assert!(refused(fact(name, "1"), Side::Request).ends_with("is no name of a fact"));
    }
    for value in ["\n", "a\0", "\u{85}", &"a".repeat(FACT_VALUE_MAX + 1)] {
        assert!(refused(fact("a", value), Side::Request).starts_with("set-fact: the value of `a`"));
    }
    for name in ["client_address", "client_cert_subject", "client_cert_any"] {
        assert_eq!(
            refused(fact(name, "1"), Side::Request),
            format!("set-fact: `{name}` is written by the gateway alone")
        );
    }
    let mut message = message("");
    let facts = |count: usize| (0..count).map(|at| fact(&format!("f{at}"), "1")).collect();
    assert_eq!(
        message.apply(facts(FACTS_MAX + 1), Side::Request),
        Err(BadEdit::TooManyFacts)
    );
    assert_eq!(message.apply(facts(FACTS_MAX), Side::Request), Ok(()));
    assert_eq!(message.apply(facts(FACTS_MAX), Side::Request), Ok(()));
    assert_eq!(message.facts.len(), FACTS_MAX);
}

#[test]
fn headers_and_bodies_have_bounds() {
    let headers = |count: usize| {
        (0..count)
            .map(|at| set_header(&format!("x-{at}"), b"1"))
            .collect()
    };
    let mut message = message("");
    assert!(matches!(
        message.apply(headers(100_000), Side::Request),
        Err(BadEdit::TooManyHeaders { .. })
    ));
    assert_eq!(message.headers.len(), 1);
    assert_eq!(
        message.apply(headers(HEADERS_MAX - 1), Side::Request),
        Ok(())
    );
    let large = vec![0; BODY_BYTES_MAX + 1];
    assert!(matches!(
        message.apply(vec![Edit::ReplaceBody(large)], Side::Request),
        Err(BadEdit::BodyTooLarge { .. })
    ));
}

#[test]
fn edits_are_applied_in_order() {
    let mut request = message("{\"model\":\"a\", \"x\" : 1}");
    let edits = vec![
        set_header("X-A", b"1"),
        Edit::AppendHeader(header("x-a", b"2")),
        Edit::RemoveHeader("X-Old".into()),
        set_json("/model", text("b")),
        Edit::RemoveJson("/none".into()),
        fact("tier", "a"),
        fact("tier", "gold"),
        Edit::SetMethod("POST".into()),
        Edit::SetPath("/v1/x?y=1".into()),
    ];
    request.apply(edits, Side::Request).unwrap();
    assert_eq!(
        request.headers.get_all("x-a").iter().collect::<Vec<_>>(),
        ["1", "2"]
    );
    assert_eq!(
        (request.header("X-Old"), request.header("no such")),
        (None, None)
    );
    assert_eq!(request.header("X-A"), Some(&b"1"[..]));
    assert_eq!(
        (request.fact("tier"), request.facts.len()),
        (Some("gold"), 1)
    );
    assert_eq!(
        (request.method.as_str(), request.path.as_str()),
        ("POST", "/v1/x?y=1")
    );
    assert!(matches!(request.json("/model"), Some(Value::Text(model)) if model == "b"));
    assert_eq!(request.body().unwrap(), "{\"model\":\"b\", \"x\" : 1}");
    assert_eq!(request.take_body().unwrap(), "{\"model\":\"b\", \"x\" : 1}");
    assert!(request.take_body().is_none() && request.json("/model").is_none());

    let mut response = message("");
    response
        .apply(vec![Edit::SetStatus(503)], Side::Response)
        .unwrap();
    assert_eq!(response.status, 503);
}

#[test]
fn json_edits_meet_the_body_that_was_put_before_them() {
    let mut request = message("not json");
    assert!(request.json("/a").is_none() && request.json_error.is_some());
    let replace = |body: &str| Edit::ReplaceBody(body.into());
    request
        .apply(
            vec![replace("{ }"), set_json("/a/b", text("x"))],
            Side::Request,
        )
        .unwrap();
    assert_eq!(request.body().unwrap(), "{\"a\":{\"b\":\"x\"}}");
    request
        .apply(
            vec![
                set_json("/a", Value::Null),
                replace("[]"),
                set_json("/-", Value::Null),
            ],
            Side::Request,
        )
        .unwrap();
    assert_eq!(request.take_body().unwrap(), "[null]");
}

#[test]
fn json_edits_of_a_body_that_is_not_json_are_refused() {
    let mut plain = message("hello");
    let edit = || vec![set_json("/a", Value::Null)];
    let refused = plain.apply(edit(), Side::Request).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "set-json \"/a\": the body is not JSON: expected a value, at line 1, column 1"
    );
    assert!(matches!(
        plain.apply(vec![Edit::RemoveJson("/a".into())], Side::Request),
        Err(BadEdit::NotJson { .. })
    ));
    assert_eq!(plain.take_body().unwrap(), "hello");
    assert!(matches!(
        plain.apply(edit(), Side::Request),
        Err(BadEdit::BodyNotAtHand { .. })
    ));
    let broken = set_json("/b", Value::Json("{".into()));
    assert!(
        self::refused(broken, Side::Request).starts_with("set-json \"/b\": the value: not JSON")
    );
    assert!(self::refused(set_json("/a/b", Value::Null), Side::Request).contains("has no fields"));
    assert!(
        self::refused(set_json("/b", Value::Number(f64::INFINITY)), Side::Request)
            .contains("no such number")
    );
}

#[test]
fn answers_and_refusals_are_whole() {
    let answer = |status, body: &str| Answer {
        status,
        headers: vec![header("x", b"\xe4")],
        body: body.into(),
    };
    assert_eq!(check_answer(&answer(200, "x")), Ok(()));
    assert_eq!(check_answer(&answer(204, "")), Ok(()));
    for bad in [
        answer(0, ""),
        answer(101, ""),
        answer(199, ""),
        answer(600, ""),
        answer(204, "x"),
        answer(304, "x"),
    ] {
        assert!(check_answer(&bad).is_err(), "{bad:?}");
    }
    let refusal = |status, code: &str, message: &str| Refusal {
        status,
        code: code.into(),
        message: message.into(),
        retry_after_ms: None,
    };
    assert_eq!(
        check_refusal(&refusal(401, "invalid_api_key", "no\nkey")),
        Ok(())
    );
    for bad in [
        refusal(200, "a", ""),
        refusal(399, "a", ""),
        refusal(600, "a", ""),
        refusal(400, "", ""),
        refusal(400, "a b", ""),
        refusal(400, "a", "\u{1b}[1m"),
    ] {
        assert!(check_refusal(&bad).is_err(), "{bad:?}");
    }
}

#[test]
fn destinations_fit_requests_and_have_names() {
    let verdict = |model: &str| {
        Verdict::GoTo(Destination {
            model: Some(model.into()),
            upstream: None,
        })
    };
    assert_eq!(check_verdict(&verdict("llama-3"), Side::Request), Ok(()));
    assert!(matches!(
        check_verdict(&verdict("x"), Side::Response),
        Err(BadEdit::WrongSide { .. })
    ));
    for model in ["", "a\nb", &"a".repeat(300)] {
        assert!(check_verdict(&verdict(model), Side::Request).is_err());
    }
}

#[test]
fn events_cannot_break_out_of_their_frame() {
    let event = |name: Option<&str>, data: &[u8]| Event {
        name: name.map(Into::into),
        data: data.to_vec(),
    };
    assert_eq!(
        check_events(&[event(Some("delta"), b"a\nb"), event(None, b"")]),
        Ok(())
    );
    for bad in [
        event(Some("a\nb"), b""),
        event(Some("\r"), b""),
        event(Some("\0"), b""),
        event(None, b"\r"),
        event(None, b"\0"),
        event(None, b"\xff"),
        event(None, &[b'a'; EVENT_BYTES_MAX + 1]),
    ] {
        assert!(check_events(&[bad]).is_err());
    }
    let many = vec![event(None, b""); EVENTS_MAX];
    let decision = |actions, append| EventsDecision { actions, append };
    assert_eq!(
        check_events_decision(&decision(vec![EventAction::Drop], many.clone()), 1),
        Ok(())
    );
    let over = decision(
        vec![EventAction::Keep, EventAction::End(vec![event(None, b"")])],
        many,
    );
    assert!(matches!(
        check_events_decision(&over, 2),
        Err(BadEdit::TooManyEvents { .. })
    ));
    assert!(matches!(
        check_events_decision(&over, 1),
        Err(BadEdit::TooManyActions { .. })
    ));
}

proptest! {
    #[test]
    fn any_header_that_is_taken_is_a_valid_one(name in ".{0,8}", value in prop::collection::vec(any::<u8>(), 0..8)) {
        let edits = vec![set_header(&name, &value)];
        let checked = check_edits(edits.clone(), Side::Request).map(drop);
        let mut message = Message::default();
        prop_assert_eq!(message.apply(edits, Side::Request), checked.clone());
        if checked.is_ok() {
            prop_assert!(!value.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)));
            prop_assert_eq!(message.header(&name), Some(&value[..]));
        }
    }
}
