//! JSON as its text: taken apart field by field, with every number as it was written.
//!
//! Numbers are never read where they are only handed on, so a 64-bit integer keeps every
//! digit and a float its last one. A plugin's stack is small, and reading goes down it with
//! every bracket: what is deeper than [`DEPTH_MAX`] is not read.

mod fields;
mod object;

use serde_json::value::RawValue;

pub(crate) use fields::Fields;
pub(crate) use object::{Object, list, quoted};

/// Half of what fits; and what the gateway takes by default.
const DEPTH_MAX: usize = 64;

/// `None`: it is no JSON, or too deep.
pub(crate) fn read(text: &[u8]) -> Option<&RawValue> {
    if !is_shallow(text) {
        return None;
    }
    serde_json::from_slice(text).ok()
}

/// The text that a JSON string stands for; `None` if it is no string.
pub(crate) fn unquoted(text: &str) -> Option<String> {
    if !text.starts_with('"') {
        return None;
    }
    serde_json::from_str(text).ok()
}

/// A whole number of tokens and the like, also where it is written as a float.
pub(crate) fn count(text: &str) -> Option<u64> {
    if let Ok(count) = text.parse() {
        return Some(count);
    }
    let number: f64 = text.parse().ok()?;
    let is_exact = (0.0..9_007_199_254_740_992.0).contains(&number) && number.fract() == 0.0;
    is_exact.then_some(number as u64)
}

fn is_shallow(text: &[u8]) -> bool {
    let (mut depth, mut is_text, mut is_escaped) = (0_usize, false, false);
    for byte in text {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = is_text,
            b'"' => is_text = !is_text,
            _ if is_text => {}
            b'[' | b'{' => {
                depth += 1;
                if depth > DEPTH_MAX {
                    return false;
                }
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_deeper_than_the_stack_bears_is_not_read() {
        let nested = |depth| "[".repeat(depth) + &"]".repeat(depth);
        assert!(read(nested(DEPTH_MAX).as_bytes()).is_some());
        assert!(read(nested(DEPTH_MAX + 1).as_bytes()).is_none());
        assert!(read("[".repeat(1 << 20).as_bytes()).is_none());
        let texts = format!(r#"["{}", "\"{}", "\\"]"#, "[".repeat(99), "{".repeat(99));
        assert!(read(texts.as_bytes()).is_some());
    }

    #[test]
    fn a_count_may_be_written_as_a_float_and_is_no_other_number() {
        assert_eq!(count("7"), Some(7));
        assert_eq!(count("7.0"), Some(7));
        assert_eq!(count("18446744073709551615"), Some(u64::MAX));
        for other in ["-1", "7.5", "1e99", "\"7\"", "null", "NaN"] {
            assert_eq!(count(other), None, "{other}");
        }
    }
}
