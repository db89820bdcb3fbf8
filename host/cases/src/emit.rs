//! JSON values as YAML that people read: block style, with short values on one line.

use serde_json::{Map, Value};
use tollgate_config::steers_terminal;

/// What fits on one line, in characters.
const LINE: usize = 88;

/// The value as YAML, ending with a line break.
pub(crate) fn yaml(value: &Value) -> String {
    let mut out = String::new();
    match value {
        Value::Object(map) if !map.is_empty() => entries(map, 0, &mut out),
        Value::Array(items) if !items.is_empty() => list(items, 0, &mut out),
        other => {
            out.push_str(&inline(other));
            out.push('\n');
        }
    }
    out
}

fn entries(map: &Map<String, Value>, depth: usize, out: &mut String) {
    for (nth, (key, value)) in map.iter().enumerate() {
        // The first of a list's item stands beside its dash.
        if nth > 0 || out.is_empty() || out.ends_with('\n') {
            indent(depth, out);
        }
        out.push_str(&text(key));
        out.push(':');
        beneath(value, depth, out);
    }
}

/// What follows a key.
fn beneath(value: &Value, depth: usize, out: &mut String) {
    match value {
        Value::Object(map) if !fits(value, depth) => {
            out.push('\n');
            entries(map, depth + 1, out);
        }
        Value::Array(items) if !fits(value, depth) => {
            out.push('\n');
            list(items, depth + 1, out);
        }
        other => {
            out.push(' ');
            out.push_str(&inline(other));
            out.push('\n');
        }
    }
}

fn list(items: &[Value], depth: usize, out: &mut String) {
    for (nth, item) in items.iter().enumerate() {
        if nth > 0 || out.is_empty() || out.ends_with('\n') {
            indent(depth, out);
        }
        out.push_str("- ");
        match item {
            // A map of one key needs no braces.
            Value::Object(map) if map.len() == 1 || !fits(item, depth) => {
                entries(map, depth + 1, out);
            }
            Value::Array(inner) if !fits(item, depth) => list(inner, depth + 1, out),
            other => {
                out.push_str(&inline(other));
                out.push('\n');
            }
        }
    }
}

fn indent(depth: usize, out: &mut String) {
    out.extend(std::iter::repeat_n("  ", depth));
}

/// A list of several maps is easier to read, and to compare, item by item.
fn fits(value: &Value, depth: usize) -> bool {
    let is_flat = match value {
        Value::Object(map) => map
            .values()
            .all(|value| !value.is_object() && is_short(value)),
        Value::Array(items) => items.iter().all(|item| !item.is_object() && is_short(item)),
        _ => true,
    };
    let is_empty = matches!(value, Value::Object(map) if map.is_empty())
        || matches!(value, Value::Array(items) if items.is_empty());
    is_empty || (is_flat && depth * 2 + inline(value).chars().count() < LINE)
}

/// Nothing within that nests further.
fn is_short(value: &Value) -> bool {
    match value {
        Value::Object(map) => map
            .values()
            .all(|value| !value.is_object() && !value.is_array()),
        Value::Array(items) => items
            .iter()
            .all(|item| !item.is_object() && !item.is_array()),
        _ => true,
    }
}

fn inline(value: &Value) -> String {
    match value {
        Value::String(string) => text(string),
        Value::Array(items) if items.is_empty() => "[]".to_owned(),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(inline).collect();
            format!("[ {} ]", items.join(", "))
        }
        Value::Object(map) if map.is_empty() => "{}".to_owned(),
        Value::Object(map) => {
            let entries: Vec<String> = map
                .iter()
                .map(|(key, value)| format!("{}: {}", text(key), inline(value)))
                .collect();
            format!("{{ {} }}", entries.join(", "))
        }
        other => other.to_string(),
    }
}

/// Plain where nobody could take it for anything else, else in quotes.
fn text(string: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-/. ".contains(&byte);
    let begins = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_' || byte == b'/';
    let is_plain = string.bytes().next().is_some_and(begins)
        && string.bytes().all(plain)
        && !string.ends_with(' ');
    let lower = string.to_ascii_lowercase();
    let is_value = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    if is_plain && !is_value.contains(&&*lower) {
        return string.to_owned();
    }
    // Nothing is escaped within single quotes.
    let has_escapes = string.contains(['"', '\\']);
    if has_escapes && !string.contains('\'') && !string.chars().any(is_escaped) {
        return format!("'{string}'");
    }
    quoted(string)
}

/// What steers a terminal, or YAML does not print.
fn is_escaped(character: char) -> bool {
    steers_terminal(character) || matches!(character, '\u{fffe}' | '\u{ffff}')
}

/// As in JSON.
fn quoted(string: &str) -> String {
    let mut out = String::from("\"");
    for character in string.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            character if is_escaped(character) => escape(character, &mut out),
            character => out.push(character),
        }
    }
    out.push('"');
    out
}

fn escape(character: char, out: &mut String) {
    out.push_str(&format!("\\u{:04x}", u32::from(character)));
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_decision_reads_like_a_person_wrote_it() {
        let value = json!({
            "on_request": {
                "verdict": { "refuse": { "status": 429, "code": "too_many", "message": "Try again later." } },
                "edits": [ { "set_header": { "x-a": "1" } }, { "set_json": { "/stop": ["\n\n"] } } ],
                "calls": [],
            },
            "events": [ { "data": "[DONE]" } ],
        });
        let expected = r#"on_request:
  verdict:
    refuse: { status: 429, code: too_many, message: Try again later. }
  edits:
    - set_header: { x-a: "1" }
    - set_json: { /stop: [ "\n\n" ] }
  calls: []
events:
  - data: "[DONE]"
"#;
        assert_eq!(yaml(&value), expected);
    }

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
            "[a-z/~ :#,-]{0,12}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 40, 5, |inner| {
            let key = prop_oneof![any::<String>(), "[a-z:# -]{1,6}"];
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::vec((key, inner), 0..5)
                    .prop_map(|entries| Value::Object(entries.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(value in values()) {
            let text = yaml(&value);
            let read: Value = tollgate_config::read_yaml(&text, Path::new("x.yaml"))
                .map_err(|problem| TestCaseError::fail(format!("{problem}\n{text}")))?;
            prop_assert_eq!(read, value, "{}", text);
        }
    }
}
