//! Addresses such as `ada@example.com`: up to 64 letters, digits and `._%+-`, then a
//! domain with a dot.
//!
//! They are looked for at each `@`. Of a name longer than 64 the last 64 are taken, so
//! that no more than those are ever waited for.

use memchr::memchr;

use crate::text::{Text, Undecided};

pub(crate) const NAME_MAX: usize = 64;
const DOMAIN_MAX: usize = 255;

/// The first address that starts at a place or behind it.
pub(crate) enum Email {
    Found {
        start: usize,
        end: usize,
    },
    /// From here on, one may come to be.
    Open {
        start: usize,
    },
    None,
}

pub(crate) fn next_email(text: &Text, from: usize) -> Email {
    let bytes = text.bytes();
    let mut place = from;
    while let Some(step) = memchr(b'@', &bytes[place..]) {
        text.count(step + 1);
        let at = place + step;
        place = at + 1;
        if !text.before(at).is_some_and(is_name) {
            continue;
        }
        let start = name_start(text, at);
        if start == at || start < from {
            continue;
        }
        match domain_end(text, at + 1) {
            Ok(Some(end)) => return Email::Found { start, end },
            Ok(None) => {}
            Err(Undecided) => return Email::Open { start },
        }
    }
    text.count(bytes.len() - place);
    let start = name_start(text, bytes.len()).max(from);
    if text.is_whole() || start >= bytes.len() {
        Email::None
    } else {
        Email::Open { start }
    }
}

/// Where a name that ends here starts: behind the dots and dashes in front of it.
fn name_start(text: &Text, end: usize) -> usize {
    let least = end.saturating_sub(NAME_MAX);
    let name = &text.bytes()[least..end];
    let length = name.iter().rev().take_while(|byte| is_name(**byte)).count();
    let is_lead = |byte: &&u8| matches!(**byte, b'.' | b'%' | b'+' | b'-');
    let lead = name[name.len() - length..].iter().take_while(is_lead);
    let start = end - length + lead.count();
    text.count(2 * length + 1);
    start
}

fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'%' | b'+' | b'-')
}

/// The longest run of labels whose last one starts with a letter, ends with a letter or
/// digit, and has two characters or more.
fn domain_end(text: &Text, start: usize) -> Result<Option<usize>, Undecided> {
    let mut end = None;
    let mut label = start;
    for place in start..start + DOMAIN_MAX {
        match text.at(place)? {
            Some(b'.') if place > label => label = place + 1,
            Some(b'-') if place > label => {}
            Some(byte) if byte.is_ascii_alphanumeric() => {
                let is_top = label > start && text.bytes()[label].is_ascii_alphabetic();
                if is_top && place > label {
                    end = Some(place + 1);
                }
            }
            _ => break,
        }
    }
    Ok(end)
}
