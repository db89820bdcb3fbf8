//! The first heap of a plugin: a static arena in front of the ordinary allocator.
//!
//! Growing memory is the dearest thing that a fresh instance can do, and scattered blocks
//! make it touch more pages. So what sessions allocate comes out of one static block;
//! settings, which are made before, do not, and what does not fit goes to dlmalloc.

mod arena;

#[cfg(target_arch = "wasm32")]
mod global;
#[cfg(target_arch = "wasm32")]
pub(crate) use global::open_arena;
