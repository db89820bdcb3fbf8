//! How many bytes of requests' bodies are held, by all exchanges together.
//!
//! A body that something reads is held whole: for policies, for another try, for a copy. It is
//! counted as it comes in, so that nobody takes room by announcing a length, and for as long
//! as anybody holds on to it: the count lives with the bytes and goes with the last of them.

use std::sync::{
    Arc,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};

use bytes::Bytes;

use super::{errors::ServeError, state::Exchange};

/// See the module.
#[derive(Debug, Default)]
pub struct Bodies {
    held: AtomicUsize,
    refused: AtomicU64,
}

impl Bodies {
    /// In bytes.
    pub fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    /// Requests that were refused since there was no room left.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }
}

/// Room for one body; given back when it is dropped.
pub(super) struct Room {
    bodies: Arc<Bodies>,
    bytes: usize,
    /// For all of them.
    most: usize,
}

impl Room {
    /// None taken yet.
    pub(super) fn new(bodies: &Arc<Bodies>, most: usize) -> Self {
        Self {
            bodies: bodies.clone(),
            bytes: 0,
            most,
        }
    }

    /// None taken yet, for the body of this exchange.
    pub(super) fn of(exchange: &Exchange) -> Option<Self> {
        let most = exchange.generation.config.limits.request_bodies_bytes;
        let shared = exchange.shared()?;
        Some(Self::new(&shared.bodies, most))
    }

    /// Takes so many bytes more.
    ///
    /// # Errors
    /// All bodies together are as long as they may be.
    pub(super) fn grow(&mut self, by: usize) -> Result<(), ServeError> {
        let fits = |held: usize| held.checked_add(by).filter(|held| *held <= self.most);
        let held = &self.bodies.held;
        if held
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits)
            .is_err()
        {
            self.bodies.refused.fetch_add(1, Ordering::Relaxed);
            return Err(ServeError::BodiesFull);
        }
        self.bytes += by;
        Ok(())
    }

    /// The bytes that the room was taken for. It is given back with the last of them.
    pub(super) fn holding(self, bytes: Bytes) -> Bytes {
        match bytes.is_empty() {
            true => bytes,
            false => Bytes::from_owner(Held { bytes, _room: self }),
        }
    }

    /// Counts a body that was made of one that has room: it is not refused half-way.
    pub(super) fn made_of_another(mut self, bytes: Bytes) -> Bytes {
        self.bytes += bytes.len();
        self.bodies.held.fetch_add(bytes.len(), Ordering::Relaxed);
        self.holding(bytes)
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.bodies.held.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

struct Held {
    bytes: Bytes,
    _room: Room,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_counted_until_the_last_handle_on_it_is_gone() {
        let bodies = Arc::<Bodies>::default();
        let mut room = Room::new(&bodies, 100);
        room.grow(3).unwrap();
        room.grow(4).unwrap();
        assert_eq!(bodies.held(), 7);
        let body = room.holding(Bytes::from_static(b"a body."));
        let (copy, part) = (body.clone(), body.slice(2..3));
        assert_eq!((copy.as_ptr(), &*part), (body.as_ptr(), &b"b"[..]));
        drop((body, copy));
        assert_eq!(bodies.held(), 7);
        drop(part);
        assert_eq!(bodies.held(), 0);
        let empty = Room::new(&bodies, 100).holding(Bytes::new());
        assert!(empty.is_empty());
    }

    #[test]
    fn one_that_finds_no_room_gives_back_what_it_took_and_the_others_keep_theirs() {
        let bodies = Arc::<Bodies>::default();
        let (mut one, mut other) = (Room::new(&bodies, 10), Room::new(&bodies, 10));
        one.grow(6).unwrap();
        other.grow(4).unwrap();
        let refused = other.grow(1);
        assert!(
            matches!(refused, Err(ServeError::BodiesFull)),
            "{refused:?}"
        );
        drop(other);
        assert_eq!((bodies.held(), bodies.refused()), (6, 1));
        one.grow(4).unwrap();
        // Another generation may allow less.
        assert!(Room::new(&bodies, 5).grow(1).is_err());
        let made = Room::new(&bodies, 5).made_of_another(Bytes::from_static(b"longer"));
        assert_eq!((bodies.held(), bodies.refused()), (16, 2));
        drop((one, made));
        assert_eq!(bodies.held(), 0);
    }
}
