//! What is remembered of a try that did not answer.

use std::{sync::Arc, time::Duration};

use tollgate_config::Cause;

use super::super::errors::ServeError;

/// Why an endpoint was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reason {
    /// It was the first.
    #[default]
    First,
    /// A try at the same target had failed.
    Retry,
    /// A try at the target before had failed.
    Fallback,
    /// Another endpoint was late.
    Hedge,
}

impl Reason {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::First, Self::Retry, Self::Fallback, Self::Hedge];

    /// A stable word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Retry => "retry",
            Self::Fallback => "fallback",
            Self::Hedge => "hedge",
        }
    }
}

/// A try that failed or was given up.
#[derive(Debug, Clone)]
pub struct Try {
    /// Who was asked.
    pub upstream: Arc<str>,
    /// Where, by its URL; `None`: nobody was asked.
    pub endpoint: Option<Arc<str>>,
    /// Why.
    pub reason: Reason,
    /// How it went.
    pub outcome: TryOutcome,
    /// From the request sent to the failure.
    pub took: Duration,
}

/// How a try went that did not answer the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TryOutcome {
    /// No connection.
    Connect,
    /// No connection in time.
    ConnectTimeout,
    /// The connection broke before anything went to the client, or what came was no answer.
    Reset,
    /// No answer in time.
    FirstByteTimeout,
    /// An answer began, and fell silent before anything of it went to the client.
    BetweenBytesTimeout,
    /// It answered with this status, and another was asked.
    Status(u16),
    /// There was no endpoint to ask, or no place to wait for one.
    Unavailable,
    /// Another endpoint was asked too, and answered first.
    Outrun,
    /// It ended for a reason of the client's, or the exchange's time was over.
    Ended,
}

impl TryOutcome {
    /// The words of all.
    pub const WORDS: [&'static str; 9] = [
        "connect",
        "connect_timeout",
        "reset",
        "first_byte_timeout",
        "between_bytes_timeout",
        "status",
        "unavailable",
        "outrun",
        "ended",
    ];

    /// Its word's place among [`WORDS`](Self::WORDS).
    #[must_use]
    pub fn index(self) -> usize {
        match self {
            Self::Connect => 0,
            Self::ConnectTimeout => 1,
            Self::Reset => 2,
            Self::FirstByteTimeout => 3,
            Self::BetweenBytesTimeout => 4,
            Self::Status(_) => 5,
            Self::Unavailable => 6,
            Self::Outrun => 7,
            Self::Ended => 8,
        }
    }

    /// A stable word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        Self::WORDS[self.index()]
    }

    pub(super) fn of(error: &ServeError) -> Self {
        match error {
            ServeError::UpstreamUnreachable => Self::Connect,
            ServeError::ConnectTimeout => Self::ConnectTimeout,
            ServeError::UpstreamFailed => Self::Reset,
            ServeError::NoEndpoint(_) | ServeError::Overloaded(_) => Self::Unavailable,
            ServeError::FirstByteTimeout => Self::FirstByteTimeout,
            ServeError::BetweenBytesTimeout => Self::BetweenBytesTimeout,
            _ => Self::Ended,
        }
    }

    /// What another try may follow.
    pub(super) fn cause(self) -> Option<Cause> {
        match self {
            Self::Connect | Self::ConnectTimeout => Some(Cause::Connect),
            Self::Reset => Some(Cause::Reset),
            Self::FirstByteTimeout | Self::BetweenBytesTimeout => Some(Cause::Timeout),
            Self::Status(status) => Some(Cause::Status(status)),
            Self::Unavailable => Some(Cause::Unavailable),
            Self::Outrun | Self::Ended => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_the_clients_fault_or_the_clocks_is_followed_by_no_try() {
        for error in [
            ServeError::BodyTooLarge(1),
            ServeError::BodyTimeout,
            ServeError::BodyBroken,
            ServeError::ClientGone,
            ServeError::TotalTimeout,
        ] {
            assert_eq!(TryOutcome::of(&error).cause(), None, "{error}");
        }
    }

    #[test]
    fn each_outcome_has_a_word_of_its_own() {
        let words: std::collections::BTreeSet<_> = TryOutcome::WORDS.into_iter().collect();
        assert_eq!(words.len(), TryOutcome::WORDS.len());
        assert_eq!(TryOutcome::Ended.as_str(), "ended");
        assert_eq!(TryOutcome::Status(503).as_str(), "status");
    }
}
