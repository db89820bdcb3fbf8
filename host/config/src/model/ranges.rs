//! How far numbers may go: `resolve` refuses what is beyond, and the schema says so.

pub(crate) const PERCENT_MAX: u32 = 100;
/// Errors, failures or successes, one after the other.
pub(crate) const IN_A_ROW_MAX: u32 = 1_000;
/// Requests without which a window says nothing.
pub(crate) const MIN_REQUESTS_MAX: u32 = 100_000;
/// Requests that something is tried with after a pause.
pub(crate) const PROBES_MAX: u32 = 100;
/// Of one model.
pub(crate) const TARGETS_MAX: usize = 1_000;
/// So that the weights of a model's targets always add up within 32 bits.
pub(crate) const TARGET_WEIGHT_MAX: u32 = 1_000_000;
pub(crate) const CONNECTIONS_MAX: u32 = 1_000_000;
pub(crate) const JSON_DEPTH_MAX: u32 = 120;
pub(crate) const UPGRADES_MAX: u32 = 1_000_000;
pub(crate) const MIRRORS_MAX: u32 = 100_000;
pub(crate) const HOST_CALLS_MAX: u32 = 10_000_000;
pub(crate) const EDITS_MAX: u32 = 10_000_000;
pub(crate) const LOG_LINES_MAX: u32 = 10_000;
pub(crate) const REMEMBERED_DECISIONS_MAX: u32 = 65_536;
/// Calls over HTTP in one exchange.
pub(crate) const CALLS_MAX: u32 = 1_000;
