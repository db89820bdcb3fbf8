//! Why a request is refused, and how the client is told.

use serde_json::json;
use tollgate_sdk::prelude::*;
use tollgate_settings::{Period, words};

use crate::{
    limit::{Fact, Limit},
    standing::Standing,
};

const STORE_PAUSE_MS: u64 = 1000;

#[derive(Debug)]
pub(crate) enum Refused {
    /// What the limit counts by is not known of this request.
    Unknown {
        limit: &'static Limit,
        fact: &'static Fact,
    },
    /// Too many in its time.
    Requests {
        limit: &'static Limit,
        retry_after_ms: u64,
        standing: Standing,
    },
    /// Too many at once.
    Places {
        limit: &'static Limit,
        retry_after_ms: u64,
        standing: Option<Standing>,
    },
    /// The store did not say.
    Unavailable { limit: &'static Limit },
}

impl Refused {
    /// The name of the limit that refused.
    pub(crate) fn limit(&self) -> &'static str {
        let (Self::Unknown { limit, .. }
        | Self::Requests { limit, .. }
        | Self::Places { limit, .. }
        | Self::Unavailable { limit }) = self;
        limit.name.as_str()
    }

    /// Stable, for programs.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Unknown { .. } => "rate_limit_unknown_subject",
            Self::Requests { .. } => "rate_limit_exceeded",
            Self::Places { .. } => "concurrency_limit_exceeded",
            Self::Unavailable { .. } => "rate_limit_unavailable",
        }
    }

    /// A missing model is the client's mistake; any other fact, it cannot give itself.
    fn status(&self) -> u16 {
        match self {
            Self::Unknown { fact, .. } if fact.as_str() == "model" => 400,
            Self::Unknown { .. } => 403,
            Self::Requests { .. } | Self::Places { .. } => 429,
            Self::Unavailable { .. } => 503,
        }
    }

    /// Names the limit, never what it counted: that may be someone else's.
    fn message(&self) -> String {
        let name = self.limit();
        match self {
            Self::Unknown { fact, .. } => format!(
                "rate-limit: the limit `{name}` counts by `{}`, which is not known of this request.",
                fact.as_str()
            ),
            Self::Requests {
                limit,
                retry_after_ms,
                ..
            } => format!(
                "rate-limit: the limit `{name}` of {} is used up. Try again in {}.",
                size(limit),
                words::time(*retry_after_ms),
            ),
            Self::Places { limit, .. } => format!(
                "rate-limit: the limit `{name}` of {} at once is reached. \
                 Try again when one of them has ended.",
                words::count(limit.concurrency.map_or(0, u64::from), "request"),
            ),
            Self::Unavailable { .. } => {
                format!("rate-limit: the limit `{name}` cannot be checked now.")
            }
        }
    }

    /// `headers`: whether the client is told how it stands. A refusal of the contract has
    /// none, so the answer is written here then, in the shape of the gateway's own.
    pub(crate) fn into_verdict(self, headers: bool) -> Verdict {
        let (status, code, message) = (self.status(), self.code(), self.message());
        let (pause_ms, standing) = match self {
            Self::Unknown { .. } => return Verdict::refuse(status, code, message),
            Self::Unavailable { .. } => (STORE_PAUSE_MS, None),
            Self::Requests {
                retry_after_ms,
                standing,
                ..
            } => (retry_after_ms, Some(standing)),
            Self::Places {
                retry_after_ms,
                standing,
                ..
            } => (retry_after_ms, standing),
        };
        match standing.filter(|_| headers) {
            Some(standing) => answer(code, &message, pause_ms, standing),
            None => Verdict::refuse(status, code, message)
                .retry_after_ms(u32::try_from(pause_ms).unwrap_or(u32::MAX)),
        }
    }
}

fn answer(code: &str, message: &str, pause_ms: u64, standing: Standing) -> Verdict {
    let body = json!({
        "error": { "message": message, "type": "rate_limit_error", "param": null, "code": code },
    });
    let seconds = pause_ms.div_ceil(1000).max(1);
    let answer = Answer::new(429).header("retry-after", seconds.to_string());
    let answer = standing
        .headers()
        .into_iter()
        .fold(answer, |answer, (name, value)| answer.header(name, value));
    Verdict::reply(answer.json(&body))
}

/// What a limit of requests lets through.
fn size(limit: &Limit) -> String {
    let requests = words::count(limit.requests.map_or(0, u64::from), "request");
    let period = words::time(limit.period.map_or(0, Period::ms));
    match limit.burst {
        Some(burst) => format!("{requests} in {period}, {burst} at a stretch,"),
        None => format!("{requests} in {period}"),
    }
}
