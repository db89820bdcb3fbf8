//! Calls of capabilities whose answer is not the case's but lies with the message: seen in the
//! sandbox's own recording, and told as lines beside those that the case answers.

use serde_json::Value;
use tollgate_sandbox::{Call, Policy, Recording};

use crate::world::shown;

/// Interfaces of which nothing but a recording knows.
const SEEN: &[&str] = &["cache", "shadow", "endpoints"];

/// Whether the policy can make such calls.
pub(super) fn are_seen_in_recordings(policy: &Policy) -> bool {
    let imports = policy.imports();
    imports.iter().any(|name| SEEN.contains(&name.as_str()))
}

/// A line for each such call, in order.
pub(super) fn lines(recording: &Recording) -> Vec<String> {
    let mut lines: Vec<String> = recording.calls.iter().filter_map(line).collect();
    if recording.left_out > 0 {
        lines.push(format!("and {} reads and calls more", recording.left_out));
    }
    lines
}

fn line(call: &Call) -> Option<String> {
    let what = match call.name {
        "cache.set-plan" => "cache.set_plan()".to_owned(),
        "shadow.send-to" => {
            let parts = ["model", "upstream"].into_iter().filter_map(|part| {
                let name = call.arguments[part].as_str()?;
                Some(format!("{part} {}", shown(name.as_bytes())))
            });
            let parts: Vec<String> = parts.collect();
            format!("shadow.send_to({})", parts.join(", "))
        }
        "endpoints.candidates" => {
            let count = call.result["ok"].as_array().map_or(0, Vec::len);
            return Some(format!("endpoints.candidates() -> {count}"));
        }
        "endpoints.set-scores" => {
            let count = call.arguments.as_array().map_or(0, Vec::len);
            format!("endpoints.set_scores({count})")
        }
        _ => return None,
    };
    Some(format!("{what} -> {}", answer(&call.result)))
}

fn answer(result: &Value) -> String {
    match &result["error"] {
        Value::String(error) => {
            let name = error.rsplit("::").next().unwrap_or(error);
            format!("error: {}", words(name))
        }
        _ => "done".to_owned(),
    }
}

/// `too late` of `TooLate`.
fn words(name: &str) -> String {
    let mut words = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !words.is_empty() {
            words.push(' ');
        }
        words.push(letter.to_ascii_lowercase());
    }
    words
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;

    #[test]
    fn each_call_is_a_line_with_its_answer_and_what_is_left_out_is_counted() {
        let call = |name, arguments, result| Call {
            name,
            arguments,
            result,
            took: Duration::ZERO,
        };
        let ok = || json!({ "ok": null });
        let mut recording = Recording::default();
        recording.calls = vec![
            call("kv.get", json!({}), ok()),
            call("cache.set-plan", json!({}), ok()),
            call(
                "shadow.send-to",
                json!({ "model": "a", "upstream": null }),
                ok(),
            ),
            call(
                "shadow.send-to",
                json!({ "model": null, "upstream": null }),
                json!({ "error": "Error::Nowhere" }),
            ),
            call(
                "endpoints.candidates",
                json!(null),
                json!({ "ok": ["a:80", "b:80"] }),
            ),
            call(
                "endpoints.set-scores",
                json!([1.0]),
                json!({ "error": "Error::NotNow" }),
            ),
        ];
        recording.left_out = 3;
        assert_eq!(
            lines(&recording),
            [
                "cache.set_plan() -> done",
                "shadow.send_to(model \"a\") -> done",
                "shadow.send_to() -> error: nowhere",
                "endpoints.candidates() -> 2",
                "endpoints.set_scores(1) -> error: not now",
                "and 3 reads and calls more",
            ]
        );
    }
}
