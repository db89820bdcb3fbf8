//! Clears away the instances of sessions that ended out of turn, and those that
//! nobody needs any more; hands out the permits to make one.
//!
//! One task for all policies. A session that ends as it should clears up by itself,
//! unless its plugin takes long to make.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore},
    time::{MissedTickBehavior, interval},
};

use crate::{instance::Instance, policy::Policy};

/// How long an exchange waits for an instance when all are in use.
const PATIENCE: Duration = Duration::from_secs(1);
/// Between two looks at what is ready in vain.
const SWEEP: Duration = Duration::from_secs(5);

struct Chore {
    policy: Arc<Policy>,
    spent: Option<Box<Instance>>,
}

/// Pool limits of wasmtime are errors, not waits, so permits stand before them.
pub(crate) struct Tender {
    permits: Arc<Semaphore>,
    chores: Mutex<Vec<Chore>>,
    policies: Mutex<Vec<Weak<Policy>>>,
    wake: Arc<Notify>,
}

impl Tender {
    /// Starts the task on the current runtime; it ends when the tender is dropped.
    pub(crate) fn start(instances: u32) -> Arc<Self> {
        let tender = Arc::new(Self {
            permits: Arc::new(Semaphore::new(instances as usize)),
            chores: Mutex::default(),
            policies: Mutex::default(),
            wake: Arc::new(Notify::new()),
        });
        let (weak, wake) = (Arc::downgrade(&tender), tender.wake.clone());
        tokio::spawn(async move {
            let mut sweeps = interval(SWEEP);
            sweeps.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                let due = tokio::select! {
                    () = wake.notified() => false,
                    _ = sweeps.tick() => true,
                };
                let Some(tender) = weak.upgrade() else { return };
                tender.work().await;
                if due {
                    tender.sweep();
                }
            }
        });
        tender
    }

    /// Leaves an instance to be cleared away.
    pub(crate) fn clear(&self, policy: Arc<Policy>, spent: Option<Box<Instance>>) {
        self.chores.lock().push(Chore { policy, spent });
        self.wake.notify_one();
    }

    /// Looks after what is ready of a policy for as long as it lives.
    pub(crate) fn look_after(&self, policy: &Arc<Policy>) {
        self.policies.lock().push(Arc::downgrade(policy));
    }

    fn sweep(&self) {
        let mut policies = Vec::new();
        self.policies.lock().retain(|policy| {
            policies.extend(policy.upgrade());
            policy.strong_count() > 0
        });
        policies.iter().for_each(|policy| policy.sweep());
    }

    /// What there is to do by now; what comes meanwhile wakes the task again.
    async fn work(&self) {
        let chores = std::mem::take(&mut *self.chores.lock());
        // Slots first: one policy that is slow to make must not keep those that all
        // others left.
        let policies: Vec<_> = chores
            .into_iter()
            .map(|Chore { policy, .. }| policy)
            .collect();
        for policy in policies {
            policy.refill().await;
            self.free();
        }
    }

    /// Frees the slots of what was left meanwhile.
    fn free(&self) {
        let spent: Vec<_> = self
            .chores
            .lock()
            .iter_mut()
            .filter_map(|chore| chore.spent.take())
            .collect();
        drop(spent);
    }

    /// Whether instances can be made beside those there are.
    pub(crate) fn has_more(&self) -> bool {
        self.permits.available_permits() > 0
    }

    pub(crate) fn try_permit(&self) -> Option<OwnedSemaphorePermit> {
        self.permits.clone().try_acquire_owned().ok()
    }

    pub(crate) async fn permit(&self) -> Option<OwnedSemaphorePermit> {
        if let Some(permit) = self.try_permit() {
            return Some(permit);
        }
        tokio::time::timeout(PATIENCE, self.permits.clone().acquire_owned())
            .await
            .ok()?
            .ok()
    }
}

impl Drop for Tender {
    fn drop(&mut self) {
        self.wake.notify_one();
    }
}
