//! Telephone numbers: with the code of a country (`+49 30 1234567`, `0049 30 12345678`),
//! and North American ones in their three groups (`(212) 555-0100`).

use super::{Finding, Hit};
use crate::text::{Text, Undecided, gap, is_inside_a_word};

const DIGITS_MAX: usize = 15;
const DIGITS_MIN: usize = 8;
/// Behind `00`, which other numbers begin with, too.
const DIGITS_MIN_AFTER_ZEROS: usize = 10;

pub(crate) fn phone(text: &Text, start: usize) -> Finding {
    if is_inside_a_word(text, start) {
        return Ok(None);
    }
    match text.at(start)? {
        Some(b'+') => international(text, start + 1, DIGITS_MIN),
        Some(b'0') if text.at(start + 1)? == Some(b'0') => {
            let gap = gap(text, start + 2)?;
            international(text, start + 2 + gap, DIGITS_MIN_AFTER_ZEROS)
        }
        Some(b'1') => match separator(text, start + 1)? {
            0 => Ok(None),
            length => north_american(text, start + 1 + length),
        },
        Some(b'(' | b'2'..=b'9') => north_american(text, start),
        _ => Ok(None),
    }
}

/// Digits, the first no zero; between them brackets and single separators.
fn international(text: &Text, start: usize, digits_min: usize) -> Finding {
    if !matches!(text.at(start)?, Some(b'1'..=b'9')) {
        return Ok(None);
    }
    let (mut count, mut place) = (0, start);
    let mut end = None;
    loop {
        if is_digit(text, place)? {
            if count == DIGITS_MAX {
                break;
            }
            (count, place) = (count + 1, place + 1);
            continue;
        }
        if count >= digits_min {
            end = Some(Hit::to(place));
        }
        let mut next = place;
        next += usize::from(text.at(next)? == Some(b')'));
        next += separator(text, next)?;
        next += usize::from(text.at(next)? == Some(b'('));
        if next == place || !is_digit(text, next)? {
            break;
        }
        place = next;
    }
    Ok(end)
}

/// `NXX-NXX-XXXX`, where N is no 0 or 1, the area with brackets or without.
fn north_american(text: &Text, start: usize) -> Finding {
    let is_bracketed = text.at(start)? == Some(b'(');
    let mut place = start + usize::from(is_bracketed);
    if !is_group(text, place)? {
        return Ok(None);
    }
    place += 3;
    if is_bracketed {
        if text.at(place)? != Some(b')') {
            return Ok(None);
        }
        place += 1;
    }
    let length = separator(text, place)?;
    if length == 0 && !is_bracketed {
        return Ok(None);
    }
    place += length;
    if !is_group(text, place)? {
        return Ok(None);
    }
    let length = separator(text, place + 3)?;
    if length == 0 {
        return Ok(None);
    }
    place += 3 + length;
    for _ in 0..4 {
        if !is_digit(text, place)? {
            return Ok(None);
        }
        place += 1;
    }
    let is_cut = text
        .at(place)?
        .is_some_and(|byte| byte.is_ascii_alphanumeric());
    Ok((!is_cut).then_some(Hit::to(place)))
}

fn is_group(text: &Text, place: usize) -> Result<bool, Undecided> {
    Ok(matches!(text.at(place)?, Some(b'2'..=b'9'))
        && is_digit(text, place + 1)?
        && is_digit(text, place + 2)?)
}

fn is_digit(text: &Text, place: usize) -> Result<bool, Undecided> {
    Ok(text.at(place)?.is_some_and(|byte| byte.is_ascii_digit()))
}

fn separator(text: &Text, place: usize) -> Result<usize, Undecided> {
    match text.at(place)? {
        Some(b'.' | b'/') => Ok(1),
        _ => gap(text, place),
    }
}
