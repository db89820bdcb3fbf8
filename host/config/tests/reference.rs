//! `docs/reference/configuration.md` is the schema in words. To write it anew:
//! `UPDATE_GOLDEN=1 cargo test -p tollgate-config`.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::{collections::BTreeSet, fmt::Write, fs};

use serde_json::Value;
use tollgate_config::json_schema;

const PAGE: &str = "../../docs/reference/configuration.md";
const WIDTH: usize = 118;

const HEAD: &str = "# Configuration reference

Every key, as the JSON schema has it: this page is made from the schema (`host/config/tests/reference.rs`), which
`tollgate` publishes for editors. [configuration.md](../configuration.md) explains the same keys with their defaults.
";

#[test]
fn the_reference_is_what_the_schema_says() {
    let page = page(&json_schema());
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(PAGE, &page).unwrap();
    }
    let written = fs::read_to_string(PAGE).unwrap_or_default();
    assert!(
        page == written,
        "{PAGE} is not what the schema says: run with UPDATE_GOLDEN=1 and commit"
    );
}

fn page(schema: &Value) -> String {
    let mut page = HEAD.to_owned();
    let mut told = BTreeSet::new();
    section(&mut page, "The file", schema);
    let mut open = names_in(schema);
    open.reverse();
    while let Some(name) = open.pop() {
        if told.insert(name.clone()) {
            let definition = &schema["$defs"][&name];
            section(&mut page, &name, definition);
            let mut below = names_in(definition);
            below.reverse();
            open.append(&mut below);
        }
    }
    assert_eq!(
        told.len(),
        schema["$defs"].as_object().unwrap().len(),
        "a definition that nothing leads to"
    );
    page
}

/// The definitions that are named here, in their order.
fn names_in(node: &Value) -> Vec<String> {
    match node {
        Value::Object(fields) => fields
            .iter()
            .filter(|(key, _)| *key != "$defs")
            .flat_map(|(key, value)| match (key.as_str(), value) {
                ("$ref", Value::String(to)) => vec![name_of(to)],
                _ => names_in(value),
            })
            .collect(),
        Value::Array(items) => items.iter().flat_map(names_in).collect(),
        _ => Vec::new(),
    }
}

fn name_of(reference: &str) -> String {
    reference.trim_start_matches("#/$defs/").to_owned()
}

fn section(page: &mut String, title: &str, node: &Value) {
    writeln!(page, "\n## {title}\n").unwrap();
    if let Some(words) = node["description"].as_str() {
        page.push_str(&wrapped(words, ""));
        page.push('\n');
    }
    keys(page, node);
    if choices(node).any(|choice| only_key(choice).is_some()) {
        let gap = if page.ends_with("\n\n") { "" } else { "\n" };
        write!(page, "{gap}Exactly one of:\n\n").unwrap();
    }
    for choice in choices(node) {
        if let Some((key, value)) = only_key(choice) {
            item(page, &format!("`{key}` ({})", kind(value)), choice);
        } else if let Some(literal) = choice["const"].as_str() {
            item(page, &format!("`{literal}`"), choice);
        } else if let Some(literals) = choice["enum"].as_array() {
            for literal in literals {
                item(page, &format!("`{}`", literal.as_str().unwrap()), choice);
            }
        } else if choice["properties"].is_object() {
            keys(page, choice);
        } else {
            item(page, &kind(choice), choice);
        }
    }
}

fn choices(node: &Value) -> impl Iterator<Item = &Value> {
    let lists = ["oneOf", "anyOf"]
        .into_iter()
        .map(|key| node[key].as_array());
    lists.flatten().flatten()
}

/// The key of a choice that is told from the others by it alone.
fn only_key(choice: &Value) -> Option<(&String, &Value)> {
    let properties = choice["properties"].as_object()?;
    let first = properties.iter().next()?;
    (properties.len() == 1).then_some(first)
}

fn keys(page: &mut String, node: &Value) {
    let required = node["required"].as_array();
    for (key, value) in node["properties"].as_object().into_iter().flatten() {
        let is_required = required.is_some_and(|names| names.iter().any(|name| name == key));
        let must = if is_required { ", required" } else { "" };
        item(page, &format!("`{key}` ({}{must})", kind(value)), value);
    }
}

/// One entry of a list, with what there is to say about it.
fn item(page: &mut String, term: &str, node: &Value) {
    let words = node["description"].as_str().unwrap_or_default();
    let text = match words {
        "" => term.to_owned(),
        words => format!("{term}: {words}"),
    };
    page.push_str(&wrapped(&text, "- "));
}

/// What may stand there.
fn kind(node: &Value) -> String {
    if let Some(to) = node["$ref"].as_str() {
        let name = name_of(to);
        return format!("[{name}](#{})", name.to_lowercase());
    }
    let some: Vec<String> = choices(node)
        .filter(|choice| choice["type"] != "null")
        .map(kind)
        .collect();
    if !some.is_empty() {
        return some.join(" or ");
    }
    if let Some(literal) = node["const"].as_str() {
        return format!("`{literal}`");
    }
    let types = match &node["type"] {
        Value::String(one) => vec![one.as_str()],
        Value::Array(many) => many.iter().filter_map(Value::as_str).collect(),
        _ => vec!["any"],
    };
    let types = types.into_iter().filter(|kind| *kind != "null");
    let named = types.map(|kind| match kind {
        "string" => "text".to_owned(),
        "boolean" => "`true` or `false`".to_owned(),
        "array" => format!("list of {}", self::kind(&node["items"])),
        "object" if node["additionalProperties"].is_object() => {
            format!("map of {}", self::kind(&node["additionalProperties"]))
        }
        "object" => "map".to_owned(),
        "any" => "anything".to_owned(),
        other => other.to_owned(),
    });
    named.collect::<Vec<_>>().join(" or ")
}

/// Paragraphs of lines that are not too long, the first behind `mark`.
fn wrapped(text: &str, mark: &str) -> String {
    let mut out = String::new();
    let mut line = mark.to_owned();
    let indent = " ".repeat(mark.len());
    for paragraph in text.split("\n\n") {
        for word in paragraph.split_whitespace() {
            if line.trim_end().len() + word.len() >= WIDTH {
                out.push_str(line.trim_end());
                out.push('\n');
                line.clone_from(&indent);
            }
            line.push_str(word);
            line.push(' ');
        }
        out.push_str(line.trim_end());
        out.push('\n');
        line.clone_from(&indent);
    }
    out
}

#[test]
fn of_keys_that_exclude_each_other_none_is_required() {
    let one = |key: &str, words: &str| {
        serde_json::json!({
            "type": "object",
            "description": words,
            "properties": { key: { "type": "string" } },
            "required": [key],
        })
    };
    let node = serde_json::json!({ "oneOf": [one("env", "A variable."), one("file", "A file.")] });
    let mut page = String::new();
    section(&mut page, "Secret", &node);
    assert_eq!(
        page,
        "\n## Secret\n\nExactly one of:\n\n- `env` (text): A variable.\n- `file` (text): A file.\n"
    );
}
