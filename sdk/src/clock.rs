//! The time. In native tests it stands still until it is told to move on.
//!
//! ```
//! use tollgate_sdk::{clock, testing};
//!
//! let before = clock::now_ms();
//! testing::advance(std::time::Duration::from_secs(1));
//! assert_eq!(clock::now_ms(), before + 1000);
//! ```

#[cfg(target_arch = "wasm32")]
use crate::bindings::tollgate::policy::clock as host;
#[cfg(not(target_arch = "wasm32"))]
use crate::testing::host::clock as host;

/// Milliseconds since 1970-01-01T00:00:00Z.
///
/// ```
/// assert!(tollgate_sdk::clock::now_ms() > 0);
/// ```
#[must_use]
pub fn now_ms() -> u64 {
    host::now_ms()
}

/// Microseconds since an arbitrary start; never goes back.
///
/// ```
/// use tollgate_sdk::clock;
///
/// let start = clock::monotonic_us();
/// assert!(clock::monotonic_us() >= start);
/// ```
#[must_use]
pub fn monotonic_us() -> u64 {
    host::monotonic_us()
}
