//! Budgets, held before the call and settled on what it really used. Needs the grant
//! `limits`. Buckets belong to the plugin, live in the host and survive a swap.
//!
//! ```
//! use tollgate_sdk::limits::{self, Limit};
//!
//! let limit = Limit::per_minute(1000);
//! let held = limits::reserve("ann", 800, &limit).unwrap();
//! assert_eq!(limits::remaining("ann", &limit), Ok(200));
//! assert_eq!(held.settle(300), 700);
//! ```

use std::time::Duration;

#[cfg(target_arch = "wasm32")]
use crate::bindings::tollgate::policy::limits as host;
#[cfg(not(target_arch = "wasm32"))]
use crate::testing::host::limits as host;

/// How a budget comes back.
///
/// ```
/// use tollgate_sdk::limits::{Algorithm, Limit};
///
/// assert_eq!(Limit::per_minute(60).algorithm, Algorithm::TokenBucket);
/// ```
pub use crate::bindings::tollgate::policy::limits::Algorithm;

/// A budget: so much in a time.
///
/// ```
/// use std::time::Duration;
/// use tollgate_sdk::limits::Limit;
///
/// let limit = Limit::sliding_window(1_000_000, Duration::from_secs(86_400));
/// assert_eq!(limit.period_ms, 86_400_000);
/// ```
pub use crate::bindings::tollgate::policy::limits::Limit;

/// What is left of a budget that does not suffice.
///
/// ```
/// use tollgate_sdk::limits::{self, Error, Exceeded, Limit};
///
/// let limit = Limit::per_minute(60);
/// let Err(Error::Exceeded(Exceeded { remaining, retry_after_ms })) = limits::take("ann", 61, &limit) else {
///     unreachable!()
/// };
/// assert_eq!(remaining, 60);
/// # let _ = retry_after_ms;
/// ```
pub use crate::bindings::tollgate::policy::limits::Exceeded;

/// Why nothing was taken.
///
/// ```
/// use tollgate_sdk::limits::{self, Error, Limit};
///
/// assert!(matches!(limits::take("ann", 1, &Limit::per_minute(0)), Err(Error::Invalid(_))));
/// ```
pub use crate::bindings::tollgate::policy::limits::Error;

/// What an exchange may take, in tokens.
///
/// ```
/// use tollgate_sdk::limits::Tokens;
///
/// // A body of 10 bytes is 3 tokens of input; with the output they are 103.
/// let tokens = Tokens { bytes_per_token: 4, output: 100 };
/// assert_eq!(10_u64.div_ceil(tokens.bytes_per_token) + tokens.output, 103);
/// ```
pub use crate::bindings::tollgate::policy::limits::Tokens;

/// A counter of the plugin's own, to which the gateway adds what it charges.
///
/// ```
/// use tollgate_sdk::limits::Counter;
///
/// let counter = Counter { name: "tokens".into(), labels: vec![("tier".into(), "team".into())] };
/// assert_eq!(counter.labels.len(), 1);
/// ```
pub use crate::bindings::tollgate::policy::limits::Counter;

impl Limit {
    /// `amount` at most at once, refilled evenly over `period`.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tollgate_sdk::limits::Limit;
    ///
    /// assert_eq!(Limit::token_bucket(10, Duration::from_secs(1)).amount, 10);
    /// ```
    #[must_use]
    pub fn token_bucket(amount: u64, period: Duration) -> Self {
        Self {
            algorithm: Algorithm::TokenBucket,
            amount,
            period_ms: milliseconds(period),
        }
    }

    /// `amount` at most in any window of `period`.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tollgate_sdk::limits::Limit;
    ///
    /// assert_eq!(Limit::sliding_window(10, Duration::from_secs(1)).period_ms, 1000);
    /// ```
    #[must_use]
    pub fn sliding_window(amount: u64, period: Duration) -> Self {
        Self {
            algorithm: Algorithm::SlidingWindow,
            amount,
            period_ms: milliseconds(period),
        }
    }

    /// A token bucket that fills in a minute.
    ///
    /// ```
    /// use tollgate_sdk::limits::Limit;
    ///
    /// assert_eq!(Limit::per_minute(60).period_ms, 60_000);
    /// ```
    #[must_use]
    pub fn per_minute(amount: u64) -> Self {
        Self::token_bucket(amount, Duration::from_secs(60))
    }
}

/// A part of a budget that is held. If it is dropped unsettled, it stays charged in full.
///
/// ```
/// use tollgate_sdk::limits::{self, Limit, Reservation};
///
/// struct Session {
///     held: Option<Reservation>,
/// }
///
/// impl Session {
///     fn on_finish(&mut self, tokens: u64) {
///         if let Some(held) = self.held.take() {
///             held.settle(tokens);
///         }
///     }
/// }
/// # let held = limits::reserve("x", 5, &Limit::per_minute(10)).ok();
/// # Session { held }.on_finish(2);
/// # assert_eq!(limits::remaining("x", &Limit::per_minute(10)), Ok(8));
/// ```
#[derive(Debug)]
pub struct Reservation(host::Reservation);

impl Reservation {
    /// Charges what was used, which may be more or less than was held, and returns what
    /// remains.
    ///
    /// ```
    /// use tollgate_sdk::limits::{self, Limit};
    ///
    /// let held = limits::reserve("ann", 10, &Limit::per_minute(100)).unwrap();
    /// assert_eq!(held.settle(30), 70);
    /// ```
    pub fn settle(self, used: u64) -> u64 {
        self.0.settle(used)
    }
}

/// Takes at once and returns what remains.
///
/// ```
/// use tollgate_sdk::limits::{self, Limit};
///
/// assert_eq!(limits::take("ann", 1, &Limit::per_minute(60)), Ok(59));
/// ```
///
/// # Errors
/// The budget does not suffice, the limit makes no sense, or the store cannot be reached.
pub fn take(bucket: &str, amount: u64, limit: &Limit) -> Result<u64, Error> {
    host::take(bucket, amount, *limit)
}

/// Holds an amount until it is settled.
///
/// ```
/// use tollgate_sdk::limits::{self, Limit};
///
/// assert!(limits::reserve("ann", 10, &Limit::per_minute(60)).is_ok());
/// ```
///
/// # Errors
/// As [`take`].
pub fn reserve(bucket: &str, amount: u64, limit: &Limit) -> Result<Reservation, Error> {
    host::reserve(bucket, amount, *limit).map(Reservation)
}

/// Holds what the exchange may take, until it is over; then the gateway charges what it took, by
/// itself. Without a last hook to settle in, a policy can [`leave`](crate::Request::leave), and
/// what it decides can be remembered: this is then held again for each request, by the length
/// of its body. What is charged is the reported usage, input and output; where there is no report
/// nothing if the exchange was refused, failed, ran out of time, reached no upstream or was
/// answered with another status than 2xx or 3xx, the input alone if its client left before the answer
/// began, and else all that is held. In `on_request` only, and at most 64 times.
///
/// ```
/// use tollgate_sdk::{limits::{self, Limit, Tokens}, prelude::*};
///
/// fn on_request(caller: &str, request: &mut Request) -> Verdict {
///     let limit = Limit::per_minute(100_000);
///     let tokens = Tokens { bytes_per_token: 4, output: 1024 };
///     match limits::hold_tokens(caller, &limit, tokens, None) {
///         Ok(()) => {
///             request.leave();
///             Verdict::next()
///         }
///         Err(_) => Verdict::refuse(429, "no_tokens_left", "Try again later."),
///     }
/// }
/// ```
///
/// # Errors
/// As [`take`]; also in another hook, and where a token has no byte.
pub fn hold_tokens(
    bucket: &str,
    limit: &Limit,
    tokens: Tokens,
    counter: Option<&Counter>,
) -> Result<(), Error> {
    host::hold_tokens(bucket, *limit, tokens, counter)
}

/// What remains; takes nothing.
///
/// ```
/// use tollgate_sdk::limits::{self, Limit};
///
/// assert_eq!(limits::remaining("nobody yet", &Limit::per_minute(60)), Ok(60));
/// ```
///
/// # Errors
/// As [`take`], except that it cannot be exceeded.
pub fn remaining(bucket: &str, limit: &Limit) -> Result<u64, Error> {
    host::remaining(bucket, *limit)
}

fn milliseconds(period: Duration) -> u64 {
    u64::try_from(period.as_millis()).unwrap_or(u64::MAX)
}
