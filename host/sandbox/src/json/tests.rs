use super::*;

mod properties;
mod request;

fn parse(text: &str) -> Json {
    Json::parse(Bytes::copy_from_slice(text.as_bytes()), DEPTH_MAX).unwrap()
}

fn scan_request(bytes: &[u8]) -> Result<RequestFacts, JsonError> {
    RequestFacts::read(bytes, DEPTH_MAX)
}

fn fault(text: impl AsRef<[u8]>) -> JsonFault {
    Json::parse(Bytes::copy_from_slice(text.as_ref()), DEPTH_MAX)
        .unwrap_err()
        .fault
}

fn text(json: &mut Json) -> String {
    String::from_utf8(json.bytes().to_vec()).unwrap()
}

#[test]
fn a_document_that_was_not_edited_is_the_very_bytes_it_was_read_from() {
    let source = Bytes::from_static(b" { \"a\" : [1 , {}] }\n");
    let mut json = Json::parse(source.clone(), DEPTH_MAX).unwrap();
    json.get("/a/1");
    assert!(!json.remove("/b").unwrap() && json.set("/a/9", &Value::Null).is_err());
    assert_eq!(json.bytes().as_ptr(), source.as_ptr());
    assert!(!json.is_edited());
}

#[test]
fn an_edit_leaves_everything_else_byte_for_byte() {
    let mut json = parse(
        "\n{ \"n\" : 1.0e+00 ,\n  \"s\":\"\\u00e4\\/\", \"m\": [ {\"x\" : 1} , 2 ],\n  \"e\": { }\n}\r\n",
    );
    json.set("/m/0/x", &Value::Number(7.0)).unwrap();
    json.set("/m/-", &Value::Text("a\"\u{1}\n".into())).unwrap();
    json.set("/e/f~1/g", &Value::Boolean(true)).unwrap();
    json.set("/new", &Value::Json(" [ 1, 2 ] ".into())).unwrap();
    assert_eq!(
        text(&mut json),
        "\n{ \"n\" : 1.0e+00 ,\n  \"s\":\"\\u00e4\\/\", \"m\": [ {\"x\" : 7} , 2,\"a\\\"\\u0001\\n\" ],\n  \"e\": {\"f/\":{\"g\":true}},\"new\":[ 1, 2 ]\n}\r\n"
    );
    assert!(json.remove("/n").unwrap() && json.remove("/m").unwrap() && json.remove("/e").unwrap());
    assert_eq!(
        text(&mut json),
        "\n{\n  \"s\":\"\\u00e4\\/\",\"new\":[ 1, 2 ]\n}\r\n"
    );
}

#[test]
fn what_was_written_before_is_set_as_anything_is() {
    let texts = [
        "{}",
        " { } ",
        r#"{"a":1}"#,
        "{ \"a\" : [1, {\"b\":2}] ,\n\"x\\ny\":0 }\n",
        r#"{"b":"c","/":null,"é":{"a":1}}"#,
        "[1,2]",
        "[]",
        "3",
    ];
    let pointers = [
        "/a", "/b", "/x\ny", "/~1", "/é", "/", "/a/b", "/0", "/-", "", "a", "/~2",
    ];
    let values = [
        Value::Null,
        Value::Boolean(true),
        Value::Number(256.0),
        Value::Number(f64::NAN),
        Value::Text("say \"x\"\n".to_owned()),
        Value::Text(String::new()),
        Value::Json("{\"k\": [1]}".to_owned()),
        Value::Json("{".to_owned()),
    ];
    for (document, pointer) in texts.iter().flat_map(|text| pointers.map(|to| (text, to))) {
        for value in &values {
            let pointer = Pointer::of(pointer.to_owned());
            let member = ReadyMember::of(&pointer, value);
            let (mut plain, mut written) = (parse(document), parse(document));
            // The second finds the first one there.
            for value in [value, &Value::Number(1.0), value] {
                let before = member
                    .as_ref()
                    .filter(|_| !matches!(value, Value::Number(1.0)));
                let set = written.set_ready(&pointer, value, before);
                assert_eq!(
                    set,
                    plain.set_at(&pointer, value),
                    "{document} {pointer:?} {value:?}"
                );
                let also = Pointer::of("/more".to_owned());
                let more = ReadyMember::of(&also, &Value::Null);
                let set = written.set_ready(&also, &Value::Null, more.as_ref());
                assert_eq!(set, plain.set_at(&also, &Value::Null));
                assert_eq!(text(&mut written), text(&mut plain));
                let read = |json: &mut Json| format!("{:?}", json.get(pointer.as_str()));
                assert_eq!(read(&mut written), read(&mut plain));
            }
            assert_eq!(written.into_bytes(), plain.bytes());
        }
    }
}

#[test]
fn a_member_is_what_its_pointer_leads_to_however_it_is_asked_for() {
    let texts = [
        r#"{"a":"x","b":{"a":1},"x\ny":[2],"n":1e5,"":null}"#,
        r#"["a",{"a":true}]"#,
        r#"{"a":"\ud83d","b":["\ud83d"]}"#,
        "\"a\"",
    ];
    for document in texts {
        let mut json = parse(document);
        // Twice, since levels are opened by the first look, and edited once between.
        for round in 0..3 {
            for key in ["a", "b", "x\ny", "n", "", "0", "1", "-"] {
                let pointer = Pointer::of(format!("/{key}"));
                let got = format!("{:?}", json.clone().get(pointer.as_str()));
                let member = format!("{:?}", json.clone().member(key));
                let written = json
                    .clone()
                    .written_at(pointer.as_str())
                    .map(Cow::into_owned);
                match json.peek(&pointer) {
                    Ok(peeked) => {
                        assert_eq!(peeked.map(Cow::into_owned), written, "{document} {key}");
                        assert_eq!(member, got, "{document} {key}");
                    }
                    Err(_) => assert_eq!(got, "None", "{document} {key}"),
                }
            }
            let path = ["/b/a", "/n", "/a"][round];
            let _ = json.get(path);
            let _ = json.set(path, &Value::Number(7.0));
        }
    }
}

#[test]
fn a_value_that_was_set_can_be_looked_into_and_edited() {
    let mut json = parse("{}");
    json.set("/a", &Value::Json("{\"b\":[1]}".into())).unwrap();
    json.set("/a/b/1", &Value::Null).unwrap();
    json.set("/c/d/e", &Value::Text("x".into())).unwrap();
    assert!(matches!(json.get("/a/b"), Some(Value::Json(text)) if text == "[1,null]"));
    assert!(matches!(json.get("/c/d/e"), Some(Value::Text(text)) if text == "x"));
    json.set("/c/d", &Value::Number(f64::MAX)).unwrap();
    assert!(matches!(json.get("/c/d"), Some(Value::Number(f64::MAX))));
    json.set("", &Value::Json("[0]".into())).unwrap();
    json.set("/-", &Value::Number(-1.25)).unwrap();
    assert_eq!(text(&mut json), "[0,-1.25]");
}

/// Whoever gets an object as text and cannot read it takes it for nothing, or for no object.
#[test]
fn an_object_that_its_reader_could_not_read_is_a_fault() {
    for (within, expected) in [
        (r#"{"s":"cut \ud83d"}"#, Some(JsonFault::LoneSurrogate)),
        (r#"[["\udc00\ud83d"]]"#, Some(JsonFault::LoneSurrogate)),
        (r#"{"\ud83d":1}"#, Some(JsonFault::LoneSurrogate)),
        ("[1,1e400]", Some(JsonFault::NumberTooLarge)),
        (r#"{"n":-1E+999}"#, Some(JsonFault::NumberTooLarge)),
        (r#"["\ud83d\ude00","\\ud83d","1e400 \" 1e400"]"#, None),
        ("[1e308,1e-400,-0.0,184467440737095516160]", None),
    ] {
        let mut json = parse(&format!(r#"{{"k":1, "o":{within}}}"#));
        let read = json.get("/o");
        assert_eq!(json.fault().map(|fault| &fault.fault), expected.as_ref());
        assert_eq!(read.is_none(), expected.is_some(), "{within}");
        let peeked = json.peek(&Pointer::of("/o".to_owned()));
        assert_eq!(peeked.is_err(), expected.is_some(), "{within}");
        let as_reader = serde_json::from_str::<serde_json::Value>(within);
        assert_eq!(as_reader.is_err(), expected.is_some(), "{within}");
    }
    let long = format!("[{}]", "9".repeat(400));
    let mut json = parse(&format!(r#"{{"o":{long}}}"#));
    assert!(json.get("/o").is_none() && serde_json::from_str::<serde_json::Value>(&long).is_err());
}

#[test]
fn a_pointer_is_read_to_its_end_however_deep_it_leads() {
    let mut json = parse("{\"a\":{}}");
    let deep = "/a".repeat(2000);
    assert_eq!(json.remove(&deep), Ok(false));
    assert_eq!(json.set(&deep, &Value::Null), Err(JsonEditError::TooDeep));
    let bad = format!("{deep}/~");
    assert_eq!(json.remove(&bad), Err(JsonEditError::Pointer));
    assert_eq!(json.set(&bad, &Value::Null), Err(JsonEditError::Pointer));
}

#[test]
fn a_pointer_that_leads_nowhere_changes_nothing() {
    let mut json = parse("{\"a\":[1],\"s\":\"x\",\"n\":null}");
    for (pointer, error) in [
        ("a", JsonEditError::Pointer),
        ("/a~2", JsonEditError::Pointer),
        ("/~", JsonEditError::Pointer),
        ("/a/2", JsonEditError::Index),
        ("/a/00", JsonEditError::Index),
        ("/a/+0", JsonEditError::Index),
        ("/a/", JsonEditError::Index),
        ("/a/99999999999999999999999", JsonEditError::Index),
        ("/s/x", JsonEditError::NoFields),
        ("/n/x", JsonEditError::NoFields),
    ] {
        assert_eq!(json.set(pointer, &Value::Null), Err(error), "{pointer}");
        assert!(json.get(pointer).is_none(), "{pointer}");
    }
    assert!(json.get("/a/-").is_none() && json.get("/a/01").is_none());
    assert_eq!(json.remove(""), Err(JsonEditError::Root));
    assert_eq!(json.remove("/x/~"), Err(JsonEditError::Pointer));
    assert_eq!(
        json.set("/x", &Value::Number(f64::NAN)),
        Err(JsonEditError::Number)
    );
    assert!(matches!(
        json.set("/x", &Value::Json("1 2".into())),
        Err(JsonEditError::Value(_))
    ));
    assert!(matches!(
        json.set("/x", &Value::Json(String::new())),
        Err(JsonEditError::Value(_))
    ));
    assert!(!json.is_edited());
}

#[test]
fn depth_is_bounded_for_documents_pointers_and_values() {
    let nested = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
    assert!(Json::parse(nested(64).into(), 64).is_ok());
    for levels in [65, 128, 100_000, 1_000_000] {
        assert_eq!(fault(nested(levels)), JsonFault::TooDeep(64));
        assert_eq!(fault("[".repeat(levels)), JsonFault::TooDeep(64));
        assert_eq!(fault("{\"a\":".repeat(levels)), JsonFault::TooDeep(64));
        assert!(scan_request("{\"a\":".repeat(levels).as_bytes()).is_err());
        assert!(scan_request(nested(levels).as_bytes()).is_err());
    }
    assert_eq!(
        Json::parse(nested(2000).into(), 5000).unwrap_err().fault,
        JsonFault::TooDeep(1024)
    );
    assert_eq!(
        Json::parse("{}".into(), 0).unwrap_err().fault,
        JsonFault::TooDeep(0)
    );

    assert!(RequestFacts::read(b"{\"a\":[]}", 2).is_ok());
    assert_eq!(
        RequestFacts::read(b"{\"a\":[]}", 1).unwrap_err().fault,
        JsonFault::TooDeep(1)
    );
    assert_eq!(
        RequestFacts::read(b"{}", 0).unwrap_err().fault,
        JsonFault::TooDeep(0)
    );

    let mut json = parse("{}");
    assert!(json.set(&"/a".repeat(64), &Value::Null).is_ok());
    assert_eq!(
        json.set(&"/b".repeat(65), &Value::Null),
        Err(JsonEditError::TooDeep)
    );
    assert_eq!(
        json.set(&"/b".repeat(1_000_000), &Value::Null),
        Err(JsonEditError::TooDeep)
    );
    assert!(matches!(
        json.set("/b", &Value::Json(nested(64))),
        Err(JsonEditError::Value(_))
    ));
    assert!(json.set("/b", &Value::Json(nested(63))).is_ok());
    let written = json.bytes();
    assert!(Json::parse(written, 64).is_ok());
    assert!(json.get(&"/a".repeat(1_000_000)).is_none());
}

#[test]
fn what_is_no_json_is_refused_with_its_place() {
    let error = Json::parse(Bytes::from_static(b"{\n \"a\": tru }"), DEPTH_MAX).unwrap_err();
    assert_eq!(
        error.to_string(),
        "not JSON: expected a value, at line 2, column 7"
    );
    assert_eq!(fault("\u{feff}{}"), JsonFault::ByteOrderMark);
    assert_eq!(fault(b"{\"a\":\"\xff\"}"), JsonFault::NotUtf8);
    assert_eq!(fault(b"\"\xed\xa0\x80\""), JsonFault::NotUtf8);
    for text in ["{} {}", "{},", "1 1", "nullx", "1.5.5", "00", "[]]"] {
        assert_eq!(fault(text), JsonFault::Trailing, "{text}");
    }
    for text in [
        "", " ", "{", "[1", "\"x", "{\"a\"", "{\"a\":", "-", "1.", "1e", "\"\\u12",
    ] {
        assert_eq!(fault(text), JsonFault::Unfinished, "{text}");
    }
    for text in [
        "{,}",
        "[,]",
        "[1,]",
        "{\"a\":1,}",
        "{1:2}",
        "[1 2]",
        "+1",
        ".5",
        "-a",
        "'x'",
        "NaN",
        "\"\n\"",
        "\"\0\"",
        "\"\\x\"",
        "\"\\u12g4\"",
        "[}",
        "{]",
        "{\"a\":[}]",
        "tru",
        "\u{a0}1",
    ] {
        assert!(matches!(fault(text), JsonFault::Expected(_)), "{text}");
    }
}

#[test]
fn a_key_that_comes_twice_is_found_where_it_is_read() {
    for text in [
        "{\"a\":1,\"b\":2,\"a\":3}",
        r#"{"model":1,"mod\u0065l":2}"#,
        r#"{"\n":1,"\u000a":2}"#,
    ] {
        assert!(matches!(fault(text), JsonFault::DuplicateKey(_)), "{text}");
    }
    assert_eq!(fault(r#"{"\ud800":1}"#), JsonFault::LoneSurrogate);

    let mut json = parse(r#"{"a":{"x":1,"x":2},"b":"\ud800"}"#);
    assert!(json.get("/b").is_none() && json.fault().is_none());
    assert!(json.get("/a/x").is_none());
    assert!(matches!(
        json.fault().unwrap().fault,
        JsonFault::DuplicateKey(_)
    ));
    assert!(matches!(
        json.set("/a/y", &Value::Null),
        Err(JsonEditError::Document(_))
    ));
    assert!(matches!(
        json.remove("/a/x"),
        Err(JsonEditError::Document(_))
    ));
    json.set("/a", &Value::Null).unwrap();
    assert_eq!(text(&mut json), r#"{"a":null,"b":"\ud800"}"#);
}

#[test]
fn many_members_are_read_in_proportion_and_too_many_refused() {
    let object = |count: usize| {
        let fields: Vec<_> = (0..count).map(|at| format!("\"{at}\":{at}")).collect();
        format!("{{{}}}", fields.join(","))
    };
    let mut json = parse(&object(100_000));
    assert!(matches!(json.get("/99999"), Some(Value::Number(99999.0))));
    assert_eq!(fault(object(1_000_000)), JsonFault::TooManyMembers);
    assert!(scan_request(object(1_000_000).as_bytes()).is_ok());
    let mut array = parse(&format!("{{\"a\":[{}0]}}", "0,".repeat(1_000_000)));
    assert!(array.get("/a/0").is_none() && array.fault().is_some());
}

#[test]
fn text_is_what_get_says_and_is_copied_only_where_it_has_to_be() {
    let text = r#"{"a":"plain","b":"a\nb","c":[1, {"d":2}],"e":7,"f":null,"g":"\ud800"}"#;
    let mut json = Json::parse(Bytes::from_static(text.as_bytes()), 8).unwrap();
    for (pointer, expected, is_borrowed) in [
        ("/a", Some("plain"), true),
        ("/b", Some("a\nb"), false),
        ("/c", Some(r#"[1, {"d":2}]"#), true),
        ("/e", None, false),
        ("/f", None, false),
        ("/g", None, false),
        ("/h", None, false),
    ] {
        let got = match json.get(pointer) {
            Some(Value::Text(text) | Value::Json(text)) => Some(text),
            _ => None,
        };
        assert_eq!(got.as_deref(), expected, "{pointer}");
        let text = json.text(pointer);
        assert_eq!(text.as_deref(), expected.map(str::as_bytes), "{pointer}");
        assert_eq!(
            matches!(text, Some(Cow::Borrowed(_))),
            is_borrowed,
            "{pointer}"
        );
    }
    json.set("/c/1/d", &Value::Text("new".into())).unwrap();
    assert_eq!(json.text("/c").unwrap(), &br#"[1, {"d":"new"}]"#[..]);
    assert_eq!(json.text("/c/1/d").unwrap(), &b"new"[..]);
}
