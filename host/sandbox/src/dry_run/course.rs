//! The way through the hooks, as the gateway goes it.

use std::sync::Arc;

use crate::{
    Charge, ExchangeContext, Failure, Hook, Message, Policy, Session, Side, Spent,
    contract::{Decision, Ending, Endpoint, Event, Head, Outcome, Target, Verdict},
};

use super::{
    Answer, Attached, Failed, OPENING, Observer, Planned, Step, give_back,
    passed::Passed,
    sent::{Flow, Sent, take_done},
    withhold,
};

/// A session on its way.
pub(super) struct Course<'a, O> {
    policy: &'a Arc<Policy>,
    session: Session,
    /// What it was told when it opened.
    opened_with: (Head, ExchangeContext),
    /// What the policy holds for the exchange.
    charges: Vec<Charge>,
    observer: &'a mut O,
}

impl<'a, O: Observer> Course<'a, O> {
    /// Of a session that was just opened.
    pub(super) fn begin(
        policy: &'a Arc<Policy>,
        (mut session, opened_with): (Session, (Head, ExchangeContext)),
        observer: &'a mut O,
    ) -> Self {
        observer.step(Step {
            session: Some(&mut session),
            ..OPENING
        });
        Self {
            policy,
            session,
            opened_with,
            charges: Vec::new(),
            observer,
        }
    }

    /// Whether the policy has the hook and has not left.
    fn asks(&self, hook: Hook) -> bool {
        self.policy.has(hook) && !self.session.has_left()
    }

    /// How the request was answered, if it goes no further.
    pub(super) async fn ask_request(
        &mut self,
        request: &mut Message,
        attached: Attached,
        (target, endpoints): (&Target, Vec<Endpoint>),
    ) -> Result<Option<Passed>, Failed> {
        if attached != Attached::Target && self.asks(Hook::Request) {
            let decided = self.session.on_request(request).await;
            let verdict = self.decided(Hook::Request, decided, (request, Side::Request))?;
            if let Some(answered) = Passed::answered(&verdict, 0) {
                return Ok(Some(answered));
            }
        }
        if attached != Attached::Route && self.asks(Hook::Attempt) {
            request.endpoints = Some(endpoints).filter(|endpoints| !endpoints.is_empty());
            let decided = self.session.on_attempt(target, request).await;
            request.endpoints = None;
            let verdict = self.decided(Hook::Attempt, decided, (request, Side::Request))?;
            // The try has begun, though nothing was sent.
            return Ok(Passed::answered(&verdict, 1));
        }
        Ok(None)
    }

    /// What becomes of the upstream's answer.
    pub(super) async fn ask_response(
        &mut self,
        answer: Answer,
    ) -> Result<(Message, Passed), Failed> {
        let mut passed = Passed::of_upstream(&answer);
        let (mut response, batches) = answer.into_message();
        let withheld = withhold(&mut response, self.policy, Side::Response);
        if self.asks(Hook::Response) {
            let was_read = response.body.is_some();
            let decided = self
                .session
                .on_response(response.status, &mut response)
                .await;
            let verdict = self.decided(Hook::Response, decided, (&mut response, Side::Response))?;
            passed.judged(&verdict, &response, was_read);
        }
        give_back(&mut response, withheld);
        if passed.tells_stream
            && let Flow::Cut = self.ask_events(batches, passed.ending).await?
        {
            passed.ending = Ending::Cut;
        }
        Ok((response, passed))
    }

    async fn ask_events(
        &mut self,
        mut batches: Vec<Vec<Event>>,
        ending: Ending,
    ) -> Result<Flow, Failed> {
        let done = take_done(&mut batches);
        let mut sent = Sent::new(done.is_some());
        let mut flow = Flow::GoesOn;
        self.come_back().await?;
        if self.asks(Hook::Events) {
            let asked = self.each_batch(&batches, ending, &mut sent).await;
            flow = self.told(Hook::Events, asked)?;
        } else {
            sent.keep(batches.into_iter().flatten());
        }
        self.observer.sent(sent.all(done));
        Ok(flow)
    }

    /// A policy that left is asked about a stream that nobody asked for, in a session of its own.
    async fn come_back(&mut self) -> Result<(), Failed> {
        let (head, context) = &mut self.opened_with;
        if !self.session.has_left() || head.streaming || !self.policy.has(Hook::Events) {
            return Ok(());
        }
        head.streaming = true;
        let opened = self.policy.open(head, context).await;
        let session = opened.map_err(|not| Failed {
            hook: None,
            failure: not.failure,
        })?;
        for charge in std::mem::take(&mut self.charges) {
            charge.give_back().get().await;
        }
        std::mem::replace(&mut self.session, session).close().await;
        Ok(())
    }

    async fn each_batch(
        &mut self,
        batches: &[Vec<Event>],
        ending: Ending,
        sent: &mut Sent,
    ) -> Result<Flow, Failure> {
        // Where nothing is ready, nobody is asked.
        for batch in batches.iter().filter(|batch| !batch.is_empty()) {
            let decision = self.session.on_events(batch, false).await?;
            if let Flow::Cut = sent.decided(batch, decision) {
                return Ok(Flow::Cut);
            }
        }
        // It comes when the upstream ended its stream cleanly.
        if ending == Ending::Complete {
            let decision = self.session.on_events(&[], true).await?;
            return Ok(sent.decided(&[], decision));
        }
        Ok(Flow::GoesOn)
    }

    /// Settles what is held, which whoever looks on sees as the last hook's, tells that one, and
    /// ends the session.
    pub(super) async fn finish(mut self, outcome: &Outcome) -> Result<Spent, Failed> {
        let mut is_seen = !self.charges.is_empty();
        for charge in std::mem::take(&mut self.charges) {
            charge.settle(outcome).get().await;
        }
        let mut finished = Ok(self.session.spent());
        if self.asks(Hook::Finish) {
            is_seen = true;
            finished = self.session.on_finish(outcome).await;
        }
        if is_seen {
            self.told(Hook::Finish, finished)?;
        }
        let spent = self.session.spent();
        self.session.close().await;
        Ok(spent)
    }

    /// Applies a decision.
    fn decided(
        &mut self,
        hook: Hook,
        decided: Result<Decision, Failure>,
        (message, side): (&mut Message, Side),
    ) -> Result<Verdict, Failed> {
        let (decision, applied) = match decided {
            Ok(decision) => {
                let applied = message.apply(decision.edits.clone(), side);
                let applied = applied.map_err(|bad| self.session.reject(&bad));
                (Some(decision), applied)
            }
            Err(failure) => (None, Err(failure)),
        };
        self.charges.append(&mut message.charges);
        let planned = Planned {
            plan: message.plan.take(),
            shadow: message.shadow.take(),
            scores: message.scores.take(),
        };
        let verdict = decision.as_ref().map(|decision| &decision.verdict);
        let goes_on = matches!(verdict, Some(Verdict::Next | Verdict::GoTo(_)));
        self.observer.step(Step {
            hook: Some(hook),
            decision: decision.as_ref(),
            planned: match goes_on && applied.is_ok() {
                true => planned,
                false => Planned::default(),
            },
            failure: applied.as_ref().err(),
            session: Some(&mut self.session),
        });
        match (applied, decision) {
            (Err(failure), _) => Err(Failed {
                hook: Some(hook),
                failure,
            }),
            (Ok(()), decision) => Ok(decision.map_or(Verdict::Next, |decision| decision.verdict)),
        }
    }

    /// Tells of a hook that decides about no message.
    fn told<T>(&mut self, hook: Hook, result: Result<T, Failure>) -> Result<T, Failed> {
        self.observer.step(Step {
            hook: Some(hook),
            failure: result.as_ref().err(),
            session: Some(&mut self.session),
            ..OPENING
        });
        result.map_err(|failure| Failed {
            hook: Some(hook),
            failure,
        })
    }
}
