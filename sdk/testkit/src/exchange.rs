//! One exchange, step by step through the hooks of one policy.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use serde_json::Value;
use tollgate_sandbox::{
    Failure, Hook, Message, Policy,
    contract::{CachePlan, Destination, Ending, Endpoint, Event, Outcome, Target, Usage, Verdict},
    dry_run::{self, Answer, Attached, Content, Ended, Failed, Observer, Step},
};

use crate::Report;

/// A request and the answer its upstream would give.
#[derive(Debug, Clone)]
pub struct Exchange {
    method: http::Method,
    path: String,
    headers: Vec<(String, String)>,
    body: Bytes,
    facts: Vec<(String, String)>,
    status: u16,
    response_headers: Vec<(String, String)>,
    response: Bytes,
    batches: Vec<Vec<Event>>,
    usage: Option<Usage>,
    ending: Ending,
    endpoints: Vec<Endpoint>,
}

/// What came of an exchange.
#[derive(Debug)]
pub struct Run {
    /// The request with the policy's edits, as it would be sent or as far as it came.
    pub request: Message,
    /// What `on_request` decided, if the plugin has that hook.
    pub verdict: Option<Verdict>,
    /// What `on_attempt` decided, if the plugin has that hook and the request came so far.
    pub attempt_verdict: Option<Verdict>,
    /// The response with the policy's edits; `None` if the request was answered without an upstream.
    pub response: Option<Message>,
    /// What `on_response` decided, if the plugin has that hook.
    pub response_verdict: Option<Verdict>,
    /// What `on_request` planned for the answer, for the gateway to keep. As `shadow` and
    /// `scores`, it counts if the exchange goes on.
    pub plan: Option<Box<CachePlan>>,
    /// Where `on_request` wants a copy to go.
    pub shadow: Option<Box<Destination>>,
    /// What `on_attempt` thinks of each endpoint that there is to choose from.
    pub scores: Option<Vec<f64>>,
    /// The events that the client would see, as `data`; none if the policy answers in the
    /// stream's place.
    pub events: Vec<String>,
    /// What `on_finish` was told, if the plugin has that hook.
    pub outcome: Outcome,
    /// What it cost.
    pub report: Report,
}

/// Why an exchange came to no end.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The policy failed in this hook.
    #[error("{hook}: it {failure}")]
    Failed {
        /// Such as `on_request`.
        hook: &'static str,
        /// How.
        failure: Failure,
    },
}

impl Exchange {
    /// A request of any kind.
    ///
    /// # Panics
    /// If the method is none.
    #[must_use]
    #[expect(
        clippy::expect_used,
        reason = "a test that is wrong should fail where it is wrong"
    )]
    pub fn new(method: &str, path: &str) -> Self {
        Self {
            method: method.parse().expect("a method"),
            path: path.to_owned(),
            headers: Vec::new(),
            body: Bytes::new(),
            facts: Vec::new(),
            status: 200,
            response_headers: Vec::new(),
            response: Bytes::from_static(b"{}"),
            batches: Vec::new(),
            usage: None,
            ending: Ending::Complete,
            endpoints: Vec::new(),
        }
    }

    /// A `POST`.
    #[must_use]
    pub fn post(path: &str) -> Self {
        Self::new("POST", path)
    }

    /// A header of the request.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The request's body, as JSON.
    #[must_use]
    pub fn json(self, body: Value) -> Self {
        self.header("content-type", "application/json")
            .body(body.to_string())
    }

    /// The request's body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// A fact that an earlier policy would have set, such as `caller`.
    #[must_use]
    pub fn fact(mut self, name: &str, value: &str) -> Self {
        self.facts.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The upstream's answer.
    #[must_use]
    pub fn answered(mut self, status: u16, body: &Value) -> Self {
        self.status = status;
        self.response_headers
            .push(("content-type".to_owned(), "application/json".to_owned()));
        self.response = Bytes::from(body.to_string());
        self
    }

    /// The upstream's stream; the events of one call are ready together. A `[DONE]` at its end
    /// goes to the client and to no hook. That the client asks for a stream is for the
    /// request's body to say.
    #[must_use]
    pub fn streamed(mut self, batch: &[&str]) -> Self {
        let event = |data: &&str| Event {
            name: None,
            data: data.as_bytes().to_vec(),
        };
        self.batches.push(batch.iter().map(event).collect());
        self
    }

    /// What the upstream reports as used: input and output tokens.
    #[must_use]
    pub fn usage(mut self, input_tokens: u64, output_tokens: u64) -> Self {
        self.usage = Some(Usage {
            input_tokens,
            output_tokens,
            cached_tokens: 0,
        });
        self
    }

    /// One more endpoint of the target, for policies that score them.
    #[must_use]
    pub fn endpoint(mut self, endpoint: Endpoint) -> Self {
        self.endpoints.push(endpoint);
        self
    }

    /// How it ends, unless the policy ends it otherwise; completely by default. The end of a
    /// stream is told to the policy if it is complete.
    #[must_use]
    pub fn ending(mut self, ending: Ending) -> Self {
        self.ending = ending;
        self
    }

    pub(crate) async fn run(self, policy: &Arc<Policy>) -> Result<Run, RunError> {
        let mut seen = Seen::default();
        let ended = dry_run::run(policy, self.into_dry(), &mut seen).await?;
        Ok(seen.run(ended, policy))
    }

    /// A policy is asked wherever it may be attached.
    fn into_dry(self) -> dry_run::Exchange {
        let content = if self.batches.is_empty() {
            Content::Document(self.response)
        } else {
            Content::Stream(self.batches)
        };
        dry_run::Exchange {
            route: "test".to_owned(),
            request: Message {
                method: self.method,
                path: self.path,
                headers: headers(&self.headers),
                body: Some(self.body),
                facts: self.facts,
                ..Message::default()
            },
            attached: Attached::Both,
            target: Target {
                upstream: "upstream".to_owned(),
                dialect: "openai".to_owned(),
                model: None,
                attempt: 1,
            },
            endpoints: self.endpoints,
            answer: Answer {
                status: self.status,
                headers: headers(&self.response_headers),
                content,
                usage: self.usage,
                ending: self.ending,
            },
            is_recorded: false,
        }
    }
}

/// What a policy was seen to do.
#[derive(Default)]
struct Seen {
    verdict: Option<Verdict>,
    attempt_verdict: Option<Verdict>,
    response_verdict: Option<Verdict>,
    plan: Option<Box<CachePlan>>,
    shadow: Option<Box<Destination>>,
    scores: Option<Vec<f64>>,
    events: Vec<Event>,
}

impl Observer for Seen {
    fn step(&mut self, step: Step<'_>) {
        let verdict = step.decision.map(|decision| decision.verdict.clone());
        match step.hook {
            Some(Hook::Request) => {
                self.verdict = verdict;
                self.plan = step.planned.plan;
                self.shadow = step.planned.shadow;
            }
            Some(Hook::Attempt) => {
                self.attempt_verdict = verdict;
                self.scores = step.planned.scores;
            }
            Some(Hook::Response) => self.response_verdict = verdict,
            Some(Hook::Events | Hook::Finish | Hook::Tick) | None => {}
        }
    }

    fn sent(&mut self, events: Vec<Event>) {
        self.events = events;
    }
}

impl Seen {
    fn run(self, ended: Ended, policy: &Policy) -> Run {
        Run {
            request: ended.request,
            verdict: self.verdict,
            attempt_verdict: self.attempt_verdict,
            response: ended.response,
            response_verdict: self.response_verdict,
            plan: self.plan,
            shadow: self.shadow,
            scores: self.scores,
            events: self.events.iter().map(text).collect(),
            outcome: ended.outcome,
            report: Report {
                time: ended.spent.time,
                memory_bytes: policy.stats().memory_peak_bytes,
                host_calls: ended.spent.host_calls,
            },
        }
    }
}

impl From<Failed> for RunError {
    fn from(failed: Failed) -> Self {
        Self::Failed {
            hook: failed.place(),
            failure: failed.failure,
        }
    }
}

#[expect(
    clippy::expect_used,
    reason = "a test that is wrong should fail where it is wrong"
)]
fn headers(pairs: &[(String, String)]) -> http::HeaderMap {
    pairs
        .iter()
        .map(|(name, value)| {
            let name = HeaderName::from_bytes(name.as_bytes()).expect("a header name");
            (name, HeaderValue::from_str(value).expect("a header value"))
        })
        .collect()
}

fn text(event: &Event) -> String {
    String::from_utf8_lossy(&event.data).into_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn whether_a_stream_is_asked_for_stands_in_the_body_and_not_in_the_answer() {
        let is_streaming = |exchange: Exchange| exchange.into_dry().head().streaming;
        let asking = |body| Exchange::post("/v1/chat/completions").json(body);
        assert!(is_streaming(asking(json!({ "stream": true }))));
        assert!(!is_streaming(asking(json!({})).streamed(&["a"])));
        let text = Exchange::post("/v1/chat/completions").body(r#"{"stream":true}"#);
        assert!(is_streaming(text));
    }
}
