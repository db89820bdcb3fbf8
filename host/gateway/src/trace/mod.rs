//! Exchanges shown to who watches: policy by policy, what was read, asked, decided and
//! changed.
//!
//! [`Watchers`] knows who looks and for what; while nobody does, an exchange pays one
//! load of a counter. An exchange that may be wanted gets a [`Journal`], which its policies
//! write to; at its end that becomes a [`Trace`], is [masked](mask), and goes to those whose
//! filter it fits. Bounded in bytes, pace and watchers; a watcher that is slow loses traces
//! and is told how many. Knows nothing of HTTP.

mod data;
mod filter;
mod journal;
mod mask;
mod page;
mod watchers;

pub use data::{
    Attempt, Call, Decision, Edit, Event, EventChange, Events, Failure, Line, Named, Read, Step,
    Tokens, Trace,
};
pub use filter::Filter;
pub(crate) use filter::Known;
pub use journal::Journal;
pub use mask::HIDDEN;
pub(crate) use mask::{Hidden, Values};
pub(crate) use page::{OPEN, Page, hook_name};
pub use watchers::{Busy, Next, Watch, Watchers};
