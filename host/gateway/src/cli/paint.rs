//! Coloured text of a terminal, as styled text that can be drawn.
//!
//! Reads the few codes that this program writes itself; whatever else begins with an
//! escape is left out.

use ratatui::{
    style::{Color, Modifier, Style},
    text::{Line, Span, Text},
};

const ESCAPE: char = '\u{1b}';

/// The lines of `coloured`, each a line.
pub(crate) fn text(coloured: &str) -> Text<'static> {
    coloured.lines().map(line).collect()
}

fn line(coloured: &str) -> Line<'static> {
    let mut spans = Vec::new();
    let mut style = Style::new();
    let mut parts = coloured.split(ESCAPE);
    let mut add = |text: &str, style: Style| {
        if !text.is_empty() {
            spans.push(Span::styled(text.to_owned(), style));
        }
    };
    add(parts.next().unwrap_or_default(), style);
    for part in parts {
        let code = part.strip_prefix('[').and_then(|rest| rest.split_once('m'));
        let Some((code, rest)) = code else { continue };
        style = match code {
            "0" => Style::new(),
            "1" => style.add_modifier(Modifier::BOLD),
            "2" => style.add_modifier(Modifier::DIM),
            "31" => style.fg(Color::Red),
            "32" => style.fg(Color::Green),
            "33" => style.fg(Color::Yellow),
            "36" => style.fg(Color::Cyan),
            _ => style,
        };
        add(rest, style);
    }
    Line::from(spans)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_become_styles_and_other_escapes_nothing() {
        let found = text("a \u{1b}[1mb\u{1b}[31mc\u{1b}[0m d\n\u{1b}]0;title\u{7}\u{1b}[2Jx");
        let bold = Style::new().add_modifier(Modifier::BOLD);
        let expected = Line::from(vec![
            Span::raw("a "),
            Span::styled("b", bold),
            Span::styled("c", bold.fg(Color::Red)),
            Span::raw(" d"),
        ]);
        assert_eq!(found.lines[0], expected);
        assert_eq!(found.lines[1], Line::default());
    }
}
