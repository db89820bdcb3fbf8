//! A case's text with what was got in place of what it expected.

use serde_json::{Map, Value};

use crate::{case::Case, compare::canonical, emit, got::Got};

/// The text with another `expect`; everything else stays as it is written. What the case
/// spoke of is written anew; a case that expected nothing gets everything that came of it.
#[must_use]
pub fn updated(case: &Case, got: &Got) -> String {
    let expect = match case.expect.as_ref().and_then(Value::as_object) {
        Some(stated) => renewed(stated, got),
        None => got.worth_writing(),
    };
    let mut block = String::from("expect:\n");
    for line in emit::yaml(&canonical(expect)).lines() {
        block.push_str("  ");
        block.push_str(line);
        block.push('\n');
    }
    let lines: Vec<&str> = case.text.lines().collect();
    let is_key = |line: &&str| line.starts_with(|c: char| !c.is_whitespace() && c != '#');
    let begin = lines.iter().position(|line| line.starts_with("expect:"));
    let mut out = String::new();
    let push = |lines: &[&str], out: &mut String| {
        for line in lines {
            out.push_str(line);
            out.push('\n');
        }
    };
    match begin {
        Some(begin) => {
            let after = lines[begin + 1..].iter().position(is_key);
            let end = after.map_or(lines.len(), |after| begin + 1 + after);
            push(&lines[..begin], &mut out);
            out.push_str(&block);
            push(&lines[end..], &mut out);
        }
        None => {
            push(&lines, &mut out);
            out.push_str(&block);
        }
    }
    out
}

fn renewed(stated: &Map<String, Value>, got: &Got) -> Value {
    let all = got.value();
    let mut kept = Map::new();
    for (hook, expected) in stated {
        match (expected, all.get(hook)) {
            (Value::Object(expected), Some(Value::Object(value))) => {
                let keys = expected.keys();
                let pairs = keys.filter_map(|key| Some((key.clone(), value.get(key)?.clone())));
                let pairs: Map<String, Value> = pairs.collect();
                // A verdict that has become a failure, say.
                let pairs = if pairs.is_empty() {
                    value.clone()
                } else {
                    pairs
                };
                kept.insert(hook.clone(), Value::Object(pairs));
            }
            (_, Some(value)) => {
                kept.insert(hook.clone(), value.clone());
            }
            (_, None) => {}
        }
    }
    if let Some(step) = got.failed() {
        let hook = Value::Object(step.value());
        kept.entry(step.hook).or_insert(hook);
        if let (Some(Value::Object(hook)), Some(failure)) = (kept.get_mut(step.hook), &step.failure)
        {
            hook.insert("failure".to_owned(), Value::from(failure.as_str()));
        }
    }
    if kept.is_empty() {
        return got.worth_writing();
    }
    Value::Object(kept)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

    use std::path::Path;

    use serde_json::json;

    use super::*;
    use crate::got::Step;

    fn case(text: &str) -> Case {
        Case::read(Path::new("a.yaml"), text.to_owned()).unwrap()
    }

    fn got() -> Got {
        let mut step = Step::new("on_request");
        step.verdict = Some(json!("next"));
        step.edits = vec![json!({ "set_header": { "x": "1" } })];
        step.log = vec!["info: hello".to_owned()];
        Got {
            steps: vec![Step::new("open"), step],
            ..Got::default()
        }
    }

    #[test]
    fn what_a_case_speaks_of_is_renewed_and_the_rest_of_its_text_stays() {
        let text =
            "# why\nexpect:\n  # of old\n  on_request:\n    edits: []\n\nrequest: {} # last\n";
        let renewed = "# why\nexpect:\n  on_request:\n    edits:\n      - set_header: { x: \"1\" }\nrequest: {} # last\n";
        assert_eq!(updated(&case(text), &got()), renewed);
        assert_eq!(updated(&case(renewed), &got()), renewed);
    }

    #[test]
    fn a_case_that_says_nothing_gets_all_that_is_worth_saying() {
        let expected = "about: New.\nexpect:\n  on_request:\n    verdict: next\n    edits:\n      \
                        - set_header: { x: \"1\" }\n    log: [ \"info: hello\" ]\n";
        assert_eq!(updated(&case("about: New."), &got()), expected);
    }

    #[test]
    fn a_hook_that_fails_is_written_as_failing() {
        let mut got = got();
        got.steps[1].failure = Some("trapped".to_owned());
        let text = updated(&case("expect: { on_request: { verdict: next } }\n"), &got);
        assert_eq!(
            text,
            "expect:\n  on_request: { verdict: next, failure: trapped }\n"
        );
    }
}
