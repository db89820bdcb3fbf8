//! What a request counts by, and the name of the count in the host.

use std::fmt::Write;

use sha2::{Digest, Sha256};
use tollgate_sdk::{limits, prelude::*};

use crate::{
    limit::{Fact, Limit, OnMissing, Rate},
    refusal::Refused,
};

/// The host takes names of 256 bytes.
const NAME_MAX: usize = 256;
/// How much of a value is looked at: as much as a fact can have. A model's name may be as
/// long as a body, and copying or hashing that would be the end of a plugin.
const VALUE_MAX: usize = 1024;

/// What the gateway knows of a request without being asked.
pub(crate) struct Known {
    route: String,
    model: Option<String>,
    caller: Option<String>,
    tier: Option<String>,
}

/// One thing that a request takes: of which limit, where it is counted, and how.
pub(crate) struct Step {
    pub(crate) limit: &'static Limit,
    pub(crate) bucket: String,
    pub(crate) kind: Kind,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    /// A request, for good.
    Request(Rate),
    /// A place, until the end of the exchange.
    Place(limits::Limit),
}

impl Known {
    pub(crate) fn of(head: &Head) -> Self {
        Self {
            route: head.route.clone(),
            model: head.model.as_deref().map(bounded),
            caller: head.caller.clone(),
            tier: head.tier.clone(),
        }
    }

    /// All that this request takes, in order. Nothing is taken yet.
    pub(crate) fn steps(
        &self,
        limits: &'static [Limit],
        request: &Request,
    ) -> Result<Vec<Step>, Refused> {
        let mut steps = Vec::with_capacity(limits.len());
        for limit in limits.iter().filter(|limit| self.falls_under(limit)) {
            let Some(subject) = self.subject(limit, request)? else {
                continue;
            };
            let place = limit.places().map(Kind::Place);
            let kinds = place.into_iter().chain(limit.rate().map(Kind::Request));
            steps.extend(kinds.map(|kind| Step {
                limit,
                bucket: bucket(kind, limit, &subject),
                kind,
            }));
        }
        Ok(steps)
    }

    fn falls_under(&self, limit: &Limit) -> bool {
        limit
            .applies
            .holds(self.model.as_deref(), self.tier.as_deref(), &self.route)
    }

    /// Each value with its length: no value can be made to look like another's count.
    /// `None`: the limit is to be skipped.
    fn subject(&self, limit: &'static Limit, request: &Request) -> Result<Option<String>, Refused> {
        let mut subject = String::new();
        for fact in &limit.by {
            let name = fact.as_str();
            match (self.value(fact, request), limit.on_missing) {
                (Some(value), _) => {
                    let _ = write!(subject, ";{name}={}:{value}", value.len());
                }
                (None, OnMissing::Share) => {
                    let _ = write!(subject, ";{name}");
                }
                (None, OnMissing::Skip) => return Ok(None),
                (None, OnMissing::Refuse) => return Err(Refused::Unknown { limit, fact }),
            }
        }
        Ok(Some(subject))
    }

    fn value(&self, fact: &Fact, request: &Request) -> Option<String> {
        match fact.as_str() {
            "route" => Some(self.route.clone()),
            "model" => self.model.clone(),
            "caller" => self.caller.clone(),
            "tier" => self.tier.clone(),
            other => request.fact(other),
        }
    }
}

/// Of a longer value its first bytes and its length.
fn bounded(value: &str) -> String {
    if value.len() <= VALUE_MAX {
        return value.to_owned();
    }
    let start = &value[..value.floor_char_boundary(VALUE_MAX)];
    format!("{start}…{}", value.len())
}

/// What a client sends may be longer than a name may be: then its hash stands for it.
fn bucket(kind: Kind, limit: &Limit, subject: &str) -> String {
    let kind = match kind {
        Kind::Request(_) => "requests",
        Kind::Place(_) => "places",
    };
    let name = limit.name.as_str();
    let mut bucket = format!("{kind}:{name}");
    if bucket.len() + subject.len() <= NAME_MAX {
        bucket.push_str(subject);
    } else {
        bucket.push('#');
        for byte in Sha256::digest(subject) {
            let _ = write!(bucket, "{byte:02x}");
        }
    }
    bucket
}
