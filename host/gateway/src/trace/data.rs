//! What a trace says; the lines of `GET /trace` are [`Line`]s in JSON.
//!
//! New fields may come, so a reader passes over what it does not know, and takes what is
//! missing for nothing.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One line of the stream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Line {
    /// The first: exchanges that begin from now on are looked at.
    Watching {
        /// The present generation.
        generation: u64,
        /// The stream ends after so many seconds.
        seconds: u64,
    },
    /// An exchange that ended.
    Trace(Box<Trace>),
    /// Exchanges that are not shown.
    Lost {
        /// They fitted, and this reader was too slow for them.
        slow: u64,
        /// There were too many at once to look at them, whether or not they would fit.
        skipped: u64,
    },
    /// Nothing happened for a while.
    Still,
    /// The last: why the stream ends.
    Ended {
        /// `count` or `seconds`.
        reason: String,
    },
}

/// One exchange.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Trace {
    /// The `x-request-id` that went to the upstream and to the client.
    pub id: String,
    /// When it began, in milliseconds since 1970.
    pub time_ms: u64,
    /// The generation that served it.
    pub generation: u64,
    /// The route that matched.
    pub route: Option<String>,
    /// As the client sent it.
    pub method: String,
    /// As the client sent it, with its query.
    pub path: String,
    /// As the client asked for it or a policy changed it.
    pub model: Option<String>,
    /// The name that the upstream was asked for, where it differs.
    pub target_model: Option<String>,
    /// Who called, as a policy established it.
    pub caller: Option<String>,
    /// The upstream that was asked last.
    pub upstream: Option<String>,
    /// Whether it was a stream.
    pub stream: bool,
    /// What the client was sent; 0 if it was gone before.
    pub status: u16,
    /// `complete`, `client_gone`, `upstream_failed`, `refused`, `cut` or `timed_out`.
    pub ending: String,
    /// The code of the error that ended it.
    pub error: Option<String>,
    /// `hit`, `miss` or `shared`, where a policy had the answer looked up.
    pub cache: Option<String>,
    /// What the gateway knew of the client before any policy was asked.
    pub given: Vec<Named>,
    /// What policies established.
    pub facts: Vec<Named>,
    /// Every hook that was asked, in the order in which they ended.
    pub steps: Vec<Step>,
    /// Every time that an upstream was asked.
    pub attempts: Vec<Attempt>,
    /// Of the request's body.
    pub bytes_in: Option<u64>,
    /// Of the response's body.
    pub bytes_out: u64,
    /// As the upstream reported it.
    pub usage: Option<Tokens>,
    /// From the request's arrival to the first byte of the response's body.
    pub first_byte_us: Option<u64>,
    /// From the request's arrival to the end of the response's body.
    pub total_us: u64,
    /// Parts of steps, and steps, that there was no room for.
    pub left_out: u64,
}

/// A name and what stands under it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Named {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// Tokens, as an upstream reported them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tokens {
    /// Read.
    pub input: u64,
    /// Written.
    pub output: u64,
    /// Of those read, from the upstream's cache.
    pub cached: u64,
}

/// One hook of one policy. All batches of a stream's events are one step.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Step {
    /// The policy's name.
    pub policy: String,
    /// Its plugin's.
    pub plugin: String,
    /// `on_request`, `on_attempt`, `on_response`, `on_events`, `on_finish`; `open` where the
    /// session could not be opened.
    pub hook: String,
    /// When it ended, after the request's arrival.
    pub at_us: u64,
    /// What it took, waiting for capabilities included.
    pub us: u64,
    /// What it read of the message.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reads: Vec<Read>,
    /// What it asked of capabilities.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<Call>,
    /// What it decided; `None`: it failed, or the hook decides nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decision: Option<Decision>,
    /// What it changed, facts included.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub edits: Vec<Edit>,
    /// What became of a stream's events.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub events: Option<Events>,
    /// Why the policy was not asked further; nothing of `decision` was done then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
}

/// A part of the message that was read.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Read {
    /// `header`, `json`, `body` or `fact`.
    pub part: String,
    /// The header's or fact's name, the JSON pointer, the range of the body.
    pub name: String,
    /// `null`: there was none.
    pub value: Option<Value>,
}

/// One call of a capability.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Call {
    /// Interface and function, such as `kv.get`.
    pub call: String,
    /// By name.
    pub arguments: Value,
    /// `{"ok": …}` or `{"error": …}` where it can fail.
    pub result: Value,
    /// How long it was waited for.
    pub us: u64,
}

/// A verdict.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Decision {
    /// `next`, `go_to`, `reply`, `refuse`.
    pub verdict: String,
    /// Of `go_to`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Of `go_to`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream: Option<String>,
    /// Of `reply` and `refuse`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Of `refuse`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Of `refuse`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Of `reply`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<Named>,
    /// Of `reply`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<Value>,
}

/// One change of the message.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Edit {
    /// As in the contract: `set-header`, `set-json` and so on.
    pub edit: String,
    /// The header, JSON pointer or fact.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What was there.
    pub before: Option<Value>,
    /// What is there now.
    pub after: Option<Value>,
}

/// What became of a stream's events.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Events {
    /// Calls of the hook.
    pub batches: u64,
    /// Events that it was shown.
    pub shown: u64,
    /// Events that it changed, dropped or added.
    pub changed: u64,
    /// The first of the changes.
    pub changes: Vec<EventChange>,
    /// Whether it ended the stream.
    pub ended: bool,
}

/// What became of one event.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct EventChange {
    /// Counted from 0, of those that the policy was shown.
    pub event: u64,
    /// `replace`, `drop`, `end` or `append`.
    pub action: String,
    /// As it came.
    pub before: Option<Event>,
    /// As it went.
    pub after: Vec<Event>,
}

/// One event.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its data.
    pub data: Value,
}

/// A hook that gave no decision, or none that holds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Failure {
    /// As in the access log: `trapped`, `out_of_time` and so on.
    pub kind: String,
    /// In words.
    pub reason: String,
    /// Whether the exchange went on without the policy.
    pub bypassed: bool,
}

/// One time that an upstream was asked.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Attempt {
    /// The upstream's name.
    pub upstream: String,
    /// The name that it was asked for the model by.
    pub model: Option<String>,
    /// When it was asked, after the request's arrival.
    pub at_us: u64,
    /// To the head of the response, or the error.
    pub us: u64,
    /// What it answered.
    pub status: Option<u16>,
    /// The code of the error that came instead.
    pub error: Option<String>,
}
