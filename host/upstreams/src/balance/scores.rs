//! The best by scores that were given from outside.

use super::{Candidate, draw::Chance};

pub(super) fn pick(
    candidates: &[Candidate<'_>],
    scores: &[f64],
    chance: Chance<'_>,
) -> Option<usize> {
    let mut best: Option<(usize, f64)> = None;
    let mut equals = 0;
    for (at, (candidate, &score)) in candidates.iter().zip(scores).enumerate() {
        if !candidate.is_available() || score.is_nan() {
            continue;
        }
        match best {
            Some((_, leading)) if score < leading => continue,
            Some((_, leading)) if score > leading => equals = 1,
            _ => equals += 1,
        }
        // The nth of equals replaces those before it one time in n.
        if chance().is_multiple_of(equals) {
            best = Some((at, score));
        }
    }
    best.map(|(at, _)| at)
}
