//! The work of a policy without an exchange: one task that ticks as the plugin asks.
//!
//! It begins before the policy takes exchanges and ends when another takes its place. A tick
//! that fails is counted and logged, and comes again after a pause that grows; it never
//! counts towards the quarantine, since exchanges may well do without what it was for.

use std::{
    hash::{BuildHasher, RandomState},
    sync::{Arc, OnceLock, Weak},
    time::{Duration, Instant},
};

use tokio::{
    sync::{oneshot, watch},
    time::{sleep, timeout},
};

use super::{Hook, Policy};
use crate::{
    ExchangeContext, Failure,
    instance::{FIRST_TICK, Instance},
    timed::timed,
};

/// Between two ticks, whatever the plugin asks for.
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(24 * 3600);
/// After failures in a row.
const FAILED_MAX: Duration = Duration::from_secs(60);
/// What is added at random is at most the pause divided by this.
const JITTER: u32 = 10;
/// Capabilities keep to the time of a tick by themselves; a guest gets this much longer to
/// see that they did.
const GRACE: Duration = Duration::from_secs(1);

/// The timer of one policy. Its task ends when this is dropped.
#[derive(Default)]
pub(super) struct Timer(OnceLock<watch::Sender<bool>>);

impl Timer {
    pub(super) fn stop(&self) {
        // One that is retired before it began never begins.
        self.0
            .get_or_init(|| watch::Sender::new(true))
            .send_replace(true);
    }
}

/// The first tick of a policy.
#[derive(Debug)]
pub struct FirstTick(Option<oneshot::Receiver<()>>);

impl FirstTick {
    /// Until it is over, whatever came of it; at once if there is none.
    pub async fn over(self) {
        if let Some(first) = self.0 {
            // Nothing is ever sent: the other side is let go of.
            let _ = first.await;
        }
    }
}

impl Policy {
    /// Has the plugin tick from now on, if it has a timer and does not tick yet. Call it
    /// within a tokio runtime, shortly before the policy takes exchanges.
    pub fn start_timer(self: &Arc<Self>) -> FirstTick {
        if !self.facts.ticks || self.timer.0.get().is_some() {
            return FirstTick(None);
        }
        let (first, over) = oneshot::channel();
        let (stop, stopped) = watch::channel(false);
        if self.timer.0.set(stop).is_err() {
            return FirstTick(None);
        }
        tokio::spawn(run(Arc::downgrade(self), stopped, first));
        FirstTick(Some(over))
    }

    /// Asks the plugin once, apart from its timer: for tests and tools. In how long it wants
    /// to be asked again; `None`: never, or it has no timer.
    ///
    /// # Errors
    /// See [`Failure`].
    pub async fn tick(self: &Arc<Self>) -> Result<Option<Duration>, Failure> {
        if !self.facts.ticks {
            return Ok(None);
        }
        let told = match self.spare().await {
            Ok(instance) => self.tick_in(instance).await,
            Err(failure) => Err(failure),
        };
        told.map(|next| next.map(Duration::from_millis))
            .inspect_err(|failure| self.count(failure))
    }

    async fn tick_in(
        self: &Arc<Self>,
        mut instance: Box<Instance>,
    ) -> Result<Option<u64>, Failure> {
        let bounds = &self.shared.bounds;
        let Instance { store, guest, .. } = &mut *instance;
        store.data_mut().begin(&ExchangeContext {
            deadline: Instant::now() + bounds.tick_time,
            ..ExchangeContext::default()
        });
        store.data_mut().begin_hook();
        store.set_epoch_deadline(FIRST_TICK);
        let call = timeout(bounds.tick_time + GRACE, guest.on_tick(store));
        let (told, times) = timed(call).await;
        let state = store.data_mut();
        state.end_hook();
        let circumstances = state.circumstances();
        let counters = &self.shared.counters;
        counters.called(Hook::Tick, times.took);
        counters.host_called(state.host_calls_all);
        let failure = match told {
            Ok(Ok(next)) => {
                instance.leave(self).await;
                return Ok(next);
            }
            Ok(Err(error)) => self.failure(&error, circumstances),
            Err(_) => Failure::TickOutOfTime(bounds.tick_time),
        };
        // It cannot be entered again.
        self.tender.clear(self.clone(), Some(instance));
        Err(failure)
    }
}

/// Ticks until the plugin wants no more, or the policy is retired or gone.
async fn run(policy: Weak<Policy>, mut stopped: watch::Receiver<bool>, first: oneshot::Sender<()>) {
    let mut pace = Pace::default();
    let mut next = tick(&policy, &mut pace).await;
    drop(first);
    while let Some(pause) = next {
        tokio::select! {
            // Also when the policy is dropped.
            _ = stopped.wait_for(|stopped| *stopped) => return,
            () = sleep(pause) => {}
        }
        next = tick(&policy, &mut pace).await;
    }
}

async fn tick(policy: &Weak<Policy>, pace: &mut Pace) -> Option<Duration> {
    let policy = policy.upgrade()?;
    let told = policy.tick().await;
    let next = pace.after(&told, RandomState::new().hash_one(0));
    if let Err(failure) = told {
        tracing::warn!(
            policy = policy.name(),
            plugin = policy.plugin(),
            %failure,
            again_in = ?next.unwrap_or_default(),
            "a tick of a policy failed"
        );
    }
    next
}

/// How long to wait for the next tick.
#[derive(Debug, Default)]
struct Pace {
    /// After the last one, which failed.
    failed: Option<Duration>,
}

impl Pace {
    /// `random` is any number.
    fn after(&mut self, told: &Result<Option<Duration>, Failure>, random: u64) -> Option<Duration> {
        let pause = match told {
            Ok(asked) => {
                self.failed = None;
                (*asked)?.clamp(PAUSE_MIN, PAUSE_MAX)
            }
            Err(_) => {
                let doubled = self.failed.map(|pause| (pause * 2).min(FAILED_MAX));
                *self.failed.insert(doubled.unwrap_or(PAUSE_MIN))
            }
        };
        // Of sixteen bits: fine enough, and nothing overflows.
        Some(pause + pause / JITTER * (random & 0xffff) as u32 / 0x1_0000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(pause: Duration) -> Result<Option<Duration>, Failure> {
        Ok(Some(pause))
    }

    #[test]
    fn a_plugin_is_asked_when_it_says_within_bounds_and_a_tenth() {
        let hour = Duration::from_secs(3600);
        for (said, least) in [
            (Duration::ZERO, PAUSE_MIN),
            (Duration::from_millis(999), PAUSE_MIN),
            (hour, hour),
            (Duration::from_millis(u64::MAX), PAUSE_MAX),
        ] {
            for random in [0, 1, 0xffff, u64::MAX] {
                let pause = Pace::default().after(&asked(said), random).unwrap();
                assert!(pause >= least && pause < least + least / 10, "{pause:?}");
            }
        }
        let (mut pace, both) = (Pace::default(), asked(hour));
        assert_ne!(pace.after(&both, 0), pace.after(&both, 0x8000));
    }

    #[test]
    fn one_that_wants_no_more_is_never_asked_again() {
        assert_eq!(Pace::default().after(&Ok(None), 0), None);
    }

    #[test]
    fn one_that_fails_is_asked_again_after_pauses_that_grow_until_it_succeeds() {
        let (mut pace, failed) = (Pace::default(), Err(Failure::NoInstance));
        let pauses: Vec<u64> = (0..8)
            .map(|_| pace.after(&failed, 0).unwrap().as_secs())
            .collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60]);
        pace.after(&asked(PAUSE_MIN), 0);
        assert_eq!(pace.after(&failed, 0), Some(PAUSE_MIN));
    }
}
