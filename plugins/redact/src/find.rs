//! Finds everything in a text, from left to right: what starts first wins, then the
//! rule that stands first, and nothing overlaps.
//!
//! Whether something stands at a place depends on the text alone, not on where the
//! search began. So a search can go on where another one stopped.

use crate::{
    kinds::{Bytes, Email, Hit, next_email},
    rules::Rules,
    text::{Text, Undecided},
};

/// Something that was found.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Match {
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) rule: usize,
}

/// All that is settled in a text.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) matches: Vec<Match>,
    /// What stands from here on may still become something.
    pub(crate) settled: usize,
    /// The last match goes on for as long as these bytes come.
    pub(crate) goes_on: Option<Bytes>,
}

/// Something may stand at `start`: it does, or what comes decides.
#[derive(Clone, Copy)]
struct Candidate {
    start: usize,
    rule: usize,
    hit: Option<Hit>,
}

/// Finds everything from a place on.
pub(crate) fn find(rules: &Rules, text: &Text, from: usize) -> Found {
    let mut found = Found {
        settled: text.bytes().len(),
        ..Found::default()
    };
    let mut from = from;
    let mut email = Ahead::Unknown;
    let mut other = Ahead::Unknown;
    loop {
        let email = email.from(from, || {
            rules.email.and_then(|rule| find_email(text, from, rule))
        });
        let other = other.from(from, || find_start(rules, text, from));
        let first = [email, other]
            .into_iter()
            .flatten()
            .min_by_key(|candidate| (candidate.start, candidate.rule));
        let Some(Candidate { start, rule, hit }) = first else {
            return found;
        };
        let Some(Hit { end, goes_on }) = hit else {
            found.settled = start;
            return found;
        };
        found.matches.push(Match { start, end, rule });
        found.goes_on = goes_on;
        from = end;
    }
}

/// What comes next, if it was looked for already.
enum Ahead {
    Unknown,
    Next(Option<Candidate>),
}

impl Ahead {
    fn from(&mut self, from: usize, look: impl FnOnce() -> Option<Candidate>) -> Option<Candidate> {
        match self {
            Self::Next(Some(next)) if next.start >= from => Some(*next),
            Self::Next(None) => None,
            _ => {
                let next = look();
                *self = Self::Next(next);
                next
            }
        }
    }
}

fn find_email(text: &Text, from: usize, rule: usize) -> Option<Candidate> {
    let (start, hit) = match next_email(text, from) {
        Email::None => return None,
        Email::Open { start } => (start, None),
        Email::Found { start, end } => (start, Some(Hit { end, goes_on: None })),
    };
    Some(Candidate { start, rule, hit })
}

/// The first place from which one of the other kinds fits.
fn find_start(rules: &Rules, text: &Text, from: usize) -> Option<Candidate> {
    let starting = rules.starting(text.before(from), &text.bytes()[from..]);
    for (start, starting) in (from..).zip(starting) {
        text.count(1);
        if starting != 0
            && let Some(candidate) = find_at(rules, starting, text, start)
        {
            return Some(candidate);
        }
    }
    None
}

/// The first of some rules that fits at a place.
fn find_at(rules: &Rules, starting: u32, text: &Text, start: usize) -> Option<Candidate> {
    let mut left = starting;
    while left != 0 {
        let rule = left.trailing_zeros() as usize;
        left &= left - 1;
        match rules.get(rule).look.find(text, start) {
            Ok(None) => {}
            Ok(hit) => return Some(Candidate { start, rule, hit }),
            Err(Undecided) => {
                let hit = None;
                return Some(Candidate { start, rule, hit });
            }
        }
    }
    None
}
