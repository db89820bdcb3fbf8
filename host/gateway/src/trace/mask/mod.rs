//! What nobody is shown who watches: by name, and by value wherever it stands.
//!
//! Hidden by name is what stands under a header, JSON member, query or form field that is
//! called as credentials are. Hidden by value, in every text of a trace, are the secrets of
//! the configuration, those that a capability gave, the credentials that the client sent,
//! and what was hidden by name. Done last, on the whole trace, so no part can be missed;
//! texts are cut to what is shown only after it. Looks through a trace twice, for what is
//! secret and to hide it, and over each text once for all values, of which there are only
//! so many: beyond that no text is shown.

mod names;
mod outline;
mod texts;
mod values;

use std::{ops::Range, sync::Arc};

use serde_json::{Map, Value};

use names::is_secret;
use texts::Form;
use values::Needles;
pub(crate) use values::Values;

/// What stands in place of what is hidden.
pub const HIDDEN: &str = "(hidden)";

/// Values of one exchange, besides those that are hidden in all.
const VALUES_MAX: usize = 128;
/// The longest text that is shown, in bytes.
const SHOWN_MAX: usize = 1024;
/// Texts that are JSON, within texts that are.
const TEXTS_DEEP: usize = 3;

/// What is to be hidden of one exchange.
#[derive(Clone)]
pub(crate) struct Hidden {
    in_all: Arc<Needles>,
    own: Values,
}

impl Default for Hidden {
    fn default() -> Self {
        Self::beside(&Values::default())
    }
}

impl Hidden {
    /// What is hidden in every exchange, however many values it is.
    pub(crate) fn beside(in_all: &Values) -> Self {
        Self {
            in_all: Arc::new(Needles::lasting(in_all)),
            own: Values::at_most(VALUES_MAX),
        }
    }

    pub(crate) fn add(&mut self, value: &[u8]) {
        self.own.add(value);
    }

    /// The header, if its name says that it is secret.
    pub(crate) fn add_header(&mut self, name: &str, value: &[u8]) {
        self.own.add_header(name, value);
    }

    /// The query's fields that are secret by name.
    pub(crate) fn add_query(&mut self, query: &str) {
        self.own.add_query(query);
    }

    /// Hides what is secret in the whole of a trace, and cuts its texts.
    pub(crate) fn hide_in(mut self, trace: &mut Value) {
        self.collect(trace, false, TEXTS_DEEP);
        let own = Needles::passing(&self.own);
        let is_lacking = self.own.is_full() || own.is_lacking() || self.in_all.is_lacking();
        let mask = Mask {
            in_all: &self.in_all,
            own: &own,
        };
        if is_lacking {
            mask.outline(trace);
        } else {
            mask.hide(trace, false);
        }
    }

    /// Takes in what is secret by name.
    fn collect(&mut self, value: &Value, is_secret: bool, deep: usize) {
        match value {
            Value::String(text) if is_secret => self.own.add_credentials(text),
            Value::String(text) => self.collect_of_text(text, deep),
            Value::Array(items) => {
                let is_pair = is_secret_pair(items);
                for (at, item) in items.iter().enumerate() {
                    self.collect(item, is_secret || is_pair && at == 1, deep);
                }
            }
            Value::Object(members) => {
                for (name, member) in members {
                    let is_secret = is_secret || is_hidden(members, name);
                    self.collect(member, is_secret, deep);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn collect_of_text(&mut self, text: &str, deep: usize) {
        texts::find(text, |secret| {
            let found = &text[secret.at];
            match secret.form {
                Form::Plain => self.own.add_credentials(found),
                Form::Encoded => self.own.add_encoded(found),
                Form::Quoted => {
                    self.own.add_credentials(found);
                    if let Ok(plain) = serde_json::from_str::<String>(&format!("\"{found}\"")) {
                        self.own.add_credentials(&plain);
                    }
                }
                Form::Nested => match serde_json::from_str(found) {
                    Ok(value) => self.collect(&value, true, 0),
                    // It is cut, or within a text: names are taken for values, too.
                    Err(_) => found
                        .split('"')
                        .for_each(|piece| self.own.add_text(piece.trim_end_matches('\\'))),
                },
            }
        });
        let is_json = text.trim_start().starts_with(['{', '[']);
        if is_json
            && let Some(deep) = deep.checked_sub(1)
            && let Ok(value) = serde_json::from_str(text)
        {
            self.collect(&value, false, deep);
        }
    }
}

/// What is hidden, found quickly.
struct Mask<'a> {
    in_all: &'a Needles,
    own: &'a Needles,
}

impl Mask<'_> {
    fn hide(&self, value: &mut Value, is_secret: bool) {
        match value {
            Value::Null | Value::Bool(_) => {}
            Value::Number(_) if is_secret => *value = Value::from(HIDDEN),
            Value::Number(_) => {}
            Value::String(text) if is_secret => HIDDEN.clone_into(text),
            Value::String(text) => *text = shortened(self.text(text)),
            Value::Array(items) => {
                let is_pair = is_secret_pair(items);
                for (at, item) in items.iter_mut().enumerate() {
                    self.hide(item, is_secret || is_pair && at == 1);
                }
            }
            Value::Object(members) => {
                let hidden: Vec<_> = members
                    .keys()
                    .map(|name| is_secret || is_hidden(members, name))
                    .collect();
                for (member, is_secret) in members.values_mut().zip(hidden) {
                    self.hide(member, is_secret);
                }
                self.hide_names(members);
            }
        }
    }

    /// A secret may stand where a name does.
    fn hide_names(&self, members: &mut Map<String, Value>) {
        let has_secret = |name: &String| !self.values_in(name).is_empty();
        if members.keys().any(has_secret) {
            let all = std::mem::take(members).into_iter();
            members.extend(all.map(|(name, value)| (self.text(&name), value)));
        }
    }

    fn values_in(&self, text: &str) -> Vec<Range<usize>> {
        let mut spans = Vec::new();
        self.in_all.find(text, |span| spans.push(span));
        self.own.find(text, |span| spans.push(span));
        spans
    }

    /// A text without what is secret in it.
    fn text(&self, text: &str) -> String {
        let mut spans = self.values_in(text);
        texts::find(text, |secret| spans.push(secret.at));
        spans.sort_unstable_by_key(|span| span.start);
        let mut out = String::with_capacity(text.len());
        let mut from = 0;
        for span in spans {
            if span.start >= from {
                out.push_str(&text[from..span.start]);
                out.push_str(HIDDEN);
            }
            from = from.max(span.end);
        }
        out.push_str(&text[from..]);
        out
    }
}

/// Whether a member is hidden by its name, or since its neighbour `name` says so.
fn is_hidden(members: &Map<String, Value>, member: &str) -> bool {
    let is_named_secret = || {
        let name = members.get("name").and_then(Value::as_str);
        name.is_some_and(is_secret)
    };
    // One that a model wrote has its probability beside it.
    let is_secret = is_secret(member) && !(member == "token" && members.contains_key("logprob"));
    is_secret || matches!(member, "value" | "before" | "after") && is_named_secret()
}

/// `["authorization", …]`
fn is_secret_pair(items: &[Value]) -> bool {
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    matches!(items, [Value::String(name), _] if name.bytes().all(is_name) && is_secret(name))
}

fn shortened(mut text: String) -> String {
    if text.len() > SHOWN_MAX {
        let length = text.len();
        text.truncate(text.floor_char_boundary(SHOWN_MAX));
        text.push_str(&format!("… ({length} bytes)"));
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn hidden(values: &[&str], mut trace: Value) -> Value {
        let mut hidden = Hidden::default();
        for value in values {
            hidden.add(value.as_bytes());
        }
        hidden.hide_in(&mut trace);
        trace
    }

    #[test]
    fn what_is_secret_by_name_is_hidden_there_and_wherever_else_it_stands() {
        let trace = json!({
            "reads": [{ "part": "header", "name": "Authorization", "value": "Bearer sk-canary-1" }],
            "edits": [{ "edit": "set-header", "name": "x-api-key", "before": null, "after": "canary-2-canary" }],
            "calls": [{ "arguments": {
                "url": "https://idp/?code=1&api_key=canary-3-canary#x",
                "headers": [["cookie", "sid=canary-4-canary"], ["accept", "*/*"]],
                "body": "grant=x&client_secret=canary-5-canary&y=1",
                "key": "who:sk-canary-1",
            } }],
            "json": { "metadata": { "password": "canary-6-canary", "pin": 1, "token": 12345 } },
            "body": "{\"a\":1,\"api_key\" : \"canary-7-canary\",\"b\":\"{\\\"token\\\":\\\"canary-8-canary\\\",\\\"c\\\":2}\"",
            "log": "said Bearer canary-9-canary-canary and token=canary-10",
            "again": "canary-2-canary, canary-6-canary",
        });
        let shown = hidden(&[], trace);
        assert!(!shown.to_string().contains("canary"), "{shown:#}");
        assert!(!shown.to_string().contains("12345"), "{shown:#}");
        assert_eq!(shown["json"]["metadata"]["pin"], 1);
        assert_eq!(shown["calls"][0]["arguments"]["key"], "who:(hidden)");
        assert_eq!(
            shown["calls"][0]["arguments"]["url"],
            "https://idp/?code=1&api_key=(hidden)"
        );
        assert_eq!(
            shown["calls"][0]["arguments"]["body"],
            "grant=x&client_secret=(hidden)&y=1"
        );
        let body = shown["body"].as_str().unwrap();
        assert!(
            body.starts_with("{\"a\":1,\"api_key\" : \"(hidden)\",\"b\":"),
            "{body}"
        );
        assert!(body.ends_with("\\\"c\\\":2}\""), "{body}");
    }

    #[test]
    fn a_known_value_is_hidden_in_every_text_also_where_that_was_cut() {
        let long = format!("canary-{}", "x".repeat(200));
        let cut = format!("before {}", &long[..100]);
        let shown = hidden(
            &[&long, "secret-of-six", "with\"quote"],
            json!({ "a": cut, "b": ["(secret-of-six)", { "c": "{\"v\":\"with\\\"quote\"}" }] }),
        );
        assert_eq!(shown["a"], "before (hidden)");
        assert_eq!(shown["b"][0], "((hidden))");
        assert_eq!(shown["b"][1]["c"], "{\"v\":\"(hidden)\"}");
    }

    #[test]
    fn short_values_are_not_searched_for_and_long_texts_are_cut_at_last() {
        assert_eq!(hidden(&["abc"], json!("abcabc")), "abcabc");
        let long = format!("{}canary-canary", "y".repeat(SHOWN_MAX - 5));
        let shown = hidden(&["canary-canary"], json!(long));
        let shown = shown.as_str().unwrap();
        assert!(
            !shown.contains("canar") && shown.len() < SHOWN_MAX + 32,
            "{shown}"
        );
    }

    #[test]
    fn what_is_found_by_name_within_a_text_is_hidden_in_every_other() {
        let answer = json!({ "access_token": "canary-1-canary", "expires_in": 3600 });
        let nested = json!({ "note": answer.to_string(), "credentials": { "user": "canary-2" } });
        let trace = json!({ "calls": [
            { "result": { "ok": { "body": answer.to_string() } } },
            { "arguments": { "key": "x", "value": "of canary-1-canary" } },
            { "arguments": { "body": nested.to_string() } },
            { "arguments": { "value": "canary-2, canary-3, canary-4-e" } },
            { "arguments": { "body": "{\"secrets\":{\"a\":[\"canary-3\",\"cut of" } },
            { "arguments": { "data": "{\"p\\u0061ssword\":\"canary-4-e\"}" } },
            { "arguments": { "canary-1-canary": "canary-1-canary" } },
        ] });
        let shown = hidden(&[], trace);
        assert!(!shown.to_string().contains("canary"), "{shown:#}");
        let calls = &shown["calls"];
        assert_eq!(calls[1]["arguments"]["value"], "of (hidden)");
        assert_eq!(
            calls[3]["arguments"]["value"],
            "(hidden), (hidden), (hidden)"
        );
        assert_eq!(
            calls[0]["result"]["ok"]["body"],
            r#"{"access_token":"(hidden)","expires_in":3600}"#
        );
        assert_eq!(calls[6]["arguments"], json!({ HIDDEN: HIDDEN }));
    }

    #[test]
    fn tokens_that_a_model_wrote_are_what_is_watched() {
        let token = json!({ "token": " tomorrow", "logprob": -0.1 });
        let trace = json!({ "json": token, "data": token.to_string(), "said": "until tomorrow" });
        assert_eq!(hidden(&[], trace.clone()), trace);
    }

    #[test]
    fn a_client_that_sends_what_stands_for_a_secret_does_not_stop_anybody() {
        for value in ["hidden", "(hidden", "hidden)", "(hidden)", "Bearer hidden"] {
            let mut hidden = Hidden::default();
            hidden.add_header("x-api-key", value.as_bytes());
            hidden.add_query(&format!("token={value}"));
            let mut trace = json!({
                "id": "hidden", "path": format!("/?token={value}"), "text": "(hidden) and hidden",
                "given": [{ "name": "x-api-key", "value": value }],
            });
            hidden.hide_in(&mut trace);
            assert_eq!(trace["text"], "(hidden) and hidden", "{value}");
        }
        let shown = hidden(&["x(hidden)x"], json!("a x(hidden)x b"));
        assert_eq!(shown, "a (hidden) b");
    }

    #[test]
    fn of_more_values_than_are_searched_for_no_text_is_shown() {
        let many: Vec<_> = (0..=VALUES_MAX).map(|n| format!("canary-{n:03}")).collect();
        let step = json!({
            "policy": "first", "hook": "on_request", "us": 12,
            "reads": [{ "part": "header", "name": "x", "value": "canary-128" }],
            "calls": [{ "call": "kv.put", "arguments": { "key": "canary-128" }, "us": 3 }],
            "failure": { "kind": "trapped", "reason": "of canary-128" },
        });
        let trace = json!({
            "type": "trace", "route": "chat", "status": 200, "path": "/canary-128",
            "facts": [{ "name": "note", "value": "canary-128" }],
            "steps": [step],
        });
        let fewer: Vec<_> = many[..VALUES_MAX].iter().map(String::as_str).collect();
        let shown = hidden(&fewer, trace.clone());
        assert_eq!(
            shown["steps"][0]["calls"][0]["arguments"]["key"],
            "canary-128"
        );
        let all: Vec<_> = many.iter().map(String::as_str).collect();
        let shown = hidden(&all, trace);
        assert!(!shown.to_string().contains("canary"), "{shown:#}");
        assert_eq!(
            (&shown["route"], &shown["status"]),
            (&json!("chat"), &json!(200))
        );
        let step = &shown["steps"][0];
        assert_eq!(
            (&step["policy"], &step["us"]),
            (&json!("first"), &json!(12))
        );
        assert_eq!(step["reads"][0]["part"], "header");
        assert_eq!(step["calls"][0]["call"], "kv.put");
        assert_eq!(step["failure"]["kind"], "trapped");
    }

    /// What is the same in every exchange does not count.
    #[test]
    fn the_configurations_secrets_are_hidden_however_many_there_are() {
        let mut all = Values::default();
        (0..1000).for_each(|n| all.add(format!("canary-{n:04}").as_bytes()));
        let mut trace = json!("canary-0000 canary-0999");
        Hidden::beside(&all).hide_in(&mut trace);
        assert_eq!(trace, "(hidden) (hidden)");
    }
}
