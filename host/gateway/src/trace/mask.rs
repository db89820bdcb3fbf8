//! What nobody is shown who watches: by name, and by value wherever it stands.
//!
//! Hidden by name is what stands under a header, JSON member, query or form field that is
//! called as credentials are. Hidden by value, in every text of a trace, are the secrets of
//! the configuration, those that a capability gave, the credentials that the client sent,
//! and what was hidden by name. Done last, on the whole trace, so no part can be missed;
//! texts are cut to what is shown only after it.

use std::borrow::Cow;

use serde_json::Value;

/// What stands in place of what is hidden.
pub const HIDDEN: &str = "(hidden)";

/// Values shorter than this are hidden by name alone: they stand in too many texts.
const VALUE_MIN: usize = 6;
/// So much of a value finds it; a text may have been cut in the middle of the rest.
const NEEDLE_MAX: usize = 48;
/// The longest text that is shown, in bytes.
const SHOWN_MAX: usize = 1024;
/// The longest name that is looked at.
const NAME_MAX: usize = 128;

/// Values to be hidden.
#[derive(Clone, Default)]
pub(crate) struct Hidden(Vec<String>);

impl Hidden {
    pub(crate) fn add(&mut self, value: &[u8]) {
        let value = String::from_utf8_lossy(value);
        let value = value.trim();
        if value.len() < VALUE_MIN || value == HIDDEN || self.0.iter().any(|known| known == value) {
            return;
        }
        // As it stands within a text that is JSON.
        let quoted = Value::from(value).to_string();
        let quoted = &quoted[1..quoted.len() - 1];
        if quoted != value {
            self.0.push(quoted.to_owned());
        }
        self.0.push(value.to_owned());
    }

    /// A header's value, and what follows the scheme in it.
    fn add_credentials(&mut self, value: &str) {
        self.add(value.as_bytes());
        if let Some((_, last)) = value.trim().rsplit_once(' ') {
            self.add(last.as_bytes());
        }
    }

    /// The header, if its name says that it is secret.
    pub(crate) fn add_header(&mut self, name: &str, value: &[u8]) {
        if is_secret(name) {
            self.add_credentials(&String::from_utf8_lossy(value));
        }
    }

    /// The query's fields that are secret by name.
    pub(crate) fn add_query(&mut self, query: &str) {
        for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
            if is_secret(name) || name == "key" {
                self.add(value.as_bytes());
            }
        }
    }

    /// Hides what is secret in the whole of a trace, and cuts its texts.
    pub(crate) fn hide_in(mut self, trace: &mut Value) {
        self.collect(trace, false);
        // A value within another one must not leave the rest of it.
        self.0.sort_by_key(|value| std::cmp::Reverse(value.len()));
        self.apply(trace, false);
    }

    /// Takes in what is secret by name.
    fn collect(&mut self, value: &Value, is_secret: bool) {
        match value {
            Value::String(text) if is_secret => self.add_credentials(text),
            Value::Array(items) => {
                let is_pair = is_secret_pair(items);
                for (at, item) in items.iter().enumerate() {
                    self.collect(item, is_secret || is_pair && at == 1);
                }
            }
            Value::Object(members) => {
                let named = is_named_secret(value);
                for (name, member) in members {
                    self.collect(member, is_secret || is_hidden(name, named));
                }
            }
            Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn apply(&self, value: &mut Value, is_secret: bool) {
        let named = is_named_secret(value);
        match value {
            Value::Null | Value::Bool(_) => {}
            Value::Number(_) if is_secret => *value = Value::from(HIDDEN),
            Value::Number(_) => {}
            Value::String(text) if is_secret => HIDDEN.clone_into(text),
            Value::String(text) => {
                *text = shortened(self.text(text));
            }
            Value::Array(items) => {
                let is_pair = is_secret_pair(items);
                for (at, item) in items.iter_mut().enumerate() {
                    self.apply(item, is_secret || is_pair && at == 1);
                }
            }
            Value::Object(members) => {
                for (name, member) in members.iter_mut() {
                    self.apply(member, is_secret || is_hidden(name, named));
                }
            }
        }
    }

    /// A text without what is secret in it.
    fn text(&self, text: &str) -> String {
        let mut out = Cow::Borrowed(text);
        for value in &self.0 {
            let needle = &value[..value.floor_char_boundary(NEEDLE_MAX)];
            while let Some(at) = out.find(needle) {
                let length = common(&out[at..], value);
                out.to_mut().replace_range(at..at + length, HIDDEN);
            }
        }
        pairs(&members(&bearers(&out)))
    }
}

/// How many bytes both begin with, to the end of a character.
fn common(text: &str, value: &str) -> usize {
    let alike = text.chars().zip(value.chars()).take_while(|(a, b)| a == b);
    alike.map(|(character, _)| character.len_utf8()).sum()
}

/// Whether a member is hidden by its name, or since its neighbour `name` says so.
fn is_hidden(member: &str, is_named_secret: bool) -> bool {
    is_secret(member) || is_named_secret && matches!(member, "value" | "before" | "after")
}

/// `{"name": "authorization", …}`
fn is_named_secret(value: &Value) -> bool {
    value["name"].as_str().is_some_and(is_secret)
}

/// `["authorization", …]`
fn is_secret_pair(items: &[Value]) -> bool {
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    matches!(items, [Value::String(name), _] if name.bytes().all(is_name) && is_secret(name))
}

/// Whether things of this name are secret: a header, a JSON member or pointer, a field.
fn is_secret(name: &str) -> bool {
    const WORDS: &[&str] = &[
        "apikey",
        "authorization",
        "bearer",
        "cookie",
        "cookies",
        "credential",
        "credentials",
        "jwt",
        "passcode",
        "passphrase",
        "passwd",
        "password",
        "secret",
        "secrets",
        "token",
        "accesstoken",
        "authtoken",
        "refreshtoken",
        "idtoken",
    ];
    const KEYS: &[&str] = &[
        "access",
        "account",
        "api",
        "auth",
        "encryption",
        "license",
        "master",
        "private",
        "secret",
        "shared",
        "signing",
        "subscription",
    ];
    if name.len() > NAME_MAX {
        return false;
    }
    let mut before = String::new();
    for word in words(name) {
        let is_key = matches!(word.as_str(), "key" | "keys") && KEYS.contains(&before.as_str());
        if is_key || WORDS.contains(&word.as_str()) {
            return true;
        }
        before = word;
    }
    false
}

/// The words of `x-api-key`, `apiKey`, `/metadata/api_key`, in lower case.
fn words(name: &str) -> impl Iterator<Item = String> {
    let mut words = vec![String::new()];
    let mut was_lower = false;
    for character in name.chars() {
        let begins = character.is_uppercase() && was_lower;
        was_lower = character.is_lowercase() || character.is_ascii_digit();
        if begins || !character.is_alphanumeric() {
            words.push(String::new());
        }
        if character.is_alphanumeric()
            && let Some(word) = words.last_mut()
        {
            word.extend(character.to_lowercase());
        }
    }
    words.into_iter().filter(|word| !word.is_empty())
}

/// Hides what follows `bearer ` and is no word.
fn bearers(text: &str) -> Cow<'_, str> {
    const SCHEME: &str = "bearer ";
    const LENGTH_MIN: usize = 16;
    let mut out = Cow::Borrowed(text);
    let mut from = 0;
    while let Some(at) = out[from..].to_ascii_lowercase().find(SCHEME) {
        let start = from + at + SCHEME.len();
        let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(byte);
        let length = out.as_bytes()[start..]
            .iter()
            .take_while(|byte| is_part(byte))
            .count();
        from = start;
        if length >= LENGTH_MIN {
            out.to_mut().replace_range(start..start + length, HIDDEN);
            from += HIDDEN.len();
        }
    }
    out
}

/// Hides the members of JSON that are secret by name, whole JSON or not, also of JSON
/// within a JSON string.
fn members(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('"') {
        let (before, from_quote) = rest.split_at(at + 1);
        out.push_str(before);
        rest = from_quote;
        let Some(member) = Member::at(rest) else {
            continue;
        };
        if is_secret(member.name) {
            out.push_str(member.up_to_value);
            out.push_str(HIDDEN);
            rest = member.after;
        }
    }
    out.push_str(rest);
    out
}

/// A name, and a text or number after it.
struct Member<'a> {
    name: &'a str,
    up_to_value: &'a str,
    after: &'a str,
}

impl<'a> Member<'a> {
    /// `text` begins after the quote before the name.
    fn at(text: &'a str) -> Option<Self> {
        let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-. ".contains(byte);
        let bytes = text.as_bytes();
        let end = bytes.iter().take_while(|byte| is_name(byte)).count();
        let mut at = end;
        let mut skip = |set: &[u8]| {
            let from = at;
            while bytes.get(at).is_some_and(|byte| set.contains(byte)) {
                at += 1;
            }
            at - from
        };
        skip(b"\\");
        if skip(b"\"") != 1 {
            return None;
        }
        skip(b" \t\r\n");
        if skip(b":") != 1 {
            return None;
        }
        skip(b" \t\r\n");
        let slashes = skip(b"\\");
        let is_text = skip(b"\"") > 0;
        let (up_to_value, value) = text.split_at(at);
        let length = if is_text {
            closing_quote(value, slashes)
        } else {
            let is_number = |byte: &u8| byte.is_ascii_digit() || b"+-.eE".contains(byte);
            value.bytes().take_while(|byte| is_number(byte)).count()
        };
        (length > 0).then(|| Self {
            name: &text[..end],
            up_to_value,
            after: &value[length..],
        })
    }
}

/// Where a text ends whose quotes have so many backslashes before them.
fn closing_quote(text: &str, slashes: usize) -> usize {
    let bytes = text.as_bytes();
    let mut behind = 0;
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            b'"' if behind == slashes => return at - slashes,
            b'\\' => behind += 1,
            _ => behind = 0,
        }
    }
    text.len()
}

/// Hides the fields of queries and forms that are secret by name.
fn pairs(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('=') {
        let (before, from) = rest.split_at(at + 1);
        let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-.".contains(byte);
        let name_bytes = before.as_bytes()[..at].iter().rev();
        let start = at - name_bytes.take_while(|byte| is_name(byte)).count();
        let name = &before[start..at];
        let in_query = before[..start].ends_with(['?', '&']);
        out.push_str(before);
        rest = from;
        if is_secret(name) || in_query && name == "key" {
            let end = |character: char| {
                character.is_whitespace() || matches!(character, '&' | ';' | '"' | '\'' | '<' | '>')
            };
            let length = rest.find(end).unwrap_or(rest.len());
            if length > 0 {
                out.push_str(HIDDEN);
            }
            rest = &rest[length..];
        }
    }
    out.push_str(rest);
    out
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
    fn names_of_credentials_are_told_from_others() {
        for name in [
            "authorization",
            "Proxy-Authorization",
            "x-api-key",
            "api_key",
            "apiKey",
            "APIKEY",
            "cookie",
            "set-cookie",
            "/metadata/api_key",
            "client_secret",
            "access_token",
            "accessToken",
            "X-Auth-Token",
            "password",
            "/tools/0/credentials/user",
            "private-key",
            "Ocp-Apim-Subscription-Key",
            "x-goog-api-key",
        ] {
            assert!(is_secret(name), "{name}");
        }
        for name in [
            "max_tokens",
            "x-ratelimit-remaining-tokens",
            "key",
            "monkey",
            "content-type",
            "/messages/0/content",
            "keyboard",
            "author",
            "input_tokens",
            "",
            "public_key",
        ] {
            assert!(!is_secret(name), "{name}");
        }
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
    fn what_is_no_json_and_no_query_comes_out_as_it_was() {
        for text in [
            "",
            "\"",
            "a=b",
            "\"a\":",
            "\"a\\",
            "x\"\"=\"",
            "é=\"ü",
            "\"token\":",
            "\"token\":{\"a\":1}",
        ] {
            assert_eq!(pairs(&members(text)), text, "{text}");
        }
    }
}
