//! The canonical ABI between the host and a guest that runs without its component.
//!
//! [`Lift`] reads values out of a guest's memory, [`Lowering`] writes them there. Only
//! what the contract uses is here. A guest may say anything: every pointer, length,
//! case and text is checked, and what a call may make the host hold is bounded.
//! Source: the component model's `CanonicalABI.md`.

mod layout;
mod lift;
mod lower;
mod types;

pub(crate) use lift::{Args, Broken, Lift, Reader};
pub(crate) use lower::{Lower, Lowering, Wanted};
pub(crate) use types::Flat;
