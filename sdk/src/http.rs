//! Calls to hosts that the operator listed. Needs the grant `http-call`; a call counts against
//! the time of the exchange.
//!
//! ```
//! use std::time::Duration;
//! use tollgate_sdk::{http, testing};
//!
//! testing::answer_http(|call| {
//!     assert_eq!(call.url, "https://judge.example/v1");
//!     Ok(http::Response { status: 200, headers: Vec::new(), body: b"fine".to_vec() })
//! });
//! let judged = http::post("https://judge.example/v1").body("a prompt").timeout(Duration::from_millis(200)).send();
//! assert_eq!(judged.unwrap().body, b"fine");
//! ```

use std::time::Duration;

use crate::Header;
#[cfg(target_arch = "wasm32")]
use crate::bindings::tollgate::policy::http_call as host;
#[cfg(not(target_arch = "wasm32"))]
use crate::testing::host::http_call as host;

/// What came back.
///
/// ```
/// use tollgate_sdk::http::Response;
///
/// fn is_fine(response: &Response) -> bool {
///     response.status == 200
/// }
/// ```
pub use crate::bindings::tollgate::policy::http_call::Response;

/// A call as it is made.
///
/// ```
/// use tollgate_sdk::http::Request;
///
/// fn is_get(request: &Request) -> bool {
///     request.method == "GET"
/// }
/// ```
pub use crate::bindings::tollgate::policy::http_call::Request;

/// Why nothing came back.
///
/// ```
/// use tollgate_sdk::http;
///
/// assert!(matches!(http::get("https://not-listed.example").send(), Err(http::Error::Denied(_))));
/// ```
pub use crate::bindings::tollgate::policy::http_call::Error;

/// How long a call may take if nothing else is said; the operator's bound may be lower.
///
/// ```
/// assert_eq!(tollgate_sdk::http::TIMEOUT.as_secs(), 2);
/// ```
pub const TIMEOUT: Duration = Duration::from_secs(2);

/// A call that is being put together.
///
/// ```
/// use tollgate_sdk::http;
///
/// let call = http::get("https://judge.example/health").header("accept", "text/plain");
/// # let _ = call;
/// ```
#[derive(Debug, Clone)]
#[must_use = "nothing is sent before `send`"]
pub struct Call(Request);

/// A `GET`.
///
/// ```
/// let call = tollgate_sdk::http::get("https://judge.example/health");
/// # let _ = call;
/// ```
pub fn get(url: impl Into<String>) -> Call {
    call("GET", url)
}

/// A `POST`.
///
/// ```
/// let call = tollgate_sdk::http::post("https://judge.example/v1").body("a prompt");
/// # let _ = call;
/// ```
pub fn post(url: impl Into<String>) -> Call {
    call("POST", url)
}

/// A call with any method that the operator allows.
///
/// ```
/// let call = tollgate_sdk::http::call("PUT", "https://judge.example/v1");
/// # let _ = call;
/// ```
pub fn call(method: impl Into<String>, url: impl Into<String>) -> Call {
    Call(Request {
        method: method.into(),
        url: url.into(),
        headers: Vec::new(),
        body: Vec::new(),
        timeout_ms: milliseconds(TIMEOUT),
    })
}

impl Call {
    /// Adds a header.
    ///
    /// ```
    /// let call = tollgate_sdk::http::get("https://judge.example").header("x-by", "tollgate");
    /// # let _ = call;
    /// ```
    pub fn header(mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        self.0.headers.push(Header {
            name: name.into(),
            value: value.into(),
        });
        self
    }

    /// Sets the body.
    ///
    /// ```
    /// let call = tollgate_sdk::http::post("https://judge.example").body("a prompt");
    /// # let _ = call;
    /// ```
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.0.body = body.into();
        self
    }

    /// Sets how long the call may take.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let call = tollgate_sdk::http::get("https://judge.example").timeout(Duration::from_millis(50));
    /// # let _ = call;
    /// ```
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.0.timeout_ms = milliseconds(timeout);
        self
    }

    /// Makes the call and waits for the whole answer.
    ///
    /// ```
    /// use tollgate_sdk::http;
    ///
    /// fn is_up() -> bool {
    ///     http::get("https://judge.example/health").send().is_ok_and(|answer| answer.status == 200)
    /// }
    /// # assert!(!is_up());
    /// ```
    ///
    /// # Errors
    /// The call is not allowed, took too long, brought too much, or failed.
    pub fn send(self) -> Result<Response, Error> {
        host::send(&self.0)
    }
}

fn milliseconds(time: Duration) -> u32 {
    u32::try_from(time.as_millis()).unwrap_or(u32::MAX)
}
