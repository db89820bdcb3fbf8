//! Account numbers (IBAN): as long as the country's are, in one or in groups of four,
//! with the right check digits.

use super::{Finding, Hit};
use crate::text::{Text, gap, is_inside_a_word};

const LENGTH_MAX: usize = 33;

/// Whether a country's code may start with this letter.
pub(crate) fn starts_iban(byte: u8) -> bool {
    byte.is_ascii_alphabetic()
}

pub(crate) fn iban(text: &Text, start: usize) -> Finding {
    if is_a_word(text, start) || is_inside_a_word(text, start) {
        return Ok(None);
    }
    let mut number = [0; LENGTH_MAX];
    let mut length = LENGTH_MAX;
    let (mut count, mut place) = (0, start);
    while count < length {
        let byte = text.at(place)?.unwrap_or_default().to_ascii_uppercase();
        let fits = match count {
            0 | 1 => byte.is_ascii_uppercase(),
            2 | 3 => byte.is_ascii_digit(),
            _ => byte.is_ascii_uppercase() || byte.is_ascii_digit(),
        };
        if fits {
            number[count] = byte;
            (count, place) = (count + 1, place + 1);
        } else if count >= 4 && count.is_multiple_of(4) && gap_before(text, place) {
            let gap = gap(text, place)?;
            if gap == 0 {
                return Ok(None);
            }
            place += gap;
        } else {
            return Ok(None);
        }
        if count == 4 {
            match length_in([number[0], number[1]]) {
                Some(known) => length = known,
                None => return Ok(None),
            }
        }
    }
    let is_cut = text
        .at(place)?
        .is_some_and(|byte| byte.is_ascii_alphanumeric());
    Ok((!is_cut && is_checked(&number[..length])).then_some(Hit::to(place)))
}

/// Most letters start words, which have no digit at the third place: this is said fast.
#[inline]
fn is_a_word(text: &Text, start: usize) -> bool {
    let third = text.bytes().get(start + 2);
    third.is_some_and(|byte| !byte.is_ascii_digit())
}

/// One gap at a time: the byte before it is part of the number.
fn gap_before(text: &Text, place: usize) -> bool {
    text.before(place)
        .is_some_and(|byte| byte.is_ascii_alphanumeric())
}

/// The first four characters belong behind the others; letters count from 10.
fn is_checked(number: &[u8]) -> bool {
    let (first, rest) = number.split_at(4);
    let take = |sum: u32, byte: &u8| match byte {
        b'0'..=b'9' => (sum * 10 + u32::from(byte - b'0')) % 97,
        letter => (sum * 100 + u32::from(letter - b'A') + 10) % 97,
    };
    rest.iter().chain(first).fold(0, take) == 1
}

fn length_in(country: [u8; 2]) -> Option<usize> {
    let entry = |entry: &&[u8; 4]| entry[..2] == country;
    let [.., tens, ones] = LENGTHS.iter().find(entry)?;
    Some(usize::from((tens - b'0') * 10 + ones - b'0'))
}

/// Countries, and how long their numbers are.
#[rustfmt::skip]
const LENGTHS: &[[u8; 4]] = &[
    *b"AD24", *b"AE23", *b"AL28", *b"AT20", *b"AZ28", *b"BA20", *b"BE16", *b"BG22", *b"BH22",
    *b"BI27", *b"BR29", *b"BY28", *b"CH21", *b"CR22", *b"CY28", *b"CZ24", *b"DE22", *b"DJ27",
    *b"DK18", *b"DO28", *b"EE20", *b"EG29", *b"ES24", *b"FI18", *b"FK18", *b"FO18", *b"FR27",
    *b"GB22", *b"GE22", *b"GI23", *b"GL18", *b"GR27", *b"GT28", *b"HN28", *b"HR21", *b"HU28",
    *b"IE22", *b"IL23", *b"IQ23", *b"IS26", *b"IT27", *b"JO30", *b"KW30", *b"KZ20", *b"LB28",
    *b"LC32", *b"LI21", *b"LT20", *b"LU20", *b"LV21", *b"LY25", *b"MC27", *b"MD24", *b"ME22",
    *b"MK19", *b"MN20", *b"MR27", *b"MT31", *b"MU30", *b"NI28", *b"NL18", *b"NO15", *b"OM23",
    *b"PK24", *b"PL28", *b"PS29", *b"PT25", *b"QA29", *b"RO24", *b"RS22", *b"RU33", *b"SA24",
    *b"SC31", *b"SD18", *b"SE24", *b"SI19", *b"SK24", *b"SM27", *b"SO23", *b"ST25", *b"SV28",
    *b"TL23", *b"TN24", *b"TR26", *b"UA29", *b"VA22", *b"VG24", *b"XK20", *b"YE30",
];
