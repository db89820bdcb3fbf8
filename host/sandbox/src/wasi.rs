//! What components of other languages' tools get of WASI 0.2, and what stands in for
//! the rest.
//!
//! Their runtimes ask for clocks, random numbers and somewhere to write whether or not
//! a policy does. These are answered from the same capabilities as the contract's
//! own. There is nothing of the machine behind any of it: no environment, no files, no
//! sockets, nothing to read and nothing to wait for.

mod lines;
mod link;
mod names;
mod types;

pub(crate) use lines::Lines;
pub(crate) use link::link;
pub(crate) use names::{Refused, interface};

/// Where a component writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stream {
    Out,
    Err,
}

/// What is behind the functions that are given: an exchange, or a guest that is only being
/// configured.
pub(crate) trait Machine: Send + 'static {
    /// Counts a call.
    ///
    /// # Errors
    /// A trap, when there were too many.
    fn enter(&mut self) -> wasmtime::Result<()>;

    /// Counts the items of one call as calls, but for the first.
    ///
    /// # Errors
    /// As [`Machine::enter`].
    fn enter_for(&mut self, items: usize) -> wasmtime::Result<()>;

    /// Milliseconds since 1970.
    fn now_ms(&mut self) -> wasmtime::Result<u64>;

    /// Microseconds since some start; never goes back.
    fn monotonic_us(&mut self) -> wasmtime::Result<u64>;

    /// Fit for keys.
    fn random(&mut self, bytes: &mut [u8]) -> wasmtime::Result<()>;

    /// Fit for seeds of hash tables.
    fn insecure_random(&mut self, bytes: &mut [u8]) -> wasmtime::Result<()>;

    fn write(&mut self, stream: Stream, bytes: &[u8]);

    /// A resource was handed out, which a snapshot could not hold.
    fn handed_out(&mut self) {}

    /// It was given back.
    fn given_back(&mut self) {}
}
