//! Shows that a candidate works before it goes live: it opens sessions and runs
//! the sample exchanges that its plugin ships, on state that is thrown away.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::{
    Failure, Hook, Message, Observed, Session, Side,
    compile::{Expect, Refusal, SampleText},
    contract::{Decision, Ending, Event, Head, Needs, Outcome, Target, Verdict},
    host::ExchangeContext,
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
    let failed = |hook: &str, failure: Failure| format!("{hook}: it {failure}");
    let head = head(sample);
    let model = head.model.as_deref();
    let mut session = policy
        .open(&head, &ExchangeContext::default())
        .await
        .map_err(|not| failed("opening a session", not.failure))?;
    let wants = |hook: Hook| policy.facts.hooks[hook as usize];
    let mut request = message(sample, policy.needs())?;
    let mut answered = None;
    if wants(Hook::Request) {
        let decided = session.on_request(&mut request).await;
        let decision = decided.map_err(|failure| failed("on_request", failure))?;
        observed.see(&decision, Stage::Request, model);
        answered = settle(&mut session, &mut request, decision, Side::Request)?;
    }
    check(sample.expect, answered)?;
    if answered.is_none() {
        if wants(Hook::Attempt) {
            let decided = session.on_attempt(&target(), &mut request).await;
            let decision = decided.map_err(|failure| failed("on_attempt", failure))?;
            observed.see(&decision, Stage::Attempt, model);
            settle(&mut session, &mut request, decision, Side::Request)?;
        }
        respond(policy, &mut session, (sample, model), observed).await?;
    }
    session
        .on_finish(&outcome(sample))
        .await
        .map_err(|failure| failed("on_finish", failure))?;
    session.close().await;
    Ok(())
}

async fn respond(
    policy: &Policy,
    session: &mut Session,
    (sample, model): (&SampleText, Option<&str>),
    observed: &mut Observed,
) -> Result<(), String> {
    let wants = |hook: Hook| policy.facts.hooks[hook as usize];
    if wants(Hook::Response) {
        let at_hand = sample.events.is_empty()
            && policy
                .needs()
                .intersects(Needs::RESPONSE_JSON | Needs::RESPONSE_BODY);
        let mut response = Message {
            status: sample.response_status,
            headers: HeaderMap::from_iter([(
                http::header::CONTENT_TYPE,
                HeaderValue::from_static("application/json"),
            )]),
            body: at_hand.then(|| Bytes::from(sample.response_body.clone())),
            ..Message::default()
        };
        let decided = session
            .on_response(sample.response_status, &mut response)
            .await;
        let decision = decided.map_err(|failure| format!("on_response: it {failure}"))?;
        observed.see(&decision, Stage::Response, model);
        settle(session, &mut response, decision, Side::Response)?;
    }
    if wants(Hook::Events) && !sample.events.is_empty() {
        let events: Vec<Event> = sample
            .events
            .iter()
            .map(|(name, data)| Event {
                name: name.clone(),
                data: data.clone(),
            })
            .collect();
        session
            .on_events(&events, false)
            .await
            .map_err(|failure| format!("on_events: it {failure}"))?;
        session
            .on_events(&[], true)
            .await
            .map_err(|failure| format!("on_events: it {failure}"))?;
    }
    Ok(())
}

/// Applies a decision; the status, if it answers.
fn settle(
    session: &mut Session,
    message: &mut Message,
    decision: Decision,
    side: Side,
) -> Result<Option<u16>, String> {
    message
        .apply(decision.edits, side)
        .map_err(|bad| format!("it {}", session.reject(&bad)))?;
    Ok(match decision.verdict {
        Verdict::Next | Verdict::GoTo(_) => None,
        Verdict::Reply(answer) => Some(answer.status),
        Verdict::Refuse(refusal) => Some(refusal.status),
    })
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

fn head(sample: &SampleText) -> Head {
    let fact = |name: &str| {
        sample
            .facts
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, value)| value.clone())
    };
    let body: serde_json::Value = serde_json::from_str(&sample.body).unwrap_or_default();
    Head {
        route: "sample".to_owned(),
        method: sample.method.clone(),
        path: sample.path.clone(),
        model: body["model"].as_str().map(str::to_owned),
        caller: fact("caller"),
        tier: fact("tier"),
        streaming: !sample.events.is_empty(),
        body_bytes: Some(sample.body.len() as u64),
        deadline_ms: 60_000,
    }
}

/// The body is there if the policy needs it, as in the gateway.
fn message(sample: &SampleText, needs: Needs) -> Result<Message, String> {
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
        body: needs
            .intersects(Needs::REQUEST_JSON | Needs::REQUEST_BODY)
            .then(|| Bytes::from(sample.body.clone())),
        facts: sample.facts.clone(),
        ..Message::default()
    })
}

fn target() -> Target {
    Target {
        upstream: "sample".to_owned(),
        dialect: "openai".to_owned(),
        model: None,
        attempt: 1,
    }
}

fn outcome(sample: &SampleText) -> Outcome {
    Outcome {
        ending: Ending::Complete,
        status: sample.response_status,
        upstream: Some("sample".to_owned()),
        attempts: 1,
        first_byte_us: Some(1000),
        total_us: 2000,
        usage: None,
    }
}
