//! What is held for one exchange, and how it grows while a stream goes on.
//!
//! It grows in larger steps while there is room, so that a long stream asks the store
//! seldom; near the edge it takes small ones.

use tollgate_sdk::{
    limits::{self, Error, Exceeded, Limit, Reservation},
    log,
};

use crate::estimate::Estimate;

/// Tokens asked for at once near the edge.
const STEP: u64 = 256;
/// And at most where there is room: what one stream holds, others of its caller cannot.
const STEP_MAX: u64 = 4096;

pub(crate) struct Held {
    bucket: String,
    limit: Limit,
    first: Reservation,
    more: Vec<(Reservation, u64)>,
    output: u64,
}

impl Held {
    pub(crate) fn reserve(bucket: String, limit: Limit, estimate: Estimate) -> Result<Self, Error> {
        let first = limits::reserve(&bucket, estimate.total(), &limit)?;
        Ok(Self {
            bucket,
            limit,
            first,
            more: Vec::new(),
            output: estimate.output,
        })
    }

    /// Whether so much output is held, if need be after holding more.
    pub(crate) fn covers(&mut self, output: u64) -> bool {
        if output <= self.output {
            return true;
        }
        let short = output - self.output;
        match self.add(short.max(self.output.clamp(STEP, STEP_MAX))) {
            Ok(()) => true,
            Err(Error::Exceeded(Exceeded { remaining, .. })) if remaining >= short => {
                self.add(short.max(STEP).min(remaining)).is_ok()
            }
            Err(Error::Exceeded(_)) => false,
            Err(Error::Invalid(_) | Error::Unavailable) => {
                log::warn("the budget cannot be asked, so a stream that was let in goes on");
                self.output = self.output.saturating_add(short.max(STEP));
                true
            }
        }
    }

    fn add(&mut self, amount: u64) -> Result<(), Error> {
        let reservation = limits::reserve(&self.bucket, amount, &self.limit)?;
        self.more.push((reservation, amount));
        self.output = self.output.saturating_add(amount);
        Ok(())
    }

    /// Charges `used`, more or less than is held, and lets go of the rest.
    pub(crate) fn settle(self, used: u64) {
        let mut left = used;
        for (reservation, amount) in self.more {
            let part = left.min(amount);
            reservation.settle(part);
            left -= part;
        }
        self.first.settle(left);
    }
}
