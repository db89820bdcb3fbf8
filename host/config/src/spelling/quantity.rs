//! Times and sizes.

use std::time::Duration;

use super::{Misspelt, misspelt, quote};

/// `10ms`, `30s`, `5m`, `1h`.
pub(crate) fn period(text: &str) -> Result<Duration, Misspelt> {
    const EXPECTED: &str = "a time: a whole number and `ms`, `s`, `m` or `h`, such as `500ms`";
    let (number, unit) = split(text);
    let millis = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return misspelt(format!("{} is no time", quote(text)), EXPECTED),
    };
    match number
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(millis))
    {
        Some(millis) => Ok(Duration::from_millis(millis)),
        None => misspelt(format!("{} is no time", quote(text)), EXPECTED),
    }
}

/// `64KiB`, `16MiB`, `1GiB`, or plain bytes.
pub(crate) fn size(text: &str) -> Result<u64, Misspelt> {
    const EXPECTED: &str =
        "a size: a whole number of bytes, or one with `KiB`, `MiB` or `GiB`, such as `64KiB`";
    let (number, unit) = split(text);
    let bytes = match unit {
        "" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return misspelt(format!("{} is no size", quote(text)), EXPECTED),
    };
    match number
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(bytes))
    {
        Some(bytes) => Ok(bytes),
        None => misspelt(format!("{} is no size", quote(text)), EXPECTED),
    }
}

fn split(text: &str) -> (&str, &str) {
    text.split_at(
        text.bytes()
            .position(|b| !b.is_ascii_digit())
            .unwrap_or(text.len()),
    )
}

/// The reverse of [`period`].
pub(crate) fn show_period(period: Duration) -> String {
    let millis = period.as_millis();
    match millis {
        0 => "0ms".into(),
        m if m.is_multiple_of(3_600_000) => format!("{}h", m / 3_600_000),
        m if m.is_multiple_of(60_000) => format!("{}m", m / 60_000),
        m if m.is_multiple_of(1_000) => format!("{}s", m / 1_000),
        m => format!("{m}ms"),
    }
}

/// The reverse of [`size`].
pub(crate) fn show_bytes(bytes: u64) -> String {
    match bytes {
        0 => "0".into(),
        b if b.is_multiple_of(1 << 30) => format!("{}GiB", b >> 30),
        b if b.is_multiple_of(1 << 20) => format!("{}MiB", b >> 20),
        b if b.is_multiple_of(1 << 10) => format!("{}KiB", b >> 10),
        b => b.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_is_read_and_shown_in_its_largest_unit() {
        for (text, millis) in [
            ("10ms", 10),
            ("30s", 30_000),
            ("5m", 300_000),
            ("2h", 7_200_000),
        ] {
            assert_eq!(period(text), Ok(Duration::from_millis(millis)));
            assert_eq!(show_period(Duration::from_millis(millis)), text);
        }
    }

    #[test]
    fn a_period_without_a_known_unit_is_refused() {
        for text in [
            "",
            "10",
            "s",
            "-1s",
            "+1s",
            "1.5s",
            "10 s",
            "10S",
            "1d",
            "99999999999999999999s",
            "18446744073709551615h",
        ] {
            assert!(period(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_size_is_read_and_shown_in_its_largest_unit() {
        for (text, bytes) in [
            ("64KiB", 65_536),
            ("16MiB", 16 << 20),
            ("1GiB", 1 << 30),
            ("1000", 1_000),
        ] {
            assert_eq!(size(text), Ok(bytes));
            assert_eq!(show_bytes(bytes), text);
        }
    }

    #[test]
    fn a_size_with_an_unknown_unit_is_refused() {
        for text in [
            "",
            "KiB",
            "64KB",
            "64kib",
            "64 KiB",
            "-1",
            "1.5MiB",
            "1e3",
            "18446744073709551615GiB",
        ] {
            assert!(size(text).is_err(), "{text}");
        }
    }
}
