//! How often an attempt may be made again, and how long to wait before it.
//!
//! A [`Budget`] bounds the retries of all exchanges together, [`Backoff`] and
//! [`asked_pause`] say when the next one may begin. Which failures are worth a retry is
//! for others to say.

mod backoff;
mod budget;
mod retry_after;

pub use backoff::Backoff;
pub use budget::{Budget, BudgetSettings, Exhausted};
pub use retry_after::{PAUSE_MAX, asked_pause};
