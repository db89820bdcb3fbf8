//! A policy reads back its own edits: what a read must answer, given the edits so far.
//!
//! Edits are kept as the list that the host will apply. A read that no edit touches goes
//! to the host as it is; one that was set whole is answered from the list; for the few
//! others the smallest part of the document that holds all of them is edited here.

use crate::{
    Value,
    bindings::tollgate::policy::types::Edit,
    pointer::{self, covers, is_index, split_last},
};

/// What the edits say about a header.
pub(crate) fn header(
    edits: &[Edit],
    name: &str,
    host: impl FnOnce() -> Option<Vec<u8>>,
) -> Option<Vec<u8>> {
    let is = |other: &str| other.eq_ignore_ascii_case(name);
    let whole = edits.iter().rposition(|edit| match edit {
        Edit::SetHeader(header) => is(&header.name),
        Edit::RemoveHeader(other) => is(other),
        _ => false,
    });
    let base = match whole.map(|at| &edits[at]) {
        Some(Edit::SetHeader(header)) => return Some(header.value.clone()),
        Some(_) => None,
        None => host(),
    };
    base.or_else(|| {
        edits[whole.map_or(0, |at| at + 1)..]
            .iter()
            .find_map(|edit| match edit {
                Edit::AppendHeader(header) if is(&header.name) => Some(header.value.clone()),
                _ => None,
            })
    })
}

/// What the edits say about a fact.
pub(crate) fn fact<'a>(edits: &'a [Edit], name: &str) -> Option<&'a str> {
    edits.iter().rev().find_map(|edit| match edit {
        Edit::SetFact((other, value)) if other == name => Some(value.as_str()),
        _ => None,
    })
}

/// What the edits say about a field.
pub(crate) fn json(
    edits: &[Edit],
    pointer: &str,
    host: impl FnOnce(&str) -> Option<Value>,
) -> Option<Value> {
    let Some(last) = edits.iter().rev().find(|edit| touches(edit, pointer)) else {
        return host(pointer);
    };
    let named = |edited: &str| {
        let is_name = || split_last(edited).is_some_and(|(_, token)| !is_index(token));
        edited == pointer && appended_to(edited).is_none() && is_name()
    };
    match last {
        Edit::SetJson((edited, value)) if named(edited) => Some(value.clone()),
        Edit::RemoveJson(edited) if named(edited) => None,
        _ => replay(edits, pointer, host),
    }
}

/// The whole body with the JSON edits in it, if there are any.
pub(crate) fn body(edits: &[Edit], host: impl FnOnce() -> Vec<u8>) -> Vec<u8> {
    let replaced = edits
        .iter()
        .rposition(|edit| matches!(edit, Edit::ReplaceBody(_)));
    let rest = &edits[replaced.map_or(0, |at| at + 1)..];
    let body = match replaced.map(|at| &edits[at]) {
        Some(Edit::ReplaceBody(body)) => body.clone(),
        _ => host(),
    };
    if !rest.iter().any(|edit| edited_pointer(edit).is_some()) {
        return body;
    }
    let Ok(mut document) = serde_json::from_slice(&body) else {
        return body;
    };
    for edit in rest {
        apply(edit, "", &mut document);
    }
    document.to_string().into_bytes()
}

fn replay(
    edits: &[Edit],
    pointer: &str,
    host: impl FnOnce(&str) -> Option<Value>,
) -> Option<Value> {
    let replaced = edits
        .iter()
        .rposition(|edit| matches!(edit, Edit::ReplaceBody(_)));
    let rest = &edits[replaced.map_or(0, |at| at + 1)..];
    let (root, mut document) = match replaced.map(|at| &edits[at]) {
        Some(Edit::ReplaceBody(body)) => ("", serde_json::from_slice(body).ok()),
        _ => {
            let root = smallest_root(rest, pointer);
            (root, host(root).map(|value| value.to_json()))
        }
    };
    if root.is_empty() && document.is_none() {
        return None;
    }
    for edit in rest {
        if document.is_none() && matches!(edit, Edit::SetJson((edited, _)) if covers(root, edited))
        {
            document = Some(serde_json::Value::Object(serde_json::Map::new()));
        }
        if let Some(document) = &mut document {
            apply(edit, root, document);
        }
    }
    let inner = document?.pointer_mut(&pointer[root.len()..])?.take();
    Some(inner.into())
}

/// The deepest container in which every edit that bears on `pointer` can be made.
fn smallest_root<'a>(edits: &'a [Edit], pointer: &'a str) -> &'a str {
    let mut root = pointer;
    loop {
        let wider = edits
            .iter()
            .filter(|edit| touches(edit, root))
            .filter_map(edited_pointer)
            .find_map(|edited| {
                let parent = split_last(edited).map_or("", |(parent, _)| parent);
                let parent = appended_to(edited).unwrap_or(parent);
                (parent.len() < root.len()).then_some(parent)
            });
        match wider {
            Some(wider) => root = wider,
            None => return root,
        }
    }
}

fn edited_pointer(edit: &Edit) -> Option<&str> {
    match edit {
        Edit::SetJson((pointer, _)) | Edit::RemoveJson(pointer) => Some(pointer),
        _ => None,
    }
}

/// What gets an element if it is an array, of which the pointer names a part.
fn appended_to(pointer: &str) -> Option<&str> {
    pointer.find("/-/").map(|at| &pointer[..at])
}

/// Whether an edit may change what is at `pointer`. An edit in an array bears on all
/// of its elements, since they may move.
fn touches(edit: &Edit, pointer: &str) -> bool {
    if matches!(edit, Edit::ReplaceBody(_)) {
        return true;
    }
    edited_pointer(edit).is_some_and(|edited| {
        covers(edited, pointer)
            || covers(pointer, edited)
            || split_last(edited)
                .is_some_and(|(parent, token)| is_index(token) && covers(parent, pointer))
            || appended_to(edited).is_some_and(|array| covers(array, pointer))
    })
}

/// An edit that the host will refuse changes nothing here either.
fn apply(edit: &Edit, root: &str, document: &mut serde_json::Value) {
    let inside = |edited: &str| covers(root, edited).then(|| edited[root.len()..].to_owned());
    let _refused_by_the_host = match edit {
        Edit::SetJson((edited, value)) => {
            inside(edited).map(|edited| pointer::set(document, &edited, value.to_json()))
        }
        Edit::RemoveJson(edited) => inside(edited).map(|edited| pointer::remove(document, &edited)),
        _ => None,
    };
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn set(pointer: &str, value: serde_json::Value) -> Edit {
        Edit::SetJson((pointer.to_owned(), value.into()))
    }

    fn remove(pointer: &str) -> Edit {
        Edit::RemoveJson(pointer.to_owned())
    }

    fn read(
        document: &serde_json::Value,
        edits: &[Edit],
        pointer: &str,
    ) -> Option<serde_json::Value> {
        json(edits, pointer, |pointer| {
            document.pointer(pointer).cloned().map(Value::from)
        })
        .map(|value| value.to_json())
    }

    #[test]
    fn a_field_that_was_set_is_read_without_asking_the_host() {
        let edits = [set("/model", json!("b"))];
        let found = json(&edits, "/model", |_| panic!("the host was asked"));
        assert_eq!(found, Some(Value::from("b")));
    }

    #[test]
    fn a_field_that_no_edit_touches_comes_from_the_host() {
        let document = json!({ "model": "a", "n": 1 });
        assert_eq!(
            read(&document, &[set("/model", json!("b"))], "/n"),
            Some(json!(1))
        );
    }

    #[test]
    fn removing_an_element_moves_the_ones_behind_it() {
        let document = json!({ "messages": ["a", "b", "c"] });
        assert_eq!(
            read(&document, &[remove("/messages/0")], "/messages/0"),
            Some(json!("b"))
        );
        assert_eq!(
            read(&document, &[remove("/messages/0")], "/messages/2"),
            None
        );
    }

    #[test]
    fn a_container_is_read_with_the_edits_inside_it() {
        let document = json!({ "a": { "b": 1, "c": 2 } });
        let edits = [
            set("/a/b", json!(9)),
            remove("/a/c"),
            set("/a/d/e", json!(true)),
        ];
        assert_eq!(
            read(&document, &edits, "/a"),
            Some(json!({ "b": 9, "d": { "e": true } }))
        );
    }

    #[test]
    fn after_the_body_is_replaced_fields_come_from_the_new_one() {
        let edits = [
            set("/a", json!(1)),
            Edit::ReplaceBody(br#"{"b":2}"#.to_vec()),
            set("/c", json!(3)),
        ];
        assert_eq!(read(&json!({}), &edits, "/a"), None);
        assert_eq!(read(&json!({}), &edits, "/b"), Some(json!(2)));
        assert_eq!(read(&json!({}), &edits, "/c"), Some(json!(3)));
    }

    #[test]
    fn a_header_is_read_as_the_edits_leave_it() {
        let edit = |name: &str, value: &str| crate::Header {
            name: name.to_owned(),
            value: value.as_bytes().to_vec(),
        };
        let host = || Some(b"host".to_vec());
        assert_eq!(header(&[], "X-A", host), Some(b"host".to_vec()));
        assert_eq!(
            header(&[Edit::AppendHeader(edit("x-a", "more"))], "X-A", host),
            Some(b"host".to_vec())
        );
        assert_eq!(
            header(&[Edit::RemoveHeader("x-a".to_owned())], "X-A", host),
            None
        );
        let edits = [
            Edit::RemoveHeader("x-a".to_owned()),
            Edit::AppendHeader(edit("x-a", "new")),
        ];
        assert_eq!(header(&edits, "X-A", host), Some(b"new".to_vec()));
    }

    #[test]
    fn a_part_of_an_element_that_is_appended_makes_the_element() {
        let document = json!({ "b": [1], "c": {} });
        for at in ["/b/-/a", "/c/-/a"] {
            let edits = [set(at, json!(2))];
            let mut edited = document.clone();
            pointer::set(&mut edited, at, json!(2)).unwrap();
            for pointer in [
                "/b/-", "/b/-/a", "/b/1", "/b/1/a", "/b", "/c/-", "/c/-/a", "/c",
            ] {
                let held = edited.pointer(pointer).cloned();
                assert_eq!(read(&document, &edits, pointer), held, "{at} {pointer}");
            }
        }
    }

    fn any_pointer() -> impl Strategy<Value = String> {
        let token = prop::sample::select(vec!["a", "b", "0", "1", "-"]);
        prop::collection::vec(token, 0..4).prop_map(|tokens| {
            tokens
                .into_iter()
                .map(|token| format!("/{token}"))
                .collect()
        })
    }

    fn any_edit() -> impl Strategy<Value = Edit> {
        let value = prop::sample::select(vec![
            json!(1),
            json!({ "a": [7, 8] }),
            json!([{ "b": 2 }, 3]),
            json!("x"),
        ]);
        (any_pointer(), prop::option::of(value)).prop_map(|(pointer, value)| match value {
            Some(value) => set(&pointer, value),
            None => remove(&pointer),
        })
    }

    proptest! {
        #[test]
        fn a_read_answers_what_the_edited_document_holds(
            edits in prop::collection::vec(any_edit(), 0..5),
            pointer in any_pointer(),
        ) {
            let document = json!({ "a": { "a": 1, "b": [ { "a": 1 }, 2 ] }, "b": [ [1, 2], { "a": 3 }, 4 ] });
            let mut edited = document.clone();
            let mut held = Vec::new();
            for edit in edits {
                let done = match &edit {
                    Edit::SetJson((at, value)) => pointer::set(&mut edited, at, value.to_json()),
                    Edit::RemoveJson(at) => pointer::remove(&mut edited, at),
                    _ => Ok(()),
                };
                if done.is_ok() {
                    held.push(edit);
                }
            }
            prop_assert_eq!(read(&document, &held, &pointer), edited.pointer(&pointer).cloned());
        }
    }
}
