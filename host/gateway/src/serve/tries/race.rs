//! Asks a second endpoint of the same target when the first is late: the first that answers
//! well serves the client, and the other is cancelled by being dropped. An answer that is an
//! error is given only where the other comes to nothing better.
//!
//! The second gets the very request that the first got, so the target's policies are asked
//! once for both.

use std::{pin::pin, sync::Arc, time::Duration};

use futures_util::future::{Either, select};
use tokio::time::{Instant, timeout};
use tollgate_upstreams::hedge::Hedge;

use super::{
    super::{
        admission::try_admit, endpoint::Endpoint, forward::Prepared, hints::Hints, pick::Pick,
        state::Exchange,
    },
    Reason, Tries, Try, TryOutcome,
    ask::{Answer, Missed, ask},
};

/// What became of one or both.
struct Raced {
    /// The one that counts.
    ended: Result<Answer, Missed>,
    second: Option<Second>,
    is_over_budget: bool,
}

/// That a second endpoint was asked, and how the try went that does not count.
struct Second {
    endpoint: Arc<Endpoint>,
    sent: Instant,
    /// Whether it is the second that counts.
    is_first_over: bool,
    /// How the other ended; `None`: it was still awaited.
    failed: Option<Result<Answer, Missed>>,
}

/// See the module. The record tells of both.
pub(super) async fn run(
    tries: &mut Tries<'_>,
    exchange: &mut Exchange,
    hedge: &Hedge,
    hints: &Hints,
    (pick, prepared): (Pick, Prepared),
) -> Result<Answer, Missed> {
    let (first, sent) = (pick.endpoint().clone(), Instant::now());
    let raced = race(tries, exchange, hedge, hints, (pick, prepared)).await;
    exchange.record.over_budget += u32::from(raced.is_over_budget);
    if let Some(second) = raced.second {
        note_second(tries, exchange, hedge, (first, sent), second);
    }
    if let Ok(answer) = &raced.ended {
        exchange.record.endpoint = Some(answer.pick.endpoint().label.clone());
        if answer.response.status().is_success() {
            hedge.note_first_byte(answer.took, Instant::now());
        }
    }
    raced.ended
}

async fn race(
    tries: &Tries<'_>,
    exchange: &mut Exchange,
    hedge: &Hedge,
    hints: &Hints,
    (pick, prepared): (Pick, Prepared),
) -> Raced {
    let terms = tries.terms(exchange, &prepared);
    let mut known = tries.failed.clone();
    known.push(pick.endpoint().clone());
    let again = prepared.again();
    let mut first = pin!(ask(terms, pick, prepared));
    let (Some(delay), Some(again)) = (hedge.delay(), again) else {
        return Raced::alone(first.await);
    };
    if let Ok(ended) = timeout(delay, first.as_mut()).await {
        return Raced::alone(ended);
    }
    let Some(pick) = other(tries, exchange, hints, &known) else {
        return Raced::alone(first.await);
    };
    if hedge.spend(Instant::now()).is_err() {
        pick.unsent();
        return Raced {
            is_over_budget: true,
            ..Raced::alone(first.await)
        };
    }
    let (endpoint, sent) = (pick.endpoint().clone(), Instant::now());
    let mut second = pin!(ask(terms, pick, again));
    let (early, other, is_first_early) = match select(first.as_mut(), second.as_mut()).await {
        Either::Left((ended, other)) => (ended, other, true),
        Either::Right((ended, other)) => (ended, other, false),
    };
    let (ended, is_first_over, failed) = match Worth::of(tries, &early) {
        Worth::Good => (early, !is_first_early, None),
        worth => {
            let late = other.await;
            match worth < Worth::of(tries, &late) {
                true => (early, !is_first_early, Some(late)),
                false => (late, is_first_early, Some(early)),
            }
        }
    };
    Raced {
        ended,
        second: Some(Second {
            endpoint,
            sent,
            is_first_over,
            failed,
        }),
        is_over_budget: false,
    }
}

/// What the end of a try is worth to the client; the least is the best.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Worth {
    /// The other need not be awaited.
    Good,
    /// Nothing would follow it.
    Final,
    Answer,
    Nothing,
}

impl Worth {
    fn of(tries: &Tries<'_>, ended: &Result<Answer, Missed>) -> Self {
        let Ok(answer) = ended else {
            return Self::Nothing;
        };
        let status = answer.response.status();
        match status.as_u16() {
            ..400 => Self::Good,
            _ if tries.pass_over(status) => Self::Answer,
            _ => Self::Final,
        }
    }
}

/// Tells the record, and the hedge, of the try that does not count.
fn note_second(
    tries: &mut Tries<'_>,
    exchange: &mut Exchange,
    hedge: &Hedge,
    (first, first_sent): (Arc<Endpoint>, Instant),
    second: Second,
) {
    let (endpoint, sent, reason, counts) = match second.is_first_over {
        true => (first, first_sent, tries.reason, Reason::Hedge),
        false => (second.endpoint, second.sent, Reason::Hedge, tries.reason),
    };
    let (outcome, took) = outcome(second.failed, sent.elapsed());
    // It counts with how long it was awaited: without it the slow ones would be forgotten.
    // A second one was hardly given the time.
    if outcome == TryOutcome::Outrun && second.is_first_over {
        hedge.note_first_byte(took, Instant::now());
    }
    let record = &mut exchange.record;
    record.attempts += 1;
    record.reason = counts;
    record.tries.push(Try {
        upstream: tries.choice.upstream.name.clone(),
        endpoint: Some(endpoint.label.clone()),
        reason,
        outcome,
        took,
    });
    if outcome != TryOutcome::Outrun {
        tries.failed.push(endpoint);
    }
}

/// An endpoint that was not asked yet, if that costs no wait.
fn other(
    tries: &Tries<'_>,
    exchange: &Exchange,
    hints: &Hints,
    known: &[Arc<Endpoint>],
) -> Option<Pick> {
    let upstream = tries.choice.upstream;
    if !upstream.has_other(known) {
        return None;
    }
    let door = upstream.door.as_ref();
    let permits = try_admit(exchange.generation.gate.as_ref(), door)?;
    let pick = tries.pick(&exchange.record, hints, known)?;
    let is_known = known.iter().any(|known| known.is(pick.endpoint()));
    (!is_known).then(|| pick.under(permits))
}

impl Raced {
    fn alone(ended: Result<Answer, Missed>) -> Self {
        Self {
            ended,
            second: None,
            is_over_budget: false,
        }
    }
}

/// How the other one went.
fn outcome(failed: Option<Result<Answer, Missed>>, awaited: Duration) -> (TryOutcome, Duration) {
    match failed {
        Some(Ok(answer)) => {
            let status = answer.response.status().as_u16();
            (TryOutcome::Status(status), answer.head)
        }
        Some(Err(missed)) => (TryOutcome::of(&missed.unanswered.error), missed.took),
        None => (TryOutcome::Outrun, awaited),
    }
}
