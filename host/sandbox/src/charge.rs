//! What an exchange may take of a budget, in tokens: held until it is over, and then charged by
//! the host for what it took. Whoever leads a request through its policies takes charges off the
//! message after each hook, and settles them once it is known how the exchange ended, or gives
//! them back to a policy that is asked about a stream after all.

use std::{
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use tollgate_capabilities::{Answer, LimitError, Reservation, Reserve};

use crate::{
    contract::{
        Ending, Outcome,
        tollgate::policy::limits::{Counter, Error, Limit, Tokens},
    },
    host::Shared,
};

/// What a store answers to who wants to hold something.
type Asked = Answer<Result<Reservation, LimitError>>;

/// Of a counter's name and labels, which are kept as long as the charge is.
const COUNTER_BYTES_MAX: usize = 4096;

/// What is held for one exchange. Dropped unsettled, it stays charged in full.
pub struct Charge {
    reservation: Reservation,
    /// Of what is held.
    input: u64,
    counted: Option<Counted>,
}

/// Where what is charged is counted.
enum Counted {
    At(Arc<AtomicU64>),
    /// The sink wants it named each time.
    Under(Arc<Shared>, Arc<Counter>),
}

impl Counted {
    fn add(&self, tokens: u64) {
        match self {
            Self::At(count) => drop(count.fetch_add(tokens, Relaxed)),
            Self::Under(shared, counter) => {
                let Counter { name, labels } = &**counter;
                let metrics = &shared.capabilities.metrics;
                metrics.count(&shared.policy, name, labels, tokens);
            }
        }
    }
}

impl Charge {
    /// Lets go of it, as if it had never been held.
    pub fn give_back(self) -> Answer<u64> {
        self.reservation.settle(0)
    }

    /// Charges what the exchange took; what remains then.
    pub fn settle(self, outcome: &Outcome) -> Answer<u64> {
        let held = self.reservation.amount();
        let took = took(outcome, (self.input, held));
        if let Some(counted) = self.counted {
            counted.add(took);
        }
        self.reservation.settle(took)
    }
}

impl fmt::Debug for Charge {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Charge({})", self.reservation.amount())
    }
}

/// What was reported goes before what was held. The contract says the rest: see `hold-tokens`.
fn took(outcome: &Outcome, (input, held): (u64, u64)) -> u64 {
    if let Some(usage) = outcome.usage {
        return usage.input_tokens.saturating_add(usage.output_tokens);
    }
    let came_to_nothing = matches!(
        outcome.ending,
        Ending::Refused | Ending::UpstreamFailed | Ending::TimedOut
    );
    match outcome.status {
        _ if came_to_nothing || outcome.attempts == 0 => 0,
        // The client left before it was answered.
        0 => input,
        200..400 => held,
        _ => 0,
    }
}

/// What a policy has held, and would have held for any request that it decides about alike.
pub(crate) struct Hold {
    pub(crate) bucket: String,
    pub(crate) limit: Limit,
    pub(crate) tokens: Tokens,
    pub(crate) counter: Option<Arc<Counter>>,
    /// What the stores know of it, once it is held again.
    found: OnceLock<Found>,
}

/// `None`: it has to be named each time.
struct Found {
    bucket: Option<Arc<dyn Reserve>>,
    counter: Option<Arc<AtomicU64>>,
}

impl fmt::Debug for Hold {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Hold({})", self.bucket)
    }
}

impl Hold {
    pub(crate) fn new(
        bucket: String,
        limit: Limit,
        tokens: Tokens,
        counter: Option<Counter>,
    ) -> Self {
        Self {
            bucket,
            limit,
            tokens,
            counter: counter.map(Arc::new),
            found: OnceLock::new(),
        }
    }

    /// Asks the store for it, for a request whose body is so long; with it, how much of it is
    /// input.
    ///
    /// # Errors
    /// It makes no sense.
    pub(crate) fn ask(
        &self,
        shared: &Shared,
        body_bytes: Option<u64>,
    ) -> Result<(u64, Asked), Error> {
        if self.tokens.bytes_per_token == 0 {
            return Err(Error::Invalid("a token has at least one byte".to_owned()));
        }
        if self.counter_bytes() > COUNTER_BYTES_MAX {
            let long = "the counter has too many labels, or too long ones";
            return Err(Error::Invalid(long.to_owned()));
        }
        let (input, amount) = self.amount(body_bytes);
        Ok((input, self.reserve(shared, amount)))
    }

    /// Holds again what was held before; it made sense then.
    ///
    /// # Errors
    /// As [`tollgate_capabilities::LimitStore::reserve`].
    pub(crate) async fn hold_again(
        &self,
        shared: &Arc<Shared>,
        body_bytes: Option<u64>,
    ) -> Result<Charge, LimitError> {
        if let Some(held) = self.hold_at_once(shared, body_bytes) {
            return held;
        }
        let (input, amount) = self.amount(body_bytes);
        let held = self.reserve(shared, amount).get().await?;
        Ok(self.charge(shared, (input, held)))
    }

    /// The same without waiting; `None`: the bucket is not at hand, and nothing is held.
    pub(crate) fn hold_at_once(
        &self,
        shared: &Arc<Shared>,
        body_bytes: Option<u64>,
    ) -> Option<Result<Charge, LimitError>> {
        let bucket = self.found(shared).bucket.clone()?;
        let (input, amount) = self.amount(body_bytes);
        let held = bucket.reserve(amount);
        Some(held.map(|held| self.charge(shared, (input, held))))
    }

    fn reserve(&self, shared: &Shared, amount: u64) -> Asked {
        let (limits, limit) = (&shared.capabilities.limits, self.limit.into());
        limits.reserve(&shared.namespace, &self.bucket, amount, limit)
    }

    /// Tokens of input, and of all.
    fn amount(&self, body_bytes: Option<u64>) -> (u64, u64) {
        let Tokens {
            bytes_per_token,
            output,
        } = self.tokens;
        let input = body_bytes.unwrap_or(0).div_ceil(bytes_per_token);
        (input, input.saturating_add(output))
    }

    fn found(&self, shared: &Shared) -> &Found {
        self.found.get_or_init(|| {
            let (limits, metrics) = (&shared.capabilities.limits, &shared.capabilities.metrics);
            Found {
                bucket: limits.bucket(&shared.namespace, &self.bucket, self.limit.into()),
                counter: self.counter.as_ref().and_then(|counter| {
                    metrics.counter(&shared.policy, &counter.name, &counter.labels)
                }),
            }
        })
    }

    pub(crate) fn charge(
        &self,
        shared: &Arc<Shared>,
        (input, reservation): (u64, Reservation),
    ) -> Charge {
        let found = self.found.get().and_then(|found| found.counter.clone());
        let named = || {
            let counter = self.counter.clone()?;
            Some(Counted::Under(shared.clone(), counter))
        };
        Charge {
            reservation,
            input,
            counted: found.map(Counted::At).or_else(named),
        }
    }

    /// About what it takes in memory.
    pub(crate) fn bytes(&self) -> usize {
        size_of::<Self>() + self.bucket.len() + self.counter_bytes()
    }

    fn counter_bytes(&self) -> usize {
        self.counter.as_ref().map_or(0, |counter| {
            let labels = counter.labels.iter();
            let label = |(name, value): &(String, String)| {
                size_of::<(String, String)>() + name.len() + value.len()
            };
            size_of::<Counter>() + counter.name.len() + labels.map(label).sum::<usize>()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::Usage;

    fn outcome(ending: Ending, status: u16) -> Outcome {
        Outcome {
            ending,
            status,
            upstream: None,
            attempts: 1,
            first_byte_us: None,
            total_us: 0,
            usage: None,
        }
    }

    #[test]
    fn what_was_reported_is_charged_however_it_ended() {
        let usage = Some(Usage {
            input_tokens: 11,
            output_tokens: 7,
            cached_tokens: 3,
        });
        for ending in [Ending::Complete, Ending::Cut, Ending::UpstreamFailed] {
            let outcome = Outcome {
                usage,
                ..outcome(ending, 200)
            };
            assert_eq!(took(&outcome, (20, 120)), 18, "{ending:?}");
        }
    }

    #[test]
    fn without_a_report_what_is_held_is_charged_unless_it_came_to_nothing() {
        for (ending, status, charged) in include!("../../../sdk/src/testing/charged.in") {
            let asked = outcome(ending, status);
            assert_eq!(took(&asked, (20, 120)), charged, "{ending:?} {status}");
            let not_asked = Outcome {
                attempts: 0,
                ..asked
            };
            assert_eq!(took(&not_asked, (20, 120)), 0, "{ending:?} {status}");
        }
    }
}
