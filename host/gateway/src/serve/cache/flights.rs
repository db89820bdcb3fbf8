//! The answers that are under way, by key: who comes second shares the first one's.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
};

use parking_lot::Mutex;
use tollgate_capabilities::CacheKey;

use super::flight::{Flight, Held, Seat};

/// See the module.
#[derive(Debug, Default)]
pub(in crate::serve) struct Flights {
    under_way: Mutex<HashMap<CacheKey, Arc<Flight>>>,
    held: Arc<Held>,
}

/// How one takes part.
pub(in crate::serve) enum Taking {
    /// Nobody has asked yet: this one does.
    First(Seat),
    /// Another has.
    Later(Seat),
}

impl Flights {
    /// Joins the answer of this key, or begins it.
    pub(in crate::serve) fn take_part(&self, key: CacheKey, bytes_max: usize) -> Taking {
        match self.under_way.lock().entry(key) {
            Entry::Occupied(mut there) => match there.get().join() {
                Some(seat) => Taking::Later(seat),
                None => {
                    let (flight, seat) = Flight::begin(bytes_max, &self.held);
                    there.insert(flight);
                    Taking::First(seat)
                }
            },
            Entry::Vacant(vacant) => {
                let (flight, seat) = Flight::begin(bytes_max, &self.held);
                vacant.insert(flight);
                Taking::First(seat)
            }
        }
    }

    /// Joins the answer of this key, if there is one to join.
    pub(in crate::serve) fn join(&self, key: &CacheKey) -> Option<Seat> {
        self.under_way.lock().get(key)?.join()
    }

    /// An answer of its own, that nobody joins.
    pub(in crate::serve) fn alone(&self, bytes_max: usize) -> Seat {
        Flight::begin(bytes_max, &self.held).1
    }

    /// Nobody joins this one any more.
    pub(in crate::serve) fn leave_out(&self, key: &CacheKey, flight: &Arc<Flight>) {
        if let Entry::Occupied(there) = self.under_way.lock().entry(*key)
            && Arc::ptr_eq(there.get(), flight)
        {
            there.remove();
        }
    }
}
