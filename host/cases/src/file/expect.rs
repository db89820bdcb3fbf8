//! What must come of a case, in the words that `shown` has: a misspelt one could never come,
//! and would only show as a difference.
//!
//! What a word says is any value: it is compared, and never used.

use std::fmt;

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{Error, MapAccess, Visitor},
};
use serde_json::Value;
use tollgate_config::OneKey;

/// `None`: nothing is said of it; `Some(None)`: that it is not there.
type Stated<T> = Option<Option<T>>;

/// Keeps a `null` apart from what is not written.
fn stated<'de, T: Deserialize<'de>, D: Deserializer<'de>>(from: D) -> Result<Option<T>, D::Error> {
    T::deserialize(from).map(Some)
}

/// Parts of which some are stated.
macro_rules! parts {
    ($($(#[$doc:meta])* $name:ident { $($(#[$part_doc:meta])* $part:ident: $kind:ty,)* })*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Default, Deserialize, Serialize)]
        #[serde(deny_unknown_fields, default)]
        pub(crate) struct $name {
            $(
                $(#[$part_doc])*
                #[serde(deserialize_with = "stated", skip_serializing_if = "Option::is_none")]
                $part: Stated<$kind>,
            )*
        }
    )*};
}

parts! {
    /// What must come of it, hook by hook. `null`: that it must not be there at all, or that
    /// the hook is not called.
    Expect {
        /// Why it cannot be loaded with these settings.
        load_error: Value,
        open: Decided,
        on_request: Decided,
        on_attempt: Decided,
        on_response: Decided,
        on_events: Decided,
        /// What the client is sent of the stream.
        events: Vec<Event>,
        on_finish: Decided,
    }

    /// What a hook decided and did.
    Decided {
        verdict: Verdict,
        edits: Vec<OneKey<Edit>>,
        /// For the answer, of a policy that caches.
        plan: Plan,
        /// Where a copy of the request goes.
        shadow: Destination,
        /// What it thinks of each endpoint, by address.
        scores: Value,
        /// Which of the endpoints the gateway chooses from, by these scores.
        picks: Value,
        /// Of capabilities, each with its answer.
        calls: Vec<Value>,
        log: Vec<Value>,
        metrics: Vec<Value>,
        /// How it failed.
        failure: Value,
    }

    Event {
        name: Value,
        data: Value,
    }

    Destination {
        model: Value,
        upstream: Value,
    }

    Reply {
        status: Value,
        headers: Value,
        json: Value,
        body: Value,
    }

    Refusal {
        status: Value,
        code: Value,
        message: Value,
        retry_after_ms: Value,
    }

    Plan {
        key: Value,
        kind: Kind,
        ttl_ms: Value,
        look_up: Value,
        store: Value,
        max_age_ms: Value,
        stream_usage: Value,
    }
}

/// Of an answer that is kept.
#[derive(Debug, Clone, Copy, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    AsItCame,
    ChatCompletion,
}

/// Each with what it changes.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Edit {
    SetHeader(Value),
    AppendHeader(Value),
    RemoveHeader(Value),
    SetJson(Value),
    RemoveJson(Value),
    ReplaceBody(Value),
    SetFact(Value),
    SetMethod(Value),
    SetPath(Value),
    SetStatus(Value),
}

/// A word alone, or a map of one and what it says.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub(crate) enum Verdict {
    Alone(Alone),
    Says(Box<Says>),
}

#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Alone {
    Next,
}

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Says {
    Next(Nothing),
    GoTo(Destination),
    Reply(Reply),
    Refuse(Refusal),
}

const VERDICTS: &[&str] = &["next", "go_to", "reply", "refuse"];

/// Of a verdict that says nothing more: there is no such value.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) enum Nothing {}

impl<'de> Deserialize<'de> for Nothing {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Err(D::Error::custom("`next` says nothing more: write it alone"))
    }
}

impl<'de> Deserialize<'de> for Verdict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct WordOrMap;
        impl<'de> Visitor<'de> for WordOrMap {
            type Value = Verdict;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`next`, or a map of `go_to`, `reply` or `refuse`")
            }

            fn visit_str<E: Error>(self, word: &str) -> Result<Verdict, E> {
                match word {
                    "next" => Ok(Verdict::Alone(Alone::Next)),
                    known if VERDICTS.contains(&known) => Err(E::custom(format_args!(
                        "`{known}` alone is no verdict: write what it says, as in `{known}: {{ … }}`"
                    ))),
                    other => Err(E::unknown_variant(other, VERDICTS)),
                }
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Verdict, A::Error> {
                OneKey::read(map).map(|says| Verdict::Says(Box::new(says)))
            }
        }
        deserializer.deserialize_any(WordOrMap)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

    use std::path::Path;

    use tollgate_sandbox::contract::{
        Answer, CacheKind, CachePlan, Destination, Edit, Event, Header, Refusal, Value as Json,
        Verdict,
    };

    use super::Expect;
    use crate::{case::Case, shown};
    use serde_json::Value;

    const MISSPELT: &[(&str, &str)] = &[
        (
            "on_request: { verdict: nxt }",
            "2:26: unknown value `nxt`: did you mean `next`?",
        ),
        (
            "on_request: { verdict: deny }",
            "expected `next`, `go_to`, `reply` or `refuse`",
        ),
        (
            "on_request: { verdict: { go-to: { model: m } } }",
            "2:28: unknown value `go-to`: did you mean `go_to`?",
        ),
        (
            "on_request: { verdict: refuse }",
            "2:26: `refuse` alone is no verdict",
        ),
        (
            "on_request: { verdict: { next: {} } }",
            "`next` says nothing more",
        ),
        ("on_request: { verdict: {} }", "2:26: no key stands here"),
        (
            "on_request: { verdict: [next] }",
            "expected `next`, or a map of `go_to`, `reply` or `refuse`",
        ),
        (
            "on_request: { verdict: { reply: {}, refuse: {} } }",
            "2:39: more than one key stands here",
        ),
        (
            "open: { verdict: { refuse: { stauts: 400 } } }",
            "2:32: unknown key `stauts`: did you mean `status`?",
        ),
        (
            "on_request: { verdict: { reply: { jason: {} } } }",
            "did you mean `json`?",
        ),
        (
            "on_request: { verdict: { go_to: llama } }",
            "2:35: wrong type",
        ),
        (
            "on_response: { edits: [ { set_headers: { a: b } } ] }",
            "2:29: unknown value `set_headers`: did you mean `set_header`?",
        ),
        ("on_request: { edits: [ set_header ] }", "2:26: wrong type"),
        (
            "on_request: { edits: [ remove_header, x-a ] }",
            "2:26: wrong type",
        ),
        (
            "on_request: { edits: { set_header: { a: b } } }",
            "expected a list",
        ),
        ("on_request: { calls: one }", "expected a list"),
        (
            "on_request: { plan: { tll_ms: 1 } }",
            "did you mean `ttl_ms`?",
        ),
        (
            "on_request: { plan: { kind: as-it-came } }",
            "unknown value `as-it-came`: did you mean `as_it_came`?",
        ),
        (
            "on_request: { shadow: { upstrem: u } }",
            "did you mean `upstream`?",
        ),
        (
            "events: [ { data: a, nam: b } ]",
            "unknown key `nam`: did you mean `name`?",
        ),
    ];

    fn refused(expect: &str) -> Option<String> {
        let text = format!("expect:\n  {expect}\n");
        let read = Case::read(Path::new("a.yaml"), text);
        read.err().map(|error| error.to_string())
    }

    #[test]
    fn a_misspelt_word_is_refused_at_its_place_with_the_one_that_is_meant() {
        assert_eq!(
            refused("on_request: { verdict: { refused: { status: 400 } } }").unwrap(),
            "a.yaml:2:28: unknown value `refused`: did you mean `refuse`?\n  \
             |\n2 |   on_request: { verdict: { refused: { status: 400 } } }\n  \
             |                            ^\n  \
             expected `next`, `go_to`, `reply` or `refuse`"
        );
        for (expect, said) in MISSPELT {
            let got = refused(expect).unwrap_or_default();
            assert!(got.contains(said), "{expect}: {got}");
        }
    }

    #[test]
    fn mistakes_are_told_all_at_once() {
        let text = "abuot: it\nrequest: { body: [] }\nexpect:\n  on_requst: {}\n  \
             open:\n    verdict: { refuse: { stauts: 400, cod: x, message: y } }\n    \
             edits: [{ set_headr: a }, { set_path: b }, { st_path: c }]\n";
        let read = Case::read(Path::new("a.yaml"), text.to_owned());
        let said = read.unwrap_err().to_string();
        let told: Vec<&str> = said
            .lines()
            .filter(|line| line.starts_with("a.yaml:"))
            .collect();
        assert_eq!(
            told,
            [
                "a.yaml:1:1: unknown key `abuot`: did you mean `about`?",
                "a.yaml:2:18: wrong type",
                "a.yaml:4:3: unknown key `on_requst`: did you mean `on_request`?",
                "a.yaml:6:26: unknown key `stauts`: did you mean `status`?",
                "a.yaml:6:39: unknown key `cod`: did you mean `code`?",
                "a.yaml:7:15: unknown value `set_headr`: did you mean `set_header`?",
                "a.yaml:7:50: unknown value `st_path`: did you mean `set_path`?",
            ]
        );
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
        let expect = |shown: &Value| {
            let read: Expect = serde_json::from_value(shown.clone()).unwrap();
            assert_eq!(serde_json::to_value(&read).unwrap(), *shown);
        };
        let holds = |part: &str, value: Value| {
            let expected = serde_json::json!({ "on_request": { part: value } });
            expect(&expected);
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
        expect(&events);
    }
}
