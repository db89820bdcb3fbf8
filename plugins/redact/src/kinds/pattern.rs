//! An operator's own pattern: a regular expression, compiled while the settings are read
//! to a table that takes one step a byte and knows when nothing can match any more.

use regex_automata::{
    Anchored,
    dfa::{Automaton, StartKind, dense},
    nfa::thompson,
    util::{primitives::StateID, start, syntax},
};

use super::{Finding, Hit};
use crate::text::Text;

/// The most bytes that an own pattern may be waited for.
const LONGEST_MAX: usize = 1024;
/// Of one pattern's table, and of the work to build it.
const TABLE_BYTES_MAX: usize = 256 << 10;

/// One pattern, ready to be looked for.
#[derive(Debug)]
pub(crate) struct Pattern {
    table: dense::DFA<Vec<u32>>,
    longest: usize,
    /// The bytes that a match may start with.
    first: [bool; 256],
}

impl Pattern {
    /// # Errors
    /// What is wrong with it, and what was expected.
    pub(crate) fn new(pattern: &str, longest: Option<usize>) -> Result<Self, String> {
        let syntax = syntax::Config::new().unicode(false).utf8(false);
        let parsed = syntax::parse_with(pattern, &syntax).map_err(|error| {
            format!("/pattern: not a regular expression: {}", last_line(&error))
        })?;
        let lengths = parsed.properties();
        if lengths.minimum_len().is_none_or(|least| least == 0) {
            return Err("/pattern: must not match a text of no length".to_owned());
        }
        let longest = match (longest, lengths.maximum_len()) {
            (Some(longest), Some(most)) => longest.min(most),
            (Some(longest), None) | (None, Some(longest)) => longest,
            (None, None) => {
                return Err(format!(
                    "/longest: is missing: the pattern has no longest match, so say how many \
                     bytes it may have, 1 to {LONGEST_MAX}"
                ));
            }
        };
        if !(1..=LONGEST_MAX).contains(&longest) {
            return Err(format!(
                "/longest: a match may have {longest} bytes; expected 1 to {LONGEST_MAX}"
            ));
        }
        let table = compile(&parsed).map_err(|error| format!("/pattern: {error}"))?;
        let first = first_bytes(&table);
        Ok(Self {
            table,
            longest,
            first,
        })
    }

    pub(crate) fn may_start_with(&self, byte: u8) -> bool {
        self.first[usize::from(byte)]
    }

    /// Tables tell of a match one byte later. A match that would end inside a character
    /// takes all of it.
    pub(crate) fn find(&self, text: &Text, start: usize) -> Finding {
        let Some(mut state) = start_state(&self.table, text.before(start)) else {
            return Ok(None);
        };
        let mut end = None;
        for place in start..=start + self.longest {
            let next = text.at(place)?;
            state = match next {
                Some(byte) => self.table.next_state(state, byte),
                None => self.table.next_eoi_state(state),
            };
            if self.table.is_match_state(state) {
                end = Some(place);
            }
            if next.is_none() || self.table.is_dead_state(state) {
                break;
            }
        }
        let is_inside = |place: &usize| matches!(text.at(*place), Ok(Some(0x80..=0xBF)));
        Ok(end
            .and_then(|end| (end..end + 4).find(|place| !is_inside(place)))
            .map(Hit::to))
    }
}

fn compile(parsed: &regex_syntax::hir::Hir) -> Result<dense::DFA<Vec<u32>>, String> {
    let too_large = |_| "too large: expected fewer repetitions and alternatives".to_owned();
    let limits = thompson::Config::new()
        .utf8(false)
        .nfa_size_limit(Some(TABLE_BYTES_MAX));
    let nfa = thompson::Compiler::new()
        .configure(limits)
        .build_from_hir(parsed)
        .map_err(|error| too_large(error.to_string()))?;
    let config = dense::Config::new()
        .start_kind(StartKind::Anchored)
        .dfa_size_limit(Some(TABLE_BYTES_MAX))
        .determinize_size_limit(Some(TABLE_BYTES_MAX));
    dense::Builder::new()
        .configure(config)
        .build_from_nfa(&nfa)
        .map_err(|error| too_large(error.to_string()))
}

fn start_state(table: &dense::DFA<Vec<u32>>, before: Option<u8>) -> Option<StateID> {
    let start = start::Config::new()
        .anchored(Anchored::Yes)
        .look_behind(before);
    table.start_state(&start).ok()
}

/// Whatever may stand before it.
fn first_bytes(table: &dense::DFA<Vec<u32>>) -> [bool; 256] {
    let before = std::iter::once(None).chain((0..=u8::MAX).map(Some));
    let mut states: Vec<StateID> = before.filter_map(|byte| start_state(table, byte)).collect();
    states.sort_unstable();
    states.dedup();
    std::array::from_fn(|byte| {
        let byte = u8::try_from(byte).unwrap_or(u8::MAX);
        states
            .iter()
            .any(|state| !table.is_dead_state(table.next_state(*state, byte)))
    })
}

/// The parser draws a picture first; the reason stands in its last line.
fn last_line(error: &impl ToString) -> String {
    let text = error.to_string();
    let line = text.lines().last().unwrap_or_default();
    line.strip_prefix("error: ").unwrap_or(line).to_owned()
}
