//! Of two drawn by chance, the one that is likely to answer sooner.
//!
//! The cost is the endpoint's latency, a moving average that jumps up to each peak and sinks with
//! time, times the requests it has to do with this one, for its weight. An endpoint that never
//! answered yet costs nothing while it is idle, so that it is tried, and more than any other once
//! it has a request to answer.

use std::time::Instant;

use super::{
    Candidate,
    draw::{Chance, two},
};

/// Seconds that no endpoint which answers at all comes near.
const UNKNOWN: f64 = 1e6;

pub(super) fn pick(
    candidates: &[Candidate<'_>],
    now: Instant,
    chance: Chance<'_>,
) -> Option<usize> {
    let (one, other) = two(candidates, chance)?;
    Some(
        if cost(&candidates[other], now) < cost(&candidates[one], now) {
            other
        } else {
            one
        },
    )
}

fn cost(candidate: &Candidate<'_>, now: Instant) -> f64 {
    let latency = match candidate.load.latency(now) {
        Some(latency) => latency.as_secs_f64(),
        None if candidate.load.in_flight() == 0 => 0.0,
        None => UNKNOWN,
    };
    latency * candidate.crowding()
}
