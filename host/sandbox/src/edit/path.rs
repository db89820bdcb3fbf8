//! Says whether a path with its query can be read in one way only.
//!
//! Whoever routes, authorises or serves the path next must see the same one, so
//! nothing is normalised: what would have to be is refused.

use std::borrow::Cow;

use http::uri::PathAndQuery;

use super::PATH_MAX;

/// What is wrong with it, to follow the path in a sentence.
pub(super) fn check(text: &str) -> Result<(), &'static str> {
    if text.len() > PATH_MAX {
        return Err("is too long");
    }
    if !text.starts_with('/') || text.starts_with("//") {
        return Err("does not start with one `/`");
    }
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("has a character that is not visible ASCII");
    }
    if text.contains(['#', '\\']) {
        return Err("has a `#` or `\\`");
    }
    let path = text.split_once('?').map_or(text, |(path, _)| path);
    let decoded = decode(path).ok_or("has a broken percent escape")?;
    if decoded.iter().any(u8::is_ascii_control) {
        return Err("has an escaped control character");
    }
    if std::str::from_utf8(&decoded).is_err() {
        return Err("has an escape that is not UTF-8");
    }
    if decoded
        .split(|byte| matches!(byte, b'/' | b'\\'))
        .any(is_dots)
    {
        return Err("has a dot segment");
    }
    PathAndQuery::try_from(text)
        .map(drop)
        .map_err(|_| "is not a path")
}

/// `.` or `..`, with parameters or without.
fn is_dots(segment: &[u8]) -> bool {
    let name = segment.split(|byte| *byte == b';').next();
    matches!(name, Some(b"." | b".."))
}

fn decode(path: &str) -> Option<Cow<'_, [u8]>> {
    if !path.contains('%') {
        return Some(Cow::Borrowed(path.as_bytes()));
    }
    let mut decoded = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        if *byte != b'%' {
            decoded.push(*byte);
            continue;
        }
        let (digits, after) = rest.split_first_chunk::<2>()?;
        let digit = |byte: u8| char::from(byte).to_digit(16);
        decoded.push((digit(digits[0])? << 4 | digit(digits[1])?) as u8);
        rest = after;
    }
    Some(Cow::Owned(decoded))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_could_be_read_in_two_ways_are_refused() {
        for path in [
            "",
            "a",
            "*",
            "http://h/",
            "//host/x",
            "/a b",
            "/a\r\nx",
            "/a\tb",
            "/ä",
            "/a#b",
            "/a\\b",
            "/\0",
            "/.",
            "/..",
            "/a/../b",
            "/a/./b",
            "/a/..",
            "/%2e",
            "/%2E%2e/x",
            "/a/.%2e/b",
            "/a%2f..%2fb",
            "/a%5c..%5cb",
            "/a/..;/b",
            "/a/%2e%2e;x=1/b",
            "/a%2e%2e%2f..",
            "/%00",
            "/a%0d%0ab",
            "/%7f",
            "/%",
            "/%2",
            "/%zz",
            "/%c0%ae",
            "/a/%ff",
            "/<a>",
        ] {
            assert!(check(path).is_err(), "{path}");
        }
        assert!(check(&format!("/{}", "a".repeat(PATH_MAX))).is_err());
    }

    #[test]
    fn ordinary_paths_are_taken() {
        for path in [
            "/",
            "/v1/chat/completions?x=1&y=%0a..",
            "/a//b",
            "/a..b/...",
            "/%20%C3%A4",
            "/a?../b",
            "/.well-known/x",
            "/a;v=1/b",
            "/?",
        ] {
            assert_eq!(check(path), Ok(()), "{path}");
        }
        assert_eq!(check(&format!("/{}", "a".repeat(PATH_MAX - 1))), Ok(()));
    }
}
