//! Shows that a candidate works before it goes live: it runs the sample exchanges that
//! its plugin ships, on state that is thrown away.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header::CONTENT_TYPE};

use crate::{
    Hook, Message, Observed,
    compile::{Expect, Refusal, SampleText},
    contract::{Ending, Event, Target},
    dry_run::{self, Answer, Attached, Content, Exchange, Observer, Step},
    observed::Stage,
    policy::Policy,
};

/// Runs every sample, or a plain chat request if there is none.
pub(crate) async fn prove(policy: &Arc<Policy>) -> Result<Observed, Refusal> {
    let plain = [plain_sample()];
    let samples = if policy.facts.samples.is_empty() {
        &plain[..]
    } else {
        &policy.facts.samples
    };
    let mut observed = Observed::default();
    for sample in samples {
        run(policy, sample, &mut observed).await.map_err(|reason| {
            Refusal::new(
                "sample",
                format!("its sample `{}` failed: {reason}", sample.name),
            )
        })?;
    }
    Ok(observed)
}

fn plain_sample() -> SampleText {
    SampleText {
        name: "a plain chat request".to_owned(),
        method: "POST".to_owned(),
        path: "/v1/chat/completions".to_owned(),
        headers: vec![("content-type".to_owned(), b"application/json".to_vec())],
        body: r#"{"model":"sample","messages":[{"role":"user","content":"hello"}]}"#.to_owned(),
        facts: Vec::new(),
        response_status: 200,
        response_body: r#"{"choices":[{"message":{"role":"assistant","content":"hi"}}]}"#
            .to_owned(),
        events: Vec::new(),
        expect: Expect::Runs,
    }
}

async fn run(
    policy: &Arc<Policy>,
    sample: &SampleText,
    observed: &mut Observed,
) -> Result<(), String> {
    let exchange = exchange(sample)?;
    let mut looking = Looking {
        model: exchange.head().model,
        observed,
    };
    let ended = dry_run::run(policy, exchange, &mut looking).await;
    let ended = ended.map_err(|failed| failed.to_string())?;
    check(sample.expect, ended.answered())
}

/// Looks at what is decided, for a model.
struct Looking<'a> {
    model: Option<String>,
    observed: &'a mut Observed,
}

impl Observer for Looking<'_> {
    fn step(&mut self, step: Step<'_>) {
        let stage = match step.hook {
            Some(Hook::Request) => Stage::Request,
            Some(Hook::Attempt) => Stage::Attempt,
            _ => Stage::Response,
        };
        if let Some(decision) = step.decision {
            self.observed.see(decision, stage, self.model.as_deref());
        }
    }
}

fn check(expected: Expect, answered: Option<u16>) -> Result<(), String> {
    match (expected, answered) {
        (Expect::Runs, _) | (Expect::Forwarded, None) => Ok(()),
        (Expect::Answered(wanted), Some(status)) if wanted == status => Ok(()),
        (Expect::Forwarded, Some(status)) => Err(format!(
            "it was to be forwarded and was answered with {status}"
        )),
        (Expect::Answered(wanted), Some(status)) => Err(format!(
            "it was to be answered with {wanted} and got {status}"
        )),
        (Expect::Answered(wanted), None) => Err(format!(
            "it was to be answered with {wanted} and was forwarded"
        )),
    }
}

/// A policy is proven wherever it may be attached.
fn exchange(sample: &SampleText) -> Result<Exchange, String> {
    Ok(Exchange {
        route: "sample".to_owned(),
        request: request(sample)?,
        attached: Attached::Both,
        target: Target {
            upstream: "sample".to_owned(),
            dialect: "openai".to_owned(),
            model: None,
            attempt: 1,
        },
        endpoints: Vec::new(),
        answer: answer(sample),
        is_recorded: false,
    })
}

fn request(sample: &SampleText) -> Result<Message, String> {
    let mut headers = HeaderMap::new();
    for (name, value) in &sample.headers {
        let name = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| format!("`{name}` is no header name"))?;
        let value =
            HeaderValue::from_bytes(value).map_err(|_| format!("`{name}` has no valid value"))?;
        headers.append(name, value);
    }
    Ok(Message {
        method: sample
            .method
            .parse()
            .map_err(|_| format!("`{}` is no method", sample.method))?,
        path: sample.path.clone(),
        headers,
        body: Some(Bytes::from(sample.body.clone())),
        facts: sample.facts.clone(),
        ..Message::default()
    })
}

fn answer(sample: &SampleText) -> Answer {
    let event = |(name, data): &(Option<String>, Vec<u8>)| Event {
        name: name.clone(),
        data: data.clone(),
    };
    let mut headers = HeaderMap::new();
    let content = if sample.events.is_empty() {
        let kind = HeaderValue::from_static("application/json");
        headers.insert(CONTENT_TYPE, kind);
        Content::Document(Bytes::from(sample.response_body.clone()))
    } else {
        Content::Stream(vec![sample.events.iter().map(event).collect()])
    };
    Answer {
        status: sample.response_status,
        headers,
        content,
        usage: None,
        ending: Ending::Complete,
    }
}
