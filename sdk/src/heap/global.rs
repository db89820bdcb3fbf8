//! The arena as the global allocator of a wasm module.
#![expect(
    unsafe_code,
    reason = "an allocator hands out memory; all arithmetic is in `arena`, which is safe"
)]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::UnsafeCell,
};

use super::arena::Arena;

/// One page of wasm memory: far more than a session of a usual policy takes.
const CAPACITY: usize = 64 * 1024;

#[global_allocator]
static HEAP: Heap = Heap {
    arena: UnsafeCell::new(Arena::closed()),
    memory: UnsafeCell::new(Memory([0; CAPACITY])),
};

struct Heap {
    arena: UnsafeCell<Arena>,
    memory: UnsafeCell<Memory>,
}

#[repr(align(16))]
struct Memory(#[expect(dead_code, reason = "reached through pointers alone")] [u8; CAPACITY]);

// SAFETY: a plugin's module has one thread (shared memory is not offered by the host),
// and no method below calls anything that could allocate while it holds the arena.
#[cfg(not(target_feature = "atomics"))]
unsafe impl Sync for Heap {}

/// From now on blocks are placed in the arena.
pub(crate) fn open_arena() {
    // SAFETY: one thread, and the borrow ends here.
    unsafe { (*HEAP.arena.get()).open(CAPACITY) }
}

/// Room for so many blocks in a row, of `bytes` together, each of which is freed by itself:
/// how the gateway hands over many texts in one call. Null where the arena has none.
#[unsafe(export_name = "tollgate_blocks")]
extern "C" fn blocks(count: usize, bytes: usize) -> *mut u8 {
    // SAFETY: one thread, and the borrow ends before anything else happens.
    let place = unsafe { (*HEAP.arena.get()).place_row(count, bytes, align_of::<Memory>()) };
    match place {
        // SAFETY: the arena places blocks within its capacity.
        Some(offset) => unsafe { HEAP.base().add(offset) },
        None => std::ptr::null_mut(),
    }
}

impl Heap {
    fn base(&self) -> *mut u8 {
        self.memory.get().cast()
    }

    /// Where in the arena a block lies.
    fn offset(&self, block: *mut u8) -> Option<usize> {
        let offset = block.addr().wrapping_sub(self.base().addr());
        (offset < CAPACITY).then_some(offset)
    }
}

// SAFETY: a block is either a place in the arena, aligned relative to a base that is
// aligned to 16 and never overlapping another (tested in `arena`), or comes from `System`
// and goes back there. Alignments above 16 are left to `System`.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if layout.align() <= align_of::<Memory>() {
            // SAFETY: one thread, and the borrow ends before anything else happens.
            let place = unsafe { (*self.arena.get()).place(layout.size(), layout.align()) };
            if let Some(offset) = place {
                // SAFETY: the arena places blocks within its capacity.
                return unsafe { self.base().add(offset) };
            }
        }
        // SAFETY: the caller keeps the contract of `GlobalAlloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        match self.offset(block) {
            // SAFETY: one thread, and the borrow ends here.
            Some(offset) => unsafe { (*self.arena.get()).free(offset, layout.size()) },
            // SAFETY: the block is not the arena's, so it is the system's.
            None => unsafe { System.dealloc(block, layout) },
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        let Some(offset) = self.offset(block) else {
            // SAFETY: the block is not the arena's, so it is the system's.
            return unsafe { System.realloc(block, layout, new_size) };
        };
        // SAFETY: one thread, and the borrow ends here.
        if unsafe { (*self.arena.get()).resize(offset, layout.size(), new_size) } {
            return block;
        }
        // SAFETY: as `GlobalAlloc::realloc` itself does it: a new block of the same
        // alignment, the shorter of both lengths copied, the old one freed once.
        unsafe {
            let moved = self.alloc(Layout::from_size_align_unchecked(new_size, layout.align()));
            if !moved.is_null() {
                moved.copy_from_nonoverlapping(block, layout.size().min(new_size));
                self.dealloc(block, layout);
            }
            moved
        }
    }
}
