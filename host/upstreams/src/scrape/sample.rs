//! Lines of Prometheus' text format.
//!
//! `name{label="value",…} number`, maybe with a time or an exemplar behind it. Comments and lines
//! that are anything else are passed over.

/// One line that says something.
pub(super) struct Sample<'a> {
    pub(super) name: &'a [u8],
    /// What stands between the braces.
    labels: &'a [u8],
    pub(super) value: f64,
}

pub(super) fn samples(page: &[u8]) -> impl Iterator<Item = Sample<'_>> {
    page.split(|byte| *byte == b'\n').filter_map(sample)
}

fn sample(line: &[u8]) -> Option<Sample<'_>> {
    let line = line.trim_ascii();
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b':');
    let end = line.iter().position(|byte| !is_name(byte))?;
    let (name, rest) = line.split_at(end);
    if name.is_empty() {
        return None;
    }
    let rest = rest.trim_ascii_start();
    let (labels, rest) = match rest.strip_prefix(b"{") {
        Some(rest) => {
            let end = closing_brace(rest)?;
            (&rest[..end], &rest[end + 1..])
        }
        None => (&rest[..0], rest),
    };
    let number = rest.trim_ascii_start();
    let end = number.iter().position(u8::is_ascii_whitespace);
    let number = &number[..end.unwrap_or(number.len())];
    let value = std::str::from_utf8(number).ok()?.parse().ok()?;
    Some(Sample {
        name,
        labels,
        value,
    })
}

/// The first one outside of quotes.
fn closing_brace(text: &[u8]) -> Option<usize> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    for (at, byte) in text.iter().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_quoted => is_escaped = true,
            b'"' => is_quoted = !is_quoted,
            b'}' if !is_quoted => return Some(at),
            _ => {}
        }
    }
    None
}

impl<'a> Sample<'a> {
    /// The value of a label, as it is written: escapes are left as they are.
    pub(super) fn label(&self, name: &[u8]) -> Option<&'a [u8]> {
        let mut rest = self.labels;
        loop {
            rest = rest.trim_ascii_start();
            rest = rest.strip_prefix(b",").unwrap_or(rest).trim_ascii_start();
            let end = rest.iter().position(|byte| *byte == b'=')?;
            let (found, behind) = rest.split_at(end);
            let value = behind[1..].trim_ascii_start().strip_prefix(b"\"")?;
            let end = closing_quote(value)?;
            if found.trim_ascii_end() == name {
                return Some(&value[..end]);
            }
            rest = &value[end + 1..];
        }
    }
}

fn closing_quote(text: &[u8]) -> Option<usize> {
    let mut is_escaped = false;
    for (at, byte) in text.iter().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'"' => return Some(at),
            _ => {}
        }
    }
    None
}
