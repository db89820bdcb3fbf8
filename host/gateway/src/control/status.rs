//! What the control path lets others see: the generations, and the last refusal.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use parking_lot::Mutex;
use serde::Serialize;

use super::{generations::Generations, refused::Refused};
use crate::serve::Generation;

/// A refusal, for as long as it is the last one.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct LastRefusal {
    #[serde(flatten)]
    pub(crate) refused: Refused,
    /// Seconds since 1970-01-01T00:00:00Z.
    pub(crate) at: u64,
    /// Whether the files are still the ones that were refused.
    pub(crate) stands: bool,
}

/// Read by the admin port.
#[derive(Default)]
pub(crate) struct Status {
    pub(crate) generations: Generations<Generation>,
    refusal: Mutex<Option<LastRefusal>>,
    stopping: AtomicBool,
    looks: AtomicU64,
}

impl Status {
    /// Whether exchanges are served and new ones welcome.
    pub(crate) fn is_ready(&self) -> bool {
        !self.stopping.load(Ordering::Relaxed)
    }

    /// How often the files were read since the start.
    pub(crate) fn looks(&self) -> u64 {
        self.looks.load(Ordering::Relaxed)
    }

    pub(crate) fn looked(&self) {
        self.looks.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    pub(crate) fn last_refusal(&self) -> Option<LastRefusal> {
        self.refusal.lock().clone()
    }

    pub(crate) fn refuse(&self, refused: &Refused) {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or(Duration::ZERO);
        *self.refusal.lock() = Some(LastRefusal {
            refused: refused.clone(),
            at: now.as_secs(),
            stands: true,
        });
    }

    /// The files hold again, whether by a swap or because the change was undone.
    pub(crate) fn mended(&self) {
        if let Some(refusal) = self.refusal.lock().as_mut() {
            refusal.stands = false;
        }
    }
}
