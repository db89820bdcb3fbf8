//! For tests: pieces of a body, and how many of them somebody holds.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use bytes::Bytes;

struct Piece(Arc<AtomicUsize>);

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        b"x"
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A byte, counted for as long as anybody holds it.
pub(super) fn counted_byte(held: &Arc<AtomicUsize>) -> Bytes {
    held.fetch_add(1, Ordering::Relaxed);
    Bytes::from_owner(Piece(held.clone()))
}
