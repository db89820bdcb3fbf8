//! Names of functions as they are in a module, as a person reads them.
//!
//! They are the plugin's, so they may be anything: bounded, on one line.

use std::fmt::{self, Write};

/// A longer symbol is not taken apart.
const SYMBOL_BYTES_MAX: usize = 4096;
/// A longer name is cut.
const NAME_BYTES_MAX: usize = 200;

/// Demangled, if it is Rust's; a function of a trait by the type that has it.
pub(crate) fn symbol(name: &str) -> String {
    let mut out = Bounded(String::new());
    match rustc_demangle::try_demangle(name) {
        // What does not fit is left out.
        Ok(demangled) if name.len() <= SYMBOL_BYTES_MAX => {
            let _ = write!(out, "{demangled:#}");
        }
        _ => {
            let _ = out.write_str(name);
        }
    }
    plain(
        of_its_type(&out.0).as_deref().unwrap_or(&out.0),
        NAME_BYTES_MAX,
    )
}

/// On one line, cut to length, with nothing in it that steers a terminal.
pub(crate) fn plain(text: &str, bytes_max: usize) -> String {
    let kept = &text[..text.floor_char_boundary(bytes_max)];
    let mut out = String::with_capacity(kept.len());
    for character in kept.chars() {
        let is_plain = !character.is_control()
            && !matches!(character, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        out.push(if is_plain { character } else { '?' });
    }
    if kept.len() < text.len() {
        out.push('…');
    }
    out
}

/// `<a::B as c::D>::f` is `a::B::f` to who wrote it.
fn of_its_type(name: &str) -> Option<String> {
    let inner = name.strip_prefix('<')?;
    let (mut depth, mut of_type) = (0, None);
    for (at, character) in inner.char_indices() {
        match character {
            '<' => depth += 1,
            // Of `->`.
            '>' if inner[..at].ends_with('-') => {}
            '>' if depth == 0 => {
                let of_type: &str = of_type?;
                return Some(format!("{of_type}{}", &inner[at + 1..]));
            }
            '>' => depth -= 1,
            ' ' if depth == 0 && of_type.is_none() && inner[at..].starts_with(" as ") => {
                of_type = Some(&inner[..at]);
            }
            _ => {}
        }
    }
    None
}

/// Refuses what is beyond its bound, which ends the demangling.
struct Bounded(String);

impl Write for Bounded {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = (NAME_BYTES_MAX * 4).saturating_sub(self.0.len());
        let kept = text.floor_char_boundary(room);
        self.0.push_str(&text[..kept]);
        if kept < text.len() {
            Err(fmt::Error)
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symbols_of_rust_are_taken_apart_and_others_left() {
        for (mangled, shown) in [
            (
                "_ZN13short_prompts5check17h0123456789abcdefE",
                "short_prompts::check",
            ),
            ("_RNvCs1234_7mycrate3foo", "mycrate::foo"),
            ("JS_EvalInternal", "JS_EvalInternal"),
            ("", ""),
        ] {
            assert_eq!(symbol(mangled), shown);
        }
        assert_eq!(
            of_its_type("<a::B<c::D> as e::F<fn() -> g>>::h").as_deref(),
            Some("a::B<c::D>::h")
        );
        assert_eq!(of_its_type("<a::B>::h"), None);
        assert_eq!(of_its_type("a::b"), None);
    }

    #[test]
    fn whatever_a_module_calls_its_functions_is_one_short_line() {
        for hostile in [
            "a\nb\u{1b}[31m\u{202e}".to_owned(),
            "x".repeat(1 << 20),
            format!("_RN{}", "v".repeat(100_000)),
            format!("_R{}", "Y".repeat(3000)),
            format!("_ZN{}E", "9999999999".repeat(100)),
            // Each step doubles what it stands for.
            format!("_RIC1a{}E", "TB_B_E".repeat(200)),
            "é".repeat(1000),
            format!("<{}", "<a as ".repeat(10_000)),
        ] {
            let shown = symbol(&hostile);
            assert!(shown.len() < 300, "{} bytes", shown.len());
            assert!(!shown.contains(['\n', '\u{1b}', '\u{202e}']), "{shown}");
        }
    }
}
