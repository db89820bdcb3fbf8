//! The allocator of the gateway, mimalloc ("Mimalloc: Free List Sharding in Action", Daan Leijen,
//! Benjamin Zorn and Leonardo de Moura, APLAS 2019).
//!
//! Exchanges allocate on one thread and free on another; the system's allocator pays for that
//! and for large blocks, of which an instance has many.

use std::alloc::{GlobalAlloc, Layout};

use libmimalloc_sys::{
    mi_free, mi_malloc, mi_malloc_aligned, mi_realloc, mi_realloc_aligned, mi_zalloc,
    mi_zalloc_aligned,
};

/// A block of this size or more is aligned to so much (`MI_MAX_ALIGN_SIZE`). A smaller one is
/// aligned to its size, if that is a power of two.
const ALIGNED: usize = 16;

/// mimalloc, asked for an alignment only where a block would not have it by itself. Asked for
/// one, mimalloc takes a slower way wherever a block's size is no power of two and none of it is
/// at hand, and makes the block larger.
///
/// ```
/// #[global_allocator]
/// static ALLOCATOR: tollgate::allocator::Allocator = tollgate::allocator::Allocator;
///
/// assert_eq!(vec![1, 2, 3].len(), 3);
/// ```
#[derive(Debug)]
pub struct Allocator;

/// Whether a block of `size` is aligned as wanted by itself.
#[inline]
fn is_aligned(align: usize, size: usize) -> bool {
    align <= ALIGNED && align <= size
}

#[expect(
    unsafe_code,
    reason = "an allocator is one: each call goes to mimalloc as it came, but for an alignment \
              that its block has anyway; a block may be freed by itself however it was asked for"
)]
unsafe impl GlobalAlloc for Allocator {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let (size, align) = (layout.size(), layout.align());
        match is_aligned(align, size) {
            true => unsafe { mi_malloc(size) }.cast(),
            false => unsafe { mi_malloc_aligned(size, align) }.cast(),
        }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        let (size, align) = (layout.size(), layout.align());
        match is_aligned(align, size) {
            true => unsafe { mi_zalloc(size) }.cast(),
            false => unsafe { mi_zalloc_aligned(size, align) }.cast(),
        }
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, _: Layout) {
        unsafe { mi_free(block.cast()) };
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let align = layout.align();
        match is_aligned(align, size) {
            true => unsafe { mi_realloc(block.cast(), size) }.cast(),
            false => unsafe { mi_realloc_aligned(block.cast(), size, align) }.cast(),
        }
    }
}

#[cfg(test)]
#[expect(unsafe_code, reason = "allocators are called so")]
mod tests {
    use super::*;

    #[test]
    fn every_block_is_aligned_as_it_was_asked_for_and_keeps_what_was_written() {
        let sizes = (1..=64).chain([96, 100, 1000, 1024, 1025, 5000, 70_000, 1 << 20]);
        for (size, shift) in sizes.flat_map(|size| (0..=7).map(move |shift| (size, shift))) {
            let layout = Layout::from_size_align(size, 1 << shift).unwrap();
            let check = |block: *mut u8| {
                assert!(!block.is_null());
                assert_eq!(block.addr() % layout.align(), 0, "{layout:?}");
            };
            // Several at once, so that not all are the first of a page.
            let blocks: Vec<_> = (0..3).map(|_| unsafe { Allocator.alloc(layout) }).collect();
            for block in blocks {
                check(block);
                unsafe { block.write_bytes(7, size) };
                let block = unsafe { Allocator.realloc(block, layout, 3 * size) };
                check(block);
                let kept = unsafe { std::slice::from_raw_parts(block, size) };
                assert!(kept.iter().all(|byte| *byte == 7), "{layout:?}");
                let layout = Layout::from_size_align(3 * size, layout.align()).unwrap();
                unsafe { Allocator.dealloc(block, layout) };
            }
            let block = unsafe { Allocator.alloc_zeroed(layout) };
            check(block);
            let zeroed = unsafe { std::slice::from_raw_parts(block, size) };
            assert!(zeroed.iter().all(|byte| *byte == 0), "{layout:?}");
            unsafe { Allocator.dealloc(block, layout) };
        }
    }
}
