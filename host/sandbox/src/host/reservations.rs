//! The reservations that an instance holds.
//!
//! A table of its own, since wasmtime's holds anything and so is not `Sync`, and a
//! session is to be.

use tollgate_capabilities::Reservation;
use wasmtime::component::Resource;

use super::HeldReservation;

/// The most that one instance may hold at once.
const HELD_MAX: usize = 256;

#[derive(Debug, Default)]
pub(crate) struct Reservations {
    slots: Vec<Slot>,
}

#[derive(Debug)]
enum Slot {
    Free,
    Held(Reservation),
    /// Its handle is still with the guest.
    Settled,
}

impl Reservations {
    /// Whether one more may be held.
    pub(crate) fn has_room(&self) -> bool {
        self.slots.len() < HELD_MAX || self.slots.iter().any(|slot| matches!(slot, Slot::Free))
    }

    pub(crate) fn hold(&mut self, reservation: Reservation) -> Resource<HeldReservation> {
        let free = self
            .slots
            .iter()
            .position(|slot| matches!(slot, Slot::Free));
        let at = free.unwrap_or_else(|| {
            self.slots.push(Slot::Free);
            self.slots.len() - 1
        });
        self.slots[at] = Slot::Held(reservation);
        Resource::new_own(u32::try_from(at).unwrap_or(u32::MAX))
    }

    /// Whether the guest has this handle.
    pub(crate) fn has(&self, held: &Resource<HeldReservation>) -> bool {
        let slot = self.slots.get(held.rep() as usize);
        slot.is_some_and(|slot| !matches!(slot, Slot::Free))
    }

    /// The reservation, once.
    pub(crate) fn settle(&mut self, held: &Resource<HeldReservation>) -> Option<Reservation> {
        let slot = self.slots.get_mut(held.rep() as usize)?;
        match std::mem::replace(slot, Slot::Settled) {
            Slot::Held(reservation) => Some(reservation),
            Slot::Free | Slot::Settled => None,
        }
    }

    /// The guest let go of its handle: what was not settled stays charged.
    pub(crate) fn release(&mut self, held: &Resource<HeldReservation>) {
        if let Some(slot) = self.slots.get_mut(held.rep() as usize) {
            *slot = Slot::Free;
        }
    }
}
