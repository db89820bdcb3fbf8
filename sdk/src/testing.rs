//! Runs a policy natively, in plain `cargo test`: no wasm, no gateway.
//!
//! A [`Run`] is a policy with its settings. It opens a [`Session`] on an [`Exchange`]; the
//! session's methods are the hooks, and answer with what was decided and how the message
//! looks after it. Capabilities go to a world of the test's own thread: a clock that
//! stands still until [`advance`], a working key-value store and limits, secrets from
//! [`set_secret`], places from [`set_place`], calls answered by [`answer_http`].
//!
//! ```
//! use tollgate_sdk::{prelude::*, testing::{Exchange, Run, complete}};
//!
//! struct Count {
//!     words: usize,
//! }
//!
//! #[policy]
//! impl Policy for Count {
//!     type Settings = NoSettings;
//!
//!     fn open(_settings: &'static NoSettings, _head: &Head) -> Self {
//!         Self { words: 0 }
//!     }
//!
//!     fn on_event(&mut self, event: &mut Event) {
//!         self.words += event.text().map_or(0, |text| text.split_whitespace().count());
//!     }
//!
//!     fn on_finish(&mut self, _outcome: &Outcome) {
//!         log::info(&format!("{} words", self.words));
//!     }
//! }
//!
//! # fn main() {
//! let run = Run::<Count>::new(serde_json::json!({}));
//! let mut session = run.open(Exchange::chat().streaming());
//! let sent = session.events([RawEvent::text("two words"), RawEvent::done()]);
//! assert_eq!(sent.events.len(), 2);
//! session.finish(&complete(None));
//! assert_eq!(tollgate_sdk::testing::logged(), ["2 words"]);
//! # }
//! ```

mod charges;
mod decided;
mod exchange;
pub(crate) mod host;
mod limits;
mod run;
mod session;
mod source;
mod world;

pub use decided::{Decided, Sent};
pub use exchange::{Exchange, complete, ended};
pub use run::Run;
pub use session::Session;
pub(crate) use source::Source;
pub use world::{
    advance, answer_http, counted, idle, logged, planned, set_place, set_secret, shadowed,
};
