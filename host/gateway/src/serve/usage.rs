//! Reads the tokens that an upstream says it used.
//!
//! Nothing is parsed unless the bytes have a `usage` in them, and no document longer
//! than [`DOCUMENT_MAX`] is kept for it.

use std::sync::LazyLock;

use bytes::{Bytes, BytesMut};
use memchr::memmem;
use serde::Deserialize;
use tollgate_sandbox::contract::Usage;

/// The longest response whose usage is read, in bytes.
const DOCUMENT_MAX: usize = 1 << 20;

#[derive(Deserialize)]
struct Document {
    usage: Option<Reported>,
    /// Where OpenAI's `responses` put it in their last event.
    response: Option<Inner>,
}

#[derive(Deserialize)]
struct Inner {
    usage: Option<Reported>,
}

/// The names of chat completions and embeddings, and those of `responses`.
#[derive(Deserialize)]
struct Reported {
    #[serde(alias = "input_tokens")]
    prompt_tokens: Option<u64>,
    #[serde(alias = "output_tokens")]
    completion_tokens: Option<u64>,
    #[serde(alias = "input_tokens_details")]
    prompt_tokens_details: Option<Details>,
}

#[derive(Deserialize)]
struct Details {
    cached_tokens: Option<u64>,
}

/// The usage of a whole response, or of one event of a stream.
pub(super) fn of_document(bytes: &[u8]) -> Option<Usage> {
    if !is_worth_parsing(bytes) {
        return None;
    }
    let document: Document = serde_json::from_slice(bytes).ok()?;
    let reported = document.usage.or_else(|| document.response?.usage)?;
    Some(Usage {
        input_tokens: reported.prompt_tokens.unwrap_or_default(),
        output_tokens: reported.completion_tokens.unwrap_or_default(),
        cached_tokens: reported
            .prompt_tokens_details
            .and_then(|details| details.cached_tokens)
            .unwrap_or_default(),
    })
}

/// Whether some `"usage"` is there that is not null, as it is in most events.
fn is_worth_parsing(bytes: &[u8]) -> bool {
    const KEY: &[u8] = b"\"usage\"";
    static FINDER: LazyLock<memmem::Finder<'static>> = LazyLock::new(|| memmem::Finder::new(KEY));
    FINDER.find_iter(bytes).any(|at| {
        let value = bytes[at + KEY.len()..].trim_ascii_start();
        value
            .strip_prefix(b":")
            .is_some_and(|value| value.trim_ascii_start().starts_with(b"{"))
    })
}

/// Keeps a document that passes by, as long as it is short enough.
#[derive(Default)]
pub(super) struct Kept {
    first: Bytes,
    more: BytesMut,
    too_long: bool,
}

impl Kept {
    pub(super) fn see(&mut self, chunk: &Bytes) {
        if self.too_long || self.first.len() + self.more.len() + chunk.len() > DOCUMENT_MAX {
            *self = Self {
                too_long: true,
                ..Self::default()
            };
        } else if self.first.is_empty() {
            self.first = chunk.clone();
        } else {
            self.more.extend_from_slice(chunk);
        }
    }

    pub(super) fn usage(&self) -> Option<Usage> {
        if self.more.is_empty() {
            return of_document(&self.first);
        }
        of_document(&[&self.first[..], &self.more[..]].concat())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(text: &str) -> Option<(u64, u64, u64)> {
        of_document(text.as_bytes())
            .map(|usage| (usage.input_tokens, usage.output_tokens, usage.cached_tokens))
    }

    #[test]
    fn usage_is_read_where_upstreams_put_it() {
        let chat = r#"{"choices":[],"usage" : {"prompt_tokens":3,"completion_tokens":4,"total_tokens":7,"prompt_tokens_details":{"cached_tokens":2}}}"#;
        assert_eq!(tokens(chat), Some((3, 4, 2)));
        assert_eq!(
            tokens(r#"{"usage":{"prompt_tokens":5,"total_tokens":5}}"#),
            Some((5, 0, 0))
        );
        let response = r#"{"type":"response.completed","response":{"usage":{"input_tokens":1,"output_tokens":2}}}"#;
        assert_eq!(tokens(response), Some((1, 2, 0)));
        for without in [
            "",
            "{}",
            "[DONE]",
            r#"{"usage":null}"#,
            r#"{"usage":{"prompt_tokens":-1}}"#,
            r#"{"usage":{"prompt"#,
            r#"{"choices":[{"text":"\"usage\":{"}]}"#,
        ] {
            assert_eq!(tokens(without), None, "{without}");
        }
    }

    #[test]
    fn a_document_in_pieces_is_read_unless_it_is_too_long() {
        let mut kept = Kept::default();
        for piece in [r#"{"usage":{"prompt_"#, r#"tokens":3}"#, "}"] {
            kept.see(&Bytes::from_static(piece.as_bytes()));
        }
        assert_eq!(kept.usage().map(|usage| usage.input_tokens), Some(3));
        kept.see(&Bytes::from(vec![b' '; DOCUMENT_MAX]));
        assert!(kept.usage().is_none());
        kept.see(&Bytes::from_static(br#"{"usage":{"prompt_tokens":3}}"#));
        assert!(kept.usage().is_none());
    }
}
