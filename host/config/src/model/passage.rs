//! Copies of requests, made ready.

use std::time::Duration;

/// Where copies of a route's requests go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirror {
    /// A name of [`Config::models`](super::Config::models); one of the two is there.
    pub model: Option<String>,
    /// A name of [`Config::upstreams`](super::Config::upstreams).
    pub upstream: Option<String>,
    pub share: Share,
    /// Of a copy and its answer in whole.
    pub timeout: Duration,
}

/// A share of requests, in hundredths of a percent: 1 to 10,000.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share(u32);

impl Share {
    /// Everything.
    pub const ALL: Self = Self(10_000);
    /// What `drawn` is drawn below, to be compared with the share.
    pub const OF: u32 = 10_000;

    /// `None`: nothing, or more than everything.
    #[must_use]
    pub fn new(hundredths: u32) -> Option<Self> {
        (1..=Self::OF)
            .contains(&hundredths)
            .then_some(Self(hundredths))
    }

    /// Whether a number that is evenly drawn below [`OF`](Self::OF) falls into it.
    #[must_use]
    pub fn holds(self, drawn: u32) -> bool {
        drawn < self.0
    }
}
