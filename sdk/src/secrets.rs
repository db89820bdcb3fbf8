//! Secrets, by the name that the configuration gives them. Needs the grant `secrets`.
//!
//! ```
//! use tollgate_sdk::{secrets, testing};
//!
//! testing::set_secret("signing-key", b"k");
//! assert_eq!(secrets::get("signing-key").unwrap(), b"k");
//! ```

#[cfg(target_arch = "wasm32")]
use crate::bindings::tollgate::policy::secrets as host;
#[cfg(not(target_arch = "wasm32"))]
use crate::testing::host::secrets as host;

/// Why there is no secret.
///
/// ```
/// use tollgate_sdk::secrets;
///
/// assert_eq!(secrets::get("not-mine"), Err(secrets::Error::Denied));
/// ```
pub use crate::bindings::tollgate::policy::secrets::Error;

/// Reads a secret. It is read again each time, so a rotated one is seen at once.
///
/// ```
/// use tollgate_sdk::secrets;
///
/// fn key() -> Option<Vec<u8>> {
///     secrets::get("signing-key").ok()
/// }
/// # key();
/// ```
///
/// # Errors
/// The policy was not granted this secret, or its source cannot be read now.
pub fn get(name: &str) -> Result<Vec<u8>, Error> {
    host::get(name)
}
