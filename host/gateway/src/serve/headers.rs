//! What crosses a hop and what does not.
//!
//! Framing, hop-by-hop fields and what a client may claim about itself stay behind,
//! also under names that differ in `_` and `-` alone. Everything else is end-to-end
//! and goes on, in the very map that it came in.

use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::{chance, errors::ServeError};

fn named_by_connection(headers: &HeaderMap) -> impl Iterator<Item = HeaderName> {
    let lines = headers.get_all(header::CONNECTION).iter();
    let tokens = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    tokens
        .map(<[u8]>::trim_ascii)
        .filter(|token| !is_plain_option(token))
        .filter_map(|token| HeaderName::from_bytes(token).ok())
}

/// The options that name no field worth a look.
fn is_plain_option(token: &[u8]) -> bool {
    [b"keep-alive".as_slice(), b"close", b"upgrade", b"te"]
        .iter()
        .any(|known| known.eq_ignore_ascii_case(token))
}

/// Belongs to one connection, in either direction.
fn is_hop_by_hop(name: &HeaderName) -> bool {
    matches!(
        *name,
        header::CONNECTION
            | header::TE
            | header::TRAILER
            | header::TRANSFER_ENCODING
            | header::UPGRADE
            | header::PROXY_AUTHENTICATE
            | header::PROXY_AUTHORIZATION
    ) || matches!(
        name.as_str(),
        "keep-alive" | "proxy-connection" | "http2-settings" | "proxy-authentication-info"
    )
}

/// What the gateway says itself, whatever the client claims.
fn is_ours_to_say(name: &str) -> bool {
    matches!(
        name,
        "host" | "content-length" | "expect" | "forwarded" | "x-real-ip"
    ) || name.starts_with("x-forwarded-")
        || name.starts_with("x-tollgate-")
}

fn stays_behind(name: &HeaderName) -> bool {
    if is_hop_by_hop(name) || is_ours_to_say(name.as_str()) {
        return true;
    }
    if !name.as_str().contains('_') {
        return false;
    }
    let dashed = name.as_str().replace('_', "-");
    is_ours_to_say(&dashed) || HeaderName::try_from(dashed).is_ok_and(|name| is_hop_by_hop(&name))
}

/// Takes away what a request's `connection` names, before any policy looks: one that
/// sets such a field anew has it sent, and none decides by what nobody else will see.
pub(super) fn drop_named(headers: &mut HeaderMap) {
    if !headers.contains_key(header::CONNECTION) {
        return;
    }
    let named: Vec<_> = named_by_connection(headers).collect();
    for name in named.iter().filter(|name| !stays_behind(name)) {
        headers.remove(name);
    }
}

/// Leaves of a request what may go on to an upstream.
pub(super) fn keep_request(headers: &mut HeaderMap) {
    // What nearly every request has; the rest is rare.
    for name in [header::HOST, header::CONTENT_LENGTH, header::CONNECTION] {
        headers.remove(name);
    }
    remove_where(headers, stays_behind);
}

/// Leaves of a response what may go on to the client. Length is the host's to write.
pub(super) fn keep_response(headers: &mut HeaderMap) {
    if headers.contains_key(header::CONNECTION) {
        let named: Vec<_> = named_by_connection(headers).collect();
        for name in named {
            headers.remove(name);
        }
        headers.remove(header::CONNECTION);
    }
    headers.remove(header::TRANSFER_ENCODING);
    remove_where(headers, |name| {
        is_hop_by_hop(name) || *name == header::ALT_SVC || name.as_str().starts_with("x-tollgate-")
    });
}

fn remove_where(headers: &mut HeaderMap, doomed: impl Fn(&HeaderName) -> bool) {
    let doomed: Vec<_> = headers
        .keys()
        .filter(|name| doomed(name))
        .cloned()
        .collect();
    for name in doomed {
        headers.remove(name);
    }
}

/// Whether a policy or an upstream's configuration may write this field: framing and
/// hop-by-hop fields are the host's alone.
pub(super) fn is_free(name: &HeaderName) -> bool {
    !is_hop_by_hop(name)
        && !matches!(
            *name,
            header::CONTENT_LENGTH | header::HOST | header::EXPECT
        )
}

/// Names and values together, as they lie on the wire.
pub(super) fn bytes(headers: &HeaderMap) -> usize {
    headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + 4)
        .sum()
}

/// The `via` of this process: seen on a request, it has been here before.
pub(super) struct Via {
    token: String,
    header: HeaderValue,
}

impl Via {
    pub(super) fn of_this_process() -> Self {
        let token = format!("tollgate-{:016x}", chance::next());
        let header = HeaderValue::try_from(format!("1.1 {token}"))
            .unwrap_or(HeaderValue::from_static("1.1 tollgate"));
        Self { token, header }
    }

    /// # Errors
    /// [`ServeError::Loop`].
    pub(super) fn check(&self, headers: &HeaderMap) -> Result<(), ServeError> {
        let before = |line: &HeaderValue| {
            memchr::memmem::find(line.as_bytes(), self.token.as_bytes()).is_some()
        };
        match headers.get_all(header::VIA).iter().any(before) {
            true => Err(ServeError::Loop),
            false => Ok(()),
        }
    }

    pub(super) fn append_to(&self, headers: &mut HeaderMap) {
        headers.append(header::VIA, self.header.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn map(lines: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(
                HeaderName::from_bytes(name.as_bytes()).unwrap(),
                value.parse().unwrap(),
            );
        }
        headers
    }

    fn kept(lines: &[(&str, &str)]) -> Vec<String> {
        let mut headers = map(lines);
        drop_named(&mut headers);
        keep_request(&mut headers);
        let mut kept: Vec<_> = headers.keys().map(ToString::to_string).collect();
        kept.sort();
        kept
    }

    #[test]
    fn framing_and_hop_by_hop_fields_stay_behind() {
        let lines = [
            ("host", "a"),
            ("content-length", "3"),
            ("transfer-encoding", "chunked"),
            ("connection", "close, X-Secret"),
            ("x-secret", "1"),
            ("keep-alive", "5"),
            ("proxy-connection", "close"),
            ("te", "trailers"),
            ("upgrade", "h2c"),
            ("http2-settings", "x"),
            ("expect", "100-continue"),
            ("trailer", "host"),
            ("proxy-authorization", "x"),
            ("authorization", "Bearer a"),
            ("accept", "*/*"),
            ("x-custom", "1"),
        ];
        assert_eq!(kept(&lines), ["accept", "authorization", "x-custom"]);
    }

    #[test]
    fn what_a_client_claims_about_itself_stays_behind() {
        let lines = [
            ("x-forwarded-for", "1"),
            ("x_forwarded_for", "1"),
            ("X-Forwarded_Proto", "1"),
            ("forwarded", "1"),
            ("x-real-ip", "1"),
            ("x-tollgate-generation", "1"),
            ("content_length", "1"),
            ("transfer_encoding", "chunked"),
            ("x_custom", "1"),
        ];
        assert_eq!(kept(&lines), ["x_custom"]);
    }

    #[test]
    fn a_field_that_connection_names_goes_on_if_a_policy_set_it() {
        for claimed in ["spoofed", "real"] {
            let mut headers = map(&[
                ("connection", "x-tenant, x-other, host"),
                ("host", "a"),
                ("x-tenant", claimed),
                ("x-other", "1"),
            ]);
            drop_named(&mut headers);
            assert!(headers.contains_key("host"), "policies may look at it");
            headers.insert("x-tenant", HeaderValue::from_static("real"));
            keep_request(&mut headers);
            assert_eq!(headers, map(&[("x-tenant", "real")]), "{claimed}");
        }
    }

    #[test]
    fn cookies_of_a_response_stay_apart() {
        let mut headers = map(&[
            ("set-cookie", "a=1"),
            ("set-cookie", "b=2"),
            ("connection", "x-hop"),
            ("x-hop", "1"),
            ("alt-svc", "h3"),
            ("x-tollgate-generation", "9"),
            ("server", "s"),
        ]);
        keep_response(&mut headers);
        assert_eq!(
            headers,
            map(&[
                ("set-cookie", "a=1"),
                ("set-cookie", "b=2"),
                ("server", "s")
            ])
        );
    }

    #[test]
    fn a_request_that_was_here_before_is_a_loop() {
        let via = Via::of_this_process();
        let mut headers = map(&[("via", "1.1 other")]);
        assert!(via.check(&headers).is_ok());
        assert!(Via::of_this_process().check(&headers).is_ok());
        via.append_to(&mut headers);
        headers.append(header::VIA, HeaderValue::from_static("2 third"));
        assert!(matches!(via.check(&headers), Err(ServeError::Loop)));
    }

    proptest! {
        #[test]
        fn nothing_that_frames_ever_crosses(lines in proptest::collection::vec((
            "(Connection|TE|connection|te|transfer[-_]encoding|content[-_]length|host|upgrade|keep-alive|x-[a-c]|accept|x[-_]forwarded[-_]for)",
            "(close|keep-alive|x-a|accept, x-b|chunked|5|content-length|authorization)",
        ), 0..12)) {
            let lines: Vec<_> = lines.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            let before = map(&lines);
            let mut after = before.clone();
            drop_named(&mut after);
            keep_request(&mut after);
            for name in after.keys() {
                prop_assert!(is_free(name));
                prop_assert!(!stays_behind(name));
                prop_assert_eq!(after.get_all(name).iter().collect::<Vec<_>>(), before.get_all(name).iter().collect::<Vec<_>>());
            }
            let named: Vec<_> = named_by_connection(&before).collect();
            for name in before.keys().filter(|name| !stays_behind(name)) {
                prop_assert_eq!(after.contains_key(name), !named.contains(name));
            }
        }
    }
}
