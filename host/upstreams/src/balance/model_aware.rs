//! The endpoint where the prompt's first token is likely to come soonest.
//!
//! Everything is counted in blocks of prompt, the work of reading one of them being the unit:
//! what has to be read before this prompt, what of it the endpoint has not seen, and what the
//! requests at work there take from it. The least cost wins. What was sent counts at once, so
//! that a prefix which everybody asks for spreads as soon as waiting for its owner costs more
//! than reading it anew. Why these weights: `docs/decisions/0014-how-model-aware-weighs.md`.
//!
//! An endpoint without fresh figures has no cost that could be compared: it competes as under
//! least requests, and without any fresh figures all do.

use tollgate_config::ModelAware;

use super::{
    Ask, Candidate,
    draw::{Chance, at_part, total_weight, unit},
    hash, least_requests,
};
use crate::{load::Report, scrape::Figures};

/// What a request at work takes: it makes every step longer, and holds a place in the batch.
const ACTIVE: f64 = 4.0;
/// What a request that waits for a place costs besides.
const WAITING: f64 = 6.0;
/// From here on a cache is so full that requests may be put off or begun again.
const CACHE_HIGH: f64 = 0.8;
/// What a full cache costs.
const CACHE_FULL: f64 = 64.0;
/// What loading an adapter costs.
const ADAPTER: f64 = 32.0;
/// Costs nearer than this are equal, so that gateways with the same picture do not all pick the
/// same endpoint.
const NEAR: f64 = 2.0;

pub(super) fn pick(
    candidates: &[Candidate<'_>],
    ask: &Ask<'_>,
    options: &ModelAware,
    chance: Chance<'_>,
) -> Option<usize> {
    let stale = options.scrape.stale;
    let adapter = adapter(candidates, ask, options);
    let mut best: Option<(usize, f64)> = None;
    let mut is_all_fresh = true;
    for (at, candidate) in candidates.iter().enumerate() {
        if !candidate.is_available() {
            continue;
        }
        let cost = |report: &Report| cost(candidate, ask, report, adapter);
        let Some(cost) = candidate.load.fresh(ask.now, stale, cost) else {
            is_all_fresh = false;
            continue;
        };
        let cost = cost + NEAR * unit(chance);
        if best.is_none_or(|(_, least)| cost < least) {
            best = Some((at, cost));
        }
    }
    let Some((best, _)) = best else {
        return least_requests::pick(candidates, chance);
    };
    if is_all_fresh {
        return Some(best);
    }
    let drawn = at_part(candidates, None, total_weight(candidates), unit(chance))?;
    let is_fresh = |one: &Candidate<'_>| one.load.fresh(ask.now, stale, |_| ()).is_some();
    let is_better = candidates[drawn].crowding() <= candidates[best].crowding();
    Some(if !is_fresh(&candidates[drawn]) && is_better {
        drawn
    } else {
        best
    })
}

/// The model's hash, if an endpoint says that it is an adapter.
fn adapter(candidates: &[Candidate<'_>], ask: &Ask<'_>, options: &ModelAware) -> Option<u64> {
    let stale = options.scrape.stale;
    let any = |is: &dyn Fn(&Figures) -> bool| {
        let is = |report: &Report| is(&report.figures);
        let mut fresh = candidates
            .iter()
            .filter_map(|one| one.load.fresh(ask.now, stale, is));
        fresh.any(|is| is)
    };
    let model = ask.model?;
    if !any(&|figures| !figures.adapters.is_empty()) {
        return None;
    }
    let name = hash(model.as_bytes());
    any(&|figures| figures.adapters.contains(name)).then_some(name)
}

fn cost(candidate: &Candidate<'_>, ask: &Ask<'_>, report: &Report, adapter: Option<u64>) -> f64 {
    let figures = &report.figures;
    let in_flight = f64::from(candidate.load.in_flight());
    // What other gateways sent is in the figures, what this one sent since is not.
    let since = in_flight - f64::from(report.in_flight);
    let at_work = f64::from(figures.running) + f64::from(figures.waiting) + since;
    let waiting = match figures.waiting {
        0 => 0.0,
        waiting => (f64::from(waiting) + since).max(0.0),
    };
    let prompts = prefilling(candidate) + f64::from(candidate.load.uncached(ask.prefix));
    let work = prompts + ACTIVE * at_work.max(in_flight) + WAITING * waiting;
    // One more than is there, so that of idle endpoints the heavy one is better.
    (work + ACTIVE) / candidate.weight + pressure(figures) + loading(figures, adapter)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "blocks in flight are far below 2^53"
)]
fn prefilling(candidate: &Candidate<'_>) -> f64 {
    candidate.load.prefilling() as f64
}

fn pressure(figures: &Figures) -> f64 {
    let over = (figures.cache_use.unwrap_or(0.0) - CACHE_HIGH).max(0.0) / (1.0 - CACHE_HIGH);
    CACHE_FULL * over * over
}

/// Twice as much where another adapter has to go for it.
fn loading(figures: &Figures, adapter: Option<u64>) -> f64 {
    match adapter {
        Some(adapter) if !figures.adapters.contains(adapter) => {
            if figures.adapters.is_full() {
                2.0 * ADAPTER
            } else {
                ADAPTER
            }
        }
        _ => 0.0,
    }
}
