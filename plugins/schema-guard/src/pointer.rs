//! JSON pointers (RFC 6901): those that the settings name, and those to what was found.

use schemars::JsonSchema;
use serde::Deserialize;

/// How much of a key that a client made up is shown to it.
const TOKEN_SHOWN_MAX: usize = 64;

/// A JSON pointer to a field, such as `/user` or `/stream_options/include_usage`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
pub(crate) struct Pointer(#[schemars(regex(pattern = "^/"))] String);

impl Pointer {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Pointer {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let bad = |what: &str| format!("`{text}` is no JSON pointer to a field: {what}");
        if !text.starts_with('/') {
            return Err(bad("it starts with `/`, as in `/user`"));
        }
        if text.len() > 256 {
            return Err(bad("it is longer than 256 bytes"));
        }
        let tokens = tollgate_sdk::pointer::tokens(&text);
        tokens.map_err(|_| bad("in it `~` is written `~0`, and a `/` in a name `~1`"))?;
        Ok(Self(text))
    }
}

/// Where a check has come to, from the root of the body.
#[derive(Debug, Default)]
pub(crate) struct Place {
    text: String,
}

impl Place {
    pub(crate) fn of(pointer: &str) -> Self {
        let text = pointer.to_owned();
        Self { text }
    }

    /// Runs with the place one step further in.
    pub(crate) fn within<T>(&mut self, token: &str, run: impl FnOnce(&mut Self) -> T) -> T {
        let length = self.text.len();
        self.text.push('/');
        self.text.push_str(&shown(token));
        let result = run(self);
        self.text.truncate(length);
        result
    }

    pub(crate) fn as_str(&self) -> &str {
        if self.text.is_empty() {
            "/"
        } else {
            &self.text
        }
    }
}

/// A key as a token of a pointer, short and without control characters.
fn shown(token: &str) -> String {
    let mut shown = String::new();
    for char in token.chars() {
        if shown.len() >= TOKEN_SHOWN_MAX {
            shown.push('…');
            break;
        }
        match char {
            '~' => shown.push_str("~0"),
            '/' => shown.push_str("~1"),
            char if char.is_control() => shown.extend(char.escape_default()),
            char => shown.push(char),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_pointer_to_a_field_is_refused_with_the_reason() {
        for (text, reason) in [
            ("user", "starts with `/`"),
            ("", "starts with `/`"),
            ("/a~2", "written `~0`"),
            (&"/a".repeat(200), "longer than 256 bytes"),
        ] {
            let error = Pointer::try_from(text.to_owned()).unwrap_err();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }

    #[test]
    fn a_place_is_a_pointer_that_a_client_cannot_blow_up() {
        let mut place = Place::of("/messages");
        let deep = |place: &mut Place| place.as_str().to_owned();
        assert_eq!(place.within("a/b~\n", deep), "/messages/a~1b~0\\n");
        assert!(place.within(&"x".repeat(64 * 1024), deep).len() < 100);
        assert_eq!(place.as_str(), "/messages");
        assert_eq!(Place::default().as_str(), "/");
    }
}
