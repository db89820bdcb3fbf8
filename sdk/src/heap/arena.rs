//! Where blocks lie in the arena: plain arithmetic on offsets, no memory.
//!
//! Blocks are laid one behind the other. The last one can grow, shrink and be freed in
//! place; when no block is left, the arena starts over. So an instance that serves one
//! exchange after another does not fill up.

/// The places of a fixed number of bytes.
#[derive(Debug)]
pub(crate) struct Arena {
    capacity: usize,
    /// Everything from here on is free.
    top: usize,
    /// Blocks that were not freed yet.
    live: usize,
}

impl Arena {
    /// A closed arena: it has no place for anything.
    pub(crate) const fn closed() -> Self {
        Self {
            capacity: 0,
            top: 0,
            live: 0,
        }
    }

    /// Lets blocks be placed. Blocks from before lie elsewhere and are never given back.
    pub(crate) const fn open(&mut self, capacity: usize) {
        self.capacity = capacity;
    }

    /// The offset of a new block. `align` is a power of two.
    #[inline]
    pub(crate) fn place(&mut self, size: usize, align: usize) -> Option<usize> {
        let start = self.top.checked_add(align - 1)? & !(align - 1);
        let end = start.checked_add(size)?;
        if end > self.capacity {
            return None;
        }
        self.top = end;
        self.live += 1;
        Some(start)
    }

    /// The offset of so many new blocks, one behind the other in `size` bytes together.
    #[inline]
    pub(crate) fn place_row(&mut self, count: usize, size: usize, align: usize) -> Option<usize> {
        let more = count.checked_sub(1)?;
        let start = self.place(size, align)?;
        self.live += more;
        Some(start)
    }

    /// Gives a block back.
    #[inline]
    pub(crate) fn free(&mut self, start: usize, size: usize) {
        self.live -= 1;
        if self.live == 0 {
            self.top = 0;
        } else if start + size == self.top {
            self.top = start;
        }
    }

    /// Whether a block now has its new size where it lies.
    #[inline]
    pub(crate) fn resize(&mut self, start: usize, size: usize, new_size: usize) -> bool {
        if start + size != self.top {
            return new_size <= size;
        }
        match start.checked_add(new_size) {
            Some(end) if end <= self.capacity => {
                self.top = end;
                true
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn open(capacity: usize) -> Arena {
        let mut arena = Arena::closed();
        arena.open(capacity);
        arena
    }

    #[test]
    fn a_closed_arena_places_nothing() {
        assert_eq!(Arena::closed().place(1, 1), None);
    }

    #[test]
    fn blocks_are_aligned_and_do_not_leave_the_arena() {
        let mut arena = open(64);
        assert_eq!(arena.place(1, 1), Some(0));
        assert_eq!(arena.place(8, 16), Some(16));
        assert_eq!(arena.place(41, 1), None);
        assert_eq!(arena.place(40, 1), Some(24));
        assert_eq!(arena.place(usize::MAX, 16), None);
    }

    #[test]
    fn the_last_block_grows_shrinks_and_is_freed_in_place() {
        let mut arena = open(64);
        arena.place(8, 8).unwrap();
        let last = arena.place(8, 8).unwrap();
        assert!(arena.resize(last, 8, 56));
        assert!(!arena.resize(last, 56, 57));
        assert!(arena.resize(last, 56, 4));
        arena.free(last, 4);
        assert_eq!(arena.place(8, 8), Some(last));
    }

    #[test]
    fn a_block_with_another_behind_it_shrinks_but_does_not_grow() {
        let mut arena = open(64);
        let first = arena.place(8, 8).unwrap();
        arena.place(8, 8).unwrap();
        assert!(arena.resize(first, 8, 4));
        assert!(!arena.resize(first, 4, 6));
    }

    #[test]
    fn blocks_in_a_row_are_given_back_one_by_one() {
        let mut arena = open(64);
        for _ in 0..1000 {
            assert_eq!(arena.place_row(3, 40, 16), Some(0));
            assert_eq!(arena.place_row(0, 1, 1), None);
            assert_eq!(arena.place_row(2, 25, 1), None);
            arena.free(0, 8);
            arena.free(32, 8);
            assert_eq!(arena.place(8, 8), Some(32));
            arena.free(8, 24);
            arena.free(32, 8);
        }
    }

    #[test]
    fn the_arena_starts_over_when_nothing_is_left_in_it() {
        let mut arena = open(64);
        for _ in 0..1000 {
            let one = arena.place(30, 1).unwrap();
            let other = arena.place(30, 1).unwrap();
            arena.free(one, 30);
            arena.free(other, 30);
        }
    }

    #[derive(Debug, Clone)]
    enum Step {
        Place { size: usize, align: u32 },
        Free(prop::sample::Index),
        Resize(prop::sample::Index, usize),
    }

    fn any_step() -> impl Strategy<Value = Step> {
        prop_oneof![
            3 => (1..300_usize, 0..5_u32).prop_map(|(size, align)| Step::Place { size, align }),
            2 => any::<prop::sample::Index>().prop_map(Step::Free),
            2 => (any::<prop::sample::Index>(), 1..300_usize).prop_map(|(block, size)| Step::Resize(block, size)),
        ]
    }

    proptest! {
        /// Every block is filled with its own byte, in memory that the arena lays out.
        #[test]
        fn no_block_is_ever_written_by_another(steps in prop::collection::vec(any_step(), 0..200)) {
            let mut memory = vec![0_u8; 1024];
            let mut arena = open(memory.len());
            let mut blocks: Vec<(usize, usize, u8)> = Vec::new();
            let mut mark = 0_u8;
            for step in steps {
                mark = mark.wrapping_add(1);
                match step {
                    Step::Place { size, align } => {
                        if let Some(start) = arena.place(size, 1 << align) {
                            prop_assert_eq!(start % (1 << align), 0);
                            memory[start..start + size].fill(mark);
                            blocks.push((start, size, mark));
                        }
                    }
                    Step::Free(at) if !blocks.is_empty() => {
                        let (start, size, _) = blocks.swap_remove(at.index(blocks.len()));
                        arena.free(start, size);
                    }
                    Step::Resize(at, new_size) if !blocks.is_empty() => {
                        let at = at.index(blocks.len());
                        let (start, size, _) = blocks[at];
                        if arena.resize(start, size, new_size) {
                            memory[start..start + new_size].fill(mark);
                            blocks[at] = (start, new_size, mark);
                        }
                    }
                    Step::Free(_) | Step::Resize(..) => {}
                }
                for (start, size, mark) in &blocks {
                    prop_assert!(memory[*start..start + size].iter().all(|byte| byte == mark));
                }
            }
        }
    }
}
