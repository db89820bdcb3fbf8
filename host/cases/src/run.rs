//! One exchange, hook by hook, as the gateway would ask them.

use std::{sync::Arc, time::Duration};

use http::HeaderMap;
use serde_json::Value;
use tollgate_sandbox::{
    ExchangeContext, Failure, Message, Policy, Session, Side,
    contract::{
        Decision, Ending, Event, EventAction, EventsDecision, Head, Hooks, Needs, Outcome, Verdict,
    },
};

use crate::{
    case::Case,
    got::{Cost, Got, Step},
    shown,
    world::Notes,
};

/// Runs the case through every hook that the policy has.
pub(crate) async fn run(case: &Case, policy: &Arc<Policy>, notes: &Notes) -> Got {
    let mut got = Got::default();
    let opened = policy.open(&head(case), &ExchangeContext::default()).await;
    let mut opening = Step::new("open");
    notes.take_into(&mut opening);
    let mut course = match opened {
        Ok(session) => Course {
            case,
            policy,
            notes,
            session,
            spent: (Duration::ZERO, 0),
            got,
        },
        Err(failure) => {
            opening.failure = Some(failure.to_string());
            got.steps.push(opening);
            return got;
        }
    };
    course.settle(opening);
    if course.through().await.is_some() {
        let session = course.session;
        session.close().await;
    }
    policy.retire();
    course.got
}

/// A session on its way.
struct Course<'a> {
    case: &'a Case,
    policy: &'a Arc<Policy>,
    notes: &'a Notes,
    session: Session,
    spent: (Duration, u32),
    got: Got,
}

/// What has become of the request.
struct Passed {
    status: u16,
    ending: Ending,
    reached_upstream: bool,
}

impl Course<'_> {
    fn has(&self, hook: Hooks) -> bool {
        self.policy.hooks().contains(hook)
    }

    /// `None`: a hook failed.
    async fn through(&mut self) -> Option<()> {
        let answer = &self.case.answer;
        let mut passed = match self.ask_request().await? {
            Some(answered) => answered,
            None => Passed {
                status: answer.document.status,
                ending: answer.ending,
                reached_upstream: true,
            },
        };
        if passed.reached_upstream {
            if let Some(status) = self.ask_response().await? {
                passed.status = status;
            }
            self.ask_events().await?;
        }
        if self.has(Hooks::FINISH) {
            let mut step = Step::new("on_finish");
            let finished = self.session.on_finish(&self.outcome(&passed)).await;
            self.notes.take_into(&mut step);
            self.judged(step, finished.map(drop))?;
        }
        Some(())
    }

    /// How the request was answered, if it goes no further. A policy is attached to a
    /// route or to a target, and asked once.
    async fn ask_request(&mut self) -> Option<Option<Passed>> {
        let mut request = self.request();
        let hook = if self.case.is_at_target {
            Hooks::ATTEMPT
        } else {
            Hooks::REQUEST
        };
        if !self.has(hook) {
            return Some(None);
        }
        let (name, decided) = if self.case.is_at_target {
            let target = &self.case.target;
            let decided = self.session.on_attempt(target, &mut request).await;
            ("on_attempt", decided)
        } else {
            ("on_request", self.session.on_request(&mut request).await)
        };
        let verdict = self.decided(name, decided, (&mut request, Side::Request))?;
        let (status, ending) = match verdict {
            Verdict::Next | Verdict::GoTo(_) => return Some(None),
            Verdict::Reply(reply) => (reply.status, Ending::Complete),
            Verdict::Refuse(refusal) => (refusal.status, Ending::Refused),
        };
        Some(Some(Passed {
            status,
            ending,
            reached_upstream: false,
        }))
    }

    /// The status that the client is sent, if it is another.
    async fn ask_response(&mut self) -> Option<Option<u16>> {
        if !self.has(Hooks::RESPONSE) {
            return Some(None);
        }
        let document = &self.case.answer.document;
        let is_at_hand = self.case.answer.events.is_none()
            && self
                .policy
                .needs()
                .intersects(Needs::RESPONSE_JSON | Needs::RESPONSE_BODY);
        let mut response = Message {
            status: document.status,
            headers: document.headers.clone(),
            body: is_at_hand.then(|| document.body.clone()),
            ..Message::default()
        };
        let decided = self
            .session
            .on_response(document.status, &mut response)
            .await;
        let verdict = self.decided("on_response", decided, (&mut response, Side::Response))?;
        Some(Some(match verdict {
            Verdict::Next | Verdict::GoTo(_) => response.status,
            Verdict::Reply(reply) => reply.status,
            Verdict::Refuse(refusal) => refusal.status,
        }))
    }

    async fn ask_events(&mut self) -> Option<()> {
        let Some(events) = &self.case.answer.events else {
            return Some(());
        };
        let (events, done) = match events.split_last() {
            Some((last, before)) if last.data == b"[DONE]" => (before, Some(last)),
            _ => (&events[..], None),
        };
        let mut sent: Vec<Value> = Vec::new();
        if self.has(Hooks::EVENTS) {
            let mut step = Step::new("on_events");
            let asked = self.each_batch(events, &mut sent).await;
            self.notes.take_into(&mut step);
            self.judged(step, asked)?;
        } else {
            sent.extend(events.iter().map(shown::event));
        }
        sent.extend(done.map(shown::event));
        self.got.events = Some(sent);
        Some(())
    }

    async fn each_batch(&mut self, events: &[Event], sent: &mut Vec<Value>) -> Result<(), Failure> {
        let size = if self.case.answer.together {
            events.len().max(1)
        } else {
            1
        };
        for batch in events.chunks(size) {
            let decision = self.session.on_events(batch, false).await?;
            if !send(batch, decision, sent) {
                return Ok(());
            }
        }
        // It comes when the upstream ended its stream cleanly.
        if matches!(self.case.answer.ending, Ending::Complete) {
            let decision = self.session.on_events(&[], true).await?;
            send(&[], decision, sent);
        }
        Ok(())
    }

    /// Applies a decision; `None`: the hook failed.
    fn decided(
        &mut self,
        hook: &'static str,
        decided: Result<Decision, Failure>,
        (message, side): (&mut Message, Side),
    ) -> Option<Verdict> {
        let mut step = Step::new(hook);
        self.notes.take_into(&mut step);
        let applied = decided.and_then(|decision| {
            step.edits = decision.edits.iter().map(shown::edit).collect();
            step.plan = message.plan.take().map(|plan| shown::plan(&plan));
            let applied = message.apply(decision.edits, side);
            applied.map_err(|bad| self.session.reject(&bad))?;
            Ok(decision.verdict)
        });
        if let Ok(verdict) = &applied {
            step.verdict = Some(shown::verdict(verdict));
        }
        self.judged(step, applied)
    }

    fn judged<T>(&mut self, mut step: Step, result: Result<T, Failure>) -> Option<T> {
        match result {
            Ok(value) => {
                self.settle(step);
                Some(value)
            }
            Err(failure) => {
                step.failure = Some(failure.to_string());
                self.settle(step);
                None
            }
        }
    }

    fn settle(&mut self, mut step: Step) {
        let spent = self.session.spent();
        step.cost = Cost {
            time: spent.time.saturating_sub(self.spent.0),
            memory_bytes: self.policy.stats().memory_peak_bytes,
            host_calls: spent.host_calls.saturating_sub(self.spent.1),
        };
        self.spent = (spent.time, spent.host_calls);
        self.got.steps.push(step);
    }

    /// The body is there if the policy needs it, as in the gateway.
    fn request(&self) -> Message {
        let request = &self.case.request;
        let needs = self.policy.needs();
        let is_at_hand = needs.intersects(Needs::REQUEST_JSON | Needs::REQUEST_BODY);
        Message {
            method: request.method.clone(),
            path: request.path.clone(),
            headers: request.headers.clone(),
            body: is_at_hand.then(|| request.body.clone()),
            facts: request.facts.clone().into_iter().collect(),
            ..Message::default()
        }
    }

    fn outcome(&self, passed: &Passed) -> Outcome {
        let reached = passed.reached_upstream;
        Outcome {
            ending: passed.ending,
            status: passed.status,
            upstream: reached.then(|| self.case.target.upstream.clone()),
            attempts: u32::from(reached),
            first_byte_us: Some(1_000),
            total_us: 2_000,
            usage: self.case.answer.usage.filter(|_| reached),
        }
    }
}

/// Carries out a decision on events; whether the stream goes on.
fn send(batch: &[Event], decision: EventsDecision, sent: &mut Vec<Value>) -> bool {
    let mut actions = decision.actions.into_iter();
    for event in batch {
        match actions.next().unwrap_or(EventAction::Keep) {
            EventAction::Keep => sent.push(shown::event(event)),
            EventAction::Drop => {}
            EventAction::Replace(events) => sent.extend(events.iter().map(shown::event)),
            EventAction::End(events) => {
                sent.extend(events.iter().map(shown::event));
                return false;
            }
        }
    }
    sent.extend(decision.append.iter().map(shown::event));
    true
}

fn head(case: &Case) -> Head {
    let request = &case.request;
    let body: Value = if is_json(&request.headers) {
        serde_json::from_slice(&request.body).unwrap_or_default()
    } else {
        Value::Null
    };
    Head {
        route: request.route.clone(),
        method: request.method.to_string(),
        path: request.path.clone(),
        model: body["model"].as_str().map(str::to_owned),
        caller: request.facts.get("caller").cloned(),
        tier: request.facts.get("tier").cloned(),
        streaming: body["stream"] == true,
        body_bytes: Some(request.body.len() as u64),
        deadline_ms: 60_000,
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(http::header::CONTENT_TYPE);
    kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"))
}
