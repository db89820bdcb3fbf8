//! What a case file says. Each comment is the author's documentation.

mod expect;

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};

pub(crate) use expect::Expect;

/// One case.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct CaseFile {
    /// What it shows, for readers.
    pub(crate) about: Option<String>,
    /// As in the configuration.
    pub(crate) settings: Map<String, Value>,
    /// What the policy's capabilities answer.
    pub(crate) given: Given,
    pub(crate) request: Request,
    /// The policy is attached to a target: `on_attempt` is asked, and told this, in place
    /// of `on_request`.
    pub(crate) target: Option<Target>,
    /// What the upstream answers.
    pub(crate) answer: Answer,
    /// What must come of it; what is not written is not compared.
    pub(crate) expect: Option<Expect>,
    pub(crate) budget: BudgetFile,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Given {
    /// RFC 3339 in UTC, such as `2026-01-31T12:00:00Z`. It stands still.
    pub(crate) now: Option<String>,
    /// The seed of all that is random.
    pub(crate) random: u64,
    /// What is in the store.
    pub(crate) kv: BTreeMap<String, Value>,
    /// What is used up of a bucket, by its name.
    pub(crate) limits: BTreeMap<String, Used>,
    /// By name; nothing: it cannot be read now.
    pub(crate) secrets: BTreeMap<String, Option<String>>,
    /// By address.
    pub(crate) places: BTreeMap<String, Place>,
    /// What calls over HTTP are answered with; each answers once.
    pub(crate) calls: Vec<Call>,
    /// What cannot be reached: `kv`, `limits`, `geo`.
    pub(crate) unavailable: Vec<Store>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Used {
    pub(crate) used: u64,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Place {
    pub(crate) country: Option<String>,
    pub(crate) region: Option<String>,
    pub(crate) continent: Option<String>,
    pub(crate) city: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Store {
    Kv,
    Limits,
    Geo,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Call {
    /// `GET` if it is not said.
    pub(crate) method: Option<String>,
    pub(crate) url: String,
    pub(crate) answer: Option<Document>,
    /// Instead of an answer.
    pub(crate) fails: Option<Fails>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Fails {
    Denied,
    TimedOut,
    TooLarge,
    Failed,
}

/// An answer to a call.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Document {
    pub(crate) status: Option<u16>,
    pub(crate) headers: Map<String, Value>,
    pub(crate) json: Option<Value>,
    pub(crate) body: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Request {
    /// `POST` if it is not said.
    pub(crate) method: Option<String>,
    /// `/v1/chat/completions` if it is not said.
    pub(crate) path: Option<String>,
    /// Each a value or a list of them.
    pub(crate) headers: Map<String, Value>,
    pub(crate) json: Option<Value>,
    /// Instead of `json`.
    pub(crate) body: Option<String>,
    /// As earlier policies or the gateway would have set them.
    pub(crate) facts: BTreeMap<String, String>,
    /// `case` if it is not said.
    pub(crate) route: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Target {
    pub(crate) upstream: Option<String>,
    pub(crate) dialect: Option<String>,
    pub(crate) model: Option<String>,
    pub(crate) attempt: Option<u32>,
    /// What there is to pick from; without any, nobody is asked to score them.
    pub(crate) endpoints: Vec<Endpoint>,
}

/// An endpoint and how busy it is, as a policy that scores them is told.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Endpoint {
    /// `host:port`.
    pub(crate) address: String,
    /// 1 if it is not said.
    pub(crate) weight: Option<u32>,
    #[serde(default)]
    pub(crate) in_flight: u32,
    pub(crate) latency_ms: Option<f64>,
    pub(crate) running: Option<u32>,
    pub(crate) waiting: Option<u32>,
    pub(crate) cache_use: Option<f64>,
    /// It failed in this exchange before.
    #[serde(default)]
    pub(crate) tried: bool,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Answer {
    /// 200 if it is not said.
    pub(crate) status: Option<u16>,
    pub(crate) headers: Map<String, Value>,
    pub(crate) json: Option<Value>,
    /// Instead of `json`.
    pub(crate) body: Option<String>,
    /// Instead of either: a stream, event by event.
    pub(crate) events: Option<Vec<EventFile>>,
    /// Whether all events are ready at once.
    pub(crate) together: bool,
    /// What the upstream reports.
    pub(crate) usage: Option<Usage>,
    /// `complete` if it is not said.
    pub(crate) ending: Option<Ending>,
}

/// An event: its data, as text or as JSON.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EventFile {
    pub(crate) name: Option<String>,
    pub(crate) data: Value,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Usage {
    #[serde(default)]
    pub(crate) input: u64,
    #[serde(default)]
    pub(crate) output: u64,
    #[serde(default)]
    pub(crate) cached: u64,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Ending {
    Complete,
    ClientGone,
    UpstreamFailed,
    Cut,
    TimedOut,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct BudgetFile {
    /// Of the dearest hook, such as `200us` or `1ms`.
    pub(crate) time: Option<String>,
    /// The largest memory, such as `1MiB`.
    pub(crate) memory: Option<String>,
    /// Of the hook that makes most.
    pub(crate) host_calls: Option<u32>,
}
