//! What is held for one exchange, and how it grows while a stream goes on.
//!
//! It grows in larger steps while there is room, so that a long stream asks the store
//! seldom; near the edge it takes small ones. Each step is held in every budget or in none.

use tollgate_sdk::{
    limits::{Error, Exceeded},
    log,
};

use crate::{
    account::{Account, Unit},
    estimate::Estimate,
    settle::Used,
};

/// Tokens asked for at once near the edge.
const STEP: u64 = 256;
/// And at most where there is room: what one stream holds, others of its caller cannot.
const STEP_MAX: u64 = 4096;

pub(crate) struct Held {
    accounts: Vec<Account>,
    output: u64,
}

/// Which budget could not be held, and why.
#[derive(Debug)]
pub(crate) struct Short {
    pub(crate) unit: Unit,
    pub(crate) error: Error,
}

impl Held {
    pub(crate) fn reserve(accounts: Vec<Account>, estimate: Estimate) -> Result<Self, Short> {
        let mut held = Self {
            accounts,
            output: estimate.output,
        };
        held.hold(estimate.used())?;
        Ok(held)
    }

    /// Whether so much output is held, if need be after holding more.
    pub(crate) fn covers(&mut self, output: u64) -> bool {
        if output <= self.output {
            return true;
        }
        let short = output - self.output;
        let mut step = short.max(self.output.clamp(STEP, STEP_MAX));
        loop {
            let Err(Short { unit, error }) = self.add(step) else {
                return true;
            };
            match error {
                Error::Exceeded(Exceeded { remaining, .. }) => {
                    let fits = unit.output_in(remaining).min(short.max(STEP));
                    if fits < short || fits >= step {
                        return false;
                    }
                    step = fits;
                }
                Error::Invalid(_) | Error::Unavailable => {
                    log::warn("the budget cannot be asked, so a stream that was let in goes on");
                    self.output = self.output.saturating_add(short.max(STEP));
                    return true;
                }
            }
        }
    }

    /// Charges what was used in every budget.
    pub(crate) fn settle(self, used: Used) {
        for account in self.accounts {
            account.settle(used);
        }
    }

    fn add(&mut self, output: u64) -> Result<(), Short> {
        self.hold(Used {
            output,
            ..Used::default()
        })?;
        self.output = self.output.saturating_add(output);
        Ok(())
    }

    fn hold(&mut self, used: Used) -> Result<(), Short> {
        for place in 0..self.accounts.len() {
            let (before, rest) = self.accounts.split_at_mut(place);
            let Some(account) = rest.first_mut() else {
                break;
            };
            if let Err(error) = account.hold(used) {
                before.iter_mut().for_each(Account::give_back);
                let unit = account.unit;
                return Err(Short { unit, error });
            }
        }
        Ok(())
    }
}
