//! What one try at an endpoint says of it.

use std::time::Duration;

/// No answer, or none that is whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// No connection: refused, unreachable, or TLS failed.
    Connect,
    /// A connection that broke, or an answer that is none.
    Reset,
    /// Nothing in time.
    Timeout,
}

/// What a try at an endpoint came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It works. What it makes of the request is the client's affair.
    Good,
    /// It does not.
    Error,
    /// It works, and asks for a pause.
    Busy(Duration),
}

impl Outcome {
    /// Of an answer. A 4xx is the client's doing, and 501 and 505 tell what the server
    /// never does; any other 5xx is an error. 429 and 503 with a `retry-after` ask for a
    /// pause and are none.
    #[must_use]
    pub fn of_status(status: u16, retry_after: Option<Duration>) -> Self {
        match (status, retry_after) {
            (429 | 503, Some(pause)) => Self::Busy(pause),
            (501 | 505, _) => Self::Good,
            (500..=599, _) => Self::Error,
            _ => Self::Good,
        }
    }
}

impl From<Fault> for Outcome {
    fn from(_: Fault) -> Self {
        Self::Error
    }
}

impl Fault {
    /// For logs and labels.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Reset => "reset",
            Self::Timeout => "timeout",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_what_the_server_is_to_blame_for() {
        let pause = Some(Duration::from_secs(7));
        for (status, after, outcome) in [
            (200, None, Outcome::Good),
            (302, None, Outcome::Good),
            (400, pause, Outcome::Good),
            (404, None, Outcome::Good),
            (429, None, Outcome::Good),
            (429, pause, Outcome::Busy(Duration::from_secs(7))),
            (500, None, Outcome::Error),
            (500, pause, Outcome::Error),
            (501, None, Outcome::Good),
            (502, None, Outcome::Error),
            (503, None, Outcome::Error),
            (503, pause, Outcome::Busy(Duration::from_secs(7))),
            (504, None, Outcome::Error),
            (505, None, Outcome::Good),
            (599, None, Outcome::Error),
        ] {
            assert_eq!(Outcome::of_status(status, after), outcome, "{status}");
        }
    }
}
