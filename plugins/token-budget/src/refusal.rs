//! Why a request is refused, and how the client is told.

use tollgate_sdk::{
    limits::{Error, Exceeded},
    log,
    prelude::*,
};
use tollgate_settings::words;

use crate::{
    account::{Account, Unit},
    estimate::Estimate,
    held::Short,
    money::Money,
    settings::NotPriced,
    settle::Used,
};

const STORE_PAUSE_MS: u64 = 1000;

#[derive(Debug)]
pub(crate) enum Refused {
    /// Its tier has none, and there is no default.
    NoBudget,
    /// The fact that names the bucket is missing.
    NoCaller,
    /// The model costs nobody knows what.
    NotPriced,
    /// More than the whole budget: waiting does not help.
    TooLarge { estimate: Estimate, unit: Unit },
    Exceeded {
        exceeded: Exceeded,
        estimate: Estimate,
        unit: Unit,
    },
    /// The store did not say.
    Unavailable,
}

impl From<NotPriced> for Refused {
    fn from(_: NotPriced) -> Self {
        Self::NotPriced
    }
}

impl Refused {
    pub(crate) fn of(Short { unit, error }: Short, estimate: Estimate) -> Self {
        match error {
            Error::Exceeded(exceeded) => Self::Exceeded {
                exceeded,
                estimate,
                unit,
            },
            Error::Invalid(reason) => {
                log::error(&format!("the budget cannot be held: {reason}"));
                Self::Unavailable
            }
            Error::Unavailable => Self::Unavailable,
        }
    }

    /// If the request may take more than all of one of these.
    pub(crate) fn too_large(accounts: &[Account], estimate: Estimate) -> Option<Self> {
        let used = estimate.used();
        let small = accounts
            .iter()
            .find(|account| account.unit.of(used) > account.amount())?;
        let unit = small.unit;
        Some(Self::TooLarge { estimate, unit })
    }

    /// Stable, for programs.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::NoBudget => "no_budget",
            Self::NoCaller => "no_caller",
            Self::NotPriced => "model_not_priced",
            Self::TooLarge { .. } => "request_exceeds_budget",
            Self::Exceeded {
                unit: Unit::Tokens(_),
                ..
            } => "token_budget_exceeded",
            Self::Exceeded {
                unit: Unit::Money { .. },
                ..
            } => "money_budget_exceeded",
            Self::Unavailable => "budget_unavailable",
        }
    }

    fn status(&self) -> u16 {
        match self {
            Self::NoBudget | Self::NoCaller | Self::NotPriced => 403,
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
            Self::NotPriced => "This model has no price, so it cannot be used here.".to_owned(),
            Self::TooLarge { estimate, unit } => format!(
                "This request may {}, more than the whole budget of {}. \
                 Ask for less output with `max_tokens`, or send less.",
                size(*unit, *estimate),
                whole(*unit),
            ),
            Self::Exceeded {
                exceeded,
                estimate,
                unit,
            } => format!(
                "The budget of {} has {} left, and this request may {}. \
                 Try again in {}, or ask for less output with `max_tokens`.",
                whole(*unit),
                left(*unit, exceeded.remaining),
                size(*unit, *estimate),
                words::time(pause_ms(*unit, *exceeded)),
            ),
            Self::Unavailable => "The token budget cannot be checked now.".to_owned(),
        }
    }

    pub(crate) fn into_verdict(self) -> Verdict {
        let verdict = Verdict::refuse(self.status(), self.code(), self.message());
        let pause_ms = match self {
            Self::Exceeded { exceeded, unit, .. } => pause_ms(unit, exceeded),
            Self::Unavailable => STORE_PAUSE_MS,
            Self::NoBudget | Self::NoCaller | Self::NotPriced | Self::TooLarge { .. } => {
                return verdict;
            }
        };
        verdict.retry_after_ms(u32::try_from(pause_ms).unwrap_or(u32::MAX))
    }
}

/// A budget of money comes back with the next day or month, unless other requests hold what
/// they will not use: for that, the host says a moment.
fn pause_ms(unit: Unit, exceeded: Exceeded) -> u64 {
    let Exceeded { retry_after_ms, .. } = exceeded;
    match unit {
        Unit::Money { left_ms, .. } if retry_after_ms > STORE_PAUSE_MS => left_ms,
        Unit::Money { left_ms, .. } => retry_after_ms.min(left_ms),
        Unit::Tokens(_) => retry_after_ms,
    }
}

fn size(unit: Unit, estimate: Estimate) -> String {
    let Used { input, output, .. } = estimate.used();
    match unit {
        Unit::Tokens(_) => {
            let total = estimate.used().total();
            format!("take {total} tokens ({input} in, {output} out)")
        }
        Unit::Money { currency, .. } => {
            let cost = Money::of_micros(unit.of(estimate.used()));
            format!("cost {cost} {currency} ({input} tokens in, {output} out)")
        }
    }
}

fn left(unit: Unit, remaining: u64) -> String {
    match unit {
        Unit::Tokens(_) => remaining.to_string(),
        Unit::Money { currency, .. } => format!("{} {currency}", Money::of_micros(remaining)),
    }
}

fn whole(unit: Unit) -> String {
    match unit {
        Unit::Tokens(budget) => format!(
            "{} tokens per {}",
            budget.tokens,
            words::time(budget.period.ms())
        ),
        Unit::Money {
            amount,
            currency,
            span,
            ..
        } => format!("{amount} {currency} per {span}"),
    }
}
