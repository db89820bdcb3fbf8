//! Why a request is refused, and how the client is told.

use tollgate_sdk::{
    limits::{Error, Exceeded},
    log,
    prelude::*,
};
use tollgate_settings::words;

use crate::{estimate::Estimate, settings::Budget};

const STORE_PAUSE_MS: u32 = 1000;

#[derive(Debug)]
pub(crate) enum Refused {
    /// Its tier has none, and there is no default.
    NoBudget,
    /// The fact that names the bucket is missing.
    NoCaller,
    /// More than the whole budget: waiting does not help.
    TooLarge {
        estimate: Estimate,
        budget: &'static Budget,
    },
    Exceeded {
        exceeded: Exceeded,
        estimate: Estimate,
        budget: &'static Budget,
    },
    /// The store did not say.
    Unavailable,
}

impl Refused {
    pub(crate) fn of(error: Error, estimate: Estimate, budget: &'static Budget) -> Self {
        match error {
            Error::Exceeded(exceeded) => Self::Exceeded {
                exceeded,
                estimate,
                budget,
            },
            Error::Invalid(reason) => {
                log::error(&format!("the budget cannot be held: {reason}"));
                Self::Unavailable
            }
            Error::Unavailable => Self::Unavailable,
        }
    }

    /// Stable, for programs.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::NoBudget => "no_budget",
            Self::NoCaller => "no_caller",
            Self::TooLarge { .. } => "request_exceeds_budget",
            Self::Exceeded { .. } => "token_budget_exceeded",
            Self::Unavailable => "budget_unavailable",
        }
    }

    fn status(&self) -> u16 {
        match self {
            Self::NoBudget | Self::NoCaller => 403,
            Self::TooLarge { .. } => 400,
            Self::Exceeded { .. } => 429,
            Self::Unavailable => 503,
        }
    }

    fn message(&self) -> String {
        match self {
            Self::NoBudget => "There is no token budget for this caller.".to_owned(),
            Self::NoCaller => {
                "It is not known whose token budget this request takes from.".to_owned()
            }
            Self::TooLarge { estimate, budget } => format!(
                "This request may take {}, more than the whole budget of {}. \
                 Ask for less output with `max_tokens`, or send less.",
                size(*estimate),
                whole(budget),
            ),
            Self::Exceeded {
                exceeded,
                estimate,
                budget,
            } => format!(
                "The budget of {} has {} left, and this request may take {}. \
                 Try again in {}, or ask for less output with `max_tokens`.",
                whole(budget),
                exceeded.remaining,
                size(*estimate),
                words::time(exceeded.retry_after_ms),
            ),
            Self::Unavailable => "The token budget cannot be checked now.".to_owned(),
        }
    }

    pub(crate) fn into_verdict(self) -> Verdict {
        let verdict = Verdict::refuse(self.status(), self.code(), self.message());
        match self {
            Self::Exceeded { exceeded, .. } => {
                let pause = u32::try_from(exceeded.retry_after_ms).unwrap_or(u32::MAX);
                verdict.retry_after_ms(pause)
            }
            Self::Unavailable => verdict.retry_after_ms(STORE_PAUSE_MS),
            Self::NoBudget | Self::NoCaller | Self::TooLarge { .. } => verdict,
        }
    }
}

fn size(estimate: Estimate) -> String {
    let Estimate { input, output, .. } = estimate;
    format!("{} tokens ({input} in, {output} out)", estimate.total())
}

fn whole(budget: &Budget) -> String {
    format!(
        "{} tokens per {}",
        budget.tokens,
        words::time(budget.period.ms())
    )
}
