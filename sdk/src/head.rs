//! What a session is told when it opens.

use std::{
    fmt,
    sync::atomic::{AtomicU32, Ordering::Relaxed},
};

use crate::bindings::tollgate::policy::types;

/// What a session looked at that is another in nearly every exchange, a bit each. The gateway
/// reads it here: a decision that came about without can be remembered for requests that are
/// otherwise alike.
#[cfg_attr(target_arch = "wasm32", unsafe(export_name = "tollgate_seen"))]
#[cfg_attr(
    target_arch = "wasm32",
    expect(unsafe_code, reason = "a name of its own for the gateway to find")
)]
static SEEN: AtomicU32 = AtomicU32::new(0);

const BODY_BYTES: u32 = 1;
const DEADLINE: u32 = 1 << 1;
const HAS_BODY: u32 = 1 << 2;
/// Not looked at but said: see [`Request::leave`](crate::Request::leave).
#[cfg(target_arch = "wasm32")]
const LEAVES: u32 = 1 << 3;
/// Not looked at but said: see [`Described::STATELESS`](crate::Described::STATELESS).
#[cfg(target_arch = "wasm32")]
const STATELESS: u32 = 1 << 31;

/// What the host already knows when a session opens.
///
/// ```
/// use tollgate_sdk::Head;
///
/// fn is_anonymous(head: &Head) -> bool {
///     head.caller.is_none()
/// }
/// ```
///
/// In native tests it is made by [`testing::Exchange`](crate::testing::Exchange).
#[derive(Clone)]
pub struct Head {
    /// The name of the route that matched.
    pub route: String,
    /// Such as `POST`.
    pub method: String,
    /// Path and query, the very bytes that are routed and sent.
    pub path: String,
    /// The model that the client asked for, if the route reads it.
    pub model: Option<String>,
    /// Who calls, as an earlier policy established it.
    pub caller: Option<String>,
    /// The caller's tier, as an earlier policy established it.
    pub tier: Option<String>,
    /// Whether the client asked for a stream.
    pub streaming: bool,
    pub(crate) body_bytes: Option<u64>,
    pub(crate) deadline_ms: u32,
}

impl Head {
    /// Length of the request body in bytes, where it is known.
    ///
    /// Ask for it only where it decides something: a decision that it had no part in can be
    /// remembered for bodies of any length.
    ///
    /// ```
    /// use tollgate_sdk::Head;
    ///
    /// fn is_long(head: &Head) -> bool {
    ///     head.body_bytes().is_none_or(|bytes| bytes > 100_000)
    /// }
    /// ```
    #[must_use]
    pub fn body_bytes(&self) -> Option<u64> {
        see(BODY_BYTES);
        self.body_bytes
    }

    /// Whether there is a request body. One of no known length is taken for one, but for the
    /// methods GET, HEAD and OPTIONS. As with [`body_bytes`](Self::body_bytes), ask for it only
    /// where it decides something.
    ///
    /// ```
    /// use tollgate_sdk::Head;
    ///
    /// fn calls_a_model(head: &Head) -> bool {
    ///     head.has_body()
    /// }
    /// ```
    #[must_use]
    pub fn has_body(&self) -> bool {
        see(HAS_BODY);
        match self.body_bytes {
            Some(bytes) => bytes > 0,
            None => !matches!(self.method.as_str(), "GET" | "HEAD" | "OPTIONS"),
        }
    }

    /// Time left for the whole exchange, in milliseconds. As with
    /// [`body_bytes`](Self::body_bytes), ask for it only where it decides something.
    ///
    /// ```
    /// use tollgate_sdk::Head;
    ///
    /// fn is_in_a_hurry(head: &Head) -> bool {
    ///     head.deadline_ms() < 1000
    /// }
    /// ```
    #[must_use]
    pub fn deadline_ms(&self) -> u32 {
        see(DEADLINE);
        self.deadline_ms
    }
}

/// Without the body's length and the time that is left: who shows it has not asked for them.
impl fmt::Debug for Head {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Head")
            .field("route", &self.route)
            .field("method", &self.method)
            .field("path", &self.path)
            .field("model", &self.model)
            .field("caller", &self.caller)
            .field("tier", &self.tier)
            .field("streaming", &self.streaming)
            .finish_non_exhaustive()
    }
}

fn see(what: u32) {
    SEEN.fetch_or(what, Relaxed);
}

/// A session opens, and has seen nothing yet.
#[cfg(target_arch = "wasm32")]
pub(crate) fn begin(is_stateless: bool) {
    SEEN.store(if is_stateless { STATELESS } else { 0 }, Relaxed);
}

/// The session wants no other hook.
#[cfg(target_arch = "wasm32")]
pub(crate) fn leave() {
    see(LEAVES);
}

impl From<types::Head> for Head {
    fn from(head: types::Head) -> Self {
        Self {
            route: head.route,
            method: head.method,
            path: head.path,
            model: head.model,
            caller: head.caller,
            tier: head.tier,
            streaming: head.streaming,
            body_bytes: head.body_bytes,
            deadline_ms: head.deadline_ms,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_is_seen_and_nothing_else() {
        let head = Head::from(types::Head {
            route: "chat".to_owned(),
            method: "POST".to_owned(),
            path: "/".to_owned(),
            model: None,
            caller: None,
            tier: None,
            streaming: false,
            body_bytes: Some(777),
            deadline_ms: 999,
        });
        SEEN.store(0, Relaxed);
        let shown = format!("{:?}", head.clone());
        assert!(!shown.contains("777") && !shown.contains("999"), "{shown}");
        assert_eq!(SEEN.load(Relaxed), 0);
        assert_eq!(head.clone().body_bytes(), Some(777));
        assert_eq!(SEEN.load(Relaxed), BODY_BYTES);
        assert_eq!(head.deadline_ms(), 999);
        assert_eq!(SEEN.load(Relaxed), BODY_BYTES | DEADLINE);
        assert!(head.has_body());
        assert_eq!(SEEN.load(Relaxed), BODY_BYTES | DEADLINE | HAS_BODY);
    }
}
