//! When an endpoint, or a whole upstream, is left alone, and how it comes back.

use std::time::Duration;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// What exchanges tell of an endpoint; `None`: nothing is made of it.
    pub passive: Option<Passive>,
    /// Questions of the gateway's own; `None`: it asks none.
    pub active: Option<Active>,
    /// Of the upstream as a whole; `None`: it has none.
    pub breaker: Option<Circuit>,
    /// The most endpoints of an upstream that are out at once, in percent, rounded down.
    pub max_out_percent: u32,
    /// How long a returning endpoint takes to its full share; zero: it has it at once.
    pub slow_start: Duration,
    /// The longest that a `retry-after` keeps requests from an endpoint; zero: not at all.
    pub busy_max: Duration,
}

/// When an endpoint is ejected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passive {
    /// After this many errors in a row; 0: not by them.
    pub consecutive_errors: u32,
    pub circuit: Circuit,
}

/// When the way to something is closed, and when it is tried again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Circuit {
    /// Errors within `window`, in percent; 0: not by them.
    pub error_percent: u32,
    /// Fewer requests within `window` say nothing.
    pub min_requests: u32,
    pub window: Duration,
    /// The first time; each further one is twice as long.
    pub pause: Duration,
    pub pause_max: Duration,
    /// How many requests it is tried with after a pause, all of which have to do well.
    pub probes: u32,
}

/// Questions to each endpoint, whether it is ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Active {
    /// Begins with `/`; stands by itself, not behind the endpoint's base path.
    pub path: String,
    pub interval: Duration,
    /// By how much of it each pause differs at random, in percent.
    pub jitter_percent: u32,
    pub timeout: Duration,
    /// An endpoint is down after this many failures in a row.
    pub down_after: u32,
    /// And up again after this many successes in a row.
    pub up_after: u32,
}
