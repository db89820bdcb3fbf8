//! Text from outside, made fit for one line of JSON.

/// Longest value that a line holds, in bytes.
const VALUE_MAX: usize = 512;

/// Appends `text` as a JSON string.
///
/// Control characters are escaped, also those that a terminal obeys beyond ASCII
/// and the line separators; a value that is too long is cut at a character.
pub(crate) fn string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let cut = text.floor_char_boundary(VALUE_MAX);
    let (kept, rest) = text.split_at(cut);
    if kept.bytes().all(is_plain) {
        out.extend_from_slice(kept.as_bytes());
    } else {
        kept.chars().for_each(|character| escaped(out, character));
    }
    if !rest.is_empty() {
        out.extend_from_slice("…".as_bytes());
    }
    out.push(b'"');
}

fn is_plain(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\'
}

fn escaped(out: &mut Vec<u8>, character: char) {
    match character {
        '"' => out.extend_from_slice(b"\\\""),
        '\\' => out.extend_from_slice(b"\\\\"),
        character if is_hidden(character) => {
            let mut units = [0; 2];
            for unit in character.encode_utf16(&mut units) {
                out.extend_from_slice(format!("\\u{unit:04x}").as_bytes());
            }
        }
        character => {
            let mut bytes = [0; 4];
            out.extend_from_slice(character.encode_utf8(&mut bytes).as_bytes());
        }
    }
}

/// Controls, line separators, and what changes the direction of text.
pub(crate) fn is_hidden(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// A path without its query, which may hold a key.
pub(crate) fn without_query(path: &str) -> &str {
    path.split(['?', '#']).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> String {
        let mut out = Vec::new();
        string(&mut out, text);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn what_a_line_holds_reads_back_and_has_no_control_character() {
        for text in [
            "plain",
            "a\r\nb",
            "\u{1b}[31m",
            "\"\\",
            "é\u{2028}",
            "\u{9b}2J",
            "\u{202e}x",
            "🦀",
        ] {
            let line = json(text);
            assert!(!line.chars().any(is_hidden), "{line}");
            assert_eq!(serde_json::from_str::<String>(&line).unwrap(), text);
        }
    }

    #[test]
    fn a_long_value_is_cut_at_a_character() {
        let line = json(&"é".repeat(1 << 20));
        assert!(line.len() < VALUE_MAX + 10 && line.ends_with("…\""));
    }

    #[test]
    fn a_query_is_left_out() {
        assert_eq!(without_query("/v1/chat?key=secret"), "/v1/chat");
    }
}
