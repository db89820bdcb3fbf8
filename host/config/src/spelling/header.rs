//! Header names and values.

use super::{Misspelt, misspelt, misspelt_secret, quote};
use crate::model::HeaderValue;

/// A header's name, in lower case.
pub(crate) fn header_name(text: &str) -> Result<String, Misspelt> {
    const EXPECTED: &str = "letters, digits and `-`, such as `x-team`";
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if text.is_empty() || text.len() > 256 || !text.bytes().all(token) {
        return misspelt(format!("{} is no header's name", quote(text)), EXPECTED);
    }
    Ok(text.to_ascii_lowercase())
}

/// The name of a header that is sent: framing and hops are the gateway's own.
pub(crate) fn sent_header_name(text: &str) -> Result<String, Misspelt> {
    const OWN: [&str; 11] = [
        "connection",
        "content-length",
        "expect",
        "host",
        "http2-settings",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    ];
    let name = header_name(text)?;
    if OWN.contains(&name.as_str()) {
        let message = format!(
            "the header {} is written by the gateway alone",
            quote(&name)
        );
        return misspelt(message, "another header");
    }
    Ok(name)
}

/// A header's value, with at most one `${secret:NAME}` in it.
pub(crate) fn header_value(text: &str) -> Result<HeaderValue, Misspelt> {
    const EXPECTED: &str = "visible ASCII text, with at most one `${secret:NAME}`";
    let text = &value(text, EXPECTED)?;
    let Some((prefix, rest)) = text.split_once("${") else {
        return Ok(HeaderValue::Plain(text.to_owned()));
    };
    let Some((name, suffix)) = rest
        .strip_prefix("secret:")
        .and_then(|rest| rest.split_once('}'))
    else {
        return misspelt_secret("`${` does not start `${secret:NAME}`", EXPECTED);
    };
    if suffix.contains("${") {
        return misspelt_secret("there is more than one `${` in this value", EXPECTED);
    }
    Ok(HeaderValue::Secret {
        prefix: prefix.into(),
        name: name.into(),
        suffix: suffix.into(),
    })
}

/// A header's value, to be compared with.
pub(crate) fn matched_header_value(text: &str) -> Result<String, Misspelt> {
    value(text, "visible ASCII text")
}

fn value(text: &str, expected: &'static str) -> Result<String, Misspelt> {
    let visible = |b: u8| (b' '..=b'~').contains(&b) || b == b'\t';
    if text.trim() != text || !text.bytes().all(visible) {
        return misspelt_secret(
            "a header's value cannot hold these characters, or spaces around it",
            expected,
        );
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_may_hold_one_secret() {
        let secret = HeaderValue::Secret {
            prefix: "Bearer ".into(),
            name: "openai".into(),
            suffix: String::new(),
        };
        assert_eq!(header_value("Bearer ${secret:openai}"), Ok(secret));
        assert_eq!(
            header_value("plain $5"),
            Ok(HeaderValue::Plain("plain $5".into()))
        );
        for text in [
            "${secret:a}${secret:b}",
            "${env:a}",
            "${secret:a",
            "${",
            "a\r\nb: c",
            "\u{e4}",
            " a",
            "a\t",
        ] {
            assert!(header_value(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_name_is_a_token_and_not_a_framing_header_where_it_is_sent() {
        assert_eq!(header_name("X-Team"), Ok("x-team".into()));
        for text in ["", "x team", "x:y", "x\n", "\u{e4}", ":path"] {
            assert!(header_name(text).is_err(), "{text}");
        }
        for text in ["Content-Length", "transfer-encoding", "Host", "connection"] {
            assert!(sent_header_name(text).is_err(), "{text}");
        }
    }
}
