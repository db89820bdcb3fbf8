//! Every good configuration with one thing in it made wrong, key by key and value by value:
//! what is told stands where the mistake is, and nothing is told that is right without it.
//!
//! So a check that holds something against a value for what stands beside it has to know
//! what is missing there.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::{fs, ops::Range, path::Path};

use serde_json::Value;
use tollgate_config::{ConfigError, Problem, locate_in, parse_str, read_yaml};

const FILE: &str = "tollgate.yaml";

/// Maps whose keys are names of the operator's, which are told where they are used.
const NAMED: [&str; 4] = ["/secrets", "/policies", "/upstreams", "/models"];

/// And those whose keys are anybody's.
const FREE: [&str; 3] = ["/settings", "/headers", "/weights"];

/// One value of a configuration.
struct Spot {
    pointer: String,
    key: Option<Key>,
    /// Of the value in the text, if it stands on one line; it begins there in any case.
    extent: Range<usize>,
    value: Value,
}

struct Key {
    name: String,
    extent: Range<usize>,
}

/// What is made wrong, and where.
#[derive(Clone)]
struct Mistake<'a> {
    spot: &'a Spot,
    text: String,
    /// Where it may be told.
    told: Range<usize>,
    /// One that no type has.
    is_unknown_key: bool,
}

fn configurations() -> Vec<(String, String)> {
    let mut found: Vec<_> = fs::read_dir("tests/golden")
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|is| is == "yaml"))
        .filter_map(|path| {
            let name = path.file_name()?.to_str()?.to_owned();
            let text = name.starts_with("good").then(|| fs::read_to_string(&path));
            Some((name, text?.unwrap()))
        })
        .collect();
    found.sort();
    assert!(found.len() >= 6, "the golden folder is not there");
    found
}

fn read(text: &str) -> Vec<Problem> {
    match parse_str(text, FILE, Path::new("/etc/tollgate")) {
        Ok(_) => Vec::new(),
        Err(ConfigError::Invalid(problems)) => problems.iter().cloned().collect(),
        Err(other) => panic!("{other}"),
    }
}

fn spots(text: &str) -> Vec<Spot> {
    fn below(text: &str, pointer: &str, value: &Value, spots: &mut Vec<Spot>) {
        let children: Vec<(String, &Value)> = match value {
            Value::Object(map) => map
                .iter()
                .map(|(key, value)| (key.clone(), value))
                .collect(),
            Value::Array(items) => {
                let numbered = items.iter().enumerate();
                numbered
                    .map(|(nth, value)| (nth.to_string(), value))
                    .collect()
            }
            _ => return,
        };
        for (token, child) in children {
            let escaped = token.replace('~', "~0").replace('/', "~1");
            let pointer = format!("{pointer}/{escaped}");
            let at = locate_in(text, Path::new(FILE), &pointer).unwrap();
            let from = offset(text, (at.line, at.column));
            let key = value.is_object().then(|| key_before(text, from, &token));
            spots.push(Spot {
                key,
                extent: from..end_of(text, from, child),
                value: child.clone(),
                pointer: pointer.clone(),
            });
            below(text, &pointer, child, spots);
        }
    }
    let all: Value = read_yaml(text, Path::new(FILE)).unwrap();
    let mut spots = Vec::new();
    below(text, "", &all, &mut spots);
    // What an alias stands for is seen once.
    spots.sort_by_key(|spot| spot.extent.start);
    spots.dedup_by_key(|spot| spot.extent.start);
    spots
}

fn offset(text: &str, (line, column): (usize, usize)) -> usize {
    let before: usize = text
        .split_inclusive('\n')
        .take(line - 1)
        .map(str::len)
        .sum();
    let characters = text[before..].chars().take(column - 1);
    before + characters.map(char::len_utf8).sum::<usize>()
}

/// A key stands right before its value.
fn key_before(text: &str, value: usize, name: &str) -> Key {
    let is_key = |at: &usize| {
        let rest = text[at + name.len()..].trim_start_matches(['"', '\'']);
        rest.trim_start().starts_with(':')
    };
    let found = text[..value].rmatch_indices(name).map(|(at, _)| at);
    let at = { found }.find(is_key).unwrap();
    Key {
        name: name.to_owned(),
        extent: at..at + name.len(),
    }
}

/// The end of the longest piece of the line that says this; an empty one if none does.
fn end_of(text: &str, from: usize, value: &Value) -> usize {
    let line = text[from..].lines().next().unwrap();
    let ends = line
        .char_indices()
        .map(|(at, c)| from + at + c.len_utf8())
        .rev();
    let says = |end: &usize| {
        let piece = &text[from..*end];
        let is_whole = piece.trim_end() == piece;
        is_whole && read_yaml::<Value>(piece, Path::new(FILE)).is_ok_and(|said| said == *value)
    };
    { ends }.find(says).unwrap_or(from)
}

fn with(text: &str, at: &Range<usize>, new: &str) -> String {
    format!("{}{new}{}", &text[..at.start], &text[at.end..])
}

/// Of another form, and of the same form but wrong.
fn broken_values<'a>(text: &str, spot: &'a Spot) -> Vec<Mistake<'a>> {
    let broken: &[&str] = match &spot.value {
        _ if spot.extent.is_empty() => &[],
        Value::Array(_) | Value::Object(_) => &["\"?\"", "7"],
        Value::String(_) => &["[[]]", "\"?\\t\""],
        Value::Number(_) => &["[[]]", "-7"],
        _ => &["[[]]", "7"],
    };
    let from = spot
        .key
        .as_ref()
        .map_or(spot.extent.start, |key| key.extent.start);
    let wrong = broken.iter().map(|new| Mistake {
        spot,
        text: with(text, &spot.extent, new),
        told: from.saturating_sub(1)..spot.extent.start + new.len(),
        is_unknown_key: false,
    });
    wrong.collect()
}

/// A slip of the finger, and another word.
fn misspelt_keys<'a>(text: &str, spot: &'a Spot) -> Vec<Mistake<'a>> {
    let Some(key) = &spot.key else {
        return Vec::new();
    };
    let (above, _) = spot.pointer.rsplit_once('/').unwrap();
    let is_free = NAMED.contains(&above) || FREE.iter().any(|free| above.contains(free));
    let wrong = [format!("{}x", key.name), "qzjwvqzjwv".to_owned()].map(|new| Mistake {
        spot,
        text: with(text, &key.extent, &new),
        told: key.extent.start.saturating_sub(1)..key.extent.start + new.len(),
        is_unknown_key: !is_free,
    });
    wrong.into()
}

/// Whether the problem is about this mistake.
fn is_about(problem: &Problem, mistake: &Mistake<'_>) -> bool {
    let at = offset(
        &mistake.text,
        (problem.location.line, problem.location.column),
    );
    // What is called otherwise is missing under its name.
    let is_missed = |key: &Key| {
        let message = &problem.message;
        let no_such = format!(" `{}`", key.name);
        *message == format!("`{}` is missing here", key.name)
            || message.starts_with("there is no ") && message.ends_with(&no_such)
    };
    mistake.told.contains(&at) || mistake.spot.key.as_ref().is_some_and(is_missed)
}

#[test]
fn one_mistake_is_told_where_it_is_and_nothing_else_is() {
    let mut astray = Vec::new();
    for (name, text) in configurations() {
        assert!(read(&text).is_empty(), "{name}");
        for spot in &spots(&text) {
            let mistakes = [broken_values(&text, spot), misspelt_keys(&text, spot)].concat();
            for mistake in mistakes {
                let told = read(&mistake.text);
                if mistake.is_unknown_key && told.is_empty() {
                    astray.push(format!("{name}: {}: nothing is told", mistake.spot.pointer));
                }
                let lost = told.iter().filter(|problem| !is_about(problem, &mistake));
                astray.extend(
                    lost.map(|problem| format!("{name}: {}: {problem}", mistake.spot.pointer)),
                );
            }
        }
    }
    assert!(
        astray.is_empty(),
        "{} astray:\n\n{}",
        astray.len(),
        astray.join("\n\n")
    );
}
