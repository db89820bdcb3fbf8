//! Keys and values, kept by the host for all exchanges of this plugin; they survive a
//! swap. Each call is atomic. Needs the grant `kv`.
//!
//! ```
//! use std::time::Duration;
//! use tollgate_sdk::kv;
//!
//! let seen = kv::increment("seen", 1, Some(Duration::from_secs(60))).unwrap();
//! assert_eq!(seen, 1);
//! ```

use std::time::Duration;

#[cfg(target_arch = "wasm32")]
use crate::bindings::tollgate::policy::kv as host;
#[cfg(not(target_arch = "wasm32"))]
use crate::testing::host::kv as host;

/// Why a call failed. Nothing was changed.
///
/// ```
/// use tollgate_sdk::kv;
///
/// kv::put("name", b"ann", None).unwrap();
/// assert_eq!(kv::increment("name", 1, None), Err(kv::Error::NotANumber));
/// ```
pub use crate::bindings::tollgate::policy::kv::Error;

/// The value of a key.
///
/// ```
/// assert_eq!(tollgate_sdk::kv::get("nothing"), Ok(None));
/// ```
///
/// # Errors
/// The store cannot be reached.
pub fn get(key: &str) -> Result<Option<Vec<u8>>, Error> {
    host::get(key)
}

/// Puts a value, for a time or for good.
///
/// ```
/// use tollgate_sdk::kv;
///
/// kv::put("name", b"ann", None).unwrap();
/// assert_eq!(kv::get("name"), Ok(Some(b"ann".to_vec())));
/// ```
///
/// # Errors
/// The plugin's share is used up, the key or value is too long, or the store cannot be
/// reached.
pub fn put(key: &str, value: &[u8], lives: Option<Duration>) -> Result<(), Error> {
    host::put(key, value, milliseconds(lives))
}

/// Removes a key, if it is there.
///
/// ```
/// assert_eq!(tollgate_sdk::kv::remove("nothing"), Ok(()));
/// ```
///
/// # Errors
/// The store cannot be reached.
pub fn remove(key: &str) -> Result<(), Error> {
    host::remove(key)
}

/// Puts a value if the present one is what was expected (`None`: nothing), and tells
/// whether it was.
///
/// ```
/// use tollgate_sdk::kv;
///
/// assert_eq!(kv::compare_and_put("leader", None, b"me", None), Ok(true));
/// assert_eq!(kv::compare_and_put("leader", None, b"you", None), Ok(false));
/// ```
///
/// # Errors
/// As [`put`].
pub fn compare_and_put(
    key: &str,
    expected: Option<&[u8]>,
    value: &[u8],
    lives: Option<Duration>,
) -> Result<bool, Error> {
    host::compare_and_put(key, expected, value, milliseconds(lives))
}

/// Adds to a number, from 0 if there is none, and returns it. It lives from its start
/// on; adding does not renew that.
///
/// ```
/// use tollgate_sdk::kv;
///
/// kv::increment("n", 2, None).unwrap();
/// assert_eq!(kv::increment("n", -1, None), Ok(1));
/// ```
///
/// # Errors
/// The value is not a number, or as [`put`].
pub fn increment(key: &str, by: i64, lives: Option<Duration>) -> Result<i64, Error> {
    host::increment(key, by, milliseconds(lives))
}

/// For good is 0, and a time of less than a millisecond is one.
fn milliseconds(lives: Option<Duration>) -> u32 {
    lives.map_or(0, |lives| {
        u32::try_from(lives.as_millis()).unwrap_or(u32::MAX).max(1)
    })
}
