//! One exchange, hook by hook, as the gateway would ask them.

mod calls;
mod stream;

use std::{sync::Arc, time::Duration};

use http::HeaderMap;
use serde_json::Value;
use stream::{Flow, Sent};
use tollgate_sandbox::{
    ExchangeContext, Failure, Message, Policy, Session, Side,
    contract::{Decision, Ending, Event, Head, Hooks, Needs, Outcome, Usage, Verdict},
};

use crate::{
    case::Case,
    got::{Cost, Got, Step},
    shown,
    world::Notes,
};

/// Runs the case through every hook that the policy has. What is only measured is not
/// written down.
pub(crate) async fn run(
    case: &Case,
    policy: &Arc<Policy>,
    (notes, is_measured): (&Notes, bool),
) -> Got {
    let mut got = Got::default();
    let context = ExchangeContext {
        recorded: !is_measured && calls::are_seen_in_recordings(policy),
        ..ExchangeContext::default()
    };
    let opened = policy.open(&head(case), &context).await;
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
        Err(not) => {
            opening.failure = Some((&not.failure).into());
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
    /// The upstream's stream goes to the client.
    tells_stream: bool,
    /// As the upstream told it, where anybody read so far.
    usage: Option<Usage>,
}

impl Passed {
    /// Goes by what the policy made of the upstream's answer. Another body takes the place of
    /// the upstream's, which is read no further; a document may have been read before.
    fn judged(&mut self, verdict: &Verdict, response: &Message, was_read: bool) {
        let (status, is_instead) = match verdict {
            Verdict::Next | Verdict::GoTo(_) => {
                let is_bodiless = matches!(response.status, 204 | 304);
                let is_replaced = response.body.is_some() && !was_read;
                (response.status, is_replaced || is_bodiless)
            }
            Verdict::Reply(reply) => (reply.status, true),
            Verdict::Refuse(refusal) => (refusal.status, true),
        };
        self.status = status;
        if !is_instead {
            return;
        }
        self.tells_stream = false;
        self.usage = self.usage.filter(|_| was_read);
        self.ending = match (verdict, self.ending) {
            (Verdict::Refuse(_), _) => Ending::Refused,
            (_, Ending::ClientGone) => Ending::ClientGone,
            _ => Ending::Complete,
        };
    }
}

impl Course<'_> {
    fn has(&self, hook: Hooks) -> bool {
        self.policy.hooks().contains(hook)
    }

    /// `None`: a hook failed.
    async fn through(&mut self) -> Option<()> {
        let passed = match self.ask_request().await? {
            Some(answered) => answered,
            None => {
                let mut passed = self.ask_response().await?;
                if passed.tells_stream
                    && let Flow::Cut = self.ask_events().await?
                {
                    passed.ending = Ending::Cut;
                }
                passed
            }
        };
        if self.has(Hooks::FINISH) {
            let mut step = Step::new("on_finish");
            let finished = self.session.on_finish(&self.outcome(&passed)).await;
            self.note(&mut step);
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
            tells_stream: false,
            usage: None,
        }))
    }

    /// What becomes of the upstream's answer.
    async fn ask_response(&mut self) -> Option<Passed> {
        let answer = &self.case.answer;
        let is_stream = answer.events.is_some();
        let needs = Needs::RESPONSE_JSON | Needs::RESPONSE_BODY;
        let is_at_hand = !is_stream && self.policy.needs().intersects(needs);
        let mut passed = Passed {
            status: answer.document.status,
            ending: answer.ending,
            reached_upstream: true,
            tells_stream: is_stream,
            usage: answer.usage,
        };
        if !self.has(Hooks::RESPONSE) {
            return Some(passed);
        }
        let mut response = Message {
            status: answer.document.status,
            headers: answer.document.headers.clone(),
            body: is_at_hand.then(|| answer.document.body.clone()),
            ..Message::default()
        };
        let decided = self
            .session
            .on_response(answer.document.status, &mut response)
            .await;
        let verdict = self.decided("on_response", decided, (&mut response, Side::Response))?;
        passed.judged(&verdict, &response, is_at_hand);
        Some(passed)
    }

    async fn ask_events(&mut self) -> Option<Flow> {
        let events = self.case.answer.events.as_deref().unwrap_or_default();
        let (events, done) = match events.split_last() {
            Some((last, before)) if stream::is_done(last) => (before, Some(last)),
            _ => (events, None),
        };
        let mut sent = Sent::new(done.is_some());
        let mut flow = Flow::GoesOn;
        if self.has(Hooks::EVENTS) {
            let mut step = Step::new("on_events");
            let asked = self.each_batch(events, &mut sent).await;
            self.note(&mut step);
            flow = self.judged(step, asked)?;
        } else {
            sent.keep(events);
        }
        self.got.events = Some(sent.all(done));
        Some(flow)
    }

    async fn each_batch(&mut self, events: &[Event], sent: &mut Sent) -> Result<Flow, Failure> {
        let size = if self.case.answer.together {
            events.len().max(1)
        } else {
            1
        };
        for batch in events.chunks(size) {
            let decision = self.session.on_events(batch, false).await?;
            if let Flow::Cut = sent.decided(batch, decision) {
                return Ok(Flow::Cut);
            }
        }
        // It comes when the upstream ended its stream cleanly.
        if matches!(self.case.answer.ending, Ending::Complete) {
            let decision = self.session.on_events(&[], true).await?;
            return Ok(sent.decided(&[], decision));
        }
        Ok(Flow::GoesOn)
    }

    /// Applies a decision; `None`: the hook failed.
    fn decided(
        &mut self,
        hook: &'static str,
        decided: Result<Decision, Failure>,
        (message, side): (&mut Message, Side),
    ) -> Option<Verdict> {
        let mut step = Step::new(hook);
        self.note(&mut step);
        let applied = decided.and_then(|decision| {
            step.edits = decision.edits.iter().map(shown::edit).collect();
            let applied = message.apply(decision.edits, side);
            applied.map_err(|bad| self.session.reject(&bad))?;
            Ok(decision.verdict)
        });
        if let Ok(verdict) = &applied {
            step.verdict = Some(shown::verdict(verdict));
        }
        // What was planned counts if the request goes on.
        if let Ok(Verdict::Next | Verdict::GoTo(_)) = &applied {
            step.plan = message.plan.take().map(|plan| shown::plan(&plan));
            step.shadow = message.shadow.take().map(|to| shown::destination(&to));
            if let Some(scores) = message.scores.take() {
                let endpoints = &self.case.endpoints;
                step.scores = Some(shown::scores(endpoints, &scores));
                step.picks = Some(shown::picks(endpoints, &scores));
            }
        }
        self.judged(step, applied)
    }

    /// Moves what was asked and said since the last hook into the step.
    fn note(&mut self, step: &mut Step) {
        self.notes.take_into(step);
        if let Some(recording) = self.session.take_recording() {
            step.calls.extend(calls::lines(&recording));
        }
    }

    fn judged<T>(&mut self, mut step: Step, result: Result<T, Failure>) -> Option<T> {
        match result {
            Ok(value) => {
                self.settle(step);
                Some(value)
            }
            Err(failure) => {
                step.failure = Some((&failure).into());
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
            endpoints: Some(self.case.endpoints.clone())
                .filter(|endpoints| self.case.is_at_target && !endpoints.is_empty()),
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
            usage: passed.usage,
        }
    }
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

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use tollgate_sandbox::contract::{Answer, Refusal};

    use super::*;

    const USAGE: Usage = Usage {
        input_tokens: 1,
        output_tokens: 2,
        cached_tokens: 0,
    };

    fn passed(ending: Ending, tells_stream: bool) -> Passed {
        Passed {
            status: 200,
            ending,
            reached_upstream: true,
            tells_stream,
            usage: Some(USAGE),
        }
    }

    fn response(status: u16, body: Option<&'static str>) -> Message {
        Message {
            status,
            body: body.map(|body| Bytes::from_static(body.as_bytes())),
            ..Message::default()
        }
    }

    /// What a stream is after a policy's verdict: status, ending, and whether it is told.
    fn streamed(ending: Ending, verdict: &Verdict, response: &Message) -> (u16, Ending, bool) {
        let mut passed = passed(ending, true);
        passed.judged(verdict, response, false);
        assert_eq!(passed.usage.is_some(), passed.tells_stream);
        (passed.status, passed.ending, passed.tells_stream)
    }

    #[test]
    fn a_stream_ends_where_a_policy_answers_in_its_place_and_so_does_the_exchange() {
        let untouched = response(200, None);
        let reply = Verdict::Reply(Answer {
            status: 418,
            headers: Vec::new(),
            body: Vec::new(),
        });
        let refuse = Verdict::Refuse(Refusal {
            status: 403,
            code: "no".to_owned(),
            message: String::new(),
            retry_after_ms: None,
        });
        use Ending::{ClientGone, Complete, Refused, UpstreamFailed};
        for (ending, verdict, response, came) in [
            (Complete, &Verdict::Next, &untouched, (200, Complete, true)),
            (
                UpstreamFailed,
                &Verdict::Next,
                &untouched,
                (200, UpstreamFailed, true),
            ),
            (UpstreamFailed, &reply, &untouched, (418, Complete, false)),
            (ClientGone, &reply, &untouched, (418, ClientGone, false)),
            (ClientGone, &refuse, &untouched, (403, Refused, false)),
            (
                Complete,
                &Verdict::Next,
                &response(200, Some("instead")),
                (200, Complete, false),
            ),
            (
                Complete,
                &Verdict::Next,
                &response(204, None),
                (204, Complete, false),
            ),
        ] {
            assert_eq!(streamed(ending, verdict, response), came);
        }
    }

    #[test]
    fn a_document_that_was_read_keeps_its_usage_and_its_ending_unless_refused() {
        let mut passed = passed(Ending::ClientGone, false);
        passed.judged(&Verdict::Next, &response(200, Some("{}")), true);
        assert_eq!(passed.ending, Ending::ClientGone);
        assert!(passed.usage.is_some() && passed.reached_upstream);
    }
}
