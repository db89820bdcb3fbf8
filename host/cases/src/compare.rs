//! What was expected beside what was got: as data, and line by line.

use std::fmt;

use serde_json::{Map, Value};
use similar::{ChangeTag, TextDiff};

use crate::{case::Case, emit, got::Got};

/// Lines around a difference.
const CONTEXT: usize = 3;
/// Lines that are compared, from about the first that differs: the time grows with their
/// square.
const COMPARED: usize = 2_000;

/// A line of a difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// In both.
    Same(String),
    /// Expected, and not there.
    Expected(String),
    /// There, and not expected.
    Got(String),
    /// Lines that are the same are left out.
    Gap,
}

/// How what was got differs from what was expected; at least one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    lines: Vec<Line>,
}

impl Difference {
    /// Line by line, with some that are the same around.
    #[must_use]
    pub fn lines(&self) -> &[Line] {
        &self.lines
    }
}

impl From<Vec<Line>> for Difference {
    fn from(lines: Vec<Line>) -> Self {
        Self { lines }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (nth, line) in self.lines.iter().enumerate() {
            if nth > 0 {
                f.write_str("\n")?;
            }
            match line {
                Line::Same(text) => write!(f, "  {text}")?,
                Line::Expected(text) => write!(f, "- {text}")?,
                Line::Got(text) => write!(f, "+ {text}")?,
                Line::Gap => f.write_str("  …")?,
            }
        }
        Ok(())
    }
}

/// `None`: everything that the case says came so.
pub(crate) fn compare(case: &Case, got: &Got) -> Option<Difference> {
    let empty = Map::new();
    let stated = case.expect.as_ref().and_then(Value::as_object);
    let expected = canonical(Value::Object(stated.unwrap_or(&empty).clone()));
    let got = canonical(Value::Object(what_is_stated(stated.unwrap_or(&empty), got)));
    if expected == got {
        return None;
    }
    Some(differing(&emit::yaml(&expected), &emit::yaml(&got)).into())
}

fn differing(expected: &str, got: &str) -> Vec<Line> {
    let pairs = expected.lines().zip(got.lines());
    let same = pairs.take_while(|(expected, got)| expected == got).count();
    let from = same.saturating_sub(CONTEXT);
    let compared = |text: &str| -> (String, bool) {
        let mut lines = text.split_inclusive('\n').skip(from);
        let kept = lines.by_ref().take(COMPARED).collect();
        (kept, lines.next().is_some())
    };
    let ((expected, expected_goes_on), (got, got_goes_on)) = (compared(expected), compared(got));
    let diff = TextDiff::from_lines(&expected, &got);
    let mut lines = Vec::new();
    for (nth, group) in diff.grouped_ops(CONTEXT).iter().enumerate() {
        if nth > 0 {
            lines.push(Line::Gap);
        }
        for change in group.iter().flat_map(|op| diff.iter_changes(op)) {
            let text = change.value().trim_end_matches('\n').to_owned();
            lines.push(match change.tag() {
                ChangeTag::Equal => Line::Same(text),
                ChangeTag::Delete => Line::Expected(text),
                ChangeTag::Insert => Line::Got(text),
            });
        }
    }
    if expected_goes_on || got_goes_on {
        lines.push(Line::Gap);
    }
    lines
}

/// Of what was got, what is spoken of: `null` where nothing was to come and nothing came.
pub(crate) fn part(expected: &Value, got: Option<&Value>) -> Option<Value> {
    match (expected, got) {
        (Value::Object(expected), Some(Value::Object(got))) => {
            let pairs = expected.iter().filter_map(|(key, expected)| {
                let got = got.get(key);
                // A list of nothing is nothing.
                let got = got.filter(|got| !(expected.is_null() && is_empty(got)));
                Some((key.clone(), whole(expected, got)?))
            });
            Some(Value::Object(pairs.collect()))
        }
        (expected, got) => whole(expected, got),
    }
}

fn whole(expected: &Value, got: Option<&Value>) -> Option<Value> {
    match got {
        Some(got) => Some(got.clone()),
        None => expected.is_null().then_some(Value::Null),
    }
}

fn is_empty(value: &Value) -> bool {
    value.as_array().is_some_and(Vec::is_empty)
}

/// Of what was got, what the case says something about; and a failure that it does not
/// speak of, with the log that leads to it.
fn what_is_stated(stated: &Map<String, Value>, got: &Got) -> Map<String, Value> {
    let all = got.value();
    let mut kept = Map::new();
    for (hook, expected) in stated {
        if let Some(part) = part(expected, all.get(hook)) {
            kept.insert(hook.clone(), part);
        }
    }
    if let Some(error) = all.get("load_error") {
        kept.insert("load_error".to_owned(), error.clone());
    }
    if let Some(step) = got.failed() {
        let slot = kept
            .entry(step.hook)
            .or_insert_with(|| Value::Object(Map::new()));
        if let Value::Object(slot) = slot {
            let is_expected = stated
                .get(step.hook)
                .is_some_and(|hook| hook.get("failure").is_some());
            let value = step.value();
            let shown: &[&str] = if is_expected {
                &["failure"]
            } else {
                &["log", "failure"]
            };
            for key in shown {
                if let Some(value) = value.get(*key) {
                    slot.insert((*key).to_owned(), value.clone());
                }
            }
        }
    }
    kept
}

/// The same text for what is the same: numbers by their value.
pub(crate) fn canonical(value: Value) -> Value {
    match value {
        Value::Number(number) => {
            let whole = number
                .as_f64()
                .filter(|float| number.is_f64() && float.fract() == 0.0 && float.abs() < 9e15);
            #[expect(
                clippy::cast_possible_truncation,
                reason = "it is whole and small enough"
            )]
            whole.map_or(Value::Number(number), |float| Value::from(float as i64))
        }
        Value::Array(items) => items.into_iter().map(canonical).collect(),
        Value::Object(map) => {
            let entries = map.into_iter().map(|(key, value)| (key, canonical(value)));
            Value::Object(entries.collect())
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

    use std::path::Path;

    use serde_json::json;

    use super::*;
    use crate::got::{Failed, Step};

    fn compared(expect: &str, got: &Got) -> Option<String> {
        let text = format!("expect: {expect}\n");
        let case = Case::read(Path::new("a.yaml"), text).unwrap();
        compare(&case, got).map(|difference| difference.to_string())
    }

    fn got() -> Got {
        let mut step = Step::new("on_request");
        step.verdict = Some(json!("next"));
        step.edits = vec![json!({ "set_json": { "/a": 1.0 } })];
        Got {
            steps: vec![step],
            ..Got::default()
        }
    }

    #[test]
    fn what_is_not_written_is_not_looked_at() {
        assert_eq!(compared("{ on_request: { verdict: next } }", &got()), None);
        assert_eq!(compared("{ on_request: { calls: [] } }", &got()), None);
    }

    #[test]
    fn numbers_are_compared_by_their_value() {
        assert_eq!(
            compared(
                "{ on_request: { edits: [ { set_json: { /a: 1 } } ] } }",
                &got()
            ),
            None
        );
        let difference = compared(
            "{ on_request: { edits: [ { set_json: { /a: 2 } } ] } }",
            &got(),
        );
        let shown =
            "  on_request:\n    edits:\n-     - set_json: { /a: 2 }\n+     - set_json: { /a: 1 }";
        assert_eq!(difference.as_deref(), Some(shown));
    }

    #[test]
    fn of_what_is_long_and_differs_only_the_beginning_is_compared() {
        let numbered = |word: &str| -> String {
            (0..3 * COMPARED)
                .map(|nth| format!("{word}{nth}\n"))
                .collect()
        };
        let same = "same\n".repeat(3 * COMPARED);
        let lines = differing(
            &format!("{same}{}", numbered("a")),
            &format!("{same}{}", numbered("b")),
        );
        assert_eq!(lines.len(), 2 * COMPARED - CONTEXT + 1);
        assert_eq!(lines[0], Line::Same("same".to_owned()));
        assert_eq!(lines[CONTEXT], Line::Expected("a0".to_owned()));
        assert_eq!(lines.last(), Some(&Line::Gap));
        assert_eq!(
            differing("a\nb\n", "a\nc\n"),
            [
                Line::Same("a".to_owned()),
                Line::Expected("b".to_owned()),
                Line::Got("c".to_owned())
            ]
        );
    }

    #[test]
    fn a_hook_that_was_not_called_differs() {
        let difference = compared("{ on_response: { verdict: next } }", &got()).unwrap();
        assert!(
            difference.contains("- on_response: { verdict: next }"),
            "{difference}"
        );
    }

    #[test]
    fn a_null_says_that_something_is_not_there() {
        let mut got = got();
        assert_eq!(
            compared("{ on_request: { plan: null, shadow: null } }", &got),
            None
        );
        assert_eq!(
            compared(
                "{ on_request: { calls: null }, on_response: null, events: null }",
                &got
            ),
            None
        );
        let difference = compared("{ on_request: { verdict: null } }", &got).unwrap();
        assert_eq!(
            difference,
            "- on_request: { verdict: null }\n+ on_request: { verdict: next }"
        );
        got.steps[0].plan = Some(json!({ "key": "a" }));
        let difference = compared("{ on_request: { plan: null } }", &got).unwrap();
        assert_eq!(
            difference,
            "- on_request: { plan: null }\n+ on_request:\n+   plan: { key: a }"
        );
        let difference = compared("{ on_request: null }", &got).unwrap();
        assert!(difference.starts_with("- on_request: null"), "{difference}");
        let difference = compared("{ on_response: { edits: null } }", &got).unwrap();
        assert!(
            difference.contains("- on_response: { edits: null }"),
            "{difference}"
        );
    }

    #[test]
    fn a_hook_of_which_nothing_is_said_is_refused() {
        for expect in ["{ on_request: {} }", "{ events: [], on_finish: {} }"] {
            let text = format!("expect: {expect}\n");
            let error = Case::read(Path::new("a.yaml"), text)
                .unwrap_err()
                .to_string();
            assert!(error.contains("nothing is expected of `on_"), "{error}");
        }
    }

    #[test]
    fn a_failure_that_is_not_expected_fails_every_case_and_shows_the_log() {
        let mut got = got();
        got.steps[0].failure = Some(Failed {
            what: "trapped".to_owned(),
            whole: "trapped (in `f` at src/lib.rs:1)".to_owned(),
        });
        got.steps[0].log = vec!["error: panicked at src/lib.rs:1:1: no".to_owned()];
        let difference = compared("{ events: [] }", &got).unwrap();
        assert!(difference.contains("failure: trapped }"), "{difference}");
        assert!(
            difference.contains("panicked at src/lib.rs:1:1"),
            "{difference}"
        );
        let expected = "{ on_request: { failure: trapped } }";
        assert_eq!(compared(expected, &got), None);
        assert_eq!(
            got.failure().as_deref(),
            Some("on_request: it trapped (in `f` at src/lib.rs:1)")
        );
    }
}
