//! Text of others', fit for one line of a message or a log.

/// At most this many characters of a sentence that has words of others in it.
const SENTENCE: usize = 1_000;
/// At most this many characters of a name or a value.
const QUOTED: usize = 60;

/// A name or a value, between backquotes: cut, and as [`printable`] shows it.
#[must_use]
pub fn quote(text: &str) -> String {
    format!("`{}`", cut(text, QUOTED))
}

/// A sentence with words of others in it: cut, and with all escaped that steers a terminal.
#[must_use]
pub fn printable(text: &str) -> String {
    cut(text, SENTENCE)
}

/// Whether a character could steer a terminal or forge a line: controls, what separates lines,
/// and what changes the direction of text.
#[must_use]
pub fn steers_terminal(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}'
        )
}

fn cut(text: &str, most: usize) -> String {
    let mut out = String::new();
    let mut characters = text.chars();
    for character in characters.by_ref().take(most) {
        match steers_terminal(character) {
            true => out.extend(character.escape_debug()),
            false => out.push(character),
        }
    }
    if characters.next().is_some() {
        out.push('…');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_steers_a_terminal_is_printed() {
        let steering = "\n\u{1b}[31m\u{9b}\u{61c}\u{200e}\u{200f}\u{2028}\u{2029}\u{202e}\u{2066}\u{2069}\u{feff}";
        for shown in [printable(steering), quote(steering)] {
            assert!(!shown.contains(steers_terminal), "{shown}");
        }
        assert_eq!(printable("a\u{202e}é\n"), "a\\u{202e}é\\n");
    }

    #[test]
    fn what_is_long_is_cut() {
        assert_eq!(quote(&"é".repeat(60)), format!("`{}`", "é".repeat(60)));
        assert_eq!(quote(&"é".repeat(61)), format!("`{}…`", "é".repeat(60)));
        let long = printable(&"x".repeat(1 << 20));
        assert_eq!(long.chars().count(), SENTENCE + 1);
    }
}
