//! How a client stands with a limit, as its answers say it.

use crate::{limit::Rate, words};

/// What is left of one limit.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Standing {
    rate: Rate,
    remaining: u64,
}

impl Standing {
    pub(crate) fn of(rate: Rate, remaining: u64) -> Self {
        Self { rate, remaining }
    }

    /// The one that a client runs into first; of equals, the one that was there before.
    pub(crate) fn tighter(before: Option<Self>, other: Self) -> Self {
        before
            .filter(|before| before.remaining <= other.remaining)
            .unwrap_or(other)
    }

    /// Those that OpenAI's clients read.
    pub(crate) fn headers(&self) -> [(&'static str, String); 3] {
        let Self { rate, remaining } = *self;
        [
            ("x-ratelimit-limit-requests", rate.limit.amount.to_string()),
            ("x-ratelimit-remaining-requests", remaining.to_string()),
            (
                "x-ratelimit-reset-requests",
                words::duration(rate.reset_ms(remaining)),
            ),
        ]
    }
}
