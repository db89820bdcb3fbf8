//! What follows a try that failed or is late.

use std::time::Duration;

/// The most that [`Retries::count`] may be.
pub const RETRIES_MAX: u32 = 10;
/// The most targets that may be in line behind those with a weight.
pub const FALLBACK_MAX: usize = 8;

/// Why a try failed, before anything of it reached the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// No connection: nothing was sent.
    Connect,
    /// The connection broke, or what came was no answer.
    Reset,
    /// No answer in time, or no first event.
    Timeout,
    /// There was no endpoint to ask.
    Unavailable,
    /// The answer has this status.
    Status(u16),
}

/// How a try that failed is made again, at the same target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retries {
    /// How often in one exchange, at most; 0: never.
    pub count: u32,
    pub on: Vec<Cause>,
    /// Of the requests of the last seconds. What sent nothing ([`Cause::Connect`]) is free.
    pub budget_percent: u32,
    pub backoff: Duration,
    pub backoff_max: Duration,
    /// Whether an endpoint that failed may be asked again, where there is no other.
    pub same_endpoint: bool,
}

/// A second try before the first has failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hedge {
    pub percentile: u32,
    pub samples: u32,
    pub min_delay: Duration,
    pub budget_percent: u32,
}

/// How long is waited, where a route or a model says so.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Waits {
    pub connect: Option<Duration>,
    pub first_byte: Option<Duration>,
    pub first_token: Option<Duration>,
    pub between_bytes: Option<Duration>,
    pub total: Option<Duration>,
    /// The longest total that a client may ask for.
    pub total_max: Option<Duration>,
}

impl Retries {
    /// None at all.
    #[must_use]
    pub fn off() -> Self {
        Self {
            count: 0,
            ..Self::default()
        }
    }
}

impl Default for Retries {
    /// Where nothing is said: a request that could not be sent goes to another endpoint.
    fn default() -> Self {
        Self {
            count: 1,
            on: vec![Cause::Connect],
            budget_percent: 20,
            backoff: Duration::from_millis(25),
            backoff_max: Duration::from_secs(1),
            same_endpoint: false,
        }
    }
}

impl Default for Hedge {
    fn default() -> Self {
        Self {
            percentile: 95,
            samples: 100,
            min_delay: Duration::from_millis(50),
            budget_percent: 5,
        }
    }
}

/// Where a model has targets in line and does not say for which failures.
pub(crate) const FALLBACK_ON: [Cause; 10] = [
    Cause::Connect,
    Cause::Reset,
    Cause::Timeout,
    Cause::Unavailable,
    Cause::Status(429),
    Cause::Status(500),
    Cause::Status(502),
    Cause::Status(503),
    Cause::Status(504),
    Cause::Status(529),
];
