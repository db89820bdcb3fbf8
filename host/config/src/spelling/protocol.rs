//! Protocols that a connection may change to.

use super::{Misspelt, misspelt, quote};

/// A token, in lower case. Those that speak HTTP again would pass by every policy.
pub(crate) fn protocol(text: &str) -> Result<String, Misspelt> {
    const EXPECTED: &str = "a protocol such as `websocket`";
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if text.is_empty() || text.len() > 64 || !text.bytes().all(token) {
        return misspelt(format!("{} is no protocol", quote(text)), EXPECTED);
    }
    let name = text.to_ascii_lowercase();
    if ["h2c", "h2", "h3", "http", "https", "tls"].contains(&name.as_str()) {
        let message = format!(
            "within {} requests would pass by every policy",
            quote(&name)
        );
        return misspelt(message, EXPECTED);
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_protocol_is_a_token_and_no_way_around_the_policies() {
        assert_eq!(protocol("WebSocket"), Ok("websocket".into()));
        for text in [
            "",
            "web socket",
            "a,b",
            "HTTP/2.0",
            "h2c",
            "H2C",
            "TLS",
            "\u{e4}",
        ] {
            assert!(protocol(text).is_err(), "{text}");
        }
    }
}
