//! What a decision comes to: whether it holds, what it does to the message, and how the
//! exchange goes on.

use std::{fmt::Display, mem};

use tollgate_sandbox::{
    About, BadEdit, Failure, Json, Message, Remembered, Side,
    contract::{Decision, Destination, Hooks, Refusal, Verdict},
};

use super::{Slot, State, Told};
use crate::{
    serve::{
        errors::ServeError,
        generation::Generation,
        record::{Decided, Record},
        reply::Reply,
    },
    trace::hook_name,
};

/// How the exchange goes on after a hook.
pub(in crate::serve) enum Step {
    Next,
    GoTo(Destination),
    Reply(Box<Reply>),
}

impl Step {
    /// # Errors
    /// A destination that is not there, or an answer that cannot be sent.
    fn of(verdict: Verdict, generation: &Generation) -> Result<Result<Self, Refusal>, String> {
        Ok(Ok(match verdict {
            Verdict::Next => Self::Next,
            Verdict::GoTo(to) => match &to.upstream {
                Some(name) if !generation.upstreams.contains_key(name) => {
                    return Err(format!("there is no upstream `{name}`"));
                }
                _ => Self::GoTo(to),
            },
            Verdict::Reply(answer) => Self::Reply(Box::new(Reply::of(answer)?)),
            Verdict::Refuse(refusal) => return Ok(Err(refusal)),
        }))
    }
}

impl Slot {
    /// Applies what the policy decided, whole or not at all.
    ///
    /// # Errors
    /// A refusal, or a decision that failed or does not hold and is not to be bypassed.
    pub(in crate::serve) fn judge(
        &mut self,
        decided: Result<Decision, Failure>,
        message: &mut Message,
        hook: Hooks,
        place: (&Record, &Generation),
    ) -> Result<Step, ServeError> {
        let seen = match (&mut self.page, &mut self.state) {
            (Some(page), State::Open(session)) => {
                Some(page.decided(session, hook, (decided.as_ref().ok(), message)))
            }
            _ => None,
        };
        let step = self.judge_unseen(decided, message, hook, place);
        if let (Some(page), Some(seen)) = (&self.page, seen) {
            let failure = self.record.failure.as_deref();
            page.tell(seen, failure.map(|failure| (failure, self.record.bypassed)));
        }
        step
    }

    /// As [`Slot::judge`], of what it decided about such a request before, once
    /// [`Policy::decide_at_once`] or [`Policy::decide_again`] said that it can.
    ///
    /// [`Policy::decide_at_once`]: tollgate_sandbox::Policy::decide_at_once
    /// [`Policy::decide_again`]: tollgate_sandbox::Policy::decide_again
    ///
    /// # Errors
    /// As [`Slot::judge`].
    pub(in crate::serve) fn judge_again(
        &mut self,
        remembered: Remembered,
        (about, message): (&About<'_>, &mut Message),
        (record, generation): (&Record, &Generation),
    ) -> Result<Step, ServeError> {
        self.charges = mem::take(&mut message.charges);
        self.state = self.left(about.streaming, || Told::Before);
        let Decision { verdict, edits } = remembered.decision();
        let verdict = match verdict {
            // Most of them, without a copy of what they could hold.
            Verdict::Next => Verdict::Next,
            other => other.clone(),
        };
        let step = check_body(message, Side::Request).map(|()| {
            self.apply((verdict, edits.len()), generation, || {
                message.apply_again(&remembered)
            })
        });
        self.record.remembered = Some(remembered);
        self.conclude(step?, message, Hooks::REQUEST, record)
    }

    fn judge_unseen(
        &mut self,
        decided: Result<Decision, Failure>,
        message: &mut Message,
        hook: Hooks,
        (record, generation): (&Record, &Generation),
    ) -> Result<Step, ServeError> {
        let side = if hook == Hooks::RESPONSE {
            Side::Response
        } else {
            Side::Request
        };
        if decided.is_ok() {
            check_body(message, side)?;
        }
        let step = decided.and_then(|Decision { verdict, edits }| {
            self.apply((verdict, edits.len()), generation, || {
                message.apply(edits, side)
            })
        });
        self.conclude(step, message, hook, record)
    }

    /// A decision, its verdict and all its edits, or none of it.
    fn apply(
        &mut self,
        (verdict, edits): (Verdict, usize),
        generation: &Generation,
        edit: impl FnOnce() -> Result<(), BadEdit>,
    ) -> Result<Result<Step, Refusal>, Failure> {
        self.record.decided = Decided::of(&verdict);
        let step = Step::of(verdict, generation).map_err(|fault| self.reject(&fault))?;
        if edits > 0 {
            edit().map_err(|bad| self.reject(&bad))?;
            self.record.edits += u32::try_from(edits).unwrap_or(u32::MAX);
        }
        Ok(step)
    }

    fn conclude(
        &mut self,
        step: Result<Result<Step, Refusal>, Failure>,
        message: &mut Message,
        hook: Hooks,
        record: &Record,
    ) -> Result<Step, ServeError> {
        match step {
            Ok(Err(refusal)) => {
                self.record.code = Some(refusal.code.clone());
                Err(ServeError::Refused(refusal))
            }
            Ok(Ok(step)) => Ok(step),
            Err(failure) => {
                message.plan = None;
                message.shadow = None;
                message.scores = None;
                self.failed(failure, hook_name(hook), record)
                    .map(|()| Step::Next)
            }
        }
    }

    fn reject(&mut self, why: &dyn Display) -> Failure {
        match &mut self.state {
            State::Open(session) => session.reject(why),
            State::Waiting | State::Left(_) | State::Spent => self.record.policy.reject(why),
        }
    }
}

/// A field of a request that stands twice is hidden from the policy, and not from the upstream.
fn check_body(message: &Message, side: Side) -> Result<(), ServeError> {
    match (side, message.json.as_ref().and_then(Json::fault)) {
        (Side::Request, Some(fault)) => Err(ServeError::Json(fault.to_string())),
        _ => Ok(()),
    }
}
