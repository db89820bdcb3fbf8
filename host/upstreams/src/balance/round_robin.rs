//! One after the other, by weight.
//!
//! The state is one counter. With equal weights it is a turn; with unequal ones, which a slow
//! start may change at any moment, its multiples of the golden ratio fall on the weights laid end
//! to end: they spread as evenly as can be, so that a weight of 2 is served twice as often, and
//! not twice in a row where it need not.

use std::sync::atomic::{AtomicU64, Ordering};

use super::{
    Candidate,
    draw::{at_part, total_weight, unit_of},
};

/// The golden ratio's fraction, in units of 2^-64.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

#[derive(Debug, Default)]
pub(super) struct Turn(AtomicU64);

impl Turn {
    pub(super) fn pick(&self, candidates: &[Candidate<'_>]) -> Option<usize> {
        let turn = self.0.fetch_add(1, Ordering::Relaxed);
        let mut weights = (candidates.iter())
            .filter(|one| one.is_available())
            .map(|one| one.weight.to_bits());
        let first = weights.next()?;
        let (mut count, mut are_equal) = (1, true);
        for weight in weights {
            count += 1;
            are_equal &= weight == first;
        }
        if are_equal {
            return in_turn(candidates, count, turn);
        }
        let part = unit_of(turn.wrapping_mul(GOLDEN));
        at_part(candidates, None, total_weight(candidates), part)
    }
}

/// `count` of the candidates are available.
fn in_turn(candidates: &[Candidate<'_>], count: usize, turn: u64) -> Option<usize> {
    let turn = usize::try_from(turn % count as u64).ok()?;
    if count == candidates.len() {
        return Some(turn);
    }
    let available = (candidates.iter().enumerate()).filter(|(_, one)| one.is_available());
    available.map(|(at, _)| at).nth(turn)
}
