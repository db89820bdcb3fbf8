//! Asks a second endpoint of the same target when the first is late: the first that answers
//! well serves the client, and the other is cancelled by being dropped.
//!
//! The second gets the very request that the first got, so the target's policies are asked
//! once for both.

use std::{pin::pin, time::Duration};

use futures_util::future::{Either, select};
use tokio::time::{Instant, timeout};
use tollgate_config::Cause;
use tollgate_upstreams::hedge::Hedge;

use super::{
    super::{forward::Prepared, pick::Pick, state::Exchange},
    Reason, Tries, Try, TryOutcome,
    ask::{Answer, Missed, ask},
};

/// What became of both.
struct Raced {
    /// The one that counts.
    ended: Result<Answer, Missed>,
    /// Whether that is the second.
    by_second: bool,
    /// The other one, if it had failed before.
    failed: Option<Result<Answer, Missed>>,
}

/// See the module. The record tells of both.
pub(super) async fn run(
    tries: &mut Tries<'_>,
    exchange: &mut Exchange,
    hedge: &Hedge,
    (pick, prepared): (Pick, Prepared),
) -> Result<Answer, Missed> {
    hedge.note_request(Instant::now());
    let upstream = &**tries.choice.upstream;
    let terms = tries.terms(exchange);
    let sent = Instant::now();
    let first_endpoint = pick.endpoint().clone();
    let again = prepared.again();
    let mut first = pin!(ask(terms, (upstream, pick), prepared));
    let (Some(delay), Some(again)) = (hedge.delay(), again) else {
        return note(hedge, first.await);
    };
    if let Ok(ended) = timeout(delay, first.as_mut()).await {
        return note(hedge, ended);
    }
    let mut known = tries.failed.clone();
    known.push(first_endpoint.clone());
    let Some(second_pick) = tries.pick_other(exchange, &known) else {
        return note(hedge, first.await);
    };
    if hedge.spend(Instant::now()).is_err() {
        drop(second_pick);
        let ended = note(hedge, first.await);
        exchange.record.over_budget += 1;
        return ended;
    }
    let second_endpoint = second_pick.endpoint().clone();
    let second_sent = Instant::now();
    let mut second = pin!(ask(terms, (upstream, second_pick), again));
    let is_well = |ended: &Result<Answer, Missed>| match ended {
        Ok(answer) => {
            let status = answer.response.status().as_u16();
            status < 500 && !(status >= 400 && tries.follows(Cause::Status(status)))
        }
        Err(_) => false,
    };
    let raced = match select(first.as_mut(), second.as_mut()).await {
        Either::Left((ended, _)) if is_well(&ended) => Raced::won(ended, false),
        Either::Right((ended, _)) if is_well(&ended) => Raced::won(ended, true),
        Either::Left((failed, second)) => Raced::after(failed, second.await, true),
        Either::Right((failed, first)) => Raced::after(failed, first.await, false),
    };
    let Raced {
        ended,
        by_second,
        failed,
    } = raced;
    let (first_reason, first_took, second_took) =
        (tries.reason, sent.elapsed(), second_sent.elapsed());
    let (other, other_took, reason, other_reason) = match by_second {
        true => (first_endpoint, first_took, Reason::Hedge, first_reason),
        false => (second_endpoint, second_took, first_reason, Reason::Hedge),
    };
    let (outcome, took) = outcome(failed, other_took, hedge);
    let record = &mut exchange.record;
    record.attempts += 1;
    record.reason = reason;
    record.tries.push(Try {
        upstream: upstream.name.clone(),
        endpoint: Some(other.authority.clone()),
        reason: other_reason,
        outcome,
        took,
    });
    if let Ok(answer) = &ended {
        record.endpoint = Some(answer.pick.endpoint().authority.clone());
    }
    if outcome != TryOutcome::Outrun {
        tries.failed.push(other);
    }
    note(hedge, ended)
}

impl Raced {
    fn won(ended: Result<Answer, Missed>, by_second: bool) -> Self {
        Self {
            ended,
            by_second,
            failed: None,
        }
    }

    fn after(
        failed: Result<Answer, Missed>,
        ended: Result<Answer, Missed>,
        by_second: bool,
    ) -> Self {
        Self {
            ended,
            by_second,
            failed: Some(failed),
        }
    }
}

/// How the other one went. One that was outrun counts with how long it was awaited: without
/// it the slow ones would be forgotten.
fn outcome(
    failed: Option<Result<Answer, Missed>>,
    awaited: Duration,
    hedge: &Hedge,
) -> (TryOutcome, Duration) {
    match failed {
        Some(Ok(answer)) => {
            let status = answer.response.status().as_u16();
            (TryOutcome::Status(status), answer.head)
        }
        Some(Err(missed)) => (TryOutcome::of(&missed.unanswered.error), missed.took),
        None => {
            hedge.note_first_byte(awaited, Instant::now());
            (TryOutcome::Outrun, awaited)
        }
    }
}

fn note(hedge: &Hedge, ended: Result<Answer, Missed>) -> Result<Answer, Missed> {
    if let Ok(answer) = &ended
        && answer.response.status().is_success()
    {
        hedge.note_first_byte(answer.took, Instant::now());
    }
    ended
}
