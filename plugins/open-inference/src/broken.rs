//! How a stream breaks, and what the client is told then.

use tollgate_sdk::RawEvent;

use crate::{fault::Fault, json, problem::Problem, settings::Protocol};

/// Why a stream goes no further.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Broken {
    /// The upstream said so.
    Said(Problem),
    /// What it said makes no sense.
    Unreadable(String),
}

impl Broken {
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self::Unreadable(what.into())
    }

    /// What the client is told in place of the rest.
    pub(crate) fn event(self, client: Protocol) -> RawEvent {
        let problem = match self {
            Self::Said(problem) => problem,
            Self::Unreadable(what) => {
                Problem::new(502, format!("The upstream's stream is malformed: {what}."))
            }
        };
        RawEvent::data(problem.written(client))
    }
}

impl From<Fault> for Broken {
    fn from(fault: Fault) -> Self {
        Self::Unreadable(fault.message)
    }
}

/// One event of a stream, unless it is an error.
pub(crate) fn read(data: &[u8], upstream: Protocol) -> Result<&str, Broken> {
    let said = json::read(data.trim_ascii()).ok_or_else(|| Broken::new("an event is no text"))?;
    match Problem::read(upstream, said, 500) {
        Some(problem) => Err(Broken::Said(problem)),
        None => Ok(said),
    }
}
