//! Compiles plugins and runs their policies, each exchange in a sandbox of its own.
//!
//! The only crate that names wasmtime. Plain data goes in (a [`contract::Head`], a
//! [`Message`]) and comes out (a [`contract::Decision`]); what to do about a
//! [`Failure`] is the caller's business. Knows nothing of sockets or routes.

mod abi;
mod charge;
mod compile;
pub mod contract;
mod direct;
pub mod dry_run;
mod edit;
mod engine;
mod exports;
mod failure;
mod hook;
mod host;
mod inspect;
mod instance;
mod json;
mod message;
mod observed;
mod place;
mod policy;
mod prepared;
mod program;
mod prove;
mod recording;
mod sandbox;
mod session;
mod shard;
mod tender;
mod timed;
mod wasi;

pub use charge::Charge;
pub use compile::{compile_worker, may_cache_in};
pub use edit::{BadEdit, PathFault, Side, check_path};
pub use failure::{Failure, NotOpened, OutOfTime, Trapped};
pub use hook::Hook;
pub use host::ExchangeContext;
pub use inspect::{Inspected, Inspector, componentize, inspect};
pub use json::{Json, JsonEditError, JsonError, JsonFault, PromptPlaces, RequestFacts};
pub use message::{Given, Message, is_given};
pub use observed::{Changed, Field, Observed, Stage};
pub use policy::{About, FirstTick, Policy, PolicyStats, Recalled, Remembered};
pub use prepared::Prepared;
pub use recording::{Call, Part, Read, Recording, text as recorded_text, value as recorded_value};
pub use sandbox::{LoadError, PolicySpec, Sandbox, SandboxError, SandboxOptions, SettingError};
pub use session::{Session, Spent};
