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

/// Where Anthropic's `messages` put the first of it. Elsewhere `message` is a text.
#[derive(Deserialize)]
struct Started {
    message: Inner,
}

#[derive(Deserialize)]
struct Inner {
    usage: Option<Reported>,
}

/// The names of chat completions and embeddings, those of `responses`, and those of
/// Anthropic's `messages`.
///
/// Some servers say the same in two of them. An alias would refuse that as a name twice.
#[derive(Deserialize)]
struct Reported {
    prompt_tokens: Option<u64>,
    input_tokens: Option<u64>,
    completion_tokens: Option<u64>,
    output_tokens: Option<u64>,
    prompt_tokens_details: Option<Details>,
    input_tokens_details: Option<Details>,
    /// Anthropic's, not part of its `input_tokens`; part of `prompt_tokens` beside which
    /// some servers say it.
    cache_read_input_tokens: Option<u64>,
    /// The same.
    cache_creation_input_tokens: Option<u64>,
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
    let started = || serde_json::from_slice(bytes).map(|Started { message }| message);
    let inner = || document.response.or_else(|| started().ok());
    let reported = document.usage.or_else(|| inner()?.usage)?;
    let read = reported.cache_read_input_tokens.unwrap_or_default();
    let created = reported.cache_creation_input_tokens.unwrap_or_default();
    let details = reported.prompt_tokens_details;
    let details = details.or(reported.input_tokens_details);
    let cached = details.and_then(|details| details.cached_tokens);
    let input = reported.input_tokens.unwrap_or_default();
    Some(Usage {
        input_tokens: reported
            .prompt_tokens
            .unwrap_or_else(|| input.saturating_add(read).saturating_add(created)),
        output_tokens: reported
            .completion_tokens
            .or(reported.output_tokens)
            .unwrap_or_default(),
        cached_tokens: cached.unwrap_or(read),
    })
}

/// Adds what a later event of a stream reports. Upstreams count up, and some report the
/// input at the start and the output at the end.
pub(super) fn add(known: &mut Option<Usage>, later: Usage) {
    let known = known.get_or_insert(Usage {
        input_tokens: 0,
        output_tokens: 0,
        cached_tokens: 0,
    });
    known.input_tokens = known.input_tokens.max(later.input_tokens);
    known.output_tokens = known.output_tokens.max(later.output_tokens);
    known.cached_tokens = known.cached_tokens.max(later.cached_tokens);
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
        let message = r#"{"type":"message","usage":{"input_tokens":3,"cache_creation_input_tokens":5,"cache_read_input_tokens":7,"output_tokens":2}}"#;
        assert_eq!(tokens(message), Some((15, 2, 7)));
        let both = r#"{"usage":{"prompt_tokens":9,"input_tokens":9,"completion_tokens":4,"output_tokens":4,"prompt_tokens_details":{"cached_tokens":5},"input_tokens_details":null}}"#;
        assert_eq!(tokens(both), Some((9, 4, 5)));
        let within = r#"{"usage":{"prompt_tokens":9,"completion_tokens":4,"cache_read_input_tokens":5,"cache_creation_input_tokens":1}}"#;
        assert_eq!(tokens(within), Some((9, 4, 5)));
        let other = r#"{"message":"a text","usage":{"prompt_tokens":1}}"#;
        assert_eq!(tokens(other), Some((1, 0, 0)));
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
    fn what_a_stream_reports_at_its_start_and_at_its_end_is_one_usage() {
        let start = r#"{"type":"message_start","message":{"usage":{"input_tokens":3,"cache_read_input_tokens":7,"output_tokens":1}}}"#;
        let delta = r#"{"type":"message_delta","delta":{},"usage":{"output_tokens":15}}"#;
        let mut usage = None;
        for event in [start, delta] {
            add(&mut usage, of_document(event.as_bytes()).unwrap());
        }
        let usage = usage.unwrap();
        assert_eq!(
            (usage.input_tokens, usage.output_tokens, usage.cached_tokens),
            (10, 15, 7)
        );
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
