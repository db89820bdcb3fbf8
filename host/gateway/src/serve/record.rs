//! What is remembered of an exchange, handed on once, at its very end.
//!
//! Plain data: no body, no header value, no secret. Who logs and counts it is an
//! [`Observe`] of somebody else's.

use std::{fmt, sync::Arc, time::Duration};

use http::{HeaderValue, Method, Uri};
use tollgate_config::Dialect;
use tollgate_sandbox::{
    Failure, Given, Policy, Remembered, Spent,
    contract::{Ending, Usage, Verdict},
};

pub use super::tries::{Reason, Try, TryOutcome};

use super::chance;
use crate::trace::Journal;

/// Is told of every exchange that ended.
pub trait Observe: Send + Sync {
    /// Called once per exchange, after its last hook. Must not block.
    fn finished(&self, record: &Record);
}

/// One exchange.
#[derive(Debug)]
pub struct Record {
    /// The `x-request-id` that went to the upstream and to the client.
    pub id: RequestId,
    /// The generation that served it, whole.
    pub generation: u64,
    /// `None`: none matched.
    pub route: Option<Arc<str>>,
    /// What the client speaks, where the route says so.
    pub dialect: Option<Dialect>,
    /// As the client sent it.
    pub method: Method,
    /// As the client sent it. The query may hold secrets: log its path alone.
    pub uri: Uri,
    /// As the client asked for it or a policy changed it.
    pub model: Option<String>,
    /// The name that the upstream was asked for, where it differs.
    pub target_model: Option<Arc<str>>,
    /// The upstream that was asked last.
    pub upstream: Option<Arc<str>>,
    /// Whether the client asked for a stream, or got one.
    pub streaming: bool,
    /// The endpoint of it, by its URL.
    pub endpoint: Option<Arc<str>>,
    /// How often an upstream was asked.
    pub attempts: u32,
    /// Why it was asked the last time.
    pub reason: Reason,
    /// The tries that failed or were given up, in the order in which they did.
    pub tries: Vec<Try>,
    /// How often a retry or a hedge was due, and none was left in the budget.
    pub over_budget: u32,
    /// What the client was sent; 0 if it was gone before.
    pub status: u16,
    /// How it ended.
    pub ending: Ending,
    /// The code of the error that ended it.
    pub error: Option<String>,
    /// In the order in which they were asked first.
    pub policies: Vec<PolicyRecord>,
    /// What policies established: `caller`, `tier` and the like.
    pub facts: Vec<(String, String)>,
    /// What the gateway knew of the client before any policy was asked.
    pub given: Option<Given>,
    /// Of the request's body, where it was at hand or its length was given.
    pub bytes_in: Option<u64>,
    /// Of the response's body.
    pub bytes_out: u64,
    /// Tokens, as the upstream reported them.
    pub usage: Option<Usage>,
    /// Whether a policy had the answer looked up, and what came of it.
    pub cache: Option<Cached>,
    /// It was a copy for a mirror, and no client's.
    pub mirror: bool,
    /// The protocol that its connection changed to.
    pub upgrade: Option<Arc<str>>,
    /// How long it waited for its turn, if it did.
    pub queued: Option<Duration>,
    /// From the request sent to the response's head.
    pub upstream_head: Option<Duration>,
    /// From the request's arrival to the first byte of the response's body.
    pub first_byte: Option<Duration>,
    /// From the request's arrival to the end of the response's body.
    pub total: Duration,
    /// What its policies did, where somebody watches.
    pub journal: Option<Arc<Journal>>,
}

impl Record {
    /// It waited for its turn, once more or for the first time.
    pub(super) fn note_queued(&mut self, waited: Option<Duration>) {
        if let Some(waited) = waited {
            self.queued = Some(self.queued.unwrap_or_default() + waited);
        }
    }
}

impl Default for Record {
    fn default() -> Self {
        Self {
            id: RequestId(HeaderValue::from_static("")),
            generation: 0,
            route: None,
            dialect: None,
            method: Method::GET,
            uri: Uri::default(),
            model: None,
            target_model: None,
            upstream: None,
            streaming: false,
            endpoint: None,
            attempts: 0,
            reason: Reason::First,
            tries: Vec::new(),
            over_budget: 0,
            status: 0,
            ending: Ending::ClientGone,
            error: None,
            policies: Vec::new(),
            facts: Vec::new(),
            given: None,
            bytes_in: None,
            bytes_out: 0,
            usage: None,
            cache: None,
            mirror: false,
            upgrade: None,
            queued: None,
            upstream_head: None,
            first_byte: None,
            total: Duration::ZERO,
            journal: None,
        }
    }
}

impl Record {
    /// What is known of a request before anybody was asked, for another exchange about it.
    pub(super) fn of_the_same_request(&self) -> Self {
        Self {
            id: self.id.clone(),
            generation: self.generation,
            route: self.route.clone(),
            dialect: self.dialect,
            given: self.given.clone(),
            method: self.method.clone(),
            uri: self.uri.clone(),
            model: self.model.clone(),
            streaming: self.streaming,
            bytes_in: self.bytes_in,
            ..Self::default()
        }
    }
}

/// Where an answer came from that a policy had looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cached {
    /// It was there.
    Hit,
    /// An upstream was asked.
    Miss,
    /// Another exchange had asked for it, and it was under way.
    Shared,
}

impl Cached {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Hit, Self::Miss, Self::Shared];

    /// A stable word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Miss => "miss",
            Self::Shared => "shared",
        }
    }
}

/// What one policy did in one exchange.
#[derive(Clone)]
pub struct PolicyRecord {
    /// The policy.
    pub policy: Arc<Policy>,
    /// Its last verdict.
    pub decided: Decided,
    /// The code of its refusal.
    pub code: Option<String>,
    /// How many edits of it were applied.
    pub edits: u32,
    /// Stream events that it was shown.
    pub events: u64,
    /// Stream events that it changed, dropped or added.
    pub events_changed: u64,
    /// Why it was not asked further.
    pub failure: Option<Box<Failure>>,
    /// It failed and the exchange went on without it.
    pub bypassed: bool,
    /// What it decided about such a request before, so that it was not asked.
    pub remembered: Option<Remembered>,
    /// Time and host calls, `on_finish` not included.
    pub spent: Spent,
}

impl fmt::Debug for PolicyRecord {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            decided,
            code,
            failure,
            ..
        } = self;
        let mut shown = out.debug_struct("PolicyRecord");
        shown
            .field("policy", &self.policy.name())
            .field("decided", decided)
            .field("code", code);
        shown.field("failure", failure).finish_non_exhaustive()
    }
}

impl PolicyRecord {
    pub(super) fn new(policy: Arc<Policy>) -> Self {
        Self {
            policy,
            decided: Decided::Nothing,
            code: None,
            edits: 0,
            events: 0,
            events_changed: 0,
            failure: None,
            bypassed: false,
            remembered: None,
            spent: Spent::default(),
        }
    }

    /// What is remembered, where that is all that the policy did: then this is the same for each
    /// exchange in which it decided so.
    pub(crate) fn as_before(&self) -> Option<&Remembered> {
        let Self {
            policy: _,
            decided,
            code,
            // Those that were remembered.
            edits: _,
            events,
            events_changed,
            failure,
            bypassed,
            remembered,
            spent,
        } = self;
        let is_all = *decided != Decided::Nothing
            && code.is_none()
            && failure.is_none()
            && !bypassed
            && *events + *events_changed == 0
            && *spent == Spent::default();
        remembered.as_ref().filter(|_| is_all)
    }
}

/// A policy's verdict, for log and metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Decided {
    /// No hook of it was due.
    #[default]
    Nothing,
    /// Carry on.
    Next,
    /// Carry on to another destination.
    GoTo,
    /// It answered.
    Reply,
    /// It refused.
    Refuse,
    /// It ended the stream.
    End,
    /// It failed.
    Failed,
}

impl Decided {
    pub(super) fn of(verdict: &Verdict) -> Self {
        match verdict {
            Verdict::Next => Self::Next,
            Verdict::GoTo(_) => Self::GoTo,
            Verdict::Reply(_) => Self::Reply,
            Verdict::Refuse(_) => Self::Refuse,
        }
    }

    /// A stable word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Next => "next",
            Self::GoTo => "go_to",
            Self::Reply => "reply",
            Self::Refuse => "refuse",
            Self::End => "end",
            Self::Failed => "failed",
        }
    }
}

/// The `x-request-id` of an exchange.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestId(HeaderValue);

impl RequestId {
    const LENGTH_MAX: usize = 128;

    /// The client's own, if it is fit for logs, or else a new one.
    pub(super) fn of(client: Option<&HeaderValue>) -> Self {
        match client {
            Some(id) if Self::is_sane(id.as_bytes()) => Self(id.clone()),
            _ => Self::random(),
        }
    }

    fn is_sane(id: &[u8]) -> bool {
        let sane = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:+/=@".contains(byte);
        (1..=Self::LENGTH_MAX).contains(&id.len()) && id.iter().all(sane)
    }

    fn random() -> Self {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let number = u128::from(chance::next()) << 64 | u128::from(chance::next());
        let mut text = [0; 32];
        for (at, digit) in text.iter_mut().enumerate() {
            *digit = HEX[(number >> (4 * at) & 15) as usize];
        }
        Self(HeaderValue::from_bytes(&text).unwrap_or(HeaderValue::from_static("0")))
    }

    /// As text; always printable ASCII.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }

    pub(super) fn header(&self) -> HeaderValue {
        self.0.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sane_id_of_the_client_is_kept_and_any_other_replaced() {
        let kept = HeaderValue::from_static("req_01HX-2.b:c/=");
        assert_eq!(RequestId::of(Some(&kept)).as_str(), "req_01HX-2.b:c/=");
        let long = "a".repeat(129);
        for other in ["", "a b", "a\"b", "a\tb", "é", &long] {
            let id = RequestId::of(Some(&HeaderValue::from_bytes(other.as_bytes()).unwrap()));
            assert_eq!(id.as_str().len(), 32, "{other}");
        }
        assert_ne!(RequestId::of(None), RequestId::of(None));
    }
}
