//! Which blocks of prompts an endpoint has seen lately.
//!
//! A guess at what its prefix cache holds: bounded, the least recent go first. Sets of eight with
//! the most recent in front, in atomics without a lock: two that write at once may lose an entry
//! or keep one twice, which makes a guess a little worse and nothing else.

use std::sync::atomic::{AtomicU64, Ordering};

const WAYS: usize = 8;

pub(crate) struct Seen {
    /// Hashes, or 0 for nothing.
    slots: Box<[AtomicU64]>,
    sets: u64,
}

impl Seen {
    /// Room for `blocks`, or none at all.
    pub(crate) fn new(blocks: usize) -> Self {
        let sets = blocks.div_ceil(WAYS);
        Self {
            slots: (0..sets * WAYS).map(|_| AtomicU64::new(0)).collect(),
            sets: sets as u64,
        }
    }

    fn set(&self, hash: u64) -> &[AtomicU64] {
        let at = (u128::from(hash) * u128::from(self.sets)) >> 64;
        let start = usize::try_from(at).unwrap_or(0) * WAYS;
        self.slots.get(start..start + WAYS).unwrap_or(&[])
    }

    fn holds(&self, hash: u64) -> bool {
        let mut set = self.set(hash).iter();
        set.any(|slot| slot.load(Ordering::Relaxed) == hash)
    }

    /// How many of these blocks, from the first on, were seen.
    pub(crate) fn matching(&self, hashes: &[u64]) -> usize {
        // Whoever saw one saw all before it, so a search by halves will do.
        hashes.partition_point(|hash| self.holds(*hash))
    }

    /// The last one first, so that the beginning of a prompt outlives its end.
    pub(crate) fn remember(&self, hashes: &[u64]) {
        for hash in hashes.iter().rev() {
            let mut carried = *hash;
            for slot in self.set(*hash) {
                let found = slot.load(Ordering::Relaxed);
                slot.store(carried, Ordering::Relaxed);
                if found == *hash || found == 0 {
                    break;
                }
                carried = found;
            }
        }
    }

    /// Takes blocks out again that were not seen after all.
    pub(crate) fn drop_out(&self, hashes: &[u64]) {
        for hash in hashes {
            for slot in self.set(*hash) {
                let order = Ordering::Relaxed;
                let _ = slot.compare_exchange(*hash, 0, order, order);
            }
        }
    }

    pub(crate) fn forget(&self) {
        for slot in &self.slots {
            slot.store(0, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(seed: u64, length: u64) -> Vec<u64> {
        let hash = |i| crate::balance::hash(&[seed.to_le_bytes(), u64::to_le_bytes(i)].concat());
        (0..length).map(hash).collect()
    }

    #[test]
    fn what_was_seen_matches_up_to_where_it_differs() {
        let seen = Seen::new(1_024);
        let one = chain(1, 20);
        assert_eq!(seen.matching(&one), 0);
        seen.remember(&one[..12]);
        assert_eq!(seen.matching(&one), 12);
        assert_eq!(seen.matching(&chain(2, 20)), 0);
        seen.forget();
        assert_eq!(seen.matching(&one), 0);
    }

    #[test]
    fn the_least_recent_go_first_and_a_prompt_s_end_before_its_beginning() {
        let seen = Seen::new(256);
        let kept = chain(0, 8);
        for other in 1..200 {
            seen.remember(&kept);
            seen.remember(&chain(other, 8));
        }
        assert_eq!(seen.matching(&kept), 8);
        assert_eq!(seen.matching(&chain(1, 8)), 0);
        let long = chain(1_000, 2_000);
        seen.remember(&long);
        let matching = seen.matching(&long[..16]);
        assert!(matching > 8, "{matching}");
    }

    #[test]
    fn without_room_nothing_is_seen() {
        let seen = Seen::new(0);
        seen.remember(&chain(1, 3));
        assert_eq!(seen.matching(&chain(1, 3)), 0);
    }
}
