//! Which endpoint of an upstream gets the next request.
//!
//! One [`Balancer`] an upstream, built from its configuration; it holds options and a turn,
//! while all that is known of an endpoint is in its [`Load`], which outlives it. A pick passes
//! over the candidates a few times, takes no lock and allocates nothing. Chance and time are handed
//! in, so that a pick can be repeated.

mod consistent_hash;
mod draw;
mod least_requests;
mod model_aware;
mod peak_ewma;
mod prefix;
mod round_robin;
mod scores;

use std::time::Instant;

use tollgate_config::{Balance, ConsistentHash, HashOn, ModelAware, Scrape};

pub use self::prefix::{BLOCK_BYTES, BLOCKS_MAX, Prefix, hash};
use self::round_robin::Turn;
use crate::load::Load;

/// An endpoint that a pick may fall on.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a> {
    /// The same for the endpoint's life, and in every gateway: a [`hash()`] of its address.
    pub id: u64,
    /// Its share of the traffic: its weight times how far its slow start has come. An endpoint
    /// that is not to be picked, for its health or because it was tried before, has 0.
    pub weight: f64,
    /// What is known of it.
    pub load: &'a Load,
}

impl Candidate<'_> {
    fn is_available(&self) -> bool {
        self.weight > 0.0 && self.weight.is_finite()
    }

    /// Requests in flight for each unit of weight. Without the one to come: of two that are
    /// idle the heavy one is no better, and it is for the draw to go by weight.
    fn crowding(&self) -> f64 {
        f64::from(self.load.in_flight()) / self.weight
    }
}

/// What is known of the request that is to be sent.
#[derive(Debug, Clone, Copy)]
pub struct Ask<'a> {
    pub now: Instant,
    /// A [`hash()`] of what [`Balancer::hash_on`] names; `None`: the request has no such thing.
    pub key: Option<u64>,
    /// The name that the upstream knows the model by: it may be an adapter.
    pub model: Option<&'a str>,
    /// Of the prompt; empty where [`Balancer::needs_prefix`] is false, or nothing is known of it.
    pub prefix: &'a Prefix,
}

/// The way of one upstream.
#[derive(Debug)]
pub struct Balancer {
    way: Way,
}

#[derive(Debug)]
enum Way {
    RoundRobin(Turn),
    LeastRequests,
    PeakEwma,
    ConsistentHash(ConsistentHash),
    ModelAware(ModelAware),
}

impl Balancer {
    /// The balancer of one upstream. Its endpoints' loads are made with
    /// [`Settings::of`](crate::load::Settings::of) the same configuration.
    #[must_use]
    pub fn new(balance: &Balance) -> Self {
        let way = match balance {
            Balance::RoundRobin => Way::RoundRobin(Turn::default()),
            Balance::LeastRequests => Way::LeastRequests,
            Balance::PeakEwma(_) => Way::PeakEwma,
            Balance::ConsistentHash(options) => Way::ConsistentHash(options.clone()),
            Balance::ModelAware(options) => Way::ModelAware(options.clone()),
        };
        Self { way }
    }

    /// What [`Ask::key`] is made of.
    #[must_use]
    pub fn hash_on(&self) -> Option<&HashOn> {
        match &self.way {
            Way::ConsistentHash(options) => Some(&options.on),
            _ => None,
        }
    }

    /// Whether a pick goes by the beginning of the prompt.
    #[must_use]
    pub fn needs_prefix(&self) -> bool {
        matches!(self.way, Way::ModelAware(_))
    }

    /// How its endpoints are to be asked for their metrics, if they are.
    #[must_use]
    pub fn scrape(&self) -> Option<&Scrape> {
        match &self.way {
            Way::ModelAware(options) => Some(&options.scrape),
            _ => None,
        }
    }

    /// The index of the candidate to ask; `None`: no candidate is available.
    ///
    /// `chance` gives random bits.
    pub fn pick(
        &self,
        candidates: &[Candidate<'_>],
        ask: &Ask<'_>,
        mut chance: impl FnMut() -> u64,
    ) -> Option<usize> {
        if let [only] = candidates {
            return only.is_available().then_some(0);
        }
        let chance = &mut chance;
        match &self.way {
            Way::RoundRobin(turn) => turn.pick(candidates),
            Way::LeastRequests => least_requests::pick(candidates, chance),
            Way::PeakEwma => peak_ewma::pick(candidates, ask.now, chance),
            Way::ConsistentHash(options) => match ask.key {
                Some(key) => consistent_hash::pick(candidates, key, options.bound),
                None => least_requests::pick(candidates, chance),
            },
            Way::ModelAware(options) => model_aware::pick(candidates, ask, options, chance),
        }
    }

    /// As [`pick`](Self::pick), by scores that were given from outside: one for each candidate,
    /// the highest wins, chance decides among equals. A score that is no number, or missing, does
    /// not count; without any that does, the upstream's own way picks.
    pub fn pick_by_scores(
        &self,
        candidates: &[Candidate<'_>],
        scores: &[f64],
        ask: &Ask<'_>,
        mut chance: impl FnMut() -> u64,
    ) -> Option<usize> {
        scores::pick(candidates, scores, &mut chance)
            .or_else(|| self.pick(candidates, ask, &mut chance))
    }
}

#[cfg(test)]
mod tests;
