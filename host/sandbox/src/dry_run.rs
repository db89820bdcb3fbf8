//! One policy, led through one exchange without a gateway around it.
//!
//! Hook by hook as the gateway asks them of a policy that is alone: what is at hand, which
//! hooks are asked after which verdict, how a stream ends, and what the last hook is told.
//! Samples, cases and the test kit all go this way, so that what they show holds when the
//! policy is live; who wants to see it is an [`Observer`]. Knows nothing of what is expected.

mod course;
mod passed;
mod sent;

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header::CONTENT_TYPE};

use crate::{
    ExchangeContext, Failure, Hook, Message, Policy, RequestFacts, Session, Side, Spent,
    contract::{
        CachePlan, Decision, Destination, Ending, Endpoint, Event, Head, Outcome, Target, Usage,
    },
};
use course::Course;

/// A request, and the answer that its upstream would give.
#[derive(Debug)]
pub struct Exchange {
    /// The name of the route.
    pub route: String,
    /// With its whole body. The policy finds it there if it needs it.
    pub request: Message,
    /// Where the policy is attached.
    pub attached: Attached,
    /// The target that a request reaches.
    pub target: Target,
    /// What the target has to choose from.
    pub endpoints: Vec<Endpoint>,
    /// What comes of a request that reaches it.
    pub answer: Answer,
    /// Whether what the policy asks the host is written down; see
    /// [`Session::take_recording`].
    pub is_recorded: bool,
}

/// Where a policy is attached, and so which of its hooks about the request is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attached {
    /// `on_request`.
    Route,
    /// `on_attempt`.
    Target,
    /// Both, one after the other.
    Both,
}

/// What an upstream answers.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its headers. A stream that has no `content-type` gets one.
    pub headers: HeaderMap,
    /// Its body.
    pub content: Content,
    /// The tokens that it reports.
    pub usage: Option<Usage>,
    /// How the exchange ends, unless the policy ends it otherwise.
    pub ending: Ending,
}

/// The body of an answer.
#[derive(Debug)]
pub enum Content {
    /// One that is no stream.
    Document(Bytes),
    /// Events, in batches that are ready together. A `[DONE]` at the end is the gateway's to
    /// keep and to send, and no policy sees it.
    Stream(Vec<Vec<Event>>),
}

/// Looks on as a policy is led through an exchange.
pub trait Observer {
    /// The session opened, or a hook has ended; all calls of `on_events` are one.
    fn step(&mut self, step: Step<'_>);

    /// What the client is sent of a stream; of none, if the policy answers in its place.
    fn sent(&mut self, _events: Vec<Event>) {}
}

/// The opening of a session, or a hook.
#[derive(Debug)]
pub struct Step<'a> {
    /// `None`: the session opened.
    pub hook: Option<Hook>,
    /// Of a hook that decides about a message. It was applied, unless there is a failure.
    pub decision: Option<&'a Decision>,
    /// What the hook planned besides.
    pub planned: Planned,
    /// How it failed, if it did.
    pub failure: Option<&'a Failure>,
    /// `None`: it could not be opened.
    pub session: Option<&'a mut Session>,
}

/// What a hook plans for the gateway to do. It counts if the exchange goes on: of one that
/// failed or answered there is nothing.
#[derive(Debug, Default)]
pub struct Planned {
    /// For the answer.
    pub plan: Option<Box<CachePlan>>,
    /// Where a copy goes.
    pub shadow: Option<Box<Destination>>,
    /// What it thinks of each endpoint.
    pub scores: Option<Vec<f64>>,
}

/// An exchange that came to its end.
#[derive(Debug)]
pub struct Ended {
    /// The request as it would be sent, or as far as it came.
    pub request: Message,
    /// The upstream's answer with the policy's edits; `None` if none was asked.
    pub response: Option<Message>,
    /// What the last hook is told.
    pub outcome: Outcome,
    /// What it cost.
    pub spent: Spent,
}

impl Ended {
    /// The status that the request was answered with, if no upstream was asked.
    #[must_use]
    pub fn answered(&self) -> Option<u16> {
        self.response.is_none().then_some(self.outcome.status)
    }
}

/// Where a policy failed, and how: then the exchange comes to no end.
#[derive(Debug, thiserror::Error)]
#[error("{}: it {failure}", self.place())]
pub struct Failed {
    /// `None`: when its session opened.
    pub hook: Option<Hook>,
    /// How.
    pub failure: Failure,
}

impl Failed {
    /// Such as `on_request`.
    #[must_use]
    pub fn place(&self) -> &'static str {
        self.hook.map_or("opening a session", Hook::name)
    }
}

impl Exchange {
    /// What the session is told when it opens. The model and whether a stream is asked for
    /// stand in the body, whatever its headers call it.
    #[must_use]
    pub fn head(&self) -> Head {
        let request = &self.request;
        let body = request.body.as_deref().unwrap_or_default();
        let facts = RequestFacts::read(body, request.json_depth).unwrap_or_default();
        Head {
            route: self.route.clone(),
            method: request.method.to_string(),
            path: request.path.clone(),
            model: facts.model,
            caller: request.fact("caller").map(str::to_owned),
            tier: request.fact("tier").map(str::to_owned),
            streaming: facts.stream,
            body_bytes: Some(body.len() as u64),
            deadline_ms: 60_000,
        }
    }
}

/// Leads a policy through an exchange, every hook that it has.
///
/// # Errors
/// The first failure; the gateway would do as `on_error` says.
pub async fn run(
    policy: &Arc<Policy>,
    exchange: Exchange,
    observer: &mut impl Observer,
) -> Result<Ended, Failed> {
    let context = ExchangeContext {
        recorded: exchange.is_recorded,
        ..ExchangeContext::default()
    };
    let head = exchange.head();
    let opened = policy.open(&head, &context).await;
    let session = opened.map_err(|not| {
        observer.step(Step {
            failure: Some(&not.failure),
            ..OPENING
        });
        Failed {
            hook: None,
            failure: not.failure,
        }
    })?;
    let told = (head, context);
    let mut course = Course::begin(policy, (session, told), observer);
    let Exchange {
        mut request,
        attached,
        target,
        endpoints,
        answer,
        ..
    } = exchange;
    let withheld = withhold(&mut request, policy, Side::Request);
    let asked = course
        .ask_request(&mut request, attached, (&target, endpoints))
        .await?;
    give_back(&mut request, withheld);
    let (response, passed) = match asked {
        Some(answered) => (None, answered),
        None => {
            let (response, passed) = course.ask_response(answer).await?;
            (Some(response), passed)
        }
    };
    let outcome = passed.outcome(&target.upstream);
    let spent = course.finish(&outcome).await?;
    Ok(Ended {
        request,
        response,
        outcome,
        spent,
    })
}

const OPENING: Step<'_> = Step {
    hook: None,
    decision: None,
    planned: Planned {
        plan: None,
        shadow: None,
        scores: None,
    },
    failure: None,
    session: None,
};

/// Takes a body away that the policy does not need.
fn withhold(message: &mut Message, policy: &Policy, side: Side) -> Option<Bytes> {
    let is_needed = policy.needs().wants_body(side);
    message.body.take_if(|_| !is_needed)
}

/// It goes on, unless the policy put another one in its place.
fn give_back(message: &mut Message, withheld: Option<Bytes>) {
    message.body = message.body.take().or(withheld);
}

impl Answer {
    /// Whether it is a stream.
    #[must_use]
    pub fn is_stream(&self) -> bool {
        matches!(self.content, Content::Stream(_))
    }

    /// As `on_response` finds it; the events of a stream are apart.
    fn into_message(self) -> (Message, Vec<Vec<Event>>) {
        let mut headers = self.headers;
        let (body, batches) = match self.content {
            Content::Document(body) => (Some(body), Vec::new()),
            Content::Stream(batches) => {
                let kind = HeaderValue::from_static("text/event-stream");
                headers.entry(CONTENT_TYPE).or_insert(kind);
                (None, batches)
            }
        };
        let message = Message {
            status: self.status,
            headers,
            body,
            ..Message::default()
        };
        (message, batches)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::Needs;

    fn told(body: &'static str, kind: Option<&'static str>) -> Head {
        let kind = kind.map(|kind| (CONTENT_TYPE, HeaderValue::from_static(kind)));
        let request = Message {
            headers: HeaderMap::from_iter(kind),
            body: Some(Bytes::from_static(body.as_bytes())),
            facts: vec![("tier".to_owned(), "gold".to_owned())],
            ..Message::default()
        };
        let exchange = Exchange {
            route: "chat".to_owned(),
            request,
            attached: Attached::Both,
            target: Target {
                upstream: "upstream".to_owned(),
                dialect: "openai".to_owned(),
                model: None,
                attempt: 1,
            },
            endpoints: Vec::new(),
            answer: Answer {
                status: 200,
                headers: HeaderMap::new(),
                content: Content::Stream(Vec::new()),
                usage: None,
                ending: Ending::Complete,
            },
            is_recorded: false,
        };
        exchange.head()
    }

    #[test]
    fn a_session_is_told_what_the_body_asks_for_and_not_what_is_answered() {
        for kind in [None, Some("application/json"), Some("text/plain")] {
            let head = told(r#"{"model":"m","stream":true}"#, kind);
            assert_eq!(head.model.as_deref(), Some("m"), "{kind:?}");
            assert!(head.streaming, "{kind:?}");
            assert_eq!(
                (head.body_bytes, head.tier.as_deref()),
                (Some(27), Some("gold"))
            );
        }
        for body in [r#"{"model":"m"}"#, r#"{"stream":"true"}"#, "", "no JSON"] {
            assert!(!told(body, Some("application/json")).streaming, "{body}");
        }
    }

    #[test]
    fn a_body_is_at_hand_on_the_side_that_needs_it() {
        use Side::{Request, Response};
        for (needs, request, response) in [
            (Needs::empty(), false, false),
            (Needs::REQUEST_JSON, true, false),
            (Needs::REQUEST_BODY, true, false),
            (Needs::RESPONSE_JSON, false, true),
            (Needs::RESPONSE_BODY, false, true),
            (Needs::all(), true, true),
        ] {
            let wanted = (needs.wants_body(Request), needs.wants_body(Response));
            assert_eq!(wanted, (request, response), "{needs:?}");
        }
    }

    #[test]
    fn a_stream_says_that_it_is_one_unless_it_says_otherwise() {
        let answered = |kind: Option<&'static str>, content| {
            let kind = kind.map(|kind| (CONTENT_TYPE, HeaderValue::from_static(kind)));
            let answer = Answer {
                status: 200,
                headers: HeaderMap::from_iter(kind),
                content,
                usage: None,
                ending: Ending::Complete,
            };
            let (message, _) = answer.into_message();
            let kind = message.headers.get(CONTENT_TYPE).cloned();
            (kind, message.body.is_some())
        };
        let kind = |kind| Some(HeaderValue::from_static(kind));
        assert_eq!(
            answered(None, Content::Stream(Vec::new())),
            (kind("text/event-stream"), false)
        );
        assert_eq!(
            answered(Some("text/plain"), Content::Stream(Vec::new())),
            (kind("text/plain"), false)
        );
        assert_eq!(
            answered(None, Content::Document(Bytes::new())),
            (None, true)
        );
    }
}
