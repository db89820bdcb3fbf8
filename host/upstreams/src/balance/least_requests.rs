//! Of two drawn by chance, the one with fewer requests in flight for its weight.
//!
//! Two and not all: gateways that see the same picture would all pick the same endpoint. Of two
//! that have as much to do for their weight the first is taken, and the first is drawn by weight.

use super::{
    Candidate,
    draw::{Chance, two},
};

pub(super) fn pick(candidates: &[Candidate<'_>], chance: Chance<'_>) -> Option<usize> {
    let (one, other) = two(candidates, chance)?;
    Some(
        if candidates[other].crowding() < candidates[one].crowding() {
            other
        } else {
            one
        },
    )
}
