//! What a WebSocket's handshake has besides the upgrade itself (RFC 6455, section 4).
//!
//! The answer has to be made of the key: so no server that merely repeats what it is told,
//! or answers 101 to whatever, opens a connection past the policies.

use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use sha1::{Digest, Sha1};

const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// One key of 16 bytes, and one version. Which version is for the upstream to judge.
pub(super) fn is_asked_well(headers: &HeaderMap) -> bool {
    let key = only(headers, &header::SEC_WEBSOCKET_KEY);
    only(headers, &header::SEC_WEBSOCKET_VERSION).is_some()
        && key.is_some_and(|key| STANDARD.decode(key).is_ok_and(|key| key.len() == 16))
}

/// Whether the response answers this very key.
pub(super) fn accepts(response: &HeaderMap, key: &HeaderValue) -> bool {
    only(response, &header::SEC_WEBSOCKET_ACCEPT)
        .is_some_and(|accept| accept.as_bytes() == answer_to(key).as_bytes())
}

fn answer_to(key: &HeaderValue) -> String {
    let mut hash = Sha1::new();
    hash.update(key.as_bytes());
    hash.update(GUID);
    STANDARD.encode(hash.finalize())
}

fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    let mut lines = headers.get_all(name).iter();
    lines.next().filter(|_| lines.next().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_of_the_standard_has_its_answer() {
        let key = HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ==");
        assert_eq!(answer_to(&key), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        let mut response = HeaderMap::new();
        assert!(!accepts(&response, &key));
        let name = header::SEC_WEBSOCKET_ACCEPT;
        response.insert(&name, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=".parse().unwrap());
        assert!(accepts(&response, &key));
        response.append(&name, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=".parse().unwrap());
        assert!(!accepts(&response, &key), "one answer");
        response.insert(&name, key.clone());
        assert!(!accepts(&response, &key), "no echo");
    }

    #[test]
    fn a_handshake_has_one_key_of_sixteen_bytes() {
        let asked = |keys: &[&'static str]| {
            let mut headers = HeaderMap::new();
            headers.insert(
                header::SEC_WEBSOCKET_VERSION,
                HeaderValue::from_static("13"),
            );
            for key in keys {
                headers.append(header::SEC_WEBSOCKET_KEY, HeaderValue::from_static(key));
            }
            is_asked_well(&headers)
        };
        assert!(asked(&["dGhlIHNhbXBsZSBub25jZQ=="]));
        for keys in [
            &[][..],
            &["dGhlIHNhbXBsZQ=="],
            &["not base64 at all!!!!!!!"],
            &["dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZQ=="],
        ] {
            assert!(!asked(keys), "{keys:?}");
        }
    }
}
