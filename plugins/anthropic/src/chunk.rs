//! What is said in a stream, and how it breaks.

use serde_json::Value;
use tollgate_sdk::RawEvent;

use crate::{
    fault::Fault,
    json,
    problem::{Kind, Problem},
    settings::Side,
};

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
    pub(crate) fn event(self, client: Side) -> RawEvent {
        let problem = match self {
            Self::Said(problem) => problem,
            Self::Unreadable(what) => Problem::new(
                Kind::Api,
                format!("The upstream's stream is malformed: {what}."),
            ),
        };
        match client {
            Side::OpenAi => RawEvent::json(&problem.to_openai()),
            Side::Anthropic => RawEvent::named("error", problem.to_anthropic().to_string()),
        }
    }
}

impl From<Fault> for Broken {
    fn from(fault: Fault) -> Self {
        Self::Unreadable(fault.message)
    }
}

pub(crate) fn read(data: &[u8]) -> Result<Value, Broken> {
    json::read(data).ok_or_else(|| Broken::new("an event is not JSON, or too deep"))
}
