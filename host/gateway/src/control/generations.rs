//! The generations that are alive: the one that serves, and those that drain.
//!
//! Holds none of them: a generation belongs to the exchanges that run in it, and
//! its memory comes back when the last one lets go.

use std::{
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use serde::Serialize;

/// What a generation says of its exchanges.
pub(crate) trait InFlight {
    /// Exchanges that run in it now.
    fn in_flight(&self) -> u64;
}

#[derive(Debug)]
struct Entry<G> {
    id: u64,
    born: Instant,
    /// When another one took its place.
    replaced: Option<Instant>,
    generation: Weak<G>,
}

/// All generations since the start that are still alive.
#[derive(Debug)]
pub(crate) struct Generations<G> {
    alive: Mutex<Vec<Entry<G>>>,
}

/// A generation as the admin port shows it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Shown {
    pub(crate) generation: u64,
    /// `live` or `draining`.
    pub(crate) state: &'static str,
    pub(crate) age_seconds: f64,
    /// How long it has been draining.
    pub(crate) draining_seconds: Option<f64>,
    pub(crate) exchanges: u64,
}

impl<G> Default for Generations<G> {
    fn default() -> Self {
        Self {
            alive: Mutex::default(),
        }
    }
}

impl<G: InFlight> Generations<G> {
    /// This one serves from now on; the others drain.
    pub(crate) fn went_live(&self, id: u64, generation: &Arc<G>) {
        let now = Instant::now();
        let mut alive = self.alive.lock();
        for entry in alive.iter_mut() {
            entry.replaced.get_or_insert(now);
        }
        alive.push(Entry {
            id,
            born: now,
            replaced: None,
            generation: Arc::downgrade(generation),
        });
    }

    /// Forgets those that are gone, and returns them with the time that it took.
    pub(crate) fn drained(&self) -> Vec<(u64, Duration)> {
        let mut gone = Vec::new();
        self.alive.lock().retain(|entry| {
            let is_alive = entry.generation.strong_count() > 0;
            if !is_alive {
                gone.push((
                    entry.id,
                    entry.replaced.map(|at| at.elapsed()).unwrap_or_default(),
                ));
            }
            is_alive
        });
        gone
    }

    pub(crate) fn shown(&self) -> Vec<Shown> {
        let alive = self.alive.lock();
        let shown = alive.iter().filter_map(|entry| {
            let exchanges = entry.generation.upgrade()?.in_flight();
            Some(Shown {
                generation: entry.id,
                state: if entry.replaced.is_some() {
                    "draining"
                } else {
                    "live"
                },
                age_seconds: entry.born.elapsed().as_secs_f64(),
                draining_seconds: entry.replaced.map(|at| at.elapsed().as_secs_f64()),
                exchanges,
            })
        });
        shown.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fake(u64);

    impl InFlight for Fake {
        fn in_flight(&self) -> u64 {
            self.0
        }
    }

    #[test]
    fn a_replaced_generation_drains_until_its_last_exchange_lets_go() {
        let generations = Generations::default();
        let (one, two) = (Arc::new(Fake(3)), Arc::new(Fake(0)));
        generations.went_live(1, &one);
        generations.went_live(2, &two);
        let shown: Vec<_> = generations
            .shown()
            .iter()
            .map(|shown| (shown.generation, shown.state, shown.exchanges))
            .collect();
        assert_eq!(shown, [(1, "draining", 3), (2, "live", 0)]);
        assert!(generations.drained().is_empty());
        drop(one);
        let drained: Vec<_> = generations.drained().iter().map(|(id, _)| *id).collect();
        assert_eq!(drained, [1]);
        assert_eq!(generations.shown().len(), 1);
    }
}
