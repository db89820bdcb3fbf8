//! Asks the policies of an exchange, in order, or has them decide as they did before.
//!
//! The first that answers or refuses wins. What each of them does in the exchange is its
//! [`slot`](super::slot)'s business.

use std::{mem, sync::Arc};

use tollgate_sandbox::{
    Message, Policy, Recalled,
    contract::{CachePlan, Destination, Hooks, Target},
};

use super::{
    errors::ServeError, introduction::Introduction, reply::Reply, slot::Step, state::Exchange,
};

/// What the policies come to, together.
pub(super) enum Answer {
    /// Carry on, to where the last of them wished.
    Forward(Destination),
    /// Answer with this.
    Reply(Reply),
    /// A policy planned what becomes of the answer; those behind it were not asked yet.
    Planned(Planned),
}

/// What a policy planned for the answer.
pub(super) struct Planned {
    pub(super) plan: Box<CachePlan>,
    pub(super) asked: Asked,
}

/// How far a request came.
pub(super) struct Asked {
    /// So many policies are through.
    pub(super) count: usize,
    /// Where they wished it to go.
    pub(super) wish: Destination,
    /// What was found of the next one, where it was looked up.
    pub(super) next: Option<Recalled>,
}

impl Asked {
    pub(super) const NOBODY: Self = Self {
        count: 0,
        wish: Destination {
            model: None,
            upstream: None,
        },
        next: None,
    };

    pub(super) fn is_without_wish(&self) -> bool {
        self.wish.model.is_none() && self.wish.upstream.is_none()
    }

    fn follow(&mut self, to: Destination) {
        let Destination { model, upstream } = &mut self.wish;
        *model = to.model.or(model.take());
        *upstream = to.upstream.or(upstream.take());
    }
}

/// Has those policies decide, from the first on, that decided about such a request before, as
/// far as nothing has to be waited for. Nobody is asked, so whoever does this may be dropped.
///
/// # Errors
/// A decision that does not hold any more, and is not to be bypassed.
pub(super) fn recall(exchange: &mut Exchange, message: &mut Message) -> Result<Asked, ServeError> {
    let Exchange {
        slots,
        record,
        generation,
        deadline,
        ..
    } = exchange;
    let mut asked = Asked::NOBODY;
    for slot in slots {
        if slot.wants(Hooks::REQUEST) {
            let about = Introduction::about(record, *deadline);
            let recalled = slot.recall(&about, message);
            let Recalled::Known(remembered) = recalled else {
                asked.next = Some(recalled);
                break;
            };
            let policy = slot.policy();
            match policy.decide_at_once(&remembered, &about, message) {
                Some(true) => {}
                Some(false) => {
                    asked.next = Some(Recalled::Resting);
                    break;
                }
                None => {
                    asked.next = Some(Recalled::Known(remembered));
                    break;
                }
            }
            let place = (&*record, &**generation);
            let failed = match slot.judge_again(remembered, (&about, message), place) {
                Ok(Step::Next) => None,
                Ok(Step::GoTo(to)) => {
                    asked.follow(to);
                    None
                }
                // No answer is remembered.
                Ok(Step::Reply(_)) => {
                    Some(ServeError::PolicyFailed(slot.policy().name().to_owned()))
                }
                Err(error) => Some(error),
            };
            if let Some(error) = failed {
                record.facts = mem::take(&mut message.facts);
                return Err(error);
            }
        } else if slot.wants(Hooks::FINISH) {
            break;
        }
        asked.count += 1;
    }
    Ok(asked)
}

/// Asks the `on_request` hooks in order, each about what the ones before left.
///
/// # Errors
/// A refusal, a failure that is not to be bypassed, or a client that left.
pub(super) async fn ask_request(
    exchange: &mut Exchange,
    message: &mut Message,
    asked: Asked,
) -> Result<Answer, ServeError> {
    let answer = ask_each(exchange, message, asked).await;
    if !matches!(answer, Ok(Answer::Forward(_) | Answer::Planned(_))) {
        exchange.record.facts = mem::take(&mut message.facts);
    }
    answer
}

async fn ask_each(
    exchange: &mut Exchange,
    message: &mut Message,
    asked: Asked,
) -> Result<Answer, ServeError> {
    let Exchange {
        slots,
        record,
        gone,
        generation,
        deadline,
        ..
    } = exchange;
    let (mut asked, mut introduction) = (asked, None);
    let count = asked.count;
    for (at, slot) in slots
        .iter_mut()
        .enumerate()
        .skip(count)
        .filter(|(_, slot)| slot.wants(Hooks::REQUEST) || slot.wants(Hooks::FINISH))
    {
        if gone.is_gone() {
            return Err(ServeError::ClientGone);
        }
        let asks = slot.wants(Hooks::REQUEST);
        let (told, until) = (&mut introduction, *deadline);
        if !asks {
            let seen = (&*record, &*message);
            slot.session(record, move || Introduction::renewed(told, seen, until))
                .await?;
            continue;
        }
        let shadow = message.shadow.take();
        let about = Introduction::about(record, until);
        let recalled = asked.next.take();
        let recalled = recalled.unwrap_or_else(|| slot.recall(&about, message));
        let policy = slot.policy();
        let (decided, recalled) = match recalled {
            Recalled::Known(remembered) => {
                let can = policy.decide_again(&remembered, &about, message).await;
                (can.then_some(remembered), Recalled::Resting)
            }
            other => (None, other),
        };
        let step = if let Some(remembered) = decided {
            slot.judge_again(remembered, (&about, message), (record, generation))?
        } else {
            let told = Introduction::renewed(told, (record, message), until);
            let decided = slot.request(record, (&about, recalled), told, message);
            let Some(decided) = decided.await? else {
                message.plan = None;
                message.shadow = shadow;
                continue;
            };
            let step = slot.judge(decided, message, Hooks::REQUEST, (record, generation))?;
            slot.close_early(&told.head).await;
            step
        };
        // A later wish before an earlier one, and none of a policy that failed.
        message.shadow = message.shadow.take().or(shadow);
        match step {
            Step::Next => {}
            Step::GoTo(to) => asked.follow(to),
            Step::Reply(reply) => return Ok(Answer::Reply(*reply)),
        }
        if let Some(plan) = message.plan.take() {
            asked.count = at + 1;
            return Ok(Answer::Planned(Planned { plan, asked }));
        }
    }
    Ok(Answer::Forward(asked.wish))
}

/// Asks the `on_attempt` hooks of a target's policies.
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
        let scores = message.scores.take();
        let decided = session.on_attempt(target, message).await;
        let step = slot.judge(decided, message, Hooks::ATTEMPT, (record, generation))?;
        message.scores = message.scores.take().or(scores);
        match step {
            Step::Next | Step::GoTo(_) => {}
            Step::Reply(reply) => return Ok(Some(*reply)),
        }
    }
    Ok(None)
}

/// Asks the `on_response` hooks, the last policy first. A reply replaces the
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
        let decided = session.on_response(message.status, message).await;
        match slot.judge(decided, message, Hooks::RESPONSE, (record, generation))? {
            Step::Next | Step::GoTo(_) => {}
            Step::Reply(reply) => return Ok(Some(*reply)),
        }
    }
    Ok(None)
}
