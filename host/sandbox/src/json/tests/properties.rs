//! Documents of any kind, beside what serde makes of them.

use proptest::prelude::*;
use serde_json::Value as Tree;

use super::*;

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
