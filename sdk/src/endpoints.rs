//! The endpoints that a try may go to, for [`on_pick`](crate::Policy::on_pick). Needs the grant
//! `endpoints`.
//!
//! The gateway leaves alone what is out of use, balances among the rest by the upstream's own
//! way, and asks a policy that is attached to the target and has the hook what it thinks of
//! each. So a scheduler is a policy like any other.
//!
//! ```
//! use tollgate_sdk::{Target, endpoints::Endpoint, prelude::*, testing::{Exchange, Run, idle}};
//!
//! /// The shortest queue wins, whatever the gateway itself has sent.
//! struct ShortestQueue;
//!
//! #[policy]
//! impl Policy for ShortestQueue {
//!     type Settings = NoSettings;
//!
//!     fn open(_settings: &'static NoSettings, _head: &Head) -> Self {
//!         Self
//!     }
//!
//!     fn on_pick(&mut self, _target: &Target, _request: &Request, endpoints: &[Endpoint]) -> Vec<f64> {
//!         endpoints.iter().map(|endpoint| -f64::from(endpoint.waiting.unwrap_or(0))).collect()
//!     }
//! }
//!
//! # fn main() {
//! let target = Target { upstream: "vllm".into(), dialect: "openai".into(), model: None, attempt: 1 };
//! let endpoints = [Endpoint { waiting: Some(3), ..idle("a:80") }, idle("b:80")];
//! let mut session = Run::<ShortestQueue>::new(serde_json::json!({})).open(Exchange::chat());
//! assert_eq!(session.pick(&target, &endpoints), [-3.0, 0.0]);
//! # }
//! ```

#[cfg(target_arch = "wasm32")]
use crate::bindings::tollgate::policy::endpoints as host;
#[cfg(not(target_arch = "wasm32"))]
use crate::testing::host::endpoints as host;
use crate::{Policy, Request, Target};

/// One of them, and how busy it is.
///
/// ```
/// use tollgate_sdk::endpoints::Endpoint;
///
/// fn is_idle(endpoint: &Endpoint) -> bool {
///     endpoint.in_flight == 0 && endpoint.waiting.unwrap_or(0) == 0
/// }
/// ```
pub use crate::bindings::tollgate::policy::endpoints::Endpoint;

/// Has the policy score what there is to choose from. What it cannot say does not count, and the
/// upstream's own way decides.
pub(crate) fn score<P: Policy>(policy: &mut P, target: &Target, request: &Request) {
    let candidates = host::candidates();
    if candidates.is_empty() {
        return;
    }
    let scores = policy.on_pick(target, request, &candidates);
    if scores.is_empty() {
        return;
    }
    if let Err(error) = host::set_scores(&scores) {
        let (scores, endpoints) = (scores.len(), candidates.len());
        panic!(
            "on_pick gave {scores} scores for {endpoints} endpoints: {error:?}; each needs one that is a finite number"
        );
    }
}
