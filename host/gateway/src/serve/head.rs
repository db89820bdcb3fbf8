//! What the head of a request says before its body: that it can be read in one way only,
//! and which host it is for.

use http::{HeaderMap, HeaderValue, Method, Request, Uri, Version, header};
use hyper::body::Incoming;
use tollgate_config::Limits;
use tollgate_sandbox::{PathFault, check_path};

use super::{errors::ServeError, headers, route::Asked};

/// Refuses what is ambiguous in a head, and what nobody serves.
///
/// # Errors
/// What it is.
pub(super) fn check(request: &Request<Incoming>, limits: &Limits) -> Result<(), ServeError> {
    let headers = request.headers();
    if matches!(*request.method(), Method::CONNECT | Method::TRACE) {
        return Err(ServeError::Method);
    }
    if headers::bytes(headers) + start_bytes(request) > limits.request_header_bytes {
        return Err(ServeError::HeadersTooLarge(limits.request_header_bytes));
    }
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    let is_chunked = codings
        .next()
        .map(|coding| coding.as_bytes().eq_ignore_ascii_case(b"chunked"));
    let has_length = headers.contains_key(header::CONTENT_LENGTH);
    if is_chunked == Some(false) || codings.next().is_some() || (is_chunked.is_some() && has_length)
    {
        return Err(ServeError::Framing);
    }
    if headers
        .get_all(header::EXPECT)
        .iter()
        .any(|expect| !expect.as_bytes().eq_ignore_ascii_case(b"100-continue"))
    {
        return Err(ServeError::Expectation);
    }
    match request.uri().path_and_query() {
        Some(path) => check_path(path.as_str())?,
        None if request.uri().scheme().is_some() => {}
        None => return Err(PathFault::Relative.into()),
    }
    Ok(())
}

/// Of the method and of the path with its query: policies are shown all of them.
fn start_bytes<T>(request: &Request<T>) -> usize {
    let path = request.uri().path_and_query();
    request.method().as_str().len() + path.map_or(0, |path| path.as_str().len())
}

/// What a route is found by.
///
/// # Errors
/// [`ServeError::Host`].
pub(super) fn asked(request: &Request<Incoming>) -> Result<Asked<'_>, ServeError> {
    let (uri, headers) = (request.uri(), request.headers());
    check_host(uri, headers, request.version())?;
    let host = match headers.get(header::HOST) {
        Some(host) => host_name(host),
        None => uri.host().unwrap_or_default(),
    };
    Ok(Asked {
        method: request.method(),
        path: uri.path(),
        host,
        headers,
    })
}

/// One host, well formed, and the same one wherever it is named.
fn check_host(uri: &Uri, headers: &HeaderMap, version: Version) -> Result<(), ServeError> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let host = hosts.next();
    let authority = uri
        .authority()
        .map(|authority| authority.as_str().as_bytes());
    let sane = |host: &[u8]| {
        !host.is_empty()
            && host
                .iter()
                .all(|byte| byte.is_ascii_alphanumeric() || b".-_:[]~%".contains(byte))
    };
    let agree = match (host.map(HeaderValue::as_bytes), authority) {
        (Some(host), Some(authority)) => sane(host) && host.eq_ignore_ascii_case(authority),
        (Some(named), None) | (None, Some(named)) => {
            sane(named) && (host.is_some() || version != Version::HTTP_11)
        }
        (None, None) => version == Version::HTTP_10,
    };
    if agree && hosts.next().is_none() {
        Ok(())
    } else {
        Err(ServeError::Host)
    }
}

/// The one host, as it goes on.
///
/// # Errors
/// [`ServeError::Host`].
pub(super) fn host(
    uri: &Uri,
    headers: &HeaderMap,
    version: Version,
) -> Result<HeaderValue, ServeError> {
    check_host(uri, headers, version)?;
    if let Some(host) = headers.get(header::HOST) {
        return Ok(host.clone());
    }
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    HeaderValue::from_str(authority).map_err(|_| ServeError::Host)
}

/// The host without its port.
pub(super) fn host_name(host: &HeaderValue) -> &str {
    let host = host.to_str().unwrap_or_default();
    match host.rfind(':') {
        Some(at) if !host[at..].contains(']') => &host[..at],
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agree(uri: &str, hosts: &[&str], version: Version) -> bool {
        let mut headers = HeaderMap::new();
        for host in hosts {
            headers.append(header::HOST, HeaderValue::from_str(host).unwrap());
        }
        check_host(&uri.parse().unwrap(), &headers, version).is_ok()
    }

    #[test]
    fn a_request_names_one_host_and_no_other() {
        for (uri, hosts, version, fine) in [
            ("/x", &["a.example:8080"][..], Version::HTTP_11, true),
            ("/x", &["[::1]:80"], Version::HTTP_11, true),
            ("http://a.example/x", &["A.example"], Version::HTTP_11, true),
            ("http://a.example/x", &[], Version::HTTP_2, true),
            ("/x", &[], Version::HTTP_10, true),
            ("/x", &[], Version::HTTP_11, false),
            ("http://a.example/x", &[], Version::HTTP_11, false),
            (
                "http://a.example/x",
                &["b.example"],
                Version::HTTP_11,
                false,
            ),
            ("http://a.example/x", &["b.example"], Version::HTTP_2, false),
            ("/x", &["a", "a"], Version::HTTP_11, false),
            ("/x", &["a/b@c"], Version::HTTP_11, false),
            ("/x", &["a,b"], Version::HTTP_11, false),
            ("/x", &[""], Version::HTTP_11, false),
        ] {
            assert_eq!(
                agree(uri, hosts, version),
                fine,
                "{uri} {hosts:?} {version:?}"
            );
        }
    }

    #[test]
    fn method_path_and_query_count_toward_the_bound_of_a_head() {
        let request = Request::builder()
            .method("PATCH")
            .uri("http://a.example/x?yz=1");
        assert_eq!(start_bytes(&request.body(()).unwrap()), 5 + 7);
        let request = Request::builder().method("OPTIONS").uri("*");
        assert_eq!(start_bytes(&request.body(()).unwrap()), 7 + 1);
    }

    #[test]
    fn the_port_is_no_part_of_a_hosts_name() {
        for (host, name) in [
            ("a:80", "a"),
            ("a", "a"),
            ("[::1]:80", "[::1]"),
            ("[::1]", "[::1]"),
        ] {
            assert_eq!(host_name(&HeaderValue::from_static(host)), name);
        }
    }
}
