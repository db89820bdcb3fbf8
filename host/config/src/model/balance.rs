//! How an upstream picks an endpoint.

use std::time::Duration;

/// The range of [`ConsistentHash::bound`], in percent.
pub const BOUND_MIN: u32 = 101;
pub const BOUND_MAX: u32 = 10_000;

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Balance {
    #[default]
    RoundRobin,
    LeastRequests,
    PeakEwma(PeakEwma),
    ConsistentHash(ConsistentHash),
    ModelAware(ModelAware),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeakEwma {
    /// After this long a latency counts for a third.
    pub decay: Duration,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsistentHash {
    pub on: HashOn,
    /// How many percent of its fair share of the requests in flight an endpoint takes.
    pub bound: u32,
}

/// What requests for one endpoint have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HashOn {
    /// The name of a fact.
    Fact(String),
    /// The name of a header, in lower case.
    Header(String),
    /// As many bytes of the prompt's beginning.
    Prompt(usize),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelAware {
    pub scrape: Scrape,
    /// Of prompt text that an endpoint is taken to have cached.
    pub prefix_cache_bytes: usize,
}

/// How endpoints are asked for their metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scrape {
    /// Begins with `/`; stands by itself, not behind the endpoint's base path.
    pub path: String,
    /// `None`: the endpoint's own.
    pub port: Option<u16>,
    pub interval: Duration,
    /// Figures older than this are not gone by; longer than `interval`.
    pub stale: Duration,
}
