//! Who may speak to the admin port: nobody through a browser's back door.
//!
//! A name that an attacker's DNS points here (rebinding) is not ours, and a page of
//! another origin has no business here. Knows no route.

use std::net::{IpAddr, SocketAddr};

use axum::{
    extract::{Request, State},
    http::{HeaderMap, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};

/// The address that the operator wrote.
#[derive(Debug, Clone, Copy)]
pub(super) struct Configured(pub(super) SocketAddr);

/// Passes requests that name this machine and come from no foreign page.
pub(super) async fn check(
    State(configured): State<Configured>,
    request: Request,
    next: Next,
) -> Response {
    // A target in absolute form goes before the header (RFC 9112, 3.2.2).
    let named = request.uri().authority();
    let is_elsewhere = named.is_some_and(|named| !is_allowed(named.as_str(), configured));
    if is_elsewhere || !is_ours(request.headers(), configured) {
        let message = "this port answers to its own address alone\n";
        return (StatusCode::MISDIRECTED_REQUEST, message).into_response();
    }
    if is_foreign(request.headers(), configured) {
        return (
            StatusCode::FORBIDDEN,
            "this port answers no page of another origin\n",
        )
            .into_response();
    }
    next.run(request).await
}

fn is_ours(headers: &HeaderMap, configured: Configured) -> bool {
    let mut hosts = headers.get_all(header::HOST).iter();
    match (
        hosts.next().and_then(|host| host.to_str().ok()),
        hosts.next(),
    ) {
        (Some(host), None) => is_allowed(host, configured),
        _ => false,
    }
}

fn is_foreign(headers: &HeaderMap, configured: Configured) -> bool {
    let origin = headers.get(header::ORIGIN).is_some_and(|origin| {
        let host = origin
            .to_str()
            .ok()
            .and_then(|origin| origin.split_once("://"));
        !host.is_some_and(|(_, host)| is_allowed(host, configured))
    });
    let site = headers.get("sec-fetch-site");
    origin || site.is_some_and(|site| site != "same-origin" && site != "none")
}

/// Loopback by name or address, or the configured address; any address where that
/// is the unspecified one, since an address cannot be rebound.
fn is_allowed(host: &str, Configured(configured): Configured) -> bool {
    let name = without_port(host);
    if name.eq_ignore_ascii_case("localhost") {
        return true;
    }
    let literal = name
        .strip_prefix('[')
        .and_then(|name| name.strip_suffix(']'))
        .unwrap_or(name);
    literal.parse::<IpAddr>().is_ok_and(|address| {
        address.is_loopback() || address == configured.ip() || configured.ip().is_unspecified()
    })
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port))
            if port.bytes().all(|byte| byte.is_ascii_digit()) && !name.ends_with(':') =>
        {
            // An IPv6 address has to be in brackets before a port.
            if name.contains(':') && !name.ends_with(']') {
                host
            } else {
                name
            }
        }
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configured(addr: &str) -> Configured {
        Configured(addr.parse().unwrap())
    }

    #[test]
    fn a_host_is_allowed_if_no_dns_can_make_it_ours() {
        let loopback = configured("127.0.0.1:9901");
        for host in [
            "localhost",
            "localhost:9901",
            "LOCALHOST",
            "127.0.0.1:9901",
            "[::1]:9901",
            "[::1]",
            "127.8.9.1",
        ] {
            assert!(is_allowed(host, loopback), "{host}");
        }
        for host in [
            "evil.example",
            "localhost.evil.example",
            "10.0.0.1",
            "127.0.0.1.evil",
            "",
            "localhost:x",
            "127.1",
            "2130706433",
        ] {
            assert!(!is_allowed(host, loopback), "{host}");
        }
        assert!(is_allowed("10.1.2.3:9901", configured("0.0.0.0:9901")));
        assert!(is_allowed("10.1.2.3:9901", configured("10.1.2.3:9901")));
        assert!(!is_allowed("evil.example", configured("0.0.0.0:9901")));
    }

    #[test]
    fn a_page_of_another_origin_is_foreign() {
        let loopback = configured("127.0.0.1:9901");
        let with = |name: &'static str, value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(name, value.parse().unwrap());
            headers
        };
        assert!(is_foreign(
            &with("origin", "https://evil.example"),
            loopback
        ));
        assert!(is_foreign(&with("origin", "null"), loopback));
        assert!(is_foreign(&with("sec-fetch-site", "cross-site"), loopback));
        assert!(!is_foreign(
            &with("origin", "http://localhost:9901"),
            loopback
        ));
        assert!(!is_foreign(&HeaderMap::new(), loopback));
    }
}
