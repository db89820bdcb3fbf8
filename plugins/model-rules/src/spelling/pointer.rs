//! JSON pointers to fields.

use std::fmt;

use schemars::JsonSchema;
use serde::Deserialize;

const DEPTH_MAX: usize = 16;

/// A JSON pointer (RFC 6901) to a field, such as `/temperature` or `/stream_options/include_usage`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
pub(crate) struct Pointer(String);

impl Pointer {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Pointers to what the field lies in, the nearest first, without the document itself.
    pub(crate) fn parents(&self) -> impl Iterator<Item = &str> {
        let pointer = self.as_str();
        let slashes = pointer.rmatch_indices('/').map(|(at, _)| at);
        slashes.filter(|at| *at > 0).map(|at| &pointer[..at])
    }
}

/// Whether `inner` is `outer` or lies in it.
pub(crate) fn covers(outer: &str, inner: &str) -> bool {
    inner
        .strip_prefix(outer)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

impl TryFrom<String> for Pointer {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let bad = |what: String| format!("`{text}` is no JSON pointer to a field: {what}");
        if !text.starts_with('/') {
            return Err(bad(format!("it starts with `/`, as in `/{text}`")));
        }
        let tokens = tollgate_sdk::pointer::tokens(&text)
            .map_err(|_| bad("in it `~` is written `~0`, and a `/` in a name `~1`".to_owned()))?;
        if tokens.len() > DEPTH_MAX {
            return Err(bad(format!("it is more than {DEPTH_MAX} deep")));
        }
        if tokens.iter().any(|token| token == "-") {
            return Err(bad("`-` (after the last element) cannot be used".to_owned()));
        }
        Ok(Self(text))
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parents_come_nearest_first() {
        let pointer = Pointer::try_from("/a/b~1c/0".to_owned()).unwrap();
        assert_eq!(pointer.parents().collect::<Vec<_>>(), ["/a/b~1c", "/a"]);
        let pointer = Pointer::try_from("/a".to_owned()).unwrap();
        assert_eq!(pointer.parents().count(), 0);
    }

    #[test]
    fn what_is_no_pointer_to_a_field_is_refused_with_the_reason() {
        for (text, reason) in [
            ("user", "as in `/user`"),
            ("", "starts with `/`"),
            ("/a~2", "written `~0`"),
            ("/stop/-", "cannot be used"),
            (&"/a".repeat(17), "16 deep"),
        ] {
            let error = Pointer::try_from(text.to_owned()).unwrap_err();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }
}
