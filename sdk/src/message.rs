//! Requests and responses as hooks see them: read on demand, edited in place.
//!
//! Nothing crosses the boundary until it is asked for, and edits cross it once, at the
//! end of the hook, as part of the decision.

use std::ops::{Deref, DerefMut};

use serde::de::DeserializeOwned;

#[cfg(target_arch = "wasm32")]
pub(crate) use crate::bindings::tollgate::policy::exchange::Message as Source;
#[cfg(not(target_arch = "wasm32"))]
pub(crate) use crate::testing::Source;
use crate::{
    Header, Needs, Value,
    bindings::tollgate::policy::types::{Decision, Edit, Verdict},
    overlay,
};

const BODY_STEP: u32 = 64 * 1024;

/// What requests and responses have in common. Reads see the edits made before.
///
/// ```
/// use tollgate_sdk::Message;
///
/// fn is_json(message: &Message) -> bool {
///     message.header_str("content-type").is_some_and(|value| value.starts_with("application/json"))
/// }
/// ```
pub struct Message<'a> {
    source: &'a Source,
    edits: Vec<Edit>,
    side: Side,
    needs: Needs,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Request,
    Response,
}

impl Message<'_> {
    /// The first value of a header; the name in any case.
    ///
    /// ```
    /// use tollgate_sdk::Request;
    ///
    /// fn has_key(request: &Request) -> bool {
    ///     request.header("authorization").is_some()
    /// }
    /// ```
    #[must_use]
    pub fn header(&self, name: &str) -> Option<Vec<u8>> {
        if self.edits.is_empty() {
            return self.source.header(name);
        }
        overlay::header(&self.edits, name, || self.source.header(name))
    }

    /// The first value of a header as text; `None` also if it is not UTF-8. A policy
    /// that guards access should read [`header`](Self::header) and refuse the latter.
    ///
    /// ```
    /// use tollgate_sdk::Request;
    ///
    /// fn tier(request: &Request) -> String {
    ///     request.header_str("x-tier").unwrap_or_else(|| "free".to_owned())
    /// }
    /// ```
    #[must_use]
    pub fn header_str(&self, name: &str) -> Option<String> {
        self.header(name)
            .and_then(|value| String::from_utf8(value).ok())
    }

    /// The first values of several headers, in one call to the host.
    ///
    /// ```
    /// use tollgate_sdk::Request;
    ///
    /// fn keys(request: &Request) -> usize {
    ///     request.headers(&["authorization", "x-api-key"]).iter().flatten().count()
    /// }
    /// ```
    #[must_use]
    pub fn headers(&self, names: &[&str]) -> Vec<Option<Vec<u8>>> {
        let owned: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let values = self.source.headers(&owned);
        names
            .iter()
            .zip(values)
            .map(|(name, value)| overlay::header(&self.edits, name, || value))
            .collect()
    }

    /// Sets a header, in place of all its values. A message has no end of headers that
    /// only the host writes, such as `content-length`: setting one fails the decision.
    ///
    /// ```
    /// use tollgate_sdk::Request;
    ///
    /// fn mark(request: &mut Request) {
    ///     request.set_header("x-checked", "yes");
    /// }
    /// ```
    pub fn set_header(&mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) {
        self.edits.push(Edit::SetHeader(Header {
            name: name.into(),
            value: value.into(),
        }));
    }

    /// Adds a value to a header.
    ///
    /// ```
    /// use tollgate_sdk::Response;
    ///
    /// fn tag(response: &mut Response) {
    ///     response.append_header("vary", "x-tier");
    /// }
    /// ```
    pub fn append_header(&mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) {
        self.edits.push(Edit::AppendHeader(Header {
            name: name.into(),
            value: value.into(),
        }));
    }

    /// Removes a header with all its values.
    ///
    /// ```
    /// use tollgate_sdk::Request;
    ///
    /// fn strip(request: &mut Request) {
    ///     request.remove_header("x-internal");
    /// }
    /// ```
    pub fn remove_header(&mut self, name: impl Into<String>) {
        self.edits.push(Edit::RemoveHeader(name.into()));
    }

    /// The field at a JSON pointer; `None` where there is none, or the body is not JSON.
    ///
    /// ```
    /// use tollgate_sdk::{Request, Value};
    ///
    /// fn is_hot(request: &Request) -> bool {
    ///     matches!(request.json_value("/temperature"), Some(Value::Number(heat)) if heat > 1.0)
    /// }
    /// ```
    ///
    /// # Panics
    /// If the policy does not say `#[policy(needs(request_json))]` (or `response_json`).
    #[must_use]
    pub fn json_value(&self, pointer: &str) -> Option<Value> {
        self.demand_json();
        if self.edits.is_empty() {
            return self.source.json(pointer);
        }
        overlay::json(&self.edits, pointer, |pointer| self.source.json(pointer))
    }

    /// The field at a JSON pointer as a Rust type; `None` also if it is of another kind.
    ///
    /// ```
    /// use tollgate_sdk::Request;
    ///
    /// fn tokens_max(request: &Request) -> u64 {
    ///     request.json("/max_tokens").unwrap_or(1024)
    /// }
    /// ```
    ///
    /// # Panics
    /// As [`json_value`](Self::json_value).
    #[must_use]
    pub fn json<T: DeserializeOwned>(&self, pointer: &str) -> Option<T> {
        self.json_value(pointer)?.parse()
    }

    /// The field at a JSON pointer if it is a string.
    ///
    /// ```
    /// use tollgate_sdk::Request;
    ///
    /// fn is_small(request: &Request) -> bool {
    ///     request.json_str("/model").is_some_and(|model| model.ends_with("-small"))
    /// }
    /// ```
    ///
    /// # Panics
    /// As [`json_value`](Self::json_value).
    #[must_use]
    pub fn json_str(&self, pointer: &str) -> Option<String> {
        match self.json_value(pointer)? {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Several fields in one call to the host.
    ///
    /// ```
    /// use tollgate_sdk::Request;
    ///
    /// fn is_capped(request: &Request) -> bool {
    ///     request.json_values(&["/max_tokens", "/max_completion_tokens"]).iter().any(Option::is_some)
    /// }
    /// ```
    ///
    /// # Panics
    /// As [`json_value`](Self::json_value).
    #[must_use]
    pub fn json_values(&self, pointers: &[&str]) -> Vec<Option<Value>> {
        self.demand_json();
        if !self.edits.is_empty() {
            return pointers
                .iter()
                .map(|pointer| self.json_value(pointer))
                .collect();
        }
        let owned: Vec<String> = pointers
            .iter()
            .map(|pointer| (*pointer).to_owned())
            .collect();
        self.source.json_many(&owned)
    }

    /// Sets the field at a JSON pointer and creates the objects that are missing. In an
    /// array, `-` appends. Use [`Value::of`] for lists and structs.
    ///
    /// ```
    /// use tollgate_sdk::{Request, Value};
    ///
    /// fn tame(request: &mut Request) {
    ///     request.set_json("/temperature", 0.2);
    ///     request.set_json("/stop", Value::of(&["\n\n"]));
    /// }
    /// ```
    pub fn set_json(&mut self, pointer: impl Into<String>, value: impl Into<Value>) {
        self.edits
            .push(Edit::SetJson((pointer.into(), value.into())));
    }

    /// Removes the field at a JSON pointer, if it is there.
    ///
    /// ```
    /// use tollgate_sdk::Request;
    ///
    /// fn forget(request: &mut Request) {
    ///     request.remove_json("/logit_bias");
    /// }
    /// ```
    pub fn remove_json(&mut self, pointer: impl Into<String>) {
        self.edits.push(Edit::RemoveJson(pointer.into()));
    }

    /// The body, at most its first `bytes_max` bytes.
    ///
    /// ```
    /// use tollgate_sdk::Request;
    ///
    /// fn starts_with_a_brace(request: &Request) -> bool {
    ///     request.body(1) == b"{"
    /// }
    /// ```
    ///
    /// # Panics
    /// If the policy does not say `#[policy(needs(request_body))]` (or `response_body`).
    #[must_use]
    pub fn body(&self, bytes_max: usize) -> Vec<u8> {
        self.demand_body();
        if !self.edits.iter().any(edits_body) {
            return self.read_body(bytes_max);
        }
        let mut body = overlay::body(&self.edits, || self.read_body(usize::MAX));
        body.truncate(bytes_max);
        body
    }

    /// Replaces the whole body. The host writes its length.
    ///
    /// ```
    /// use tollgate_sdk::Response;
    ///
    /// fn blank(response: &mut Response) {
    ///     response.replace_body("{}");
    /// }
    /// ```
    pub fn replace_body(&mut self, body: impl Into<Vec<u8>>) {
        self.edits.push(Edit::ReplaceBody(body.into()));
    }

    /// A fact that this or an earlier policy set, such as `caller`.
    ///
    /// ```
    /// use tollgate_sdk::Request;
    ///
    /// fn team(request: &Request) -> Option<String> {
    ///     request.fact("team")
    /// }
    /// ```
    #[must_use]
    pub fn fact(&self, name: &str) -> Option<String> {
        overlay::fact(&self.edits, name)
            .map(str::to_owned)
            .or_else(|| self.source.fact(name))
    }

    /// Sets a fact for later policies and the access log. Never a secret.
    ///
    /// ```
    /// use tollgate_sdk::Request;
    ///
    /// fn sort(request: &mut Request) {
    ///     request.set_fact("team", "search");
    /// }
    /// ```
    pub fn set_fact(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.edits.push(Edit::SetFact((name.into(), value.into())));
    }

    fn read_body(&self, bytes_max: usize) -> Vec<u8> {
        let mut body: Vec<u8> = Vec::new();
        while body.len() < bytes_max {
            let step = u32::try_from(bytes_max - body.len())
                .unwrap_or(u32::MAX)
                .min(BODY_STEP);
            let part = self.source.body(body.len() as u64, step);
            let is_end = part.len() < step as usize;
            body.extend_from_slice(&part);
            if is_end {
                break;
            }
        }
        body
    }

    fn demand_json(&self) {
        let (at_hand, need) = match self.side {
            Side::Request => (self.needs.request_json, "request_json"),
            Side::Response => (self.needs.response_json, "response_json"),
        };
        assert!(
            at_hand,
            "a JSON field was read, but the policy does not say `#[policy(needs({need}))]`, or its `narrow` leaves that out"
        );
    }

    fn demand_body(&self) {
        let (at_hand, need) = match self.side {
            Side::Request => (self.needs.request_body, "request_body"),
            Side::Response => (self.needs.response_body, "response_body"),
        };
        assert!(
            at_hand,
            "the body was read, but the policy does not say `#[policy(needs({need}))]`, or its `narrow` leaves that out"
        );
    }
}

fn edits_body(edit: &Edit) -> bool {
    matches!(
        edit,
        Edit::ReplaceBody(_) | Edit::SetJson(_) | Edit::RemoveJson(_)
    )
}

/// A request. What it shares with responses is on [`Message`].
///
/// ```
/// use tollgate_sdk::{Request, Verdict};
///
/// fn on_request(request: &mut Request) -> Verdict {
///     if request.header("x-debug").is_some() {
///         request.remove_header("x-debug");
///         request.set_path("/v1/debug");
///     }
///     Verdict::next()
/// }
/// ```
pub struct Request<'a> {
    message: Message<'a>,
    leaves: bool,
}

impl<'a> Request<'a> {
    pub(crate) fn new(source: &'a Source, needs: Needs) -> Self {
        Self {
            message: Message {
                source,
                edits: Vec::new(),
                side: Side::Request,
                needs,
            },
            leaves: false,
        }
    }

    /// In [`on_request`](crate::Policy::on_request): says that the policy wants no other hook of
    /// this session. None of them is called, so its instance serves the next exchange at once;
    /// and what was decided here by the request alone can be remembered for requests that are
    /// alike. In another hook it says nothing.
    ///
    /// Where a stream comes though `head.streaming` said that none was asked for (a later policy
    /// may ask, or an upstream do as it likes), a policy with a hook for events is asked about
    /// it all the same: in a new session, which opens with `head.streaming` before the first
    /// event, as one of a policy that was not asked about the request does, but with the
    /// caller and tier that this one was told. It is asked about events and the end alone. What the first session held by
    /// [`limits::hold_tokens`](crate::limits::hold_tokens) is given back before that.
    ///
    /// ```
    /// use tollgate_sdk::prelude::*;
    ///
    /// fn on_request(is_logged: bool, request: &mut Request) -> Verdict {
    ///     if !is_logged {
    ///         request.leave();
    ///     }
    ///     Verdict::next()
    /// }
    /// ```
    pub fn leave(&mut self) {
        self.leaves = true;
    }

    pub(crate) fn leaves(&self) -> bool {
        self.leaves
    }

    pub(crate) fn decide(self, verdict: Verdict) -> Decision {
        Decision {
            verdict,
            edits: self.message.edits,
        }
    }

    /// Sets the method.
    ///
    /// ```
    /// use tollgate_sdk::Request;
    ///
    /// fn post(request: &mut Request) {
    ///     request.set_method("POST");
    /// }
    /// ```
    pub fn set_method(&mut self, method: impl Into<String>) {
        self.message.edits.push(Edit::SetMethod(method.into()));
    }

    /// Sets path and query.
    ///
    /// ```
    /// use tollgate_sdk::Request;
    ///
    /// fn complete(request: &mut Request) {
    ///     request.set_path("/v1/completions");
    /// }
    /// ```
    pub fn set_path(&mut self, path: impl Into<String>) {
        self.message.edits.push(Edit::SetPath(path.into()));
    }
}

impl<'a> Deref for Request<'a> {
    type Target = Message<'a>;

    fn deref(&self) -> &Message<'a> {
        &self.message
    }
}

impl<'a> DerefMut for Request<'a> {
    fn deref_mut(&mut self) -> &mut Message<'a> {
        &mut self.message
    }
}

/// A response. What it shares with requests is on [`Message`].
///
/// ```
/// use tollgate_sdk::{Response, Verdict};
///
/// fn on_response(response: &mut Response) -> Verdict {
///     if response.status() == 500 {
///         response.set_status(502);
///     }
///     Verdict::next()
/// }
/// ```
pub struct Response<'a> {
    message: Message<'a>,
    status: u16,
}

impl<'a> Response<'a> {
    pub(crate) fn new(status: u16, source: &'a Source, needs: Needs) -> Self {
        Self {
            message: Message {
                source,
                edits: Vec::new(),
                side: Side::Response,
                needs,
            },
            status,
        }
    }

    pub(crate) fn decide(self, verdict: Verdict) -> Decision {
        Decision {
            verdict,
            edits: self.message.edits,
        }
    }

    /// The status, as it is now.
    ///
    /// ```
    /// use tollgate_sdk::Response;
    ///
    /// fn failed(response: &Response) -> bool {
    ///     response.status() >= 400
    /// }
    /// ```
    #[must_use]
    pub fn status(&self) -> u16 {
        self.status
    }

    /// Sets the status.
    ///
    /// ```
    /// use tollgate_sdk::Response;
    ///
    /// fn hide(response: &mut Response) {
    ///     response.set_status(502);
    /// }
    /// ```
    pub fn set_status(&mut self, status: u16) {
        self.status = status;
        self.message.edits.push(Edit::SetStatus(status));
    }
}

impl<'a> Deref for Response<'a> {
    type Target = Message<'a>;

    fn deref(&self) -> &Message<'a> {
        &self.message
    }
}

impl<'a> DerefMut for Response<'a> {
    fn deref_mut(&mut self) -> &mut Message<'a> {
        &mut self.message
    }
}

/// Whether only the host writes a header: it frames a message or belongs to one
/// connection. A policy that edits one has its decision refused.
///
/// ```
/// assert!(tollgate_sdk::is_framing_header("Content-Length"));
/// assert!(!tollgate_sdk::is_framing_header("authorization"));
/// ```
#[must_use]
pub fn is_framing_header(name: &str) -> bool {
    const FRAMING: [&str; 10] = [
        "connection",
        "content-length",
        "expect",
        "host",
        "http2-settings",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    ];
    let name = name.to_ascii_lowercase();
    name.starts_with("proxy-") || FRAMING.contains(&name.as_str())
}
