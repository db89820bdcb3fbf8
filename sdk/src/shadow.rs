//! Copies of requests for a second destination. Needs the grant `shadow`.
//!
//! The host makes the copy of the request as the route's policies leave it, sends it, takes the
//! answer and records it; nobody is given it. The client feels none of it, and under load there
//! is none.
//!
//! ```
//! use tollgate_sdk::{shadow, Destination, Request, Verdict};
//!
//! fn on_request(request: &mut Request) -> Verdict {
//!     if request.fact("tier").as_deref() == Some("beta") {
//!         // A copy that cannot be asked for is none.
//!         let _ = shadow::to_model("llama-next");
//!     }
//!     Verdict::next()
//! }
//! ```

use crate::Destination;
#[cfg(target_arch = "wasm32")]
use crate::bindings::tollgate::policy::shadow as host;
#[cfg(not(target_arch = "wasm32"))]
use crate::testing::host::shadow as host;

/// Why there will be no copy.
///
/// ```
/// use tollgate_sdk::{shadow::{self, Error}, Destination};
///
/// let nowhere = Destination { model: None, upstream: None };
/// assert_eq!(shadow::send_to(nowhere), Err(Error::Nowhere));
/// ```
pub use crate::bindings::tollgate::policy::shadow::Error;

/// Has a copy of the request that is being asked about go there. One request has one copy: a
/// later call replaces an earlier one.
///
/// ```
/// use tollgate_sdk::{shadow, testing, Destination};
///
/// let to = Destination { model: None, upstream: Some("spare".to_owned()) };
/// shadow::send_to(to.clone()).unwrap();
/// assert_eq!(testing::shadowed(), Some(to));
/// ```
///
/// # Errors
/// It leads nowhere, or it is not `on_request` that asks.
pub fn send_to(to: Destination) -> Result<(), Error> {
    host::send_to(&to)
}

/// The same, to a model by its name.
///
/// ```
/// use tollgate_sdk::{shadow, testing};
///
/// shadow::to_model("llama-next").unwrap();
/// assert_eq!(testing::shadowed().unwrap().model.as_deref(), Some("llama-next"));
/// ```
///
/// # Errors
/// As [`send_to`].
pub fn to_model(model: impl Into<String>) -> Result<(), Error> {
    send_to(Destination {
        model: Some(model.into()),
        upstream: None,
    })
}
