//! How many may be asked at once, and who is next when there are more.
//!
//! A [`Gate`] stands before something that takes so many at a time: an upstream, or all of
//! them together. Who finds it shut waits in a [`queue`] with bounds, by weight between
//! classes and in turn between callers, and is told at once where there is no place. A
//! [`Permit`] is given back by being dropped, as a place in the queue is.

mod drain;
mod gate;
mod line;
mod queue;

use std::{sync::Arc, time::Duration};

pub use gate::{Counts, Gate, Permit};

/// The most classes that a queue tells apart.
pub const CLASSES_MAX: usize = 16;

/// The bounds of a gate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GateSettings {
    /// Permits at once.
    pub limit: usize,
    /// Who waits for one at once, of all classes together; 0: nobody waits.
    pub queue: usize,
    /// How long one waits at most.
    pub wait_max: Duration,
    /// The weight of each class, in permits and in places; at least 1 each. Not empty.
    pub weights: Arc<[u32]>,
}

/// Who asks for a permit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asker {
    /// An index into the weights; one beyond them counts as the last.
    pub class: usize,
    /// A hash of who it is: callers take turns.
    pub caller: u64,
}

/// Why there is no permit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// No place in the queue.
    Full,
    /// No place, while others of the same caller wait.
    Share,
    /// A place, and no permit in time.
    Late,
}

impl Reason {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Full, Self::Share, Self::Late];

    /// A stable word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Share => "share",
            Self::Late => "late",
        }
    }
}

/// There is no permit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no permit: {}", .reason.as_str())]
pub struct Refused {
    /// Why.
    pub reason: Reason,
    /// When it is worth asking again, as far as can be told.
    pub retry_after: Duration,
}
