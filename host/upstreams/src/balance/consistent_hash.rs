//! Requests alike in one thing go to one endpoint, as long as it has room.
//!
//! Rendezvous hashing: each endpoint draws a number from the key and its id, the best one wins,
//! weighed. When an endpoint comes or goes, only its own keys move, and there is no ring to build,
//! to keep or to share: every gateway finds the same order. The load is bounded: an endpoint with
//! more than `bound` percent of its fair share in flight is passed over, so that a hot key flows
//! over to its second best, and always to the same one.

use super::{
    Candidate,
    draw::{total_weight, unit_of},
};

pub(super) fn pick(candidates: &[Candidate<'_>], key: u64, bound: u32) -> Option<usize> {
    let available = candidates.iter().filter(|one| one.is_available());
    let in_flight: u64 = available.map(|one| u64::from(one.load.in_flight())).sum();
    let per_weight = share(in_flight, total_weight(candidates), bound);
    pick_within(candidates, key, per_weight)
}

/// The best of those that have room for this much a unit of weight. What is in flight may be more
/// by now than when it was added up: if none has room, the best of all.
pub(super) fn pick_within(
    candidates: &[Candidate<'_>],
    key: u64,
    per_weight: f64,
) -> Option<usize> {
    let has_room = |one: &Candidate<'_>| {
        f64::from(one.load.in_flight()) < (per_weight * one.weight).ceil().max(1.0)
    };
    best(candidates, key, has_room).or_else(|| best(candidates, key, |_| true))
}

fn best(
    candidates: &[Candidate<'_>],
    key: u64,
    has_room: impl Fn(&Candidate<'_>) -> bool,
) -> Option<usize> {
    let all = candidates.iter().enumerate();
    let fitting = all.filter(|(_, one)| one.is_available() && has_room(one));
    let best = fitting.max_by(|(_, one), (_, other)| merit(one, key).total_cmp(&merit(other, key)));
    best.map(|(at, _)| at)
}

/// As many requests in flight, with this one, as a unit of weight takes.
#[expect(
    clippy::cast_precision_loss,
    reason = "requests in flight are far below 2^53"
)]
fn share(in_flight: u64, total_weight: f64, bound: u32) -> f64 {
    (in_flight + 1) as f64 * f64::from(bound) / 100.0 / total_weight
}

/// Negative, and nearer to 0 the better. That the chance to be best goes by weight is in the
/// logarithm: the first of exponentials of these rates.
fn merit(candidate: &Candidate<'_>, key: u64) -> f64 {
    let drawn = unit_of(mix(key ^ mix(candidate.id))).max(f64::MIN_POSITIVE);
    drawn.ln() / candidate.weight
}

/// The finalizer of SplitMix64.
fn mix(bits: u64) -> u64 {
    let bits = bits.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}
