//! Of two drawn by chance, the one with fewer requests in flight for its weight.
//!
//! Two and not all: gateways that see the same picture would all pick the same endpoint. The draw
//! is even and the comparison weighs, so that a busy heavy one and an idle light one are told
//! apart by what they have to do.

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
