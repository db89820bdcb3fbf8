//! Calls of a plugin to hosts that the operator listed.
//!
//! The URL that was checked is the one that is called: parsed once, matched by
//! scheme, host and port. Redirects are followed here, each checked like the first.

mod address;
mod embedded;
mod request;

pub use embedded::EmbeddedHttp;

use std::time::Duration;

use bytes::Bytes;
use tollgate_config::HttpCallGrant;

use crate::Answer;

/// What a plugin wants to send.
#[derive(Debug, Clone)]
pub struct HttpRequest {
    /// Any but `CONNECT` and `TRACE`.
    pub method: String,
    /// Absolute, with a listed scheme, host and port.
    pub url: String,
    /// Without `host`, framing and hop-by-hop headers: those are the host's.
    pub headers: Vec<(String, Vec<u8>)>,
    /// Sent with its length.
    pub body: Bytes,
    /// Bounded further by the grant and by what is left of the exchange.
    pub timeout: Duration,
}

/// What came back, after redirects.
#[derive(Debug, Clone)]
pub struct HttpResponse {
    /// As the last host sent it; any status is a response.
    pub status: u16,
    /// Names in lower case; without framing and hop-by-hop headers.
    pub headers: Vec<(String, Vec<u8>)>,
    /// Whole.
    pub body: Bytes,
}

/// Why there is no response.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HttpError {
    /// The URL, the method, a header, a redirect or an address is not allowed.
    #[error("denied: {0}")]
    Denied(String),
    /// The deadline passed.
    #[error("timed out")]
    TimedOut,
    /// The response's headers and body are longer than the grant allows.
    #[error("the response is too large")]
    TooLarge,
    /// Too many calls in this exchange. Counted by the sandbox.
    #[error("too many calls in this exchange")]
    TooMany,
    /// The host could not be reached, or broke off.
    #[error("failed: {0}")]
    Failed(String),
}

/// Sends requests to granted hosts.
pub trait HttpCaller: Send + Sync {
    /// Sends one request. `remaining` is what is left of the exchange; dropping
    /// the answer cancels the call. [`HttpCallGrant::max_calls`] is the caller's to count.
    fn send(
        &self,
        request: HttpRequest,
        grant: &HttpCallGrant,
        remaining: Duration,
    ) -> Answer<Result<HttpResponse, HttpError>>;
}

/// Refuses every call.
#[derive(Debug, Clone, Copy)]
pub struct RefusedHttp {
    /// What [`HttpError::Failed`] says.
    pub reason: &'static str,
}

impl HttpCaller for RefusedHttp {
    fn send(
        &self,
        _request: HttpRequest,
        _grant: &HttpCallGrant,
        _remaining: Duration,
    ) -> Answer<Result<HttpResponse, HttpError>> {
        Answer::Ready(Err(HttpError::Failed(self.reason.into())))
    }
}
