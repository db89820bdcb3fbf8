//! The control path: files in, generations out.
//!
//! `watch` says when to look, `snapshot` takes files that belong together, and
//! `candidate` brings them, type by type, to a generation that may go live; `reload`
//! is the loop around them. Whatever fails on the way, the generation before goes on.

mod ask;
mod candidate;
mod composition;
mod files;
mod first;
mod first_ticks;
mod generations;
mod interest;
mod needed;
mod picture;
mod places;
mod refused;
mod reload;
mod snapshot;
mod status;
#[cfg(test)]
mod tests;
mod watch;

pub use ask::Reloaded;
pub(crate) use ask::Reloads;
pub use composition::Warning;
pub(crate) use composition::{warn_of, warnings};
pub(crate) use first::First;
pub use refused::{Refused, Stage};
pub(crate) use reload::{Reloader, Reports, note_drained};
pub(crate) use status::Status;
