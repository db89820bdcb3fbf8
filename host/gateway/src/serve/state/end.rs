//! How an exchange ends: what it holds is settled, the last hooks are asked, the observer is told.

use std::{
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{Arc, atomic::Ordering::Relaxed},
    task::{Context, Poll, Waker},
    time::Duration,
};

use tokio::runtime::Handle;
use tollgate_sandbox::{Session, contract::Outcome};

use super::Exchange;
use crate::serve::{
    Shared, cache::Part, connection::Busy, generation::Held, record::Record, slot::Slot,
};

impl Drop for Exchange {
    fn drop(&mut self) {
        self.record.total = self.started.elapsed();
        let Some(busy) = self.busy.take() else { return };
        let shared = busy.0.shared.clone();
        if self.streaming {
            shared.gauges.streams.fetch_sub(1, Relaxed);
        }
        if let Some(part) = &mut self.cache {
            part.settle(&mut self.record, &self.slots);
        }
        let holds = self.slots.iter().any(Slot::holds);
        let needs_hooks = self.cache.is_some() || self.slots.iter().any(Slot::is_open);
        let outcome = (needs_hooks || holds).then(|| self.outcome_without_upstream());
        if let Some(outcome) = outcome.as_ref().filter(|_| holds) {
            settle(&mut self.slots, outcome, &shared);
        }
        if let Some(mut outcome) = outcome.filter(|_| needs_hooks) {
            outcome.upstream = self.record.upstream.as_deref().map(str::to_owned);
            let (record, slots) = (mem::take(&mut self.record), mem::take(&mut self.slots));
            let kept = (self.generation.clone(), busy);
            let part = self.cache.take();
            let (tracker, runtime) = (shared.tracker.clone(), shared.runtime.clone());
            // Made in its box; with `Box::pin` its 3 KB would be copied there.
            let place = Box::new_uninit();
            let last = Box::write(place, finish(shared, record, slots, (outcome, part), kept));
            if let Some(unfinished) = begin(Box::into_pin(last), &runtime) {
                tracker.spawn_on(unfinished, &runtime);
            }
        } else {
            // Collected where the slots were, without another block.
            let slots = mem::take(&mut self.slots).into_iter();
            self.record.policies = slots.map(Slot::into_record).collect();
            shared.observer.finished(&self.record);
        }
    }
}

/// Charges what the exchange took; a store that is not at hand is told later.
fn settle(slots: &mut [Slot], outcome: &Outcome, shared: &Shared) {
    let _inside = shared.runtime.enter();
    let settle_all = || {
        for slot in slots.iter_mut().filter(|slot| slot.holds()) {
            for charge in slot.take_charges() {
                if let Err(answer) = charge.settle(outcome).now() {
                    let told = async move {
                        answer.get().await;
                    };
                    shared.tracker.spawn_on(told, &shared.runtime);
                }
            }
        }
    };
    // As in `begin`.
    if catch_unwind(AssertUnwindSafe(settle_all)).is_err() {
        tracing::error!("the settling of an exchange panicked");
    }
}

impl Exchange {
    /// Whoever is told of the upstream has to add its name; it is nothing to what is charged.
    fn outcome_without_upstream(&self) -> Outcome {
        let record = &self.record;
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        Outcome {
            ending: record.ending,
            status: record.status,
            upstream: None,
            attempts: record.attempts,
            first_byte_us: record.first_byte.map(micros),
            total_us: micros(record.total),
            usage: record.usage,
        }
    }
}

/// Runs a future as far as it comes by itself; what has to wait is handed back. Most last
/// hooks take microseconds, less than a task of their own costs; one that takes longer
/// yields at the first tick of the epoch clock.
fn begin<F: Future<Output = ()>>(mut future: Pin<Box<F>>, runtime: &Handle) -> Option<Pin<Box<F>>> {
    if std::thread::panicking() {
        return Some(future);
    }
    let _inside = runtime.enter();
    let mut context = Context::from_waker(Waker::noop());
    // A connection may carry other exchanges, which a panic here must not take along.
    let polled = catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(&mut context)));
    match polled {
        Ok(Poll::Ready(())) => None,
        Ok(Poll::Pending) => Some(future),
        Err(_) => {
            tracing::error!("the end of an exchange panicked");
            None
        }
    }
}

/// The last hooks, in the policies' order.
async fn finish(
    shared: Arc<Shared>,
    mut record: Record,
    slots: Vec<Slot>,
    (outcome, part): (Outcome, Option<Box<Part>>),
    kept: (Held, Busy),
) {
    let mut sessions = Vec::with_capacity(slots.len());
    for slot in slots {
        let (policy, session) = slot.finish(&outcome).await;
        record.policies.push(policy);
        sessions.extend(session);
    }
    let is_told = match part {
        None => true,
        Some(part) => part.report(&mut record).await,
    };
    if is_told {
        shared.observer.finished(&record);
    }
    drop(kept);
    // It is over for everybody else; now it is cleared up, in a task of its own where that
    // takes longer than a hook.
    let is_quick = |session: &Session| session.policy().closes_in_place();
    let (quick, slow): (Vec<_>, Vec<_>) = sessions.into_iter().partition(is_quick);
    close(quick).await;
    if !slow.is_empty() {
        shared.tracker.spawn_on(close(slow), &shared.runtime);
    }
}

pub(super) async fn close(sessions: Vec<Session>) {
    for session in sessions {
        session.close().await;
    }
}
