//! Where a text says by a name that something is secret: `bearer …`, members of JSON,
//! fields of queries and forms.
//!
//! A text may be JSON or a form, hold one, or be the beginning of one that was cut. Each
//! look passes over it once, so what a client wrote cannot make it long.

use std::ops::Range;

use super::is_secret;

/// Finds what is secret by name.
pub(super) fn find(text: &str, mut found: impl FnMut(Secret)) {
    bearers(text, &mut found);
    members(text, &mut found);
    pairs(text, &mut found);
}

/// A place in a text that holds what is secret.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Secret {
    pub(super) at: Range<usize>,
    pub(super) form: Form,
}

/// How it is written there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Plain,
    /// Between the quotes of JSON.
    Quoted,
    /// An object or a list.
    Nested,
    /// As in queries and forms.
    Encoded,
}

/// What follows `bearer ` and is no word.
fn bearers(text: &str, found: &mut impl FnMut(Secret)) {
    const SCHEME: &str = "bearer ";
    const LENGTH_MIN: usize = 16;
    let lower = text.to_ascii_lowercase();
    for (at, _) in lower.match_indices(SCHEME) {
        let start = at + SCHEME.len();
        let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(byte);
        let rest = text.as_bytes()[start..].iter();
        let length = rest.take_while(|byte| is_part(byte)).count();
        if length >= LENGTH_MIN {
            found(Secret {
                at: start..start + length,
                form: Form::Plain,
            });
        }
    }
}

/// The members of JSON that are secret by name, whole JSON or not, also of JSON within a
/// JSON string.
fn members(text: &str, found: &mut impl FnMut(Secret)) {
    let mut from = 0;
    while let Some(at) = text[from..].find('"') {
        from += at + 1;
        let Some(name) = Name::at(text, from) else {
            continue;
        };
        if !is_secret(name.name) {
            continue;
        }
        let (at, form) = name.value(text);
        if name.name == "token" && is_of_a_model(&text[at.end..]) {
            continue;
        }
        from = at.end;
        if !at.is_empty() {
            found(Secret { at, form });
        }
    }
}

/// Whether the member `token` before this is one that a model wrote: its probability stands
/// beside it.
fn is_of_a_model(after: &str) -> bool {
    const BETWEEN: usize = 64;
    let after = &after[..after.floor_char_boundary(BETWEEN)];
    after
        .trim_start_matches(['\\', '"', ',', ' ', '\t', '\r', '\n'])
        .starts_with("logprob")
}

/// The name of a member.
struct Name<'a> {
    name: &'a str,
    /// How many backslashes stand before its quotes.
    slashes: usize,
    /// Where what is called so begins.
    value: usize,
}

impl<'a> Name<'a> {
    /// `from` is behind the quote before it.
    fn at(text: &'a str, from: usize) -> Option<Self> {
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"_-. /%".contains(&byte);
        let is_space = |byte: u8| b" \t\r\n".contains(&byte);
        let bytes = text.as_bytes();
        let run = |from: usize, is_it: &dyn Fn(u8) -> bool| {
            let rest = bytes[from..].iter();
            from + rest.take_while(|byte| is_it(**byte)).count()
        };
        let one = |at: usize, byte: u8| (bytes.get(at) == Some(&byte)).then_some(at + 1);
        let end = run(from, &is_name);
        let quote = run(end, &|byte| byte == b'\\');
        let colon = run(one(quote, b'"')?, &is_space);
        Some(Self {
            name: &text[from..end],
            slashes: quote - end,
            value: run(one(colon, b':')?, &is_space),
        })
    }

    /// Where the value stands, and how; nowhere, if it is none that is hidden.
    fn value(&self, text: &str) -> (Range<usize>, Form) {
        let start = self.value;
        let rest = &text[start..];
        let bytes = rest.as_bytes();
        if matches!(bytes.first(), Some(b'{' | b'[')) {
            let length = closing_bracket(rest, self.slashes);
            return (start..start + length, Form::Nested);
        }
        let slashes = bytes.iter().take_while(|byte| **byte == b'\\').count();
        if bytes.get(slashes) == Some(&b'"') {
            let start = start + slashes + 1;
            let length = closing_quote(&text[start..], slashes);
            return (start..start + length, Form::Quoted);
        }
        let is_number = |byte: &u8| byte.is_ascii_digit() || b"+-.eE".contains(byte);
        let length = bytes.iter().take_while(|byte| is_number(byte)).count();
        (start..start + length, Form::Plain)
    }
}

/// Where a text ends whose quotes have so many backslashes before them.
fn closing_quote(text: &str, slashes: usize) -> usize {
    let mut behind = 0;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'"' if behind == slashes => return at - slashes,
            b'\\' => behind += 1,
            _ => behind = 0,
        }
    }
    text.len()
}

/// Where an object or a list ends, behind its bracket, whose texts' quotes have so many
/// backslashes before them.
fn closing_bracket(text: &str, slashes: usize) -> usize {
    let (mut depth, mut behind, mut is_text) = (0_usize, 0, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'"' if behind == slashes => is_text = !is_text,
            b'{' | b'[' if !is_text => depth += 1,
            b'}' | b']' if !is_text => {
                depth -= 1;
                if depth == 0 {
                    return at + 1;
                }
            }
            _ => {}
        }
        behind = if byte == b'\\' { behind + 1 } else { 0 };
    }
    text.len()
}

/// The fields of queries and forms that are secret by name.
fn pairs(text: &str, found: &mut impl FnMut(Secret)) {
    let mut from = 0;
    while let Some(at) = text[from..].find('=') {
        let equals = from + at;
        let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-.%".contains(byte);
        let before = text.as_bytes()[from..equals].iter().rev();
        let start = equals - before.take_while(|byte| is_name(byte)).count();
        let name = &text[start..equals];
        let in_query = text[..start].ends_with(['?', '&']);
        from = equals + 1;
        if is_secret(name) || in_query && name == "key" {
            let is_end = |character: char| {
                character.is_whitespace() || matches!(character, '&' | ';' | '"' | '\'' | '<' | '>')
            };
            let rest = &text[from..];
            let at = from..from + rest.find(is_end).unwrap_or(rest.len());
            from = at.end;
            if !at.is_empty() {
                found(Secret {
                    at,
                    form: Form::Encoded,
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<&str> {
        let mut all = Vec::new();
        find(text, |secret| all.push(&text[secret.at]));
        all
    }

    #[test]
    fn what_stands_under_a_secret_name_is_found_whole_or_cut_plain_or_nested() {
        for (text, expected) in [
            (r#"{"token":"abc","x":1}"#, &["abc"][..]),
            (r#"{"token" : 12.5e3}"#, &["12.5e3"]),
            (r#"{"token":"a\"b"}"#, &[r#"a\"b"#]),
            (r#"…en":"x","password":"cut in the mi"#, &["cut in the mi"]),
            (r#"{"b":"{\"token\":\"abc\",\"c\":2}"}"#, &["abc"]),
            (
                r#"{"credentials":{"a":"}","b":[1,"x"]},"c":1}"#,
                &[r#"{"a":"}","b":[1,"x"]}"#],
            ),
            (r#"{"secrets":["a","b"]}"#, &[r#"["a","b"]"#]),
            (r#"{"secrets":["a",{"b":"cut"#, &[r#"["a",{"b":"cut"#]),
            (
                r#""{\"secrets\":{\"a\":\"}\"},\"b\":1}""#,
                &[r#"{\"a\":\"}\"}"#],
            ),
            ("a?api%5Fkey=abc&b=c", &["abc"]),
            ("/?key=abc&monkey=b", &["abc"]),
            ("x-auth=abc; y=z", &["abc"]),
            (
                "BEARER abcdefghijklmnop, bearer of news",
                &["abcdefghijklmnop"],
            ),
        ] {
            assert_eq!(found(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_secret_is_not_found() {
        for text in [
            "",
            "\"",
            "a=b",
            "\"a\":",
            "\"a\\",
            "x\"\"=\"",
            "é=\"ü",
            "\"token\":",
            "\"token\":\"\"",
            "\"token\":true",
            "token=",
            r#"[{"token":" tomorrow","logprob":-0.1,"bytes":[1]}]"#,
            r#""{\"token\":\"tomorrow\", \"logprob\":-0.1}""#,
        ] {
            assert_eq!(found(text), [""; 0], "{text}");
        }
    }

    /// What each of these made a pass over the rest for every character of it.
    #[test]
    fn a_text_is_passed_over_once_whatever_is_in_it() {
        const LENGTH: usize = 1 << 18;
        for piece in [
            "\"",
            "\"a\":",
            "\\\"a\\\":\\\\\\\"",
            "\"token\":",
            "\"token\":{",
            "\"token\":\\\\\"",
            "\"token\":\"\",,,,",
            "bearer ",
            "token=",
            "a=",
            "[",
            "\\",
            " ",
        ] {
            find(&piece.repeat(LENGTH / piece.len()), |_| {});
        }
    }
}
