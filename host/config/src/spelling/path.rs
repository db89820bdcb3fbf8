//! A path that the gateway itself asks for.

use super::{Misspelt, misspelt, quote};

/// `/metrics`: exact, without a query.
pub(crate) fn asked_path(text: &str) -> Result<String, Misspelt> {
    let good = |b: u8| b.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@%/".contains(&b);
    let is_path = text.starts_with('/') && text.len() <= 1_024 && text.bytes().all(good);
    if !is_path || text.split('/').any(|segment| matches!(segment, "." | "..")) {
        let expected = "a path such as `/metrics`, without a query";
        return misspelt(format!("{} is no path to ask for", quote(text)), expected);
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_to_ask_for_is_exact_and_has_no_query() {
        for text in ["/metrics", "/", "/a/b.c", "/a%20b"] {
            assert_eq!(asked_path(text), Ok(text.to_owned()));
        }
        for text in [
            "",
            "metrics",
            "/a?b",
            "/a b",
            "/../x",
            "http://h/metrics",
            "/\u{e4}",
        ] {
            assert!(asked_path(text).is_err(), "{text}");
        }
    }
}
