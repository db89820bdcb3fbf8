//! Random numbers from the operating system's source, fit for keys. In native tests they
//! are the same in every run.
//!
//! ```
//! use tollgate_sdk::random;
//!
//! fn one_in_a_hundred() -> bool {
//!     random::next_u64() % 100 == 0
//! }
//! # one_in_a_hundred();
//! ```

#[cfg(target_arch = "wasm32")]
use crate::bindings::tollgate::policy::random as host;
#[cfg(not(target_arch = "wasm32"))]
use crate::testing::host::random as host;

/// A random number.
///
/// ```
/// use tollgate_sdk::random;
///
/// assert_ne!(random::next_u64(), random::next_u64());
/// ```
#[must_use]
pub fn next_u64() -> u64 {
    host::next_u64()
}

/// Random bytes, at most 4096 of them.
///
/// ```
/// assert_eq!(tollgate_sdk::random::bytes(16).len(), 16);
/// ```
#[must_use]
pub fn bytes(length: u32) -> Vec<u8> {
    host::bytes(length)
}
