//! JSON pointers (RFC 6901).

use std::borrow::Cow;

use super::scan;

/// A JSON pointer (RFC 6901) that is read once and followed often.
#[derive(Debug, Clone)]
pub(crate) struct Pointer {
    text: Box<str>,
    /// `None`: it keeps no RFC 6901. No more of them than lead deeper than any document is.
    pub(super) tokens: Option<Box<[Box<str>]>>,
}

impl Pointer {
    pub(crate) fn of(text: String) -> Self {
        let tokens = Tokens::of(&text).and_then(|tokens| {
            let mut kept = Vec::new();
            for token in tokens {
                let token = token?;
                if kept.len() <= scan::DEPTH_LIMIT {
                    kept.push(Box::from(&*token));
                }
            }
            Some(kept.into_boxed_slice())
        });
        let text = text.into_boxed_str();
        Self { text, tokens }
    }

    /// Whether it keeps RFC 6901.
    pub(crate) fn is_one(&self) -> bool {
        self.tokens.is_some()
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }
}

/// The tokens of a JSON pointer; `None` for one that is badly escaped.
pub(super) struct Tokens<'a> {
    rest: Option<&'a str>,
}

impl<'a> Tokens<'a> {
    /// `None` if the pointer is neither empty nor starts with `/`.
    pub(super) fn of(pointer: &'a str) -> Option<Self> {
        match pointer.strip_prefix('/') {
            Some(rest) => Some(Self { rest: Some(rest) }),
            None => pointer.is_empty().then_some(Self { rest: None }),
        }
    }
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Option<Cow<'a, str>>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.rest?;
        let (token, rest) = match split(rest, b'/') {
            Some((token, rest)) => (token, Some(rest)),
            None => (rest, None),
        };
        self.rest = rest;
        Some(unescape_token(token))
    }
}

/// What is before an ASCII character and what is behind it. Tokens are short, so a plain
/// loop is faster than what searches long texts.
fn split(text: &str, at: u8) -> Option<(&str, &str)> {
    let place = text.bytes().position(|byte| byte == at)?;
    Some((&text[..place], &text[place + 1..]))
}

fn unescape_token(token: &str) -> Option<Cow<'_, str>> {
    let Some((start, mut rest)) = split(token, b'~') else {
        return Some(Cow::Borrowed(token));
    };
    let mut text = start.to_owned();
    loop {
        text.push(match rest.as_bytes().first()? {
            b'0' => '~',
            b'1' => '/',
            _ => return None,
        });
        rest = &rest[1..];
        let Some((plain, more)) = split(rest, b'~') else {
            text.push_str(rest);
            return Some(Cow::Owned(text));
        };
        text.push_str(plain);
        rest = more;
    }
}
