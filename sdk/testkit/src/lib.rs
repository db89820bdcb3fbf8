//! Runs a policy in the real sandbox, from a plain test, and says what it cost.
//!
//! The native tests of the SDK are for the logic; these show that the same policy
//! loads, keeps to its grants and stays within its limits as WebAssembly. The
//! sandbox is the gateway's own.
//!
//! ```no_run
//! use serde_json::json;
//! use tollgate_testkit::{Exchange, Plugin};
//!
//! let plugin = Plugin::build(env!("CARGO_MANIFEST_DIR")).unwrap();
//! let policy = plugin.settings(json!({ "greeting": "hello" })).load().unwrap();
//! let run = policy.run(Exchange::post("/v1/chat/completions").json(json!({ "model": "m" }))).unwrap();
//! assert_eq!(run.request.headers["x-greeting"], "hello");
//! println!("{}", run.report);
//! ```

/// The page whose examples have to compile. It stands here and not with the SDK's, since it shows this crate, too.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/testing.md")]
struct Page;

mod build;
mod exchange;
mod plugin;
mod report;

pub use build::BuildError;
pub use exchange::{Exchange, Run, RunError};
pub use plugin::{Loaded, Plugin};
pub use report::Report;
pub use tollgate_capabilities::GeoFileError;
pub use tollgate_config::{Grants, HttpCallGrant, Isolation, SandboxLimits};
pub use tollgate_sandbox::{Failure, LoadError, contract};
