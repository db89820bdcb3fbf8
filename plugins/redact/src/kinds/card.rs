//! Numbers of payment cards: 13 to 19 digits, in one or with a space or dash between
//! groups of three or more, that begin as an issuer's do and whose check digit is right.

use super::{Finding, Hit};
use crate::text::{Text, Undecided, gap, is_inside_a_word};

const DIGITS_MAX: usize = 19;
/// All groups but the last have this many.
const GROUP_MIN: usize = 3;

pub(crate) fn card(text: &Text, start: usize) -> Finding {
    if is_inside_a_word(text, start) {
        return Ok(None);
    }
    let mut digits = [0; DIGITS_MAX];
    let (mut count, mut group, mut place) = (0, 0, start);
    let mut end = None;
    loop {
        match text.at(place)? {
            Some(byte) if byte.is_ascii_digit() => {
                if count == DIGITS_MAX {
                    break;
                }
                digits[count] = byte - b'0';
                (count, group, place) = (count + 1, group + 1, place + 1);
                if count == 2 && lengths(&digits) == 0 {
                    break;
                }
            }
            after => {
                let is_issued = lengths(&digits) & (1 << count) != 0;
                if is_issued && passes_luhn(&digits[..count]) && is_end(text, place, after)? {
                    end = Some(Hit::to(place));
                }
                let gap = gap(text, place)?;
                let goes_on = gap > 0 && group >= GROUP_MIN && is_digit(text, place + gap)?;
                if !goes_on {
                    break;
                }
                (place, group) = (place + gap, 0);
            }
        }
    }
    Ok(end)
}

/// No word goes on here, and no decimals.
fn is_end(text: &Text, place: usize, after: Option<u8>) -> Result<bool, Undecided> {
    Ok(match after {
        Some(b'.') => !is_digit(text, place + 1)?,
        Some(byte) => !byte.is_ascii_alphabetic(),
        None => true,
    })
}

fn is_digit(text: &Text, place: usize) -> Result<bool, Undecided> {
    Ok(text.at(place)?.is_some_and(|byte| byte.is_ascii_digit()))
}

/// How many digits the cards have that begin so, as a set of bits.
fn lengths(digits: &[u8; DIGITS_MAX]) -> u32 {
    match digits[0] * 10 + digits[1] {
        22..=27 | 51..=55 => 1 << 16,
        34 | 37 => 1 << 15,
        40..=49 => 1 << 13 | 1 << 16 | 1 << 19,
        30 | 36 | 38 | 39 => up_to_19(14),
        35 => up_to_19(16),
        50 | 56..=69 => up_to_19(13),
        _ => 0,
    }
}

fn up_to_19(least: u32) -> u32 {
    (1 << 20) - (1 << least)
}

fn passes_luhn(digits: &[u8]) -> bool {
    let weigh = |(place, digit): (usize, &u8)| match (place % 2, u32::from(*digit)) {
        (0, digit) => digit,
        (_, digit) => digit * 2 / 10 + digit * 2 % 10,
    };
    let sum: u32 = digits.iter().rev().enumerate().map(weigh).sum();
    sum.is_multiple_of(10)
}
