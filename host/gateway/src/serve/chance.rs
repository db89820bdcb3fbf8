//! Cheap random numbers for ids and weights; not fit for keys.
//!
//! SplitMix64, one state per thread, seeded from the operating system.

use std::{
    cell::Cell,
    hash::{BuildHasher, RandomState},
};

thread_local! {
    static STATE: Cell<u64> = Cell::new(RandomState::new().hash_one(0_u8));
}

pub(super) fn next() -> u64 {
    STATE.with(|state| {
        let now = state.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        state.set(now);
        let mixed = (now ^ (now >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    })
}

/// A number below `bound`; 0 if that is 0.
pub(crate) fn below(bound: u32) -> u32 {
    ((u128::from(next()) * u128::from(bound)) >> 64) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_below_the_bound_comes_up() {
        let mut seen = [false; 7];
        for _ in 0..1_000 {
            seen[below(7) as usize] = true;
        }
        assert_eq!(seen, [true; 7]);
        assert_eq!(below(0), 0);
    }
}
