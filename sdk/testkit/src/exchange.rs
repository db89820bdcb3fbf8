//! One exchange, step by step through the hooks of one policy.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, header::CONTENT_TYPE};
use serde_json::Value;
use tollgate_sandbox::{
    ExchangeContext, Failure, Message, Policy, Session, Side,
    contract::{
        CachePlan, Destination, Ending, Endpoint, Event, EventAction, Head, Hooks, Needs, Outcome,
        Target, Usage, Verdict,
    },
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
    streaming: bool,
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
    /// The request with the policy's edits, or as far as it came.
    pub request: Message,
    /// What `on_request` decided, if the plugin has that hook.
    pub verdict: Option<Verdict>,
    /// What `on_attempt` decided, if the plugin has that hook and the request came so far.
    pub attempt_verdict: Option<Verdict>,
    /// The response with the policy's edits; `None` if the request was answered without an upstream.
    pub response: Option<Message>,
    /// What `on_response` decided, if the plugin has that hook.
    pub response_verdict: Option<Verdict>,
    /// What `on_request` planned for the answer, for the gateway to keep.
    pub plan: Option<Box<CachePlan>>,
    /// Where `on_request` wants a copy to go.
    pub shadow: Option<Box<Destination>>,
    /// What `on_attempt` thinks of each endpoint that there is to choose from.
    pub scores: Option<Vec<f64>>,
    /// The events that the client would see, as `data`.
    pub events: Vec<String>,
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
            streaming: false,
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
        let streaming = body["stream"] == true;
        let mut exchange = self
            .header("content-type", "application/json")
            .body(body.to_string());
        exchange.streaming = streaming;
        exchange
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

    /// The upstream's stream; the events of one call are ready together.
    #[must_use]
    pub fn streamed(mut self, batch: &[&str]) -> Self {
        let event = |data: &&str| Event {
            name: None,
            data: data.as_bytes().to_vec(),
        };
        self.batches.push(batch.iter().map(event).collect());
        self.streaming = true;
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

    /// How it ends; completely by default.
    #[must_use]
    pub fn ending(mut self, ending: Ending) -> Self {
        self.ending = ending;
        self
    }

    pub(crate) async fn run(self, policy: &Arc<Policy>) -> Result<Run, RunError> {
        let failed = |hook| move |failure| RunError::Failed { hook, failure };
        let mut session = policy
            .open(&self.head(), &ExchangeContext::default())
            .await
            .map_err(|not| failed("opening a session")(not.failure))?;
        let mut run = Run {
            request: self.request(policy.needs()),
            verdict: None,
            attempt_verdict: None,
            response: None,
            response_verdict: None,
            plan: None,
            shadow: None,
            scores: None,
            events: Vec::new(),
            report: Report {
                time: std::time::Duration::ZERO,
                memory_bytes: 0,
                host_calls: 0,
            },
        };
        self.request_hooks(policy, &mut session, &mut run).await?;
        if !is_final(run.verdict.as_ref()) && !is_final(run.attempt_verdict.as_ref()) {
            self.response_hooks(policy, &mut session, &mut run).await?;
        }
        let spent = session
            .on_finish(&self.outcome())
            .await
            .map_err(failed("on_finish"))?;
        session.close().await;
        if !needs_body(policy.needs(), Side::Request) {
            run.request.body.get_or_insert_with(|| self.body.clone());
        }
        run.report = Report {
            time: spent.time,
            memory_bytes: policy.stats().memory_peak_bytes,
            host_calls: spent.host_calls,
        };
        Ok(run)
    }

    async fn request_hooks(
        &self,
        policy: &Policy,
        session: &mut Session,
        run: &mut Run,
    ) -> Result<(), RunError> {
        if policy.hooks().contains(Hooks::REQUEST) {
            let decision = session.on_request(&mut run.request).await;
            let decision = decision.map_err(|failure| RunError::Failed {
                hook: "on_request",
                failure,
            })?;
            apply(
                session,
                &mut run.request,
                decision.edits,
                Side::Request,
                "on_request",
            )?;
            run.verdict = Some(decision.verdict);
            run.plan = run.request.plan.take();
            run.shadow = run.request.shadow.take();
        }
        if policy.hooks().contains(Hooks::ATTEMPT) && !is_final(run.verdict.as_ref()) {
            let target = Target {
                upstream: "upstream".to_owned(),
                dialect: "openai".to_owned(),
                model: None,
                attempt: 1,
            };
            run.request.endpoints = Some(self.endpoints.clone());
            let decision = session.on_attempt(&target, &mut run.request).await;
            let decision = decision.map_err(|failure| RunError::Failed {
                hook: "on_attempt",
                failure,
            })?;
            apply(
                session,
                &mut run.request,
                decision.edits,
                Side::Request,
                "on_attempt",
            )?;
            run.attempt_verdict = Some(decision.verdict);
            run.scores = run.request.scores.take();
        }
        Ok(())
    }

    async fn response_hooks(
        &self,
        policy: &Policy,
        session: &mut Session,
        run: &mut Run,
    ) -> Result<(), RunError> {
        let mut response = self.response_message(policy.needs());
        if policy.hooks().contains(Hooks::RESPONSE) {
            let decision = session.on_response(self.status, &mut response).await;
            let decision = decision.map_err(|failure| RunError::Failed {
                hook: "on_response",
                failure,
            })?;
            apply(
                session,
                &mut response,
                decision.edits,
                Side::Response,
                "on_response",
            )?;
            run.response_verdict = Some(decision.verdict);
        }
        if self.batches.is_empty() && !needs_body(policy.needs(), Side::Response) {
            response.body.get_or_insert_with(|| self.response.clone());
        }
        run.response = Some(response);
        let wants_events = policy.hooks().contains(Hooks::EVENTS);
        for (at, batch) in self.batches.iter().enumerate() {
            if !wants_events {
                run.events.extend(batch.iter().map(text));
                continue;
            }
            let last = at + 1 == self.batches.len();
            let decision =
                session
                    .on_events(batch, last)
                    .await
                    .map_err(|failure| RunError::Failed {
                        hook: "on_events",
                        failure,
                    })?;
            let mut actions = decision.actions.into_iter();
            for event in batch {
                match actions.next().unwrap_or(EventAction::Keep) {
                    EventAction::Keep => run.events.push(text(event)),
                    EventAction::Drop => {}
                    EventAction::Replace(events) => run.events.extend(events.iter().map(text)),
                    EventAction::End(events) => {
                        run.events.extend(events.iter().map(text));
                        return Ok(());
                    }
                }
            }
            run.events.extend(decision.append.iter().map(text));
        }
        Ok(())
    }

    fn head(&self) -> Head {
        let fact = |name: &str| {
            self.facts
                .iter()
                .find(|(n, _)| n == name)
                .map(|(_, value)| value.clone())
        };
        let body: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        Head {
            route: "test".to_owned(),
            method: self.method.to_string(),
            path: self.path.clone(),
            model: body["model"].as_str().map(str::to_owned),
            caller: fact("caller"),
            tier: fact("tier"),
            streaming: self.streaming,
            body_bytes: Some(self.body.len() as u64),
            deadline_ms: 60_000,
        }
    }

    /// The body is there if the policy needs it, as in the gateway.
    fn request(&self, needs: Needs) -> Message {
        Message {
            method: self.method.clone(),
            path: self.path.clone(),
            headers: headers(&self.headers),
            body: needs_body(needs, Side::Request).then(|| self.body.clone()),
            facts: self.facts.clone(),
            ..Message::default()
        }
    }

    fn response_message(&self, needs: Needs) -> Message {
        let mut fields = headers(&self.response_headers);
        if !self.batches.is_empty() {
            fields
                .entry(CONTENT_TYPE)
                .or_insert(HeaderValue::from_static("text/event-stream"));
        }
        Message {
            status: self.status,
            headers: fields,
            body: (self.batches.is_empty() && needs_body(needs, Side::Response))
                .then(|| self.response.clone()),
            ..Message::default()
        }
    }

    fn outcome(&self) -> Outcome {
        Outcome {
            ending: self.ending,
            status: self.status,
            upstream: Some("upstream".to_owned()),
            attempts: 1,
            first_byte_us: Some(1000),
            total_us: 2000,
            usage: self.usage,
        }
    }
}

fn apply(
    session: &mut Session,
    message: &mut Message,
    edits: Vec<tollgate_sandbox::contract::Edit>,
    side: Side,
    hook: &'static str,
) -> Result<(), RunError> {
    message.apply(edits, side).map_err(|bad| RunError::Failed {
        hook,
        failure: session.reject(&bad),
    })
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

/// Whether the request goes no further.
fn is_final(verdict: Option<&Verdict>) -> bool {
    matches!(verdict, Some(Verdict::Reply(_) | Verdict::Refuse(_)))
}

fn text(event: &Event) -> String {
    String::from_utf8_lossy(&event.data).into_owned()
}

fn needs_body(needs: Needs, side: Side) -> bool {
    needs.intersects(match side {
        Side::Request => Needs::REQUEST_JSON | Needs::REQUEST_BODY,
        Side::Response => Needs::RESPONSE_JSON | Needs::RESPONSE_BODY,
    })
}
