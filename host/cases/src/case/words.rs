//! The words in which a decision is expected: a misspelt one could never come, and would only
//! show as a difference.

use serde_json::{Map, Value};
use tollgate_config::nearest;

use super::resolve::At;

const VERDICTS: &[&str] = &["next", "go_to", "reply", "refuse"];
const EDITS: &[&str] = &[
    "set_header",
    "append_header",
    "remove_header",
    "set_json",
    "remove_json",
    "replace_body",
    "set_fact",
    "set_method",
    "set_path",
    "set_status",
];
const DESTINATION: &[&str] = &["model", "upstream"];
const REPLY: &[&str] = &["status", "headers", "json", "body"];
const REFUSAL: &[&str] = &["status", "code", "message", "retry_after_ms"];
const PLAN: &[&str] = &[
    "key",
    "kind",
    "ttl_ms",
    "look_up",
    "store",
    "max_age_ms",
    "stream_usage",
];
const KINDS: &[&str] = &["as_it_came", "chat_completion"];
const EVENT: &[&str] = &["name", "data"];

/// Holds everything that is expected to the words that there are.
///
/// # Errors
/// The first that is none.
pub(super) fn check(expect: &Map<String, Value>) -> Result<(), At> {
    for (hook, expected) in expect {
        let at = format!("/expect/{hook}");
        match (hook.as_str(), expected) {
            ("events", Value::Array(events)) => {
                for (nth, event) in events.iter().enumerate() {
                    keys(event, "event's part", EVENT, &format!("{at}/{nth}"))?;
                }
            }
            ("events" | "load_error", _) => {}
            (_, Value::Object(parts)) => decided(parts, &at)?,
            _ => {}
        }
    }
    Ok(())
}

fn decided(parts: &Map<String, Value>, at: &str) -> Result<(), At> {
    for (part, expected) in parts {
        let at = format!("{at}/{part}");
        match part.as_str() {
            _ if expected.is_null() => {}
            "verdict" => verdict(expected, &at)?,
            "edits" => {
                let edits = list(expected, "edits", &at)?;
                for (nth, edit) in edits.iter().enumerate() {
                    let at = format!("{at}/{nth}");
                    let (word, _) = one(edit, "edit", EDITS, &at)?;
                    known(word, "edit", EDITS, &format!("{at}/{word}"))?;
                }
            }
            "plan" => plan(expected, &at)?,
            "shadow" => keys(expected, "part of a destination", DESTINATION, &at)?,
            "calls" | "log" | "metrics" => {
                list(expected, part, &at)?;
            }
            _ => {}
        }
    }
    Ok(())
}

fn verdict(expected: &Value, at: &str) -> Result<(), At> {
    if let Value::String(word) = expected {
        known(word, "verdict", VERDICTS, at)?;
        return match word.as_str() {
            "next" => Ok(()),
            other => Err(At(
                at.to_owned(),
                format!(
                    "`{other}` alone is no verdict: write what it says, as in `{other}: {{ … }}`"
                ),
            )),
        };
    }
    let (word, says) = one(expected, "verdict", VERDICTS, at)?;
    let here = format!("{at}/{word}");
    known(word, "verdict", VERDICTS, &here)?;
    match word {
        "go_to" => keys(says, "part of a destination", DESTINATION, &here),
        "reply" => keys(says, "part of a reply", REPLY, &here),
        "refuse" => keys(says, "part of a refusal", REFUSAL, &here),
        _ => Err(At(
            here,
            "`next` says nothing more: write it alone".to_owned(),
        )),
    }
}

fn plan(expected: &Value, at: &str) -> Result<(), At> {
    keys(expected, "part of a plan", PLAN, at)?;
    match expected.get("kind").and_then(Value::as_str) {
        Some(kind) => known(kind, "kind of answer", KINDS, &format!("{at}/kind")),
        None => Ok(()),
    }
}

/// A map of one key: the word, and what it says.
fn one<'a>(
    value: &'a Value,
    noun: &str,
    words: &[&str],
    at: &str,
) -> Result<(&'a str, &'a Value), At> {
    let map = value.as_object().filter(|map| map.len() == 1);
    let only = map.and_then(|map| map.iter().next());
    only.map(|(word, says)| (word.as_str(), says))
        .ok_or_else(|| {
            let message = format!("this is no {noun}: expected one of {}", listed(words));
            At(at.to_owned(), message)
        })
}

fn keys(value: &Value, noun: &str, words: &[&str], at: &str) -> Result<(), At> {
    let Value::Object(map) = value else {
        let message = format!("expected a map, with {}", listed(words));
        return Err(At(at.to_owned(), message));
    };
    for key in map.keys() {
        known(key, noun, words, &format!("{at}/{key}"))?;
    }
    Ok(())
}

fn list<'a>(value: &'a Value, noun: &str, at: &str) -> Result<&'a [Value], At> {
    match value {
        Value::Array(items) => Ok(items),
        _ => Err(At(at.to_owned(), format!("expected a list of {noun}"))),
    }
}

fn known(word: &str, noun: &str, words: &[&str], at: &str) -> Result<(), At> {
    if words.contains(&word) {
        return Ok(());
    }
    let meant = match nearest(word, words.iter().copied()) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => format!("expected one of {}", listed(words)),
    };
    Err(At(
        at.to_owned(),
        format!("there is no {noun} `{word}`: {meant}"),
    ))
}

fn listed(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    quoted.join(", ")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

    use std::path::Path;

    use tollgate_sandbox::contract::{
        Answer, CacheKind, CachePlan, Destination, Edit, Event, Header, Refusal, Value as Json,
        Verdict,
    };

    use super::*;
    use crate::{case::Case, shown};

    fn refused(expect: &str) -> Option<String> {
        let text = format!("expect:\n  {expect}\n");
        let read = Case::read(Path::new("a.yaml"), text);
        read.err().map(|error| error.to_string())
    }

    #[test]
    fn a_misspelt_word_is_refused_at_its_place_with_the_one_that_is_meant() {
        assert_eq!(
            refused("on_request: { verdict: { refused: { status: 400 } } }").unwrap(),
            "a.yaml:2:37: there is no verdict `refused`: did you mean `refuse`?\n  \
             |\n2 |   on_request: { verdict: { refused: { status: 400 } } }\n  \
             |                                     ^"
        );
        for (expect, said) in [
            (
                "on_request: { verdict: nxt }",
                "there is no verdict `nxt`: did you mean `next`?",
            ),
            (
                "on_request: { verdict: deny }",
                "there is no verdict `deny`: expected one of `next`, `go_to`, `reply`, `refuse`",
            ),
            (
                "on_request: { verdict: { go-to: { model: m } } }",
                "did you mean `go_to`?",
            ),
            (
                "on_request: { verdict: refuse }",
                "`refuse` alone is no verdict",
            ),
            (
                "on_request: { verdict: { next: {} } }",
                "`next` says nothing more",
            ),
            (
                "on_request: { verdict: { reply: {}, refuse: {} } }",
                "this is no verdict",
            ),
            (
                "open: { verdict: { refuse: { stauts: 400 } } }",
                "no part of a refusal `stauts`: did you mean `status`?",
            ),
            (
                "on_request: { verdict: { reply: { jason: {} } } }",
                "did you mean `json`?",
            ),
            (
                "on_request: { verdict: { go_to: llama } }",
                "expected a map, with `model`, `upstream`",
            ),
            (
                "on_response: { edits: [ { set_headers: { a: b } } ] }",
                "there is no edit `set_headers`: did you mean `set_header`?",
            ),
            (
                "on_request: { edits: [ set_header ] }",
                "this is no edit: expected one of `set_header`,",
            ),
            (
                "on_request: { edits: { set_header: { a: b } } }",
                "expected a list of edits",
            ),
            ("on_request: { calls: one }", "expected a list of calls"),
            (
                "on_request: { plan: { tll_ms: 1 } }",
                "did you mean `ttl_ms`?",
            ),
            (
                "on_request: { plan: { kind: as-it-came } }",
                "no kind of answer `as-it-came`: did you mean `as_it_came`?",
            ),
            (
                "on_request: { shadow: { upstrem: u } }",
                "did you mean `upstream`?",
            ),
            (
                "events: [ { data: a, nam: b } ]",
                "there is no event's part `nam`: did you mean `name`?",
            ),
        ] {
            let got = refused(expect).unwrap_or_default();
            assert!(got.contains(said), "{expect}: {got}");
        }
    }

    #[test]
    fn mistakes_of_form_are_told_all_at_once() {
        let text = "abuot: it\nrequest: { body: [] }\nexpect: { on_requst: {} }\n";
        let read = Case::read(Path::new("a.yaml"), text.to_owned());
        let said = read.unwrap_err().to_string();
        for part in [
            "a.yaml:1:1: unknown key `abuot`: did you mean `about`?",
            "a.yaml:2:18: wrong type",
            "a.yaml:3:11: unknown key `on_requst`: did you mean `on_request`?",
        ] {
            assert!(said.contains(part), "{said}");
        }
    }

    #[test]
    fn all_that_a_decision_is_shown_as_may_be_expected() {
        let header = || Header {
            name: "a".to_owned(),
            value: b"b".to_vec(),
        };
        let text = || "a".to_owned();
        let edits = [
            Edit::SetHeader(header()),
            Edit::AppendHeader(header()),
            Edit::RemoveHeader(text()),
            Edit::SetJson(("/a".to_owned(), Json::Null)),
            Edit::RemoveJson("/a".to_owned()),
            Edit::ReplaceBody(b"{}".to_vec()),
            Edit::SetFact((text(), text())),
            Edit::SetMethod("GET".to_owned()),
            Edit::SetPath("/".to_owned()),
            Edit::SetStatus(200),
        ];
        assert_eq!(edits.len(), EDITS.len());
        let to = || Destination {
            model: Some(text()),
            upstream: Some(text()),
        };
        let reply = |body: &[u8]| {
            Verdict::Reply(Answer {
                status: 200,
                headers: vec![header()],
                body: body.to_vec(),
            })
        };
        let verdicts = [
            Verdict::Next,
            Verdict::GoTo(to()),
            reply(b"{}"),
            reply(b"text"),
            Verdict::Refuse(Refusal {
                status: 400,
                code: text(),
                message: text(),
                retry_after_ms: Some(1),
            }),
        ];
        let plans = [CacheKind::AsItCame, CacheKind::ChatCompletion].map(|kind| CachePlan {
            key: b"key".to_vec(),
            kind,
            ttl_ms: 1,
            look_up: true,
            store: true,
            max_age_ms: Some(1),
            stream_usage: true,
        });
        let event = Event {
            name: Some(text()),
            data: b"x".to_vec(),
        };
        let holds = |part: &str, value: Value| {
            let hook = serde_json::json!({ "on_request": { part: value } });
            let said = check(hook.as_object().unwrap()).err();
            assert!(said.is_none(), "{hook}: {:?}", said.map(|At(_, said)| said));
        };
        holds("edits", edits.iter().map(shown::edit).collect());
        holds("shadow", shown::destination(&to()));
        verdicts
            .iter()
            .for_each(|verdict| holds("verdict", shown::verdict(verdict)));
        plans
            .iter()
            .for_each(|plan| holds("plan", shown::plan(plan)));
        let events = serde_json::json!({ "events": [ shown::event(&event) ] });
        assert!(check(events.as_object().unwrap()).is_ok());
    }
}
