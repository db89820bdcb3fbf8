//! Text from outside, made fit for one line of JSON.

use std::borrow::Cow;

/// Longest value that a line holds, in bytes.
const VALUE_MAX: usize = 512;

/// Appends `text` as a JSON string.
///
/// Control characters are escaped, also those that a terminal obeys beyond ASCII
/// and the line separators; a value that is too long is cut at a character.
pub(crate) fn string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let kept = match text.len() <= VALUE_MAX {
        true => text,
        false => &text[..text.floor_char_boundary(VALUE_MAX)],
    };
    if is_plain(kept.as_bytes()) {
        out.extend_from_slice(kept.as_bytes());
    } else {
        kept.chars().for_each(|character| escaped(out, character));
    }
    if kept.len() < text.len() {
        out.extend_from_slice("…".as_bytes());
    }
    out.push(b'"');
}

const ONES: u64 = u64::MAX / 255;
const HIGHS: u64 = ONES << 7;

/// Whether it is printable ASCII that JSON writes as it is; eight bytes at once.
fn is_plain(text: &[u8]) -> bool {
    let mut all = 0;
    for eight in text.as_chunks().0 {
        all |= others(*eight);
    }
    // The last ones once more, with those before them.
    let last = match (text.last_chunk(), text.first_chunk(), text.last_chunk()) {
        (Some(last), ..) => *last,
        (None, Some([a, b, c, d]), Some([e, f, g, h])) => [*a, *b, *c, *d, *e, *f, *g, *h],
        _ => {
            let mut last = [b' '; 8];
            last.iter_mut().zip(text).for_each(|(to, byte)| *to = *byte);
            last
        }
    };
    all | others(last) == 0
}

/// Not 0 if any byte is none of those. (Sean Anderson, "Bit Twiddling Hacks": a byte that is
/// zero or less than another; only what is above the lowest that is found may be wrong.)
fn others(eight: [u8; 8]) -> u64 {
    let word = u64::from_le_bytes(eight);
    let below = |word: u64, bound: u8| word.wrapping_sub(ONES * u64::from(bound)) & !word;
    let is = |byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
    (word | below(word, b' ') | is(b'"') | is(b'\\') | is(0x7f)) & HIGHS
}

fn escaped(out: &mut Vec<u8>, character: char) {
    match character {
        '"' => out.extend_from_slice(b"\\\""),
        '\\' => out.extend_from_slice(b"\\\\"),
        character if is_hidden(character) => out.extend_from_slice(units(character).as_bytes()),
        character => {
            let mut bytes = [0; 4];
            out.extend_from_slice(character.encode_utf8(&mut bytes).as_bytes());
        }
    }
}

/// As JSON writes any character: `\u001b`.
fn units(character: char) -> String {
    let mut units = [0; 2];
    let units = character.encode_utf16(&mut units).iter();
    units.map(|unit| format!("\\u{unit:04x}")).collect()
}

/// A line of JSON that means the same and has nothing in it that a terminal obeys. What is
/// hidden of it stands within its texts, but for white space.
pub(crate) fn plain_json(line: &str) -> Cow<'_, str> {
    let is_hidden = |character: char| is_hidden(character) && !"\t\r\n".contains(character);
    if !line.contains(is_hidden) {
        return line.into();
    }
    let mut out = String::with_capacity(line.len());
    for character in line.chars() {
        if is_hidden(character) {
            out.push_str(&units(character));
        } else {
            out.push(character);
        }
    }
    out.into()
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
    fn what_is_plain_is_told_byte_by_byte_wherever_it_stands() {
        for byte in 0..=u8::MAX {
            let plain = matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\';
            for length in 1..20 {
                for at in 0..length {
                    for around in *b"a~ !" {
                        let mut text = vec![around; length];
                        text[at] = byte;
                        assert_eq!(is_plain(&text), plain, "{byte} at {at} of {length}");
                    }
                }
            }
        }
        assert!(is_plain(b""));
    }

    #[test]
    fn json_with_controls_in_it_is_the_same_json_without_them() {
        let value = serde_json::json!({
            "a\u{9b}2J": ["\u{202e}txt\u{2069}", "\u{7f}\u{85}\u{feff}\u{2028}"], "b": "é\n\u{1b}[31m🦀",
        });
        for line in [value.to_string(), format!("{value:#}")] {
            assert!(line.contains('\u{9b}'), "as it comes");
            let plain = plain_json(&line);
            let seen = plain.chars().filter(|c| !"\t\r\n".contains(*c));
            assert!(!seen.into_iter().any(is_hidden), "{plain}");
            let read: serde_json::Value = serde_json::from_str(&plain).unwrap();
            assert_eq!(read, value);
        }
        assert!(matches!(plain_json("{\"a\":1}"), Cow::Borrowed(_)));
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
