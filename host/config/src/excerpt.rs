//! What is shown of the line that a mistake stands in.

use crate::spelling::steers_terminal;

/// At most this many characters of a line are shown.
const SHOWN: usize = 120;

/// A piece of a line with a caret below: however long the line, little is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Excerpt {
    pub(crate) shown: String,
    /// How many characters stand before the caret.
    pub(crate) before_caret: usize,
}

impl Excerpt {
    /// Around a column, which is counted from 1. What could steer a terminal becomes spaces.
    pub(crate) fn new(line: &str, column: usize) -> Self {
        let before = column.saturating_sub(1);
        let skipped = if before > SHOWN - 20 {
            before - SHOWN / 2
        } else {
            0
        };
        let mut shown = String::new();
        if skipped > 0 {
            shown.push('…');
        }
        let plain = |c: char| if steers_terminal(c) { ' ' } else { c };
        let mut rest = line.chars().skip(skipped);
        shown.extend(rest.by_ref().take(SHOWN).map(plain));
        if rest.next().is_some() {
            shown.push('…');
        }
        Self {
            shown,
            before_caret: before - skipped + usize::from(skipped > 0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_long_line_only_what_is_around_the_mistake_is_kept() {
        let line = format!("{}!{}", "a".repeat(1 << 20), "b".repeat(1 << 20));
        let excerpt = Excerpt::new(&line, (1 << 20) + 1);
        assert_eq!(excerpt.shown.chars().count(), SHOWN + 2);
        assert_eq!(excerpt.shown.chars().nth(excerpt.before_caret), Some('!'));
    }

    #[test]
    fn what_steers_a_terminal_is_shown_as_spaces() {
        let line =
            "a\u{1b}\u{7f}\u{85}\u{61c}\u{200e}\u{200f}\u{2028}\u{202e}\u{2066}\u{2069}\u{feff}b";
        assert_eq!(Excerpt::new(line, 1).shown, format!("a{}b", " ".repeat(11)));
    }
}
