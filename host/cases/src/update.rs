//! A case's text with what was got in place of what it expected.

use serde_json::{Map, Value};

use crate::{case::Case, emit, got::Got};

/// The text with another `expect`; everything else stays as it is written. What the case
/// spoke of is written anew; a case that expected nothing gets everything that came of it.
#[must_use]
pub fn updated(case: &Case, got: &Got) -> String {
    let expect = match case.expect.as_ref().and_then(Value::as_object) {
        Some(stated) => renewed(stated, got),
        None => got.worth_writing(),
    };
    let mut block = String::from("expect:\n");
    for line in emit::yaml(&expect).lines() {
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
            let after = lines[begin + 1..].iter().position(|line| is_key(&line));
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
