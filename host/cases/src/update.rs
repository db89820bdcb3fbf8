//! A case's text with what was got in place of what it expected.

use std::path::PathBuf;

use serde_json::{Map, Value};
use tollgate_config::read_yaml;

use crate::{
    case::Case,
    compare::{canonical, part},
    emit,
    got::Got,
};

/// Why a case's text is left as it is. `Display` is a whole message for its author.
#[derive(Debug, thiserror::Error)]
#[error("{}:{line}: not updated: {why}; write `expect:` by hand, at the beginning of a line of its own", file.display())]
pub struct NotUpdated {
    file: PathBuf,
    line: usize,
    why: &'static str,
}

/// The text with another `expect`; everything else stays as it is written. What the case
/// spoke of is written anew; a case that expected nothing gets everything that came of it.
///
/// # Errors
/// The text is written so that it cannot be done line by line.
pub fn updated(case: &Case, got: &Got) -> Result<String, NotUpdated> {
    let expect = match case.expect.as_ref().and_then(Value::as_object) {
        Some(stated) => renewed(stated, got),
        None => got.worth_writing(),
    };
    let expect = canonical(expect);
    let mut block = String::from("expect:\n");
    for line in emit::yaml(&expect).lines() {
        block.push_str("  ");
        block.push_str(line);
        block.push('\n');
    }
    let lines: Vec<&str> = case.text.split_inclusive('\n').collect();
    let (begin, end) = block_of(&lines);
    let not = |why| NotUpdated {
        file: case.file.clone(),
        line: begin.min(lines.len().saturating_sub(1)) + 1,
        why,
    };
    if case.expect.is_some() && begin == end {
        return Err(not("its `expect` does not begin a line"));
    }
    let mut text = lines[..begin].concat();
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text.push_str(&block);
    text.push_str(&lines[end..].concat());
    if is_renewed(case, &text, &expect) {
        Ok(text)
    } else {
        Err(not("the rest of the text would not be what it was"))
    }
}

/// The lines of `expect` with all that stands below it, but not what stands above the next key;
/// an empty range at the end, if there is no such key.
fn block_of(lines: &[&str]) -> (usize, usize) {
    let is_key = |line: &&str| line.starts_with(|c: char| !c.is_whitespace() && c != '#');
    let is_expect = |line: &&str| {
        let names = ["expect:", "\"expect\":", "'expect':"];
        names.iter().any(|name| line.starts_with(name))
    };
    let Some(begin) = lines.iter().position(is_expect) else {
        return (lines.len(), lines.len());
    };
    let after = lines[begin + 1..].iter().position(is_key);
    let next = after.map_or(lines.len(), |after| begin + 1 + after);
    let is_between = |line: &&&str| line.starts_with('#') || line.trim().is_empty();
    let between = lines[begin + 1..next].iter().rev().take_while(is_between);
    (begin, next - between.count())
}

/// Whether the text says what it said before, and expects this.
fn is_renewed(case: &Case, text: &str, expect: &Value) -> bool {
    let apart = |text: &str| -> Option<(Value, Option<Value>)> {
        let mut all: Map<String, Value> = read_yaml(text, &case.file).ok()?;
        let expect = all.remove("expect");
        Some((Value::Object(all), expect))
    };
    let is_case = Case::read(&case.file, text.to_owned()).is_ok();
    let (before, now) = (apart(&case.text), apart(text));
    let (Some((before, _)), Some((now, Some(expects)))) = (before, now) else {
        // Nothing but comments is no map.
        return is_case && case.text.lines().all(is_comment);
    };
    is_case && before == now && canonical(expects) == *expect
}

fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with('#') || line.trim().is_empty()
}

fn renewed(stated: &Map<String, Value>, got: &Got) -> Value {
    let all = got.value();
    let mut kept = Map::new();
    for (hook, expected) in stated {
        match (part(expected, all.get(hook)), all.get(hook)) {
            // A verdict that has become a failure, say.
            (Some(Value::Object(part)), Some(value)) if part.is_empty() => {
                kept.insert(hook.clone(), value.clone());
            }
            (Some(part), _) => {
                kept.insert(hook.clone(), part);
            }
            (None, _) => {}
        }
    }
    if let Some(step) = got.failed() {
        let hook = Value::Object(step.value());
        kept.entry(step.hook).or_insert(hook);
        if let (Some(Value::Object(hook)), Some(failure)) = (kept.get_mut(step.hook), &step.failure)
        {
            hook.insert("failure".to_owned(), Value::from(failure.what.as_str()));
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
    use crate::got::{Failed, Step};

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
        let text = "# why\nexpect:\n  # of old\n  on_request:\n    edits: []\n\n# of the request\n\nrequest: {} # last\n";
        let renewed = "# why\nexpect:\n  on_request:\n    edits:\n      - set_header: { x: \"1\" }\n\n# of the request\n\nrequest: {} # last\n";
        assert_eq!(updated(&case(text), &got()).unwrap(), renewed);
        assert_eq!(updated(&case(renewed), &got()).unwrap(), renewed);
    }

    #[test]
    fn a_case_that_says_nothing_gets_all_that_is_worth_saying() {
        let expected = "about: New.\nexpect:\n  on_request:\n    verdict: next\n    edits:\n      \
                        - set_header: { x: \"1\" }\n    log: [ \"info: hello\" ]\n";
        assert_eq!(updated(&case("about: New."), &got()).unwrap(), expected);
        let (_, block) = expected.split_once('\n').unwrap();
        for before in ["", "# Only a comment.\n", "\n"] {
            let text = updated(&case(before), &got()).unwrap();
            assert_eq!(text, format!("{before}{block}"));
        }
        let nothing = Got {
            steps: vec![Step::new("open")],
            ..Got::default()
        };
        let text = updated(&case("about: New.\n"), &nothing).unwrap();
        assert!(case(&text).expect.is_some(), "{text}");
    }

    #[test]
    fn a_hook_that_fails_is_written_as_failing() {
        let mut got = got();
        got.steps[1].failure = Some(Failed {
            what: "trapped".to_owned(),
            whole: "trapped (in `f` at src/lib.rs:1)".to_owned(),
        });
        let text = updated(&case("expect: { on_request: { verdict: next } }\n"), &got);
        assert_eq!(
            text.unwrap(),
            "expect:\n  on_request: { verdict: next, failure: trapped }\n"
        );
    }

    #[test]
    fn what_is_not_to_be_stays_so_until_it_is() {
        let text = "expect:\n  on_request: { verdict: next, plan: null }\n  events: null\n";
        assert_eq!(updated(&case(text), &got()).unwrap(), text);
        let mut got = got();
        got.steps[1].plan = Some(json!({ "kind": "as_it_came" }));
        let written = updated(&case(text), &got).unwrap();
        assert!(written.contains("plan: { kind: as_it_came }"), "{written}");
    }

    #[test]
    fn comments_lines_and_a_key_in_quotes_stay_as_they_are() {
        let expect = "expect:\n  on_request: { verdict: next }\n";
        for (text, renewed) in [
            (
                "about: a\r\n\"expect\": { on_request: { verdict: { go_to: { model: m } } } }\r\n# end\r\n",
                format!("about: a\r\n{expect}# end\r\n"),
            ),
            (
                "'expect':\n  on_request:\n    verdict: { go_to: { model: m } }\n# of the target\ntarget: {}",
                format!("{expect}# of the target\ntarget: {{}}"),
            ),
            (
                "about: |\n  Long.\n\n  expect: no\nexpect: { on_request: { verdict: { go_to: { model: m } } } }",
                format!("about: |\n  Long.\n\n  expect: no\n{expect}"),
            ),
        ] {
            assert_eq!(updated(&case(text), &got()).unwrap(), renewed);
        }
    }

    #[test]
    fn a_text_that_could_not_be_read_again_is_left_alone_and_says_where() {
        for (text, line) in [
            (
                "{ expect: { on_request: { verdict: { go_to: { model: m } } } } }\n",
                1,
            ),
            ("# why\n{ request: {} }\n", 2),
            ("about: a\n...\n", 2),
            (
                "? expect\n: on_request: { verdict: { go_to: { model: m } } }\n",
                2,
            ),
            (
                "expect: &e\n  on_request: &h { verdict: { go_to: { model: m } } }\nsettings: { a: *h }\n",
                1,
            ),
        ] {
            let error = updated(&case(text), &got()).unwrap_err().to_string();
            assert!(
                error.starts_with(&format!("a.yaml:{line}: not updated: ")),
                "{text}{error}"
            );
        }
    }
}
