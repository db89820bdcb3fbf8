//! A policy's own metrics, shown as `tollgate_plugin_…{policy="…"}`. Names and label
//! values are bounded; beyond the bound they are counted together.
//!
//! ```
//! use tollgate_sdk::metrics;
//!
//! metrics::count("refused", &[("reason", "too_long")], 1);
//! assert_eq!(tollgate_sdk::testing::counted("refused"), 1);
//! ```

#[cfg(target_arch = "wasm32")]
use crate::bindings::tollgate::policy::metrics as host;
#[cfg(not(target_arch = "wasm32"))]
use crate::testing::host::metrics as host;

/// Adds to a counter.
///
/// ```
/// tollgate_sdk::metrics::count("matched", &[("rule", "first")], 1);
/// ```
pub fn count(name: &str, labels: &[(&str, &str)], by: u64) {
    host::count(name, &owned(labels), by);
}

/// Sets a gauge.
///
/// ```
/// tollgate_sdk::metrics::gauge("list_age_seconds", &[], 12.5);
/// ```
pub fn gauge(name: &str, labels: &[(&str, &str)], value: f64) {
    host::gauge(name, &owned(labels), value);
}

fn owned(labels: &[(&str, &str)]) -> Vec<(String, String)> {
    labels
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}
