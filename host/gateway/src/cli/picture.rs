//! A drawn screen as a picture for the book: cells of a buffer as SVG.
//!
//! The pictures in `docs/pictures` are made of fixed exchanges by the very code that draws
//! on a terminal: `UPDATE_GOLDEN=1 cargo test -p tollgate --lib picture` writes them anew.

use std::{
    fmt::Write,
    fs,
    path::{Path, PathBuf},
};

use ratatui::{
    buffer::{Buffer, Cell},
    layout::Rect,
    style::{Color, Modifier},
    widgets::{Paragraph, Widget},
};

use super::{example, paint, trace::view::View};

/// A cell, in pixels.
const WIDTH: f64 = 8.0;
const HEIGHT: f64 = 18.0;
/// Around all cells.
const MARGIN: f64 = 12.0;
const PAPER: &str = "#16181d";
const INK: &str = "#d6d9e0";

/// The picture of a buffer.
pub(super) fn svg(buffer: &Buffer) -> String {
    let area = buffer.area;
    let (width, height) = (
        f64::from(area.width) * WIDTH + 2.0 * MARGIN,
        f64::from(area.height) * HEIGHT + 2.0 * MARGIN,
    );
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
         height=\"{height}\" font-family=\"'DejaVu Sans Mono', ui-monospace, Menlo, Consolas, monospace\" \
         font-size=\"13\">\n<rect width=\"100%\" height=\"100%\" rx=\"8\" fill=\"{PAPER}\"/>\n"
    );
    for y in area.top()..area.bottom() {
        let cells: Vec<&Cell> = (area.left()..area.right())
            .map(|x| &buffer[(x, y)])
            .collect();
        let mut from = 0;
        while let Some(first) = cells.get(from) {
            let alike = |cell: &&&Cell| cell.style() == first.style();
            let many = cells[from..].iter().take_while(alike).count();
            run(&mut out, (from, y), &cells[from..from + many]);
            from += many;
        }
    }
    out.push_str("</svg>\n");
    out
}

/// Cells of one style, side by side.
fn run(out: &mut String, (x, y): (usize, u16), cells: &[&Cell]) {
    let style = cells[0].style();
    let (left, top) = (x as f64 * WIDTH + MARGIN, f64::from(y) * HEIGHT + MARGIN);
    let width = cells.len() as f64 * WIDTH;
    // Writing to a String does not fail.
    if let Some(paper) = style.bg.and_then(hex) {
        let _ = writeln!(
            out,
            "<rect x=\"{left}\" y=\"{top}\" width=\"{width}\" height=\"{HEIGHT}\" fill=\"{paper}\"/>"
        );
    }
    let text: String = cells.iter().map(|cell| cell.symbol()).collect();
    if text.trim().is_empty() {
        return;
    }
    let ink = style.fg.and_then(hex).unwrap_or(INK);
    let mut marks = String::new();
    if style.add_modifier.contains(Modifier::BOLD) {
        marks.push_str(" font-weight=\"bold\"");
    }
    if style.add_modifier.contains(Modifier::DIM) {
        marks.push_str(" fill-opacity=\"0.6\"");
    }
    let base = top + HEIGHT * 0.72;
    let text = text
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;");
    let _ = writeln!(
        out,
        "<text x=\"{left}\" y=\"{base:.1}\" textLength=\"{width}\" lengthAdjust=\"spacingAndGlyphs\" \
         xml:space=\"preserve\" fill=\"{ink}\"{marks}>{text}</text>"
    );
}

fn hex(color: Color) -> Option<&'static str> {
    Some(match color {
        Color::Black => "#101216",
        Color::Red => "#f2777a",
        Color::Green => "#8fc98f",
        Color::Yellow => "#e6c07b",
        Color::Cyan => "#66c2cd",
        Color::DarkGray => "#2f343f",
        _ => return None,
    })
}

/// Holds a picture against the one in the book, or writes it there.
pub(super) fn agrees(name: &str, drawn: &Buffer) {
    let file: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../docs/pictures")
        .join(name);
    let drawn = svg(drawn);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, &drawn).unwrap();
    }
    let kept = fs::read_to_string(&file).unwrap_or_default();
    assert!(
        kept == drawn,
        "{} is not what the product draws: look at it with UPDATE_GOLDEN=1",
        file.display()
    );
}

#[test]
fn the_picture_of_a_trace_is_what_the_command_prints() {
    // In the order in which they end, as the command has them.
    let text = example::exchanges()
        .iter()
        .skip(1)
        .map(|trace| View { colored: true }.trace(trace))
        .collect::<String>();
    let text = paint::text(text.trim_end());
    let area = Rect::new(0, 0, 106, u16::try_from(text.lines.len()).unwrap());
    let mut buffer = Buffer::empty(area);
    Paragraph::new(text).render(area, &mut buffer);
    agrees("trace.svg", &buffer);
}

#[test]
fn a_picture_holds_every_cell_and_nothing_that_a_browser_would_obey() {
    let mut buffer = Buffer::with_lines(["<b>&", "x   "]);
    buffer.set_style(
        Rect::new(0, 1, 1, 1),
        ratatui::style::Style::new().fg(Color::Red).bg(Color::Cyan),
    );
    let picture = svg(&buffer);
    assert!(picture.contains(">&lt;b&gt;&amp;</text>"), "{picture}");
    assert!(picture.contains("fill=\"#f2777a\">x</text>"), "{picture}");
    assert!(
        picture.contains("height=\"18\" fill=\"#66c2cd\""),
        "{picture}"
    );
}
