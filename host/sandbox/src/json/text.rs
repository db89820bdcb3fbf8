//! What the scalars of JSON mean: strings without escapes, numbers as a float.
//!
//! Reads text that the scanner has walked over already.

use std::{borrow::Cow, io::Write as _};

use super::JsonFault;
use crate::contract::Value;

/// The string between two quotes; `None` if it has a surrogate without its other half.
pub(super) fn unescape(inner: &[u8]) -> Option<Cow<'_, str>> {
    let inner = std::str::from_utf8(inner).ok()?;
    if !inner.as_bytes().contains(&b'\\') {
        return Some(Cow::Borrowed(inner));
    }
    let mut text = String::with_capacity(inner.len());
    let mut rest = inner;
    while let Some(at) = rest.find('\\') {
        text.push_str(&rest[..at]);
        let escape = *rest.as_bytes().get(at + 1)?;
        rest = rest.get(at + 2..)?;
        text.push(match escape {
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => unicode(&mut rest)?,
            other => char::from(other),
        });
    }
    text.push_str(rest);
    Some(Cow::Owned(text))
}

fn unicode(rest: &mut &str) -> Option<char> {
    let unit = hex(rest)?;
    if !(0xd800..0xe000).contains(&unit) {
        return char::from_u32(unit);
    }
    *rest = rest.strip_prefix("\\u")?;
    let second = hex(rest)?;
    if unit >= 0xdc00 || !(0xdc00..0xe000).contains(&second) {
        return None;
    }
    char::from_u32(0x10000 + ((unit - 0xd800) << 10) + (second - 0xdc00))
}

fn hex(rest: &mut &str) -> Option<u32> {
    let (digits, after) = rest.split_at_checked(4)?;
    *rest = after;
    u32::from_str_radix(digits, 16).ok()
}

/// Writes a string with its quotes.
pub(super) fn write_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let mut plain = 0;
    for (at, byte) in text.bytes().enumerate() {
        let short = match byte {
            b'"' => b'"',
            b'\\' => b'\\',
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            0..0x20 => 0,
            _ => continue,
        };
        out.extend_from_slice(&text.as_bytes()[plain..at]);
        plain = at + 1;
        if short == 0 {
            const HEX: &[u8; 16] = b"0123456789abcdef";
            out.extend_from_slice(b"\\u00");
            out.extend([HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
        } else {
            out.extend([b'\\', short]);
        }
    }
    out.extend_from_slice(&text.as_bytes()[plain..]);
    out.push(b'"');
}

/// What in an object or array no reader takes that has floats and Unicode, and where.
pub(super) fn unreadable(json: &[u8]) -> Option<(JsonFault, usize)> {
    if !matches!(json.first(), Some(b'{' | b'[')) {
        return None;
    }
    let mut at = 0;
    while let Some(byte) = json.get(at) {
        let start = at;
        at += 1;
        match byte {
            b'"' => {
                let mut is_escaped = false;
                while json.get(at).is_some_and(|byte| *byte != b'"') {
                    is_escaped |= json[at] == b'\\';
                    at += 1 + usize::from(json[at] == b'\\');
                }
                if is_escaped && unescape(json.get(start + 1..at)?).is_none() {
                    return Some((JsonFault::LoneSurrogate, start));
                }
                at += 1;
            }
            b'-' | b'0'..=b'9' => {
                let is_of_number =
                    |byte: &&u8| matches!(byte, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-');
                at = start + json[start..].iter().take_while(is_of_number).count();
                let number = &json[start..at];
                // Shorter ones are small, unless they have an exponent.
                let may_be_large =
                    number.len() > 300 || number.iter().any(|byte| matches!(byte, b'e' | b'E'));
                let number = std::str::from_utf8(number).ok()?;
                if may_be_large && number.parse::<f64>().is_ok_and(f64::is_infinite) {
                    return Some((JsonFault::NumberTooLarge, start));
                }
            }
            _ => {}
        }
    }
    None
}

/// The largest integer up to which every integer is a float.
const INTEGER_MAX: f64 = 9_007_199_254_740_992.0;

/// Writes a finite number, whole ones without a fraction.
pub(super) fn write_number(out: &mut Vec<u8>, number: f64) {
    let whole = number.trunc() == number && number.abs() <= INTEGER_MAX;
    if whole && !(number == 0.0 && number.is_sign_negative()) {
        #[expect(clippy::cast_possible_truncation, reason = "it is whole and fits")]
        let number = number as i64;
        out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
    } else {
        let written = write!(out, "{number:?}");
        debug_assert!(written.is_ok(), "a Vec takes any bytes");
    }
}

/// A number as a float, if writing the float gives the same number again.
pub(super) fn number(text: &str) -> Value {
    let kept = float(text).filter(|float| float.is_finite());
    kept.map_or_else(|| Value::Json(text.to_owned()), Value::Number)
}

fn float(text: &str) -> Option<f64> {
    if text.len() <= 15 && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().ok();
    }
    let wanted = Decimal::read(text)?;
    let float: f64 = text.parse().ok()?;
    if wanted.length <= Decimal::DIGITS_SURE && (-290..290).contains(&wanted.exponent) {
        return Some(float);
    }
    (float.is_finite() && Decimal::read(&format!("{float:e}"))? == wanted).then_some(float)
}

/// `0.digits × 10^exponent`, without zeros at either end.
#[derive(PartialEq)]
struct Decimal {
    digits: [u8; Decimal::DIGITS_MAX],
    length: usize,
    exponent: i64,
}

impl Decimal {
    /// More digits than any float needs.
    const DIGITS_MAX: usize = 17;
    /// So many digits survive in any float of moderate size.
    const DIGITS_SURE: usize = 15;

    /// `None` if no float has that many digits or such an exponent.
    fn read(text: &str) -> Option<Self> {
        let text = text.strip_prefix('-').unwrap_or(text);
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let trimmed = fraction.trim_end_matches('0');
        let mut exponent = exponent
            .parse::<i64>()
            .ok()?
            .checked_add(whole.len() as i64)?;
        let mut decimal = Self {
            digits: [0; Self::DIGITS_MAX],
            length: 0,
            exponent: 0,
        };
        let mut zeros = 0;
        for digit in whole.bytes().chain(trimmed.bytes()) {
            if digit == b'0' && decimal.length == 0 {
                exponent -= 1;
            } else if digit == b'0' {
                zeros += 1;
            } else {
                decimal.length += zeros;
                zeros = 0;
                *decimal.digits.get_mut(decimal.length)? = digit - b'0';
                decimal.length += 1;
            }
        }
        decimal.exponent = if decimal.length == 0 { 0 } else { exponent };
        Some(decimal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_a_float_cannot_hold_stays_text() {
        for kept in [
            "0",
            "-0",
            "1",
            "-1.5",
            "0.1",
            "1e3",
            "1E+3",
            "100000000000000000000",
            "9007199254740992",
            "1.50",
            "5e-324",
            "1.7976931348623157e308",
            "0e999999",
            "0.000",
        ] {
            assert!(
                matches!(number(kept), Value::Number(float) if float == kept.parse::<f64>().unwrap()),
                "{kept}"
            );
        }
        let long = "7".repeat(10_000_000);
        for text in [
            "9007199254740993",
            "-9007199254740993",
            "1e999",
            "1e-400",
            "0.1000000000000000055511151231257827",
            "1e99999999999999999999",
            "18446744073709551615",
            &long,
        ] {
            assert!(matches!(number(text), Value::Json(same) if same == text));
        }
    }

    #[test]
    fn whole_numbers_are_written_without_a_fraction() {
        for (number, text) in [
            (100.0, "100"),
            (-3.0, "-3"),
            (0.5, "0.5"),
            (-0.0, "-0.0"),
            (1e300, "1e300"),
            (0.7, "0.7"),
        ] {
            let mut out = Vec::new();
            write_number(&mut out, number);
            assert_eq!(String::from_utf8(out).unwrap(), text);
        }
    }

    #[test]
    fn a_surrogate_without_its_other_half_is_no_string() {
        for text in [
            r"\ud800",
            r"\udc00",
            r"\ud800\ud800",
            r"\ud800x",
            r"\ud83d\n",
            r"\udc00\ud800",
        ] {
            assert_eq!(unescape(text.as_bytes()), None, "{text}");
        }
        assert_eq!(unescape(br"\ud83d\ude00\u00e4\/").unwrap(), "😀ä/");
    }
}
