//! What a route matches by.

use super::{Misspelt, host::host, misspelt, quote};
use crate::model::PathMatch;

/// A host in lower case, or `*.` and one.
pub(crate) fn host_match(text: &str) -> Result<String, Misspelt> {
    const EXPECTED: &str = "a host without a port, such as `api.example.com` or `*.example.com`";
    let (star, name) = match text.strip_prefix("*.") {
        Some(name) => ("*.", name),
        None => ("", text),
    };
    match host(name) {
        Some(host) if star.is_empty() || !host.starts_with('[') => Ok(format!("{star}{host}")),
        _ => misspelt(format!("{} is no host", quote(text)), EXPECTED),
    }
}

/// `/v1/models`, or `/v1/*` for everything below.
pub(crate) fn path_match(text: &str) -> Result<PathMatch, Misspelt> {
    const EXPECTED: &str = "a path such as `/v1/models`, or `/v1/*` for all of it";
    let wrong = |why: &str| {
        misspelt(
            format!("{} is no path to match: {why}", quote(text)),
            EXPECTED,
        )
    };
    if !text.starts_with('/') {
        return wrong("it does not start with `/`");
    }
    let (path, prefix) = match text.strip_suffix("/*") {
        Some(path) => (path, true),
        None => (text, false),
    };
    if path.contains('*') {
        return wrong("`*` stands only at the end, after `/`");
    }
    if path.contains(['?', '#']) {
        return wrong("a query or a fragment has no place in it");
    }
    if !path.bytes().all(|b| b.is_ascii_graphic() && b != b'\\') {
        return wrong("it holds what no path holds; write it percent-encoded");
    }
    if path.split('/').any(|segment| matches!(segment, "." | "..")) {
        return wrong("no request is routed by `.` or `..`");
    }
    let path = path.to_owned();
    Ok(if prefix {
        PathMatch::Prefix(path)
    } else {
        PathMatch::Exact(path)
    })
}

/// A method, in upper case.
pub(crate) fn method(text: &str) -> Result<String, Misspelt> {
    if text.is_empty()
        || text.len() > 32
        || !text.bytes().all(|b| b.is_ascii_alphabetic() || b == b'-')
    {
        return misspelt(
            format!("{} is no method", quote(text)),
            "a method such as `POST`",
        );
    }
    Ok(text.to_ascii_uppercase())
}

/// A model's name, in which `*` stands for any text.
pub(crate) fn model_name(text: &str) -> Result<String, Misspelt> {
    if text.is_empty() || text.len() > 256 || text.chars().any(char::is_control) {
        return misspelt(
            format!("{} is no model's name", quote(text)),
            "a name, or a pattern such as `llama-*`",
        );
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_exact_or_whole_segments_in_front() {
        assert_eq!(
            path_match("/v1/models"),
            Ok(PathMatch::Exact("/v1/models".into()))
        );
        assert_eq!(path_match("/v1/*"), Ok(PathMatch::Prefix("/v1".into())));
        assert_eq!(path_match("/*"), Ok(PathMatch::Prefix(String::new())));
        for text in [
            "", "v1", "*", "/v1*", "/*/x", "/a?b", "/a#b", "/a b", "/\u{e4}", "/a/../b", "/a\\b",
            "/./*",
        ] {
            assert!(path_match(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_host_to_match_has_no_port() {
        assert_eq!(host_match("*.Example.com"), Ok("*.example.com".into()));
        for text in ["example.com:80", "*", "*.*.com", "a.*.com", "*.[::1]", ""] {
            assert!(host_match(text).is_err(), "{text}");
        }
    }
}
