//! What follows a try that failed: another one, and where; or the failure is the answer.

use std::{sync::Arc, time::Duration};

use hyper::body::Incoming;
use tokio::time::{Instant, sleep};
use tollgate_config::Cause;

use super::{
    super::{arrival::Arrival, chance, endpoint::Endpoint, errors::ServeError, state::Exchange},
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
}

/// What the client gets if no other try follows.
pub(super) enum End {
    Error(ServeError),
    Answer(Box<Answer>),
}

impl Failure {
    /// Nobody was asked.
    pub(super) fn unasked(error: ServeError, streamed: Option<Option<Incoming>>) -> Self {
        Self {
            outcome: TryOutcome::of(&error),
            end: End::Error(error),
            endpoint: None,
            took: Duration::ZERO,
            asked_pause: None,
            streamed,
        }
    }
}

impl Tries<'_> {
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
        let cause = outcome
            .cause()
            .filter(|_| self.is_kept && is_whole && is_time);
        self.failed.extend(endpoint);
        let next = cause.and_then(|cause| self.next(exchange, cause, asked_pause));
        if next.is_some() || matches!(end, End::Error(_)) {
            exchange.record.tries.push(told);
        }
        let Some(pause) = next else {
            return Ok(Some(end));
        };
        // Its connection and its place in line are free from now on.
        drop(end);
        if !pause.is_zero() {
            exchange.gone.or(sleep(pause)).await?;
        }
        Ok(None)
    }

    /// How long to wait for the next try; `None`: there is none.
    fn next(
        &mut self,
        exchange: &mut Exchange,
        cause: Cause,
        asked_pause: Option<Duration>,
    ) -> Option<Duration> {
        let is_retried = self.may_retry() && self.retry.rules.on.contains(&cause);
        let is_elsewhere = is_retried && self.choice.upstream.has_other(&self.failed);
        if is_elsewhere && self.spend(exchange, cause) {
            return Some(Duration::ZERO);
        }
        if self.fallback_on.contains(&cause)
            && let Some(next) = self.line.next()
        {
            self.choice = next;
            self.reason = Reason::Fallback;
            self.failed.clear();
            return Some(Duration::ZERO);
        }
        let rules = &self.retry.rules;
        let is_patient = asked_pause.unwrap_or_default() <= rules.backoff_max;
        if !is_retried || is_elsewhere || !rules.same_endpoint || !is_patient {
            return None;
        }
        let count = rules.count - self.retries_left + 1;
        let pause = self.retry.backoff.pause(count, asked_pause, chance::next());
        let is_over = Instant::now() + pause >= exchange.deadline;
        (!is_over && self.spend(exchange, cause)).then_some(pause)
    }

    /// Takes a retry, if one is left of all that there may be.
    fn spend(&mut self, exchange: &mut Exchange, cause: Cause) -> bool {
        if !self.retry.spend(cause) {
            exchange.record.over_budget += 1;
            return false;
        }
        self.retries_left -= 1;
        self.reason = Reason::Retry;
        true
    }
}
