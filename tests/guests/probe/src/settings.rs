//! What an author of a test writes.

use std::collections::BTreeMap;

use tollgate_sdk::{Answer, prelude::*};

/// What is done in each hook; nothing, unless it is written.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Goes to the stand-in in `x-standin-mark`, and into the answer and every event.
    pub mark: Option<String>,
    /// Edits of the request.
    pub request: Edits,
    /// Edits of the request for its target.
    pub attempt: Edits,
    /// Edits of the response.
    pub response: Edits,
    /// The response's new status.
    pub status: Option<u16>,
    /// Replaces the response.
    pub reply_instead: Option<Reply>,
    /// Request headers that are set to facts, by the fact's name.
    pub seen: BTreeMap<String, String>,
    /// Refuses the request.
    pub refuse: Option<Refusal>,
    /// Answers the request.
    pub reply: Option<Reply>,
    /// Sends it elsewhere.
    pub go_to: Destination,
    /// What becomes of events, by a text in them; the first that matches.
    pub events: Vec<EventRule>,
    /// The data of an event `farewell` at a stream's end.
    pub farewell: Option<String>,
    /// The request header that is told how many exchanges have ended.
    pub finished_into: Option<String>,
    /// The name of a secret.
    pub secret: String,
    /// The request header that is told the secret.
    pub secret_into: Option<String>,
    /// A URL that is asked; the status goes into `x-called`.
    pub call: Option<String>,
    /// A line for the log.
    pub log: Option<String>,
    /// It asks for no bodies.
    pub blind: bool,
}

/// Changes of one message.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Edits {
    pub set_headers: BTreeMap<String, String>,
    pub append_headers: BTreeMap<String, String>,
    pub remove_headers: Vec<String>,
    /// By JSON pointer.
    pub set_json: BTreeMap<String, Json>,
    pub remove_json: Vec<String>,
    pub facts: BTreeMap<String, String>,
}

/// A JSON value of any kind that a test needs.
#[derive(Debug, Deserialize, serde::Serialize, JsonSchema)]
#[serde(untagged)]
pub enum Json {
    Flag(bool),
    Number(f64),
    Text(String),
    List(Vec<Json>),
    Object(BTreeMap<String, Json>),
}

/// As the contract's.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Refusal {
    pub status: u16,
    pub code: String,
    pub message: String,
    #[serde(default)]
    pub retry_after_ms: Option<u32>,
}

/// An answer of its own.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Reply {
    pub status: u16,
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    #[serde(default)]
    pub body: String,
}

impl Reply {
    pub(crate) fn answer(&self) -> Answer {
        let answer = Answer::new(self.status).body(self.body.as_str());
        let headers = self.headers.iter();
        headers.fold(answer, |answer, (name, value)| {
            answer.header(name.as_str(), value.as_str())
        })
    }
}

/// As the contract's.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Destination {
    pub model: Option<String>,
    pub upstream: Option<String>,
}

/// What becomes of an event whose text contains this one.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EventRule {
    pub text: String,
    pub act: Act,
}

/// See [`EventRule`].
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Act {
    /// It says this instead.
    Say(String),
    Drop,
    /// Until the answer is finished.
    Hold,
    /// It is sent once more.
    Twice,
    /// The stream ends after it.
    End,
    /// The stream ends in its place, with the finish reason `length`.
    Cut,
}
