//! Clears away spent instances and makes new ones ready, off any request's path.
//!
//! One task for all policies. An exchange leaves its instances here when it is
//! done; the task wakes once for all of them.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use crate::{instance::Instance, policy::Policy};

/// How long an exchange waits for an instance when all are in use.
const PATIENCE: Duration = Duration::from_secs(1);

struct Chore {
    policy: Arc<Policy>,
    spent: Option<Box<Instance>>,
}

/// Pool limits of wasmtime are errors, not waits, so permits stand before them.
pub(crate) struct Tender {
    permits: Arc<Semaphore>,
    chores: Mutex<Vec<Chore>>,
    wake: Arc<Notify>,
}

impl Tender {
    /// Starts the task on the current runtime; it ends when the tender is dropped.
    pub(crate) fn start(instances: u32) -> Arc<Self> {
        let tender = Arc::new(Self {
            permits: Arc::new(Semaphore::new(instances as usize)),
            chores: Mutex::new(Vec::new()),
            wake: Arc::new(Notify::new()),
        });
        let (weak, wake) = (Arc::downgrade(&tender), tender.wake.clone());
        tokio::spawn(async move {
            loop {
                wake.notified().await;
                let Some(tender) = weak.upgrade() else { return };
                tender.work().await;
            }
        });
        tender
    }

    /// Leaves an instance to be cleared away.
    pub(crate) fn clear(&self, policy: Arc<Policy>, spent: Option<Box<Instance>>) {
        self.chores.lock().push(Chore { policy, spent });
        self.wake.notify_one();
    }

    async fn work(&self) {
        loop {
            let chores = std::mem::take(&mut *self.chores.lock());
            if chores.is_empty() {
                return;
            }
            // Slots first: one policy that is slow to make must not keep those that
            // all others left.
            let policies: Vec<_> = chores
                .into_iter()
                .map(|Chore { policy, .. }| policy)
                .collect();
            for policy in policies {
                policy.refill().await;
                self.free();
            }
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
