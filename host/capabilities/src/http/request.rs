//! Checks what a plugin wants to send against its grant, without sending anything.
//!
//! A [`Checked`] request is on the list and carries no header that is the host's.

use bytes::Bytes;
use reqwest::{
    Method, StatusCode, Url,
    header::{HeaderMap, HeaderName, HeaderValue},
};
use tollgate_config::HttpCallGrant;

use super::{HttpError, HttpRequest};

const URL_BYTES: usize = 8 * 1024;
const HEADERS_MAX: usize = 64;
const HEADER_BYTES: usize = 32 * 1024;

/// Framing, routing and hop-by-hop: the host writes these or nobody does.
const HOSTS_OWN: [&str; 13] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// What stays when a redirect leads to another origin: nothing that could be a key.
const ANY_ORIGIN: [&str; 5] = [
    "accept",
    "accept-language",
    "content-language",
    "content-type",
    "user-agent",
];

/// A request that may be sent.
#[derive(Debug, Clone)]
pub(super) struct Checked {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Checked {
    pub(super) fn new(request: HttpRequest, grant: &HttpCallGrant) -> Result<Self, HttpError> {
        Ok(Self {
            method: method(&request.method)?,
            url: listed(&request.url, None, grant)?,
            headers: headers(&request.headers)?,
            body: request.body,
        })
    }

    /// The request that a redirect asks for, as browsers do it: 303, and 301 and 302
    /// after a POST, become a GET.
    pub(super) fn redirected(
        mut self,
        status: StatusCode,
        location: &str,
        grant: &HttpCallGrant,
    ) -> Result<Self, HttpError> {
        let url = listed(location, Some(&self.url), grant)
            .map_err(|error| HttpError::Denied(format!("a redirect: {error}")))?;
        let to_get = match status {
            StatusCode::SEE_OTHER => self.method != Method::HEAD,
            StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND => self.method == Method::POST,
            _ => false,
        };
        if to_get {
            self.method = Method::GET;
            self.body = Bytes::new();
            self.headers.remove("content-type");
        }
        if origin(&url) != origin(&self.url) {
            let kept = |name: &HeaderName| ANY_ORIGIN.contains(&name.as_str());
            self.headers = self
                .headers
                .iter()
                .filter(|(name, _)| kept(name))
                .map(owned)
                .collect();
        }
        self.url = url;
        Ok(self)
    }
}

/// Whether a response's header is for the plugin to see.
pub(super) fn is_end_to_end(name: &HeaderName) -> bool {
    name == "content-length" || !HOSTS_OWN.contains(&name.as_str())
}

fn owned((name, value): (&HeaderName, &HeaderValue)) -> (HeaderName, HeaderValue) {
    (name.clone(), value.clone())
}

fn denied<T>(reason: impl Into<String>) -> Result<T, HttpError> {
    Err(HttpError::Denied(reason.into()))
}

fn method(text: &str) -> Result<Method, HttpError> {
    match Method::from_bytes(text.as_bytes()) {
        Ok(method) if method != Method::CONNECT && method != Method::TRACE => Ok(method),
        _ => denied("the method"),
    }
}

/// Parses once; what is matched is what is called.
fn listed(text: &str, base: Option<&Url>, grant: &HttpCallGrant) -> Result<Url, HttpError> {
    if text.len() > URL_BYTES {
        return denied("the URL is too long");
    }
    let parsed = match base {
        Some(base) => base.join(text),
        None => Url::parse(text),
    };
    let Ok(mut url) = parsed else {
        return denied("the URL cannot be read");
    };
    if !url.username().is_empty() || url.password().is_some() {
        return denied("the URL carries a user or password");
    }
    url.set_fragment(None);
    let asked = origin(&url);
    let is_listed = asked.is_some()
        && grant
            .hosts
            .iter()
            .any(|host| Url::parse(host).is_ok_and(|host| origin(&host) == asked));
    if is_listed {
        Ok(url)
    } else {
        denied(format!("{} is not on the list", shown(&url)))
    }
}

/// Scheme, host and port of an `http` or `https` URL, in their one normal form.
fn origin(url: &Url) -> Option<(&str, &str, u16)> {
    let is_http = matches!(url.scheme(), "http" | "https");
    is_http.then_some((url.scheme(), url.host_str()?, url.port_or_known_default()?))
}

fn shown(url: &Url) -> String {
    match origin(url) {
        Some((scheme, host, port)) => format!("{scheme}://{host}:{port}"),
        None => format!("the scheme {}", url.scheme()),
    }
}

fn headers(given: &[(String, Vec<u8>)]) -> Result<HeaderMap, HttpError> {
    let bytes: usize = given
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum();
    if given.len() > HEADERS_MAX || bytes > HEADER_BYTES {
        return denied("too many headers");
    }
    let mut headers = HeaderMap::with_capacity(given.len());
    for (name, value) in given {
        let Ok(name) = HeaderName::from_bytes(name.as_bytes()) else {
            return denied("the name of a header");
        };
        let Ok(mut value) = HeaderValue::from_bytes(value) else {
            return denied(format!("the value of the header {name}"));
        };
        if HOSTS_OWN.contains(&name.as_str()) {
            return denied(format!("the header {name}"));
        }
        value.set_sensitive(true);
        headers.append(name, value);
    }
    Ok(headers)
}

#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;
