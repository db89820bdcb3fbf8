//! Runs a plugin's own module, without the component around it.
//!
//! What the SDK builds is one core module. Its component adds two more and a call path
//! that serves any interface; the contract's is known, so the host speaks the canonical
//! ABI with the module itself. Such an instance can also be put back to its snapshot in
//! place: the compiling child made every store mark the block that it writes to.
//! Components of other tools, and modules with something in them that could not be put
//! back, run as components; both give the same answers.

mod guest;
mod imports;
mod link;
mod pristine;

pub(crate) use guest::{Direct, Guest, tell_hook};
pub(crate) use imports::add_to_linker;
pub(crate) use link::{
    BLOCKS, Entry, Export, Import, Link, MANY, MAP_BLOCK, MAP_START, SEEN, STRADDLE, Word, revision,
};
pub(crate) use pristine::{Pages, Pristine};
