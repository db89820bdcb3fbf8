//! Write Tollgate policies in Rust.
//!
//! A policy is a type with an [`impl Policy`](Policy) under the attribute
//! [`#[policy]`](macro@policy). The gateway opens one value of it for each exchange and
//! calls the hooks that are written, and only those. A hook reads the message that it
//! is given, edits it, and says with a [`Verdict`] what happens next.
//!
//! ```
//! use tollgate_sdk::prelude::*;
//!
//! /// Refuses prompts that are too long for the model behind this route.
//! #[derive(Deserialize, JsonSchema)]
//! #[serde(deny_unknown_fields)]
//! pub struct Settings {
//!     /// The longest request body, in bytes.
//!     bytes_max: u64,
//! }
//!
//! pub struct ShortPrompts {
//!     settings: &'static Settings,
//!     bytes: u64,
//! }
//!
//! #[policy]
//! impl Policy for ShortPrompts {
//!     type Settings = Settings;
//!
//!     fn open(settings: &'static Settings, head: &Head) -> Self {
//!         Self { settings, bytes: head.body_bytes().unwrap_or(0) }
//!     }
//!
//!     fn on_request(&mut self, request: &mut Request) -> Verdict {
//!         if self.bytes > self.settings.bytes_max {
//!             return Verdict::refuse(413, "prompt_too_long", "This prompt is too long.");
//!         }
//!         request.set_header("x-prompt-bytes", self.bytes.to_string());
//!         Verdict::next()
//!     }
//! }
//!
//! // A native test, with plain `cargo test`:
//! use tollgate_sdk::testing::{Exchange, Run};
//! let run = Run::<ShortPrompts>::new(serde_json::json!({ "bytes_max": 1000 }));
//! let mut session = run.open(Exchange::chat());
//! let decided = session.request();
//! assert!(decided.is_next());
//! assert!(decided.header("x-prompt-bytes").is_some());
//! ```
//!
//! Built with `cargo build --release --target wasm32-unknown-unknown`, the `.wasm` file
//! is the plugin. What it calls is what it may do: a module such as [`kv`] or
//! [`limits`] that is used has to be granted in the gateway's configuration.
//!
//! | to | see |
//! |---|---|
//! | say what is configured, and check it | [`Policy::Settings`], [`Policy::check`] |
//! | read and edit | [`Message`], [`Request`], [`Response`] |
//! | decide | [`Verdict`] |
//! | work on a stream | [`Event`], [`Events`] |
//! | edit parsed JSON | [`pointer`] |
//! | use a capability | [`log`], [`metrics`], [`clock`], [`random`], [`secrets`], [`geo`], [`kv`], [`limits`], [`http`], [`cache`], [`shadow`], [`endpoints`] |
//! | test | [`testing`] |

#![warn(missing_docs)]

extern crate self as tollgate_sdk;

/// The pages whose examples have to compile.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
#[doc = include_str!("../../docs/writing-policies.md")]
#[doc = include_str!("../../docs/hooks-by-example.md")]
#[doc = include_str!("../../docs/streaming.md")]
#[doc = include_str!("../../docs/state-and-budgets.md")]
struct Pages;

#[doc(hidden)]
#[allow(
    missing_docs,
    unreachable_pub,
    unsafe_code,
    unused_qualifications,
    clippy::all,
    reason = "written by wit-bindgen"
)]
pub mod bindings;
#[cfg(target_arch = "wasm32")]
#[doc(hidden)]
pub mod guest;

pub mod cache;
pub mod clock;
pub mod endpoints;
pub mod geo;
pub mod http;
pub mod kv;
pub mod limits;
pub mod log;
pub mod metrics;
pub mod pointer;
pub mod random;
pub mod secrets;
pub mod shadow;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;

mod head;
#[cfg(any(test, all(target_arch = "wasm32", feature = "heap")))]
mod heap;
mod message;
mod overlay;
mod policy;
mod sample;
mod session;
mod settings;
mod stream;
mod types;
mod value;
mod verdict;

pub use head::Head;
pub use message::{Message, Request, Response, is_framing_header};
pub use policy::{Described, Hooks, Needs, Policy};
pub use stream::{Choice, Event, Events, Kind, ToolCallDelta};
pub use tollgate_sdk_macros::policy;
pub use types::{
    Answer, Destination, Ending, Expectation, Header, Outcome, RawEvent, Refusal, Sample, Target,
    Usage, Value, Verdict,
};

/// What nearly every policy names, to be had with one line.
///
/// ```
/// use tollgate_sdk::prelude::*;
///
/// struct Idle;
///
/// #[policy]
/// impl Policy for Idle {
///     type Settings = NoSettings;
///
///     fn open(_settings: &'static NoSettings, _head: &Head) -> Self {
///         Self
///     }
/// }
/// # fn main() {}
/// ```
pub mod prelude {
    pub use schemars::JsonSchema;
    pub use serde::Deserialize;

    pub use crate::{
        Answer, Event, Events, Head, Hooks, Kind, Needs, NoSettings, Outcome, Policy, RawEvent,
        Request, Response, Sample, Target, Usage, Value, Verdict, log, policy,
    };
}

pub use settings::{NoSettings, PolicySettings};
