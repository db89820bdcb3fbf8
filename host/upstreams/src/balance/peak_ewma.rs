//! Of two drawn by chance, the one that is likely to answer sooner.
//!
//! The cost is the endpoint's latency, times the requests it has to do with this one, for its
//! weight, and more the more of its requests fail. The latency is a moving average that jumps up
//! to each peak and sinks with time, or how long the endpoint has been silent if that is longer.
//! An endpoint that never answered yet costs nothing while it is idle, so that it is tried, and
//! more than any other once it has a request to answer, or failed lately. Of two that cost nearly
//! the same the first is taken, and the first is drawn by weight.

use std::time::Instant;

use super::{
    Candidate,
    draw::{Chance, two},
};

/// Seconds that no endpoint which answers at all comes near.
const UNKNOWN: f64 = 1e6;
/// Less than one failure of late.
const HARDLY_FAILING: f64 = 0.1;
/// An endpoint at which everything fails costs 10,000 times as much as it would.
const FAILING_MAX: f64 = 0.99;
/// Costs that differ by no more are nearly the same.
const NEAR: f64 = 1.25;

pub(super) fn pick(
    candidates: &[Candidate<'_>],
    now: Instant,
    chance: Chance<'_>,
) -> Option<usize> {
    let (one, other) = two(candidates, chance)?;
    let usual = f64::midpoint(candidates[one].weight, candidates[other].weight);
    let cost = |at: usize| cost(&candidates[at], usual, now);
    Some(if cost(other) * NEAR < cost(one) {
        other
    } else {
        one
    })
}

fn cost(candidate: &Candidate<'_>, usual_weight: f64, now: Instant) -> f64 {
    let load = candidate.load;
    let failing = load.failing(now);
    let latency = match load.latency(now) {
        Some(latency) => latency.as_secs_f64(),
        None if load.in_flight() == 0 && failing < HARDLY_FAILING => 0.0,
        None => UNKNOWN,
    };
    let works = 1.0 - failing.min(FAILING_MAX);
    latency * (candidate.crowding() * usual_weight + 1.0) / (works * works)
}
