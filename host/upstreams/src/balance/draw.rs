//! Draws of candidates by chance.

use super::Candidate;

pub(super) type Chance<'a> = &'a mut dyn FnMut() -> u64;

/// From 0 to below 1.
pub(super) fn unit(chance: Chance<'_>) -> f64 {
    unit_of(chance())
}

/// The upper 53 bits as a number from 0 to below 1.
#[expect(
    clippy::cast_precision_loss,
    reason = "53 bits are what a double holds without loss"
)]
pub(super) fn unit_of(bits: u64) -> f64 {
    (bits >> 11) as f64 / (1_u64 << 53) as f64
}

/// The weights of all that are available.
pub(super) fn total_weight(candidates: &[Candidate<'_>]) -> f64 {
    let available = candidates
        .iter()
        .filter(|candidate| candidate.is_available());
    available.map(|candidate| candidate.weight).sum()
}

/// The available candidate at this part of all weights, laid end to end; `part` is from 0 to
/// below 1. One that is `besides` is passed over, and `total` is without its weight.
pub(super) fn at_part(
    candidates: &[Candidate<'_>],
    besides: Option<usize>,
    total: f64,
    part: f64,
) -> Option<usize> {
    let mut left = part * total;
    let mut last = None;
    for (at, candidate) in candidates.iter().enumerate() {
        if !candidate.is_available() || besides == Some(at) {
            continue;
        }
        last = Some(at);
        if left < candidate.weight {
            return last;
        }
        left -= candidate.weight;
    }
    // Sums of fractions may end a hair short.
    last
}

/// Two different ones, drawn by weight; the same twice if there is only one.
pub(super) fn two(candidates: &[Candidate<'_>], chance: Chance<'_>) -> Option<(usize, usize)> {
    let total = total_weight(candidates);
    let one = at_part(candidates, None, total, unit(chance))?;
    let rest = total - candidates[one].weight;
    let other = at_part(candidates, Some(one), rest, unit(chance)).unwrap_or(one);
    Some((one, other))
}
