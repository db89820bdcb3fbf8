//! Addresses, endpoints and origins: URLs of which only some parts are allowed.

use std::net::SocketAddr;

use super::{Misspelt, host::host, misspelt, misspelt_secret, quote};
use crate::model::Endpoint;

/// An IP address and a port to listen on.
pub(crate) fn address(text: &str) -> Result<SocketAddr, Misspelt> {
    const EXPECTED: &str = "an IP address and a port, such as `127.0.0.1:8080` or `[::1]:8080`";
    match text.parse() {
        Ok(address) => Ok(address),
        Err(_) => misspelt(
            format!("{} is no address to listen on", quote(text)),
            EXPECTED,
        ),
    }
}

/// An IP address and a port to ask.
pub(crate) fn resolver(text: &str) -> Result<SocketAddr, Misspelt> {
    const EXPECTED: &str = "an IP address and a port, such as `10.0.0.10:53`";
    match text.parse() {
        Ok(address) => Ok(address),
        Err(_) => misspelt(format!("{} is no address", quote(text)), EXPECTED),
    }
}

/// `http://host:port/base` with nothing else in it.
pub(crate) fn endpoint(text: &str) -> Result<Endpoint, Misspelt> {
    const EXPECTED: &str = "a URL such as `http://127.0.0.1:9000` or `https://api.example.com/v1`";
    let wrong = |why: &str| match text.contains('@') {
        true => misspelt_secret(format!("this is no endpoint: {why}"), EXPECTED),
        false => misspelt(format!("{} is no endpoint: {why}", quote(text)), EXPECTED),
    };
    let parts = match split(text) {
        Ok(parts) => parts,
        Err(why) => return wrong(why),
    };
    let base_path = parts.path.strip_suffix('/').unwrap_or(parts.path);
    let good = |b: u8| b.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@%/".contains(&b);
    if !base_path.bytes().all(good) {
        return wrong("its path holds what no path holds");
    }
    if base_path
        .split('/')
        .skip(1)
        .any(|segment| matches!(segment, "" | "." | ".."))
    {
        return wrong("its path has an empty segment, `.` or `..`");
    }
    let authority = match parts.port {
        Some(port) if port != default_port(parts.https) => format!("{}:{port}", parts.host),
        _ => parts.host,
    };
    Ok(Endpoint {
        https: parts.https,
        authority,
        base_path: base_path.to_owned(),
        weight: 1,
    })
}

/// `scheme://host:port`, the port filled in.
pub(crate) fn origin(text: &str) -> Result<String, Misspelt> {
    const EXPECTED: &str = "a scheme, a host and maybe a port, such as `https://idp.example.com`";
    let wrong = |why: &str| match text.contains('@') {
        true => misspelt_secret(format!("this is no host to call: {why}"), EXPECTED),
        false => misspelt(
            format!("{} is no host to call: {why}", quote(text)),
            EXPECTED,
        ),
    };
    match split(text) {
        Ok(Parts { path, .. }) if !path.is_empty() => wrong("a path has no place in it"),
        Ok(Parts {
            https, host, port, ..
        }) => {
            let scheme = if https { "https" } else { "http" };
            Ok(format!(
                "{scheme}://{host}:{}",
                port.unwrap_or(default_port(https))
            ))
        }
        Err(why) => wrong(why),
    }
}

fn default_port(https: bool) -> u16 {
    if https { 443 } else { 80 }
}

struct Parts<'a> {
    https: bool,
    host: String,
    port: Option<u16>,
    path: &'a str,
}

fn split(text: &str) -> Result<Parts<'_>, &'static str> {
    let (https, rest) = match text.split_once("://") {
        Some(("http", rest)) => (false, rest),
        Some(("https", rest)) => (true, rest),
        _ => return Err("it does not start with `http://` or `https://`"),
    };
    if rest.contains('?') {
        return Err("a query has no place in it");
    }
    if rest.contains('#') {
        return Err("a fragment has no place in it");
    }
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    if authority.contains('@') {
        return Err("a user or password has no place in it; use `headers` and `secrets`");
    }
    let (name, port) = split_port(authority);
    let port = match port.map(port_number) {
        Some(None) => return Err("its port is not a number from 1 to 65535"),
        Some(known) => known,
        None => None,
    };
    let host = host(name).ok_or("its host is neither a name nor an IP address")?;
    Ok(Parts {
        https,
        host,
        port,
        path,
    })
}

fn split_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (authority, None),
    }
}

fn port_number(text: &str) -> Option<u16> {
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|&port| digits && port > 0)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
mod tests {
    use super::*;

    fn parts(text: &str) -> (bool, String, String) {
        let Endpoint {
            https,
            authority,
            base_path,
            ..
        } = endpoint(text).unwrap();
        (https, authority, base_path)
    }

    #[test]
    fn an_endpoint_is_split_and_default_ports_are_left_out() {
        assert_eq!(
            parts("http://127.0.0.1:9000"),
            (false, "127.0.0.1:9000".into(), String::new())
        );
        assert_eq!(
            parts("https://API.example.com:443/v1/"),
            (true, "api.example.com".into(), "/v1".into())
        );
        assert_eq!(
            parts("http://[::1]:80/"),
            (false, "[::1]".into(), String::new())
        );
        assert_eq!(parts("https://h:80"), (true, "h:80".into(), String::new()));
    }

    #[test]
    fn an_endpoint_with_anything_else_in_it_is_refused() {
        let bad = [
            "",
            "127.0.0.1:9000",
            "ftp://h",
            "HTTP://h",
            "http://",
            "http:///v1",
            "http://u@h",
            "http://u:p@h",
            "http://h?x=1",
            "http://h/#f",
            "http://h:0",
            "http://h:65536",
            "http://h:",
            "http://h:+80",
            "http://h:8a",
            "http://h/a//b",
            "http://h/../x",
            "http://h/a b",
            "http://h/\u{e4}",
            "http://h\\x",
            "http://::1",
            " http://h",
        ];
        for text in bad {
            assert!(endpoint(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_origin_always_has_its_port() {
        assert_eq!(
            origin("https://idp.example.com").unwrap(),
            "https://idp.example.com:443"
        );
        assert_eq!(origin("http://[::1]:81").unwrap(), "http://[::1]:81");
        assert!(origin("https://idp.example.com/").is_err());
        assert!(origin("idp.example.com").is_err());
    }
}
