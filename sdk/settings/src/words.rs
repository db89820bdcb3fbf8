//! What is said back to a client, in plain words.

const UNITS: [(u64, &str); 5] = [
    (86_400_000, "day"),
    (3_600_000, "hour"),
    (60_000, "minute"),
    (1000, "second"),
    (1, "millisecond"),
];

/// How much of what a client sent is sent back to it, in bytes, about.
const SHOWN_MAX: usize = 64;

/// A time, rounded up, in the largest unit that there are two of, or that it is a multiple
/// of.
///
/// ```
/// use tollgate_settings::words;
///
/// assert_eq!(words::time(3_600_000), "1 hour");
/// assert_eq!(words::time(5_400_000), "90 minutes");
/// assert_eq!(words::time(1500), "2 seconds");
/// ```
#[must_use]
pub fn time(ms: u64) -> String {
    let ms = if ms > 1000 {
        ms.div_ceil(1000).saturating_mul(1000)
    } else {
        ms.max(1)
    };
    let (unit, name) = UNITS
        .into_iter()
        .find(|(unit, _)| ms / unit >= 2 || (ms >= *unit && ms % unit == 0))
        .unwrap_or((1, "millisecond"));
    count(ms.div_ceil(unit), name)
}

/// So many of these.
///
/// ```
/// use tollgate_settings::words;
///
/// assert_eq!(words::count(1, "request"), "1 request");
/// assert_eq!(words::count(0, "request"), "0 requests");
/// ```
#[must_use]
pub fn count(number: u64, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {what}{plural}")
}

/// What a client sent, short enough and plain enough to be sent back: about 64 bytes of it,
/// control characters escaped.
///
/// ```
/// use tollgate_settings::words;
///
/// assert_eq!(words::shown("a\n"), "a\\n");
/// assert!(words::shown(&"x".repeat(10_000)).len() < 80);
/// ```
#[must_use]
pub fn shown(text: &str) -> String {
    let mut shown = String::new();
    for letter in text.chars() {
        if shown.len() >= SHOWN_MAX {
            shown.push('…');
            break;
        }
        if letter.is_control() {
            shown.extend(letter.escape_default());
        } else {
            shown.push(letter);
        }
    }
    shown
}
