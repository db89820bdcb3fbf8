//! What authors of plugins are given: a crate to start from, a build, a look at any
//! plugin's file, and the cases run.
//!
//! Everything here can be called as a library; what a person is told is the command
//! line's business. Knows nothing of generations or of serving.

pub mod build;
mod leash;
pub mod new;
mod settings;
pub(crate) mod sources;
pub mod test;
pub mod toolchain;

pub use settings::setting_lines;
