//! Finds how much output one event carries, in one pass over its bytes.
//!
//! Runs on every event of every stream, so it does not parse: it looks at strings, tells
//! keys from values by the colon, and measures the values of keys that carry output.
//! What is no JSON is counted by the same rule, and never fails.

/// What one event carries.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Found {
    /// Bytes of output in UTF-8, once unescaped.
    pub(crate) text_bytes: u64,
    /// It says that a choice is finished.
    pub(crate) finish: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Key {
    Output,
    Finish,
    Other,
}

impl Key {
    fn of(name: &[u8]) -> Self {
        match name {
            b"content" | b"text" | b"arguments" | b"reasoning_content" | b"reasoning"
            | b"refusal" | b"delta" | b"thinking" | b"partial_json" => Self::Output,
            b"finish_reason" => Self::Finish,
            _ => Self::Other,
        }
    }
}

pub(crate) fn scan(data: &[u8]) -> Found {
    let mut found = Found::default();
    let mut key = Key::Other;
    let mut rest = data;
    while let Some(start) = rest.iter().position(|byte| *byte == b'"') {
        let Text { raw, bytes, after } = text(&rest[start + 1..]);
        rest = after;
        let is_key = rest
            .iter()
            .find(|byte| !byte.is_ascii_whitespace())
            .is_some_and(|byte| *byte == b':');
        match key {
            _ if is_key => key = Key::of(raw),
            Key::Output => found.text_bytes += bytes,
            Key::Finish => found.finish = true,
            Key::Other => {}
        }
    }
    found
}

struct Text<'a> {
    raw: &'a [u8],
    /// How long it is once unescaped.
    bytes: u64,
    after: &'a [u8],
}

/// From behind the opening quote to the closing one, or to the end.
fn text(data: &[u8]) -> Text<'_> {
    let mut at = 0;
    let mut bytes = 0;
    while let Some(byte) = data.get(at) {
        match byte {
            b'"' => break,
            b'\\' if data.get(at + 1) == Some(&b'u') => {
                bytes += escaped(&data[at + 2..]);
                at += 6;
            }
            b'\\' => {
                bytes += 1;
                at += 2;
            }
            _ => {
                bytes += 1;
                at += 1;
            }
        }
    }
    let end = at.min(data.len());
    Text {
        raw: &data[..end],
        bytes,
        after: data.get(end + 1..).unwrap_or_default(),
    }
}

/// The bytes of a character by its four hex digits; a pair of surrogates makes four.
fn escaped(digits: &[u8]) -> u64 {
    match digits {
        [b'0', b'0', b'0'..=b'7', ..] => 1,
        [b'0', b'0'..=b'7', ..] | [b'd' | b'D', b'8'..=b'9' | b'a'..=b'f' | b'A'..=b'F', ..] => 2,
        _ => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(data: &str) -> u64 {
        scan(data.as_bytes()).text_bytes
    }

    #[test]
    fn text_reasoning_and_tool_calls_are_output() {
        let cases = [
            (
                r#"{"id":"a","model":"m","choices":[{"index":0,"delta":{"content":"four"}}]}"#,
                4,
            ),
            (r#"{"choices":[{"text" : "older"}]}"#, 5),
            (
                r#"{"choices":[{"delta":{"role":"assistant","reasoning_content":"hm","content":null}}]}"#,
                2,
            ),
            (
                r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"id":"call","function":{"name":"f","arguments":"{\"a\""}}]}}]}"#,
                4,
            ),
            (
                r#"{"choices":[{"delta":{"content":"a"}},{"delta":{"content":"bc"}}]}"#,
                3,
            ),
            (
                r#"{"type":"response.output_text.delta","item_id":"x","delta":"abc"}"#,
                3,
            ),
        ];
        for (data, expected) in cases {
            assert_eq!(bytes(data), expected, "{data}");
        }
    }

    #[test]
    fn what_frames_the_output_is_not_counted() {
        let cases = [
            "[DONE]",
            "",
            r#"{"choices":[{"delta":{"role":"assistant","content":""},"finish_reason":null}]}"#,
            r#"{"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2}}"#,
            r#"{"choices":[{"logprobs":{"content":[{"token":"hello","bytes":[104],"top_logprobs":[{"token":"x"}]}]}}]}"#,
        ];
        for data in cases {
            assert_eq!(bytes(data), 0, "{data}");
        }
    }

    #[test]
    fn escapes_count_as_what_they_stand_for() {
        let serialised = serde_json::to_string("a\n\"\\é\u{4f60}\u{1f600}\u{1}").unwrap();
        let expected = "a\n\"\\é\u{4f60}\u{1f600}\u{1}".len() as u64;
        assert_eq!(bytes(&format!(r#"{{"content":{serialised}}}"#)), expected);
        assert_eq!(
            bytes(r#"{"content":"\u0041\u00e9\u4F60\ud83d\uDE00\u07ff\u0800"}"#),
            15
        );
    }

    #[test]
    fn a_finish_is_noticed_when_it_has_a_reason() {
        assert!(scan(br#"{"choices":[{"delta":{},"finish_reason":"stop"}]}"#).finish);
        assert!(
            !scan(br#"{"choices":[{"delta":{"content":"finish_reason"},"finish_reason":null}]}"#)
                .finish
        );
    }

    #[test]
    fn broken_data_is_never_a_panic() {
        let whole = br#"{"a":"\\","content":"x\u12","finish_reason":"\"#;
        for end in 0..=whole.len() {
            scan(&whole[..end]);
        }
        scan(br#""content"::"#);
        scan(&[b'"'; 100]);
        scan(&[b'\\'; 100]);
        scan(b"\"\xff\\u\xff");
    }
}
