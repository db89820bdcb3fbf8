//! Asks the policies of an exchange, in order.
//!
//! The first that answers or refuses wins. A policy that fails (trap, out of time, a
//! decision that does not hold) is treated as its `on_error` says. A session opens
//! when the request reaches its policy, or late, for one that only asks about the
//! response. No hook is ever dropped half-way: see [`carry_on`](super::carry_on).

use std::{mem, sync::Arc};

use tollgate_config::OnError;
use tollgate_sandbox::{
    Failure, Json, Message, Policy, Session, Side,
    contract::{Decision, Destination, Hooks, Outcome, Target, Verdict},
};

use super::{
    errors::ServeError,
    generation::Generation,
    introduction::Introduction,
    path,
    record::{Decided, PolicyRecord, Record},
    reply::Reply,
    state::Exchange,
};

/// What the policies come to, together.
pub(super) enum Answer {
    /// Carry on, to where the last of them wished.
    Forward(Destination),
    /// Answer with this.
    Reply(Reply),
}

/// Asks the `on-request` hooks in order, each about what the ones before left.
///
/// # Errors
/// A refusal, a failure that is not to be bypassed, or a client that left.
pub(super) async fn ask_request(
    exchange: &mut Exchange,
    message: &mut Message,
) -> Result<Answer, ServeError> {
    let answer = ask_each(exchange, message).await;
    if !matches!(answer, Ok(Answer::Forward(_))) {
        exchange.record.facts = mem::take(&mut message.facts);
    }
    answer
}

async fn ask_each(exchange: &mut Exchange, message: &mut Message) -> Result<Answer, ServeError> {
    let Exchange {
        slots,
        record,
        gone,
        generation,
        deadline,
        ..
    } = exchange;
    let mut wish = Destination {
        model: None,
        upstream: None,
    };
    for slot in slots
        .iter_mut()
        .filter(|slot| slot.wants(Hooks::REQUEST) || slot.wants(Hooks::FINISH))
    {
        if gone.is_gone() {
            return Err(ServeError::ClientGone);
        }
        let asks = slot.wants(Hooks::REQUEST);
        let introduce = || Introduction::of_request(record, message, *deadline);
        let Some(session) = slot.session(record, introduce).await?.filter(|_| asks) else {
            continue;
        };
        let (back, decided) = session.on_request(mem::take(message)).await;
        *message = back;
        match slot.judge(decided, message, Side::Request, (record, generation))? {
            Step::Next => {}
            Step::GoTo(to) => {
                wish = Destination {
                    model: to.model.or(wish.model),
                    upstream: to.upstream.or(wish.upstream),
                };
            }
            Step::Reply(reply) => return Ok(Answer::Reply(*reply)),
        }
    }
    Ok(Answer::Forward(wish))
}

/// Asks the `on-attempt` hooks of a target's policies.
///
/// # Errors
/// As [`ask_request`].
pub(super) async fn ask_attempt(
    exchange: &mut Exchange,
    policies: &[Arc<Policy>],
    target: &Target,
    message: &mut Message,
) -> Result<Option<Reply>, ServeError> {
    let Exchange {
        slots,
        record,
        gone,
        generation,
        deadline,
        ..
    } = exchange;
    for policy in policies {
        let Some(slot) = slots
            .iter_mut()
            .find(|slot| Arc::ptr_eq(slot.policy(), policy))
        else {
            continue;
        };
        if !slot.wants(Hooks::ATTEMPT) && !slot.wants(Hooks::FINISH) {
            continue;
        }
        if gone.is_gone() {
            return Err(ServeError::ClientGone);
        }
        let asks = slot.wants(Hooks::ATTEMPT);
        let introduce = || Introduction::of_request(record, message, *deadline);
        let Some(session) = slot.session(record, introduce).await?.filter(|_| asks) else {
            continue;
        };
        let (back, decided) = session.on_attempt(target, mem::take(message)).await;
        *message = back;
        match slot.judge(decided, message, Side::Request, (record, generation))? {
            Step::Next | Step::GoTo(_) => {}
            Step::Reply(reply) => return Ok(Some(*reply)),
        }
    }
    Ok(None)
}

/// Asks the `on-response` hooks, the last policy first. A reply replaces the
/// response and is shown to no one further.
///
/// # Errors
/// As [`ask_request`].
pub(super) async fn ask_response(
    exchange: &mut Exchange,
    message: &mut Message,
) -> Result<Option<Reply>, ServeError> {
    let Exchange {
        slots,
        record,
        gone,
        generation,
        deadline,
        ..
    } = exchange;
    for slot in slots
        .iter_mut()
        .rev()
        .filter(|slot| slot.wants(Hooks::RESPONSE))
    {
        if gone.is_gone() {
            return Err(ServeError::ClientGone);
        }
        let introduce = || Introduction::of_response(record, &message.facts, *deadline);
        let Some(session) = slot.session(record, introduce).await? else {
            continue;
        };
        let (back, decided) = session
            .on_response(message.status, mem::take(message))
            .await;
        *message = back;
        match slot.judge(decided, message, Side::Response, (record, generation))? {
            Step::Next | Step::GoTo(_) => {}
            Step::Reply(reply) => return Ok(Some(*reply)),
        }
    }
    Ok(None)
}

/// One policy's place in one exchange.
pub(super) struct Slot {
    state: State,
    record: PolicyRecord,
}

enum State {
    Waiting,
    Open(Session),
    /// It failed; it is not asked again.
    Spent,
}

enum Step {
    Next,
    GoTo(Destination),
    Reply(Box<Reply>),
}

impl Slot {
    pub(super) fn new(policy: Arc<Policy>) -> Self {
        Self {
            state: State::Waiting,
            record: PolicyRecord::new(policy),
        }
    }

    pub(super) fn policy(&self) -> &Arc<Policy> {
        &self.record.policy
    }

    /// Whether the policy has this hook and may still be asked.
    pub(super) fn wants(&self, hook: Hooks) -> bool {
        !matches!(self.state, State::Spent) && self.policy().hooks().contains(hook)
    }

    pub(super) fn is_open(&self) -> bool {
        matches!(self.state, State::Open(_))
    }

    pub(super) fn record(&mut self) -> &mut PolicyRecord {
        &mut self.record
    }

    /// The session, opened if it is not yet; `None`: it failed and is bypassed.
    pub(super) async fn session(
        &mut self,
        record: &Record,
        introduce: impl FnOnce() -> Introduction,
    ) -> Result<Option<&mut Session>, ServeError> {
        if matches!(self.state, State::Waiting) {
            let Introduction { head, context } = introduce();
            match self.record.policy.open(&head, &context).await {
                Ok(session) => self.state = State::Open(session),
                Err(failure) => self.failed(failure, record)?,
            }
        }
        Ok(match &mut self.state {
            State::Open(session) => Some(session),
            State::Waiting | State::Spent => None,
        })
    }

    /// Does as `on_error` says.
    ///
    /// # Errors
    /// It says `refuse`.
    pub(super) fn failed(&mut self, failure: Failure, record: &Record) -> Result<(), ServeError> {
        if let State::Open(session) = mem::replace(&mut self.state, State::Spent) {
            self.record.spent = session.spent();
        }
        let (name, on_error) = (self.record.policy.name(), self.record.policy.on_error());
        tracing::warn!(id = record.id.as_str(), policy = name, ?on_error, %failure, "policy failed");
        self.record.decided = Decided::Failed;
        self.record.failure = Some(failure);
        match on_error {
            OnError::Refuse => Err(ServeError::PolicyFailed(name.to_owned())),
            OnError::Bypass => {
                self.record.bypassed = true;
                Ok(())
            }
        }
    }

    fn judge(
        &mut self,
        decided: Result<Decision, Failure>,
        message: &mut Message,
        side: Side,
        (record, generation): (&Record, &Generation),
    ) -> Result<Step, ServeError> {
        // A field that stands twice is hidden from the policy, and not from the upstream.
        let fault = message.json.as_ref().and_then(Json::fault);
        if let (Side::Request, Some(fault)) = (side, fault) {
            return Err(ServeError::Json(fault.to_string()));
        }
        let verdict = match decided.and_then(|decision| self.apply(decision, message, side)) {
            Ok(verdict) => verdict,
            Err(failure) => return self.failed(failure, record).map(|()| Step::Next),
        };
        self.record.decided = Decided::of(&verdict);
        match verdict {
            Verdict::Next => Ok(Step::Next),
            Verdict::GoTo(to) => match &to.upstream {
                Some(name) if !generation.upstreams.contains_key(name) => {
                    let failure = Failure::BadDecision(format!("there is no upstream `{name}`"));
                    self.failed(failure, record).map(|()| Step::Next)
                }
                _ => Ok(Step::GoTo(to)),
            },
            Verdict::Reply(answer) => match Reply::of(answer) {
                Ok(reply) => Ok(Step::Reply(Box::new(reply))),
                Err(fault) => self
                    .failed(Failure::BadDecision(fault), record)
                    .map(|()| Step::Next),
            },
            Verdict::Refuse(refusal) => {
                self.record.code = Some(refusal.code.clone());
                Err(ServeError::Refused(refusal))
            }
        }
    }

    /// A decision's edits, applied as a whole or not at all.
    fn apply(
        &mut self,
        decision: Decision,
        message: &mut Message,
        side: Side,
    ) -> Result<Verdict, Failure> {
        if decision.edits.is_empty() {
            return Ok(decision.verdict);
        }
        let count = u32::try_from(decision.edits.len()).unwrap_or(u32::MAX);
        let path_before = if side == Side::Request {
            message.path.clone()
        } else {
            String::new()
        };
        if let Err(bad) = message.apply(decision.edits, side) {
            return Err(match &mut self.state {
                State::Open(session) => session.reject(&bad),
                State::Waiting | State::Spent => Failure::BadDecision(bad.to_string()),
            });
        }
        if side == Side::Request
            && path_before != message.path
            && let Err(fault) = path::check(&message.path)
        {
            message.path = path_before;
            return Err(Failure::BadDecision(format!(
                "the path is refused: {fault}"
            )));
        }
        self.record.edits += count;
        Ok(decision.verdict)
    }

    pub(super) fn into_record(mut self) -> PolicyRecord {
        if let State::Open(session) = &self.state {
            self.record.spent = session.spent();
        }
        self.record
    }

    /// Asks `on-finish`, if the session is open.
    pub(super) async fn finish(mut self, outcome: &Outcome) -> PolicyRecord {
        if let State::Open(session) = mem::replace(&mut self.state, State::Spent) {
            self.record.spent = session.spent();
            match session.on_finish(outcome).await {
                Ok(spent) => self.record.spent = spent,
                Err(failure) => {
                    tracing::warn!(policy = self.record.policy.name(), %failure, "policy failed to finish");
                    self.record.failure = Some(failure);
                }
            }
        }
        self.record
    }
}
