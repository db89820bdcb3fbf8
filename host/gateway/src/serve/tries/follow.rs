//! What follows a try that failed: another one, and where; or the failure is the answer.

use std::{mem, sync::Arc, time::Duration};

use hyper::body::Incoming;
use parking_lot::Mutex;
use tokio::time::{Instant, sleep};
use tollgate_config::Cause;

use super::{
    super::{
        admission::Permits, arrival::Arrival, chance, endpoint::Endpoint, errors::ServeError,
        state::Exchange,
    },
    Answer, Reason, Tries, Try, TryOutcome,
};

/// A try that another may follow.
pub(super) struct Failure {
    pub(super) outcome: TryOutcome,
    pub(super) end: End,
    pub(super) endpoint: Option<Arc<Endpoint>>,
    pub(super) took: Duration,
    /// How long the upstream asks to be left alone.
    pub(super) asked_pause: Option<Duration>,
    /// The request's body was still to come, and this came back of it.
    pub(super) streamed: Option<Option<Incoming>>,
    /// What it was let in with, unless the answer has it.
    pub(super) permits: Permits,
}

/// What the client gets if no other try follows.
pub(super) enum End {
    Error(ServeError),
    Answer(Box<Answer>),
}

impl End {
    /// When the exchange's time is over, that is what the client is told, and not what came of
    /// a try that would be followed by another if there were time. An answer that is there it
    /// gets.
    fn when_time_is_over(self, cause: Option<Cause>) -> Self {
        match self {
            Self::Error(_) if cause.is_some() => Self::Error(ServeError::TotalTimeout),
            end => end,
        }
    }

    /// What the try was let in with, and its connection no longer.
    fn into_permits(self, permits: Permits) -> Permits {
        match self {
            Self::Error(_) => permits,
            Self::Answer(mut answer) => answer.pick.take_permits(),
        }
    }
}

impl Failure {
    /// Nobody was asked.
    pub(super) fn unasked(
        error: ServeError,
        streamed: Option<Option<Incoming>>,
        permits: Permits,
    ) -> Self {
        Self {
            outcome: TryOutcome::of(&error),
            end: End::Error(error),
            endpoint: None,
            took: Duration::ZERO,
            asked_pause: None,
            streamed,
            permits,
        }
    }
}

/// What follows a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// Another endpoint of the target.
    Elsewhere,
    /// The next target in line.
    InLine,
    /// An endpoint that has failed, after this pause.
    Again(Duration),
}

/// What is known of the next try while one is still awaited.
#[derive(Default)]
pub(super) struct Ahead(Mutex<Prospect>);

#[derive(Default)]
struct Prospect {
    /// Those that are asked now.
    asked: Vec<Arc<Endpoint>>,
    /// It was made sure of: paid for, if it costs anything.
    next: Option<Next>,
    over_budget: u32,
}

impl Tries<'_> {
    /// An endpoint is asked by a try that may be given up while it could still answer.
    pub(super) fn note_asked(&self, endpoint: &Arc<Endpoint>) {
        self.ahead.0.lock().asked.push(endpoint.clone());
    }

    /// Makes sure that a try can follow whose first token is late: before it is given up.
    pub(super) fn make_sure(&self, deadline: Instant) -> bool {
        let mut ahead = self.ahead.0.lock();
        let Prospect {
            asked,
            next,
            over_budget,
        } = &mut *ahead;
        if next.is_none() {
            let known = [&self.failed[..], &asked[..]].concat();
            *next = self.plan(deadline, &known, (Cause::Timeout, None), over_budget);
        }
        next.is_some()
    }

    /// Says where the next try goes; or, if none follows, what the client gets. At once to an
    /// endpoint that has not failed, or to the next target; after a pause to one that has.
    pub(super) async fn follow(
        &mut self,
        exchange: &mut Exchange,
        arrival: &mut Arrival,
        failure: Failure,
    ) -> Result<Option<End>, ServeError> {
        let Failure {
            outcome,
            end,
            endpoint,
            took,
            asked_pause,
            streamed,
            permits,
        } = failure;
        let told = Try {
            upstream: self.choice.upstream.name.clone(),
            endpoint: endpoint.as_ref().map(|endpoint| endpoint.label.clone()),
            reason: exchange.record.reason,
            outcome,
            took,
        };
        // A body of which something was taken is gone.
        let is_whole = streamed.is_none_or(|unread| arrival.take_back(unread));
        let is_time = Instant::now() < exchange.deadline;
        let end = match is_time {
            true => end,
            false => end.when_time_is_over(outcome.cause()),
        };
        let cause = outcome
            .cause()
            .filter(|_| self.is_kept && is_whole && is_time);
        self.failed.extend(endpoint);
        let next = self.next(exchange, (cause, asked_pause));
        let next = next.and_then(|next| self.turn_to(next));
        if next.is_some() || matches!(end, End::Error(_)) {
            exchange.record.tries.push(told);
        }
        let Some(pause) = next else {
            return Ok(Some(end));
        };
        let permits = end.into_permits(permits);
        if pause.is_zero() {
            self.permits = permits;
        } else {
            // Others have its place for as long.
            drop(permits);
            exchange.gone.or(sleep(pause)).await?;
        }
        Ok(None)
    }

    /// What follows, paid for: what was made sure of before a try was given up, whether or not
    /// that is the one that counts, or what is planned now.
    fn next(
        &mut self,
        exchange: &mut Exchange,
        (cause, asked_pause): (Option<Cause>, Option<Duration>),
    ) -> Option<Next> {
        let Some(cause) = cause else {
            self.leave_off();
            return None;
        };
        let Prospect {
            next: sure,
            mut over_budget,
            ..
        } = mem::take(self.ahead.0.get_mut());
        let cause = (cause, asked_pause);
        let next =
            sure.or_else(|| self.plan(exchange.deadline, &self.failed, cause, &mut over_budget));
        exchange.record.over_budget += over_budget;
        next
    }

    /// What follows, paid for; `None`: nothing does.
    fn plan(
        &self,
        deadline: Instant,
        known: &[Arc<Endpoint>],
        (cause, asked_pause): (Cause, Option<Duration>),
        over_budget: &mut u32,
    ) -> Option<Next> {
        let mut pay = || {
            let is_paid = self.retry.spend(cause);
            *over_budget += u32::from(!is_paid);
            is_paid
        };
        let is_retried = self.may_retry() && self.retry.rules.on.contains(&cause);
        let is_elsewhere = is_retried && self.choice.upstream.has_other(known);
        if is_elsewhere && pay() {
            return Some(Next::Elsewhere);
        }
        if self.line.has_next() && self.fallback_on.contains(&cause) {
            return Some(Next::InLine);
        }
        let rules = &self.retry.rules;
        let is_patient = asked_pause.unwrap_or_default() <= rules.backoff_max;
        if !is_retried || is_elsewhere || !rules.same_endpoint || !is_patient {
            return None;
        }
        let count = rules.count - self.retries_left + 1;
        let pause = self.retry.backoff.pause(count, asked_pause, chance::next());
        let is_over = Instant::now() + pause >= deadline;
        (!is_over && pay()).then_some(Next::Again(pause))
    }

    /// How long to wait before that; `None`: it cannot be.
    fn turn_to(&mut self, next: Next) -> Option<Duration> {
        let pause = match next {
            Next::InLine => {
                self.choice = self.line.next()?;
                self.reason = Reason::Fallback;
                self.failed.clear();
                self.hints = None;
                return Some(Duration::ZERO);
            }
            Next::Elsewhere => Duration::ZERO,
            Next::Again(pause) => pause,
        };
        self.retries_left -= 1;
        self.reason = Reason::Retry;
        Some(pause)
    }

    /// What was made sure of is not needed: the other of a race has answered, or nothing
    /// follows after all.
    pub(super) fn leave_off(&mut self) {
        let next = mem::take(&mut self.ahead.0.get_mut().next);
        if let Some(Next::Elsewhere | Next::Again(_)) = next {
            self.retry.give_back(Cause::Timeout);
        }
    }

    /// Tries that were due while one was awaited, and that no budget was left for.
    pub(super) fn take_over_budget(&mut self) -> u32 {
        mem::take(&mut self.ahead.0.get_mut().over_budget)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_when_the_time_is_over_is_that() {
        let told = |error: ServeError| {
            let cause = TryOutcome::of(&error).cause();
            match End::Error(error).when_time_is_over(cause) {
                End::Error(error) => error.code().to_owned(),
                End::Answer(_) => panic!("it is none"),
            }
        };
        for error in [
            ServeError::UpstreamUnreachable,
            ServeError::UpstreamFailed,
            ServeError::FirstByteTimeout,
            ServeError::NoEndpoint(None),
        ] {
            assert_eq!(told(error), "exchange_timeout");
        }
        // What is the client's doing stays so.
        assert_eq!(told(ServeError::ClientGone), "client_gone");
        assert_eq!(told(ServeError::BodyBroken), "request_incomplete");
    }
}
