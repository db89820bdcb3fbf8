//! How much is taken on at once, and what becomes of the rest.

use std::time::Duration;

/// The most open exchanges that can be allowed.
pub const EXCHANGES_MAX: u32 = 10_000_000;
/// The most requests at once that can be allowed.
pub const CONCURRENCY_MAX: u32 = 1_000_000;
/// The longest queue.
pub const QUEUE_MAX: u32 = 100_000;
/// The most priorities that are told apart.
pub const PRIORITIES_MAX: usize = 16;
/// The greatest weight of one.
pub const PRIORITY_WEIGHT_MAX: u32 = 1_000;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overload {
    /// Open exchanges at once.
    pub exchanges: usize,
    /// Requests at all upstreams at once.
    pub concurrency: Option<Bounded>,
    pub priorities: Priorities,
}

/// So many requests at once, and a queue for more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounded {
    pub limit: usize,
    pub queue: Queue,
}

/// The requests at an upstream at once. At least one of the two bounds is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Concurrency {
    /// At all endpoints together.
    pub total: Option<usize>,
    /// At each of them.
    pub endpoint: Option<usize>,
    pub queue: Queue,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Queue {
    /// Who waits at once; 0: nobody.
    pub length: usize,
    /// How long one waits.
    pub timeout: Duration,
}

/// Which requests go first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Priorities {
    /// The name of the fact that says it.
    pub fact: String,
    /// Its values, each with a weight of at least 1, in the order of the file. Not empty.
    pub weights: Vec<(String, u32)>,
    /// Which of them holds for any other value.
    pub default: usize,
}

impl Priorities {
    /// The one that a value of the fact stands for.
    #[must_use]
    pub fn of(&self, value: Option<&str>) -> usize {
        let known = |value: &str| self.weights.iter().position(|(name, _)| name == value);
        value.and_then(known).unwrap_or(self.default)
    }
}
