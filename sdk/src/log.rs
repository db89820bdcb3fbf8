//! Lines for the gateway's log, bounded in number and length. Never log a secret.
//!
//! ```
//! use tollgate_sdk::log;
//!
//! fn on_event_of_note(count: usize) {
//!     log::info(&format!("{count} rules matched"));
//!     log::write(log::Level::Warn, "slow", &[("rule", "first")]);
//! }
//! # on_event_of_note(1);
//! # assert_eq!(tollgate_sdk::testing::logged().len(), 2);
//! ```

#[cfg(target_arch = "wasm32")]
use crate::bindings::tollgate::policy::log as host;
#[cfg(not(target_arch = "wasm32"))]
use crate::testing::host::log as host;

/// How much a line matters.
///
/// ```
/// use tollgate_sdk::log::Level;
///
/// assert!(Level::Debug < Level::Error);
/// ```
pub use crate::bindings::tollgate::policy::log::Level;

/// Writes a line with fields.
///
/// ```
/// use tollgate_sdk::log;
///
/// log::write(log::Level::Info, "matched", &[("rule", "first")]);
/// ```
pub fn write(level: Level, message: &str, fields: &[(&str, &str)]) {
    let fields: Vec<(String, String)> = fields
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    host::write(level, message, &fields);
}

/// For whoever debugs the policy.
///
/// ```
/// tollgate_sdk::log::debug("the second rule was skipped");
/// ```
pub fn debug(message: &str) {
    host::write(Level::Debug, message, &[]);
}

/// For the operator to know.
///
/// ```
/// tollgate_sdk::log::info("the first rule matched");
/// ```
pub fn info(message: &str) {
    host::write(Level::Info, message, &[]);
}

/// For the operator to look at.
///
/// ```
/// tollgate_sdk::log::warn("the list is older than a day");
/// ```
pub fn warn(message: &str) {
    host::write(Level::Warn, message, &[]);
}

/// For the operator to act on.
///
/// ```
/// tollgate_sdk::log::error("the list cannot be read");
/// ```
pub fn error(message: &str) {
    host::write(Level::Error, message, &[]);
}
