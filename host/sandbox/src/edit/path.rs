//! Refuses paths that two readers could read differently.
//!
//! One rule for both who write a path: the client, whose request is routed by it, and
//! a policy, which sets another. Nothing is normalised: the bytes that were checked
//! are the bytes that policies see and the upstream gets, so whatever an upstream
//! might make another path of is refused.

use http::uri::PathAndQuery;

use super::PATH_MAX;

/// Why a path is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathFault {
    /// `*`, or no leading slash.
    #[error("it has to begin with `/`")]
    Relative,
    /// `.` or `..` as a segment, also escaped or with parameters.
    #[error("it has a `.` or `..` segment")]
    DotSegment,
    /// `//`.
    #[error("it has an empty segment (`//`)")]
    EmptySegment,
    /// `%2f`, `%5c` or a backslash.
    #[error("it has an escaped slash or a backslash")]
    HiddenSlash,
    /// A control character, raw or escaped, or a byte that has to be escaped.
    #[error("it has a control or non-ASCII character")]
    Control,
    /// `%` without two hexadecimal digits, or escapes that are not UTF-8.
    #[error("it has a broken escape")]
    BrokenEscape,
    /// `%61` for `a` and the like.
    #[error("it escapes a letter, digit, `-`, `.` or `_`, which has to be written plainly")]
    NeedlessEscape,
    /// A character that no path has, such as `<` or `#`.
    #[error("it has a character that no path has")]
    NotAPath,
    /// More than 8 KiB, of a policy's.
    #[error("it has more than {PATH_MAX} bytes")]
    TooLong,
}

/// Checks the path and query that a client sent, of a URI that HTTP allows. In the
/// query all is free but for controls and non-ASCII.
///
/// # Errors
/// The first fault that is found.
///
/// # Example
/// ```
/// use tollgate_sandbox::{PathFault, check_path};
///
/// assert_eq!(check_path("/v1/models?q=%61"), Ok(()));
/// assert_eq!(check_path("/v1/%2e%2e/admin"), Err(PathFault::DotSegment));
/// ```
pub fn check_path(path_and_query: &str) -> Result<(), PathFault> {
    let (path, query) = path_and_query
        .split_once('?')
        .unwrap_or((path_and_query, ""));
    if !path.starts_with('/') {
        return Err(PathFault::Relative);
    }
    if query.bytes().any(|byte| !byte.is_ascii_graphic()) {
        return Err(PathFault::Control);
    }
    let mut escaped = false;
    let mut dots = false;
    let mut before = b' ';
    for byte in path.bytes() {
        match byte {
            b'\\' => return Err(PathFault::HiddenSlash),
            b'/' if before == b'/' => return Err(PathFault::EmptySegment),
            b'.' if before == b'/' => dots = true,
            b'%' => escaped = true,
            byte if !byte.is_ascii_graphic() => return Err(PathFault::Control),
            _ => {}
        }
        before = byte;
    }
    if escaped {
        check_escapes(path)?;
    }
    if (dots || escaped) && path.split('/').any(is_dot_segment) {
        return Err(PathFault::DotSegment);
    }
    if escaped && escapes(path).any(is_unreserved) {
        return Err(PathFault::NeedlessEscape);
    }
    Ok(())
}

/// Checks what a policy wrote, which no parser of requests has seen.
pub(super) fn check_written(text: &str) -> Result<(), PathFault> {
    if text.len() > PATH_MAX {
        return Err(PathFault::TooLong);
    }
    check_path(text)?;
    // The parser drops a fragment instead of refusing it.
    match PathAndQuery::try_from(text) {
        Ok(parsed) if parsed.as_str() == text => Ok(()),
        _ => Err(PathFault::NotAPath),
    }
}

fn check_escapes(path: &str) -> Result<(), PathFault> {
    let decoded = decode(path).ok_or(PathFault::BrokenEscape)?;
    if std::str::from_utf8(&decoded).is_err() {
        return Err(PathFault::BrokenEscape);
    }
    let slashes = |bytes: &[u8]| bytes.iter().filter(|byte| **byte == b'/').count();
    if decoded.contains(&b'\\') || slashes(&decoded) != slashes(path.as_bytes()) {
        return Err(PathFault::HiddenSlash);
    }
    if decoded.iter().any(u8::is_ascii_control) {
        return Err(PathFault::Control);
    }
    Ok(())
}

/// The bytes that are written as escapes.
fn escapes(text: &str) -> impl Iterator<Item = u8> {
    let hex = |digits: &str| u8::from_str_radix(digits, 16).ok();
    text.split('%')
        .skip(1)
        .filter_map(move |rest| hex(rest.get(..2)?))
}

/// Written plainly or as an escape, these are the same path to an upstream (RFC 3986,
/// section 2.3), but not to a route.
/// `~` is let through: older clients escape it.
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_')
}

fn decode(text: &str) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let high = char::from(bytes.next()?).to_digit(16)?;
        let low = char::from(bytes.next()?).to_digit(16)?;
        decoded.push((high * 16 + low) as u8);
    }
    Some(decoded)
}

fn is_dot_segment(segment: &str) -> bool {
    let decoded = decode(segment).unwrap_or_default();
    let name = decoded
        .split(|byte| *byte == b';')
        .next()
        .unwrap_or_default();
    name == b"." || name == b".."
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_letter_written_as_an_escape_is_refused_since_routes_would_not_know_it() {
        for path in ["/%61dmin", "/v1/%5fuser", "/v1/chat%2Dcompletions"] {
            assert_eq!(check_path(path), Err(PathFault::NeedlessEscape), "{path}");
        }
        assert_eq!(check_path("/%7euser"), Ok(()), "older clients escape it");
        assert_eq!(check_path("/v1/a%20b?q=%61"), Ok(()));
    }

    #[test]
    fn ordinary_paths_pass() {
        for path in [
            "/",
            "/v1/chat/completions",
            "/v1/models/llama-3.1",
            "/v1/files/a%20b",
            "/.well-known/x",
            "/a..b",
            "/...",
            "/v1/x;version=2",
            "/v1/x?next=/../y&q=%2e%2e%2f//",
            "/v1/",
            "/caf%C3%A9",
            "/a:b@c",
        ] {
            assert_eq!(check_path(path), Ok(()), "{path}");
        }
    }

    #[test]
    fn a_path_that_two_readers_could_read_differently_is_refused() {
        for (path, fault) in [
            ("*", PathFault::Relative),
            ("v1", PathFault::Relative),
            ("/v1/../admin", PathFault::DotSegment),
            ("/v1/..", PathFault::DotSegment),
            ("/./v1", PathFault::DotSegment),
            ("/v1/%2e%2e/admin", PathFault::DotSegment),
            ("/v1/%2E./admin", PathFault::DotSegment),
            ("/admin/..;/x", PathFault::DotSegment),
            ("/admin/..%3bx/y", PathFault::DotSegment),
            ("//v1", PathFault::EmptySegment),
            ("/v1//x", PathFault::EmptySegment),
            ("/v1%2fx", PathFault::HiddenSlash),
            ("/v1%5Cx", PathFault::HiddenSlash),
            ("/v1\\x", PathFault::HiddenSlash),
            ("/v1%00", PathFault::Control),
            ("/v1%0d%0ax", PathFault::Control),
            ("/v1\u{7f}", PathFault::Control),
            ("/é", PathFault::Control),
            ("/a?b=\u{1}", PathFault::Control),
            ("/v1%", PathFault::BrokenEscape),
            ("/v1%4", PathFault::BrokenEscape),
            ("/v1%zz", PathFault::BrokenEscape),
            ("/v1%c0%ae%c0%ae/x", PathFault::BrokenEscape),
        ] {
            assert_eq!(check_path(path), Err(fault), "{path}");
        }
    }

    #[test]
    fn what_a_client_may_not_send_a_policy_may_not_write_and_no_more() {
        for (path, fault) in [
            ("", PathFault::Relative),
            ("http://h/", PathFault::Relative),
            ("//host/x", PathFault::EmptySegment),
            ("/%61", PathFault::NeedlessEscape),
            ("/a b", PathFault::Control),
            ("/a\r\nx", PathFault::Control),
            ("/a#b", PathFault::NotAPath),
            ("/a?b#c", PathFault::NotAPath),
            ("/<a>", PathFault::NotAPath),
        ] {
            assert_eq!(check_written(path), Err(fault), "{path}");
        }
        for path in [
            "/%7Euser",
            "/v1/a?../b=%61%0a..",
            "/a\u{7b}b\u{7d}",
            "/?",
            "/a;v=1/b",
        ] {
            assert_eq!(check_written(path), Ok(()), "{path}");
        }
        let long = |bytes: usize| format!("/{}", "a".repeat(bytes - 1));
        assert_eq!(check_written(&long(PATH_MAX)), Ok(()));
        assert_eq!(check_written(&long(PATH_MAX + 1)), Err(PathFault::TooLong));
    }

    proptest! {
        #[test]
        fn whatever_a_policy_may_write_a_client_may_send(path in "/([a-z./;%#<?\\\\~]|%7[eE]|%2f|%61|%c3%a9){0,12}") {
            let client = path.parse::<PathAndQuery>().is_ok_and(|parsed| parsed.as_str() == path)
                && check_path(&path).is_ok();
            prop_assert_eq!(check_written(&path).is_ok(), client);
        }


        #[test]
        fn what_passes_means_the_same_decoded(path in "/([a-z./;%\\\\]|%2[eEfF]|%5c|%00|%41){0,12}") {
            if check_path(&path).is_ok() {
                let decoded = String::from_utf8(decode(&path).unwrap()).unwrap();
                prop_assert_eq!(decoded.matches('/').count(), path.matches('/').count());
                prop_assert!(!decoded.split('/').any(|segment| segment == ".." || segment == "."));
                prop_assert!(!decoded.contains(['\\', '\0']));
            }
        }
    }
}
