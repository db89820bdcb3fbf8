//! Reads JSON that is not too deep.
//!
//! A plugin's stack is small, and reading goes down it with every bracket: what is deeper
//! than this is not read, so that nobody can make it overflow.

use serde_json::Value;

/// Half of what fits; and what the gateway takes by default.
const DEPTH_MAX: usize = 64;

/// `None`: it is no JSON, or too deep.
pub(crate) fn read(text: &[u8]) -> Option<Value> {
    if !is_shallow(text) {
        return None;
    }
    serde_json::from_slice(text).ok()
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
    }

    #[test]
    fn brackets_in_texts_and_beside_each_other_do_not_count() {
        let texts = format!(r#"["{}", "\"{}", "\\"]"#, "[".repeat(99), "{".repeat(99));
        assert!(read(texts.as_bytes()).is_some());
        let wide = format!("[{}[]]", "[],".repeat(99));
        assert!(read(wide.as_bytes()).is_some());
    }
}
