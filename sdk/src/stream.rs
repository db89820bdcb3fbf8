//! The events of a stream, typed.
//!
//! An event that nobody looks into is neither parsed nor sent back: it is kept. One that
//! is edited is spliced, so that everything else in it stays as the upstream wrote it.

mod batch;
mod chunk;
mod event;
mod named;
mod raw;

pub use batch::Events;
pub use chunk::{Choice, ToolCallDelta};
pub use event::{Event, Kind};
