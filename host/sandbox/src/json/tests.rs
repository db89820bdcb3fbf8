use std::ops::ControlFlow;

use proptest::prelude::*;
use serde_json::Value as Tree;

use super::*;
use crate::{Message, contract::Edit, edit::Side};

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

fn same(value: Option<Value>, tree: Option<&Tree>) -> bool {
    match (value, tree) {
        (None, None) | (Some(Value::Null), Some(Tree::Null)) => true,
        (Some(Value::Boolean(value)), Some(Tree::Bool(tree))) => value == *tree,
        (Some(Value::Text(value)), Some(Tree::String(tree))) => value == *tree,
        (Some(Value::Number(value)), Some(Tree::Number(tree))) => tree.as_f64() == Some(value),
        (Some(Value::Json(value)), Some(tree)) => {
            equal(&serde_json::from_str(&value).unwrap(), tree)
        }
        _ => false,
    }
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

fn any_tree() -> impl Strategy<Value = Tree> {
    let scalar = prop_oneof![
        Just(Tree::Null),
        any::<bool>().prop_map(Tree::from),
        any::<i32>().prop_map(Tree::from),
        any::<u64>().prop_map(Tree::from),
        any::<i32>().prop_map(|eighths| Tree::from(f64::from(eighths) / 8.0)),
        ".{0,12}".prop_map(Tree::from),
    ];
    scalar.prop_recursive(4, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Tree::from),
            prop::collection::vec((any_key(), inner), 0..5)
                .prop_map(|fields| Tree::Object(fields.into_iter().collect())),
        ]
    })
}

fn any_key() -> impl Strategy<Value = String> {
    prop_oneof![
        "[abc]",
        "[0-2]",
        "[~/\"\\\\\u{1}ä😀]{0,2}",
        Just("-".to_owned())
    ]
}

#[derive(Debug, Clone)]
enum Step {
    Get(Vec<String>),
    Set(Vec<String>, Tree),
    Remove(Vec<String>),
}

fn any_step() -> impl Strategy<Value = Step> {
    let path = || prop::collection::vec(any_key(), 0..4);
    prop_oneof![
        path().prop_map(Step::Get),
        (path(), any_tree()).prop_map(|(path, tree)| Step::Set(path, tree)),
        path().prop_map(Step::Remove),
    ]
}

fn pointer(path: &[String]) -> String {
    path.iter()
        .map(|token| format!("/{}", token.replace('~', "~0").replace('/', "~1")))
        .collect()
}

/// Sets in a tree as the contract says; `false` if the pointer leads nowhere.
fn set_tree(tree: &mut Tree, path: &[String], value: Tree) -> bool {
    let Some((token, rest)) = path.split_first() else {
        *tree = value;
        return true;
    };
    let new = |value| {
        rest.iter()
            .rev()
            .fold(value, |inner, token| serde_json::json!({ token: inner }))
    };
    match tree {
        Tree::Object(fields) => match fields.get_mut(token) {
            Some(field) => set_tree(field, rest, value),
            None => fields.insert(token.clone(), new(value)).is_none(),
        },
        Tree::Array(items) => match token.parse::<usize>() {
            Ok(at) if at < items.len() => set_tree(&mut items[at], rest, value),
            Ok(at) if at > items.len() => false,
            Err(_) if token != "-" => false,
            _ => {
                items.push(new(value));
                true
            }
        },
        _ => false,
    }
}

fn remove_tree(tree: &mut Tree, path: &[String]) -> bool {
    let Some((last, parents)) = path.split_last() else {
        return false;
    };
    match tree.pointer_mut(&pointer(parents)) {
        Some(Tree::Object(fields)) => fields.shift_remove(last).is_some(),
        Some(Tree::Array(items)) => match last.parse::<usize>() {
            Ok(at) if at < items.len() => {
                items.remove(at);
                true
            }
            _ => false,
        },
        _ => false,
    }
}

fn value_of(tree: &Tree) -> Value {
    match tree {
        Tree::Null => Value::Null,
        Tree::Bool(value) => Value::Boolean(*value),
        Tree::String(value) => Value::Text(value.clone()),
        Tree::Number(value) if value.is_f64() => Value::Number(value.as_f64().unwrap()),
        other => Value::Json(other.to_string()),
    }
}

/// Whole floats are written without a fraction, so trees are compared by value.
fn equal(left: &Tree, right: &Tree) -> bool {
    match (left, right) {
        (Tree::Number(left), Tree::Number(right)) => {
            left == right || left.as_f64() == right.as_f64()
        }
        (Tree::Array(left), Tree::Array(right)) => {
            left.len() == right.len()
                && left
                    .iter()
                    .zip(right)
                    .all(|(left, right)| equal(left, right))
        }
        (Tree::Object(left), Tree::Object(right)) => {
            left.len() == right.len()
                && left
                    .iter()
                    .zip(right)
                    .all(|(left, right)| left.0 == right.0 && equal(left.1, right.1))
        }
        _ => left == right,
    }
}

fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![
        any_tree().prop_map(|tree| tree.to_string()),
        any_tree().prop_map(|tree| format!("\n{tree:#} "))
    ]
}

proptest! {
    #[test]
    fn gets_sets_and_removals_agree_with_a_tree(source in any_text(), steps in prop::collection::vec(any_step(), 0..12)) {
        let mut tree: Tree = serde_json::from_str(&source).unwrap();
        let mut json = parse(&source);
        for step in steps {
            match step {
                Step::Get(path) => {
                    let pointer = pointer(&path);
                    prop_assert!(same(json.get(&pointer), tree.pointer(&pointer)), "{pointer}");
                }
                Step::Set(path, value) => {
                    prop_assert_eq!(json.set(&pointer(&path), &value_of(&value)).is_ok(), set_tree(&mut tree, &path, value));
                }
                Step::Remove(path) => {
                    prop_assert_eq!(json.remove(&pointer(&path)).unwrap_or(false), remove_tree(&mut tree, &path));
                }
            }
            let written = json.bytes();
            prop_assert!(equal(&serde_json::from_slice(&written).unwrap(), &tree), "{:?} {}", written, tree);
        }
        if !json.is_edited() {
            prop_assert_eq!(json.bytes(), source.as_bytes());
        }
    }

    #[test]
    fn replacing_a_value_by_itself_changes_no_byte(source in any_text(), path in prop::collection::vec(any_key(), 0..3)) {
        let tree: Tree = serde_json::from_str(&source).unwrap();
        let pointer = pointer(&path);
        let mut json = parse(&source);
        let whole = |tree: Option<&Tree>| matches!(tree, Some(Tree::Object(_) | Tree::Array(_)));
        if whole(tree.pointer(&pointer)) {
            let value = json.get(&pointer).unwrap();
            json.set(&pointer, &value).unwrap();
            prop_assert!(json.is_edited());
            prop_assert_eq!(json.bytes(), source.as_bytes());
        }
    }

    #[test]
    fn the_same_bytes_are_json_as_for_serde(bytes in prop_oneof![
        prop::collection::vec(any::<u8>(), 0..40),
        "[\\[\\]{}:,\"\\\\u0-9a-ftrunl.eE+\\- \n]{0,40}".prop_map(String::into_bytes),
        (any_text(), any::<prop::sample::Index>(), any::<u8>()).prop_map(|(text, at, byte)| {
            let mut bytes = text.into_bytes();
            let at = at.index(bytes.len());
            bytes[at] = byte;
            bytes
        }),
        (any_text(), any::<prop::sample::Index>()).prop_map(|(text, at)| text.as_bytes()[..at.index(text.len())].to_vec()),
    ]) {
        let expected = std::str::from_utf8(&bytes).is_ok() && serde_json::from_slice::<serde::de::IgnoredAny>(&bytes).is_ok();
        let parsed = Json::parse(Bytes::from(bytes.clone()), DEPTH_MAX);
        let scanned = scan_request(&bytes);
        let keys = |error: &JsonError| matches!(error.fault, JsonFault::DuplicateKey(_) | JsonFault::LoneSurrogate);
        prop_assert_eq!(parsed.as_ref().map_or_else(keys, |_| true), expected, "{:?}", parsed);
        prop_assert_eq!(scanned.as_ref().map_or_else(keys, |_| true), expected, "{:?}", scanned);
        if let Ok(mut json) = parsed {
            for pointer in ["", "/0", "/a", "/a/0", "/"] {
                json.get(pointer);
                let _ = json.set(pointer, &Value::Null);
                let _ = json.remove(pointer);
                prop_assert!(Json::parse(json.bytes(), DEPTH_MAX).is_ok());
            }
        }
    }

    #[test]
    fn strings_and_numbers_come_back_as_they_were_set(string in any::<String>(), number in any::<f64>()) {
        let mut json = parse("{}");
        json.set("/s", &Value::Text(string.clone())).unwrap();
        let is_set = json.set("/n", &Value::Number(number)).is_ok();
        let mut again = Json::parse(json.bytes(), DEPTH_MAX).unwrap();
        prop_assert!(matches!(again.get("/s"), Some(Value::Text(same)) if same == string));
        prop_assert_eq!(is_set, number.is_finite());
        if is_set {
            prop_assert!(matches!(again.get("/n"), Some(Value::Number(same)) if same == number));
        }
    }
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
