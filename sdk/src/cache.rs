//! Answers that the host keeps, and gives to requests that are alike. Needs the grant `cache`.
//!
//! A plan is made in `on_request` and says what tells requests apart. The host looks an answer
//! up, stores it and shares one that is under way; a policy is never shown a stored answer as
//! such.
//!
//! ```
//! use std::time::Duration;
//! use tollgate_sdk::{cache::{self, Plan}, Request, Verdict};
//!
//! fn on_request(request: &mut Request) -> Verdict {
//!     if let Some(text) = request.json_str("/input") {
//!         // A plan that cannot be made is a request that is not cached.
//!         let _ = cache::plan(Plan::new(text, Duration::from_secs(60)));
//!     }
//!     Verdict::next()
//! }
//! ```

use std::time::Duration;

#[cfg(target_arch = "wasm32")]
use crate::bindings::tollgate::policy::cache as host;
#[cfg(not(target_arch = "wasm32"))]
use crate::testing::host::cache as host;

/// What an answer is, and so whom it can serve.
///
/// ```
/// use std::time::Duration;
/// use tollgate_sdk::cache::{Kind, Plan};
///
/// assert_eq!(Plan::new("key", Duration::from_secs(1)).kind, Kind::AsItCame);
/// ```
pub use crate::bindings::tollgate::policy::cache::Kind;

/// What is to become of an answer.
///
/// ```
/// use std::time::Duration;
/// use tollgate_sdk::cache::{Kind, Plan};
///
/// let plan = Plan { kind: Kind::ChatCompletion, ..Plan::new("key", Duration::from_secs(60)) };
/// assert_eq!(plan.ttl_ms, 60_000);
/// ```
pub use crate::bindings::tollgate::policy::cache::Plan;

/// Why a plan was not taken.
///
/// ```
/// use std::time::Duration;
/// use tollgate_sdk::cache::{self, Error, Plan};
///
/// let long = vec![0; 2 << 20];
/// assert_eq!(cache::plan(Plan::new(long, Duration::from_secs(1))), Err(Error::TooLarge));
/// ```
pub use crate::bindings::tollgate::policy::cache::Error;

impl Plan {
    /// Gives a stored answer of any age within its time, stores, and shares.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tollgate_sdk::cache::Plan;
    ///
    /// assert!(Plan::new("key", Duration::from_secs(1)).store);
    /// ```
    #[must_use]
    pub fn new(key: impl Into<Vec<u8>>, lives: Duration) -> Self {
        Self {
            key: key.into(),
            kind: Kind::AsItCame,
            ttl_ms: u64::try_from(lives.as_millis()).unwrap_or(u64::MAX),
            look_up: true,
            max_age_ms: None,
            store: true,
            stream_usage: false,
        }
    }
}

/// Plans what becomes of the answer to the request that is being asked about.
///
/// ```
/// use std::time::Duration;
/// use tollgate_sdk::{cache::{self, Plan}, testing};
///
/// cache::plan(Plan::new("key", Duration::from_secs(1))).unwrap();
/// assert_eq!(testing::planned().unwrap().key, b"key");
/// ```
///
/// # Errors
/// The key is too long, or it is not `on_request` that asks.
pub fn plan(plan: Plan) -> Result<(), Error> {
    host::set_plan(&plan)
}
