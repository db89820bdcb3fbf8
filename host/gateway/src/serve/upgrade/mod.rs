//! Connections that stop speaking HTTP: a client asks for it, the route names the
//! protocol, the upstream agrees, and from then on bytes pass both ways.
//!
//! The handshake is an exchange like any other, so its policies are asked, and its last
//! hooks run when the connection ends. Only what is asked for in one way is taken for a
//! handshake, and only an answer that fits it changes anything: what else says `upgrade`
//! stays a request, whose hop-by-hop fields end here.

mod tunnel;
mod websocket;

use std::sync::{Arc, atomic::Ordering};

use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Version, header, request::Parts};
use hyper::upgrade::OnUpgrade;

use super::{Shared, content::Content, errors::ServeError, route::Route, state::Exchange};
pub(super) use tunnel::Tunnel;

/// What the connection of a request is to become.
pub(super) struct Upgrade {
    /// As the route names it.
    protocol: Arc<str>,
    place: Place,
    client: OnUpgrade,
    stage: Stage,
}

enum Stage {
    /// By the client, and nobody else yet.
    Asked,
    /// The upstream was sent this key, if it is a WebSocket.
    Sent(Option<HeaderValue>),
    Agreed(OnUpgrade),
}

/// One of as many connections as may be no longer HTTP, or about to be.
struct Place(Arc<Shared>);

impl Place {
    fn take(shared: &Arc<Shared>, most: usize) -> Result<Self, ServeError> {
        let gauges = &shared.gauges;
        let place = Self(shared.clone());
        if gauges.upgrades.fetch_add(1, Ordering::Relaxed) >= most {
            gauges.upgrades_refused.fetch_add(1, Ordering::Relaxed);
            return Err(ServeError::TooManyUpgrades);
        }
        Ok(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.gauges.upgrades.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What the client asks for, if the route lets it. Nothing, and it is a request like any
/// other.
///
/// # Errors
/// A protocol that the route names, asked for in a way that others may read otherwise, or
/// one connection too many.
pub(super) fn asked(
    exchange: &Exchange,
    route: &Route,
    parts: &mut Parts,
    content: &Content,
) -> Result<Option<Box<Upgrade>>, ServeError> {
    if route.upgrades.is_empty() || parts.version != Version::HTTP_11 {
        return Ok(None);
    }
    let Some(client) = parts.extensions.remove::<OnUpgrade>() else {
        return Ok(None);
    };
    let Some(protocol) = protocol_asked(&parts.headers, &route.upgrades)? else {
        return Ok(None);
    };
    let is_bare = matches!(content, Content::Empty)
        && !parts.headers.contains_key(header::TRANSFER_ENCODING)
        && parts.method == Method::GET;
    if !is_bare || (is_websocket(&protocol) && !websocket::is_asked_well(&parts.headers)) {
        return Err(ServeError::Upgrade);
    }
    let Some(shared) = exchange.shared() else {
        return Ok(None);
    };
    let most = exchange.generation.config.limits.upgrades;
    Ok(Some(Box::new(Upgrade {
        place: Place::take(shared, most)?,
        protocol,
        client,
        stage: Stage::Asked,
    })))
}

/// The one protocol that is asked for, if it is one of these.
fn protocol_asked(
    headers: &HeaderMap,
    allowed: &[Arc<str>],
) -> Result<Option<Arc<str>>, ServeError> {
    if !tokens(headers, &header::CONNECTION).any(|token| token.eq_ignore_ascii_case(b"upgrade")) {
        return Ok(None);
    }
    let named = |token: &[u8]| {
        allowed
            .iter()
            .find(|known| known.as_bytes().eq_ignore_ascii_case(token))
    };
    let mut asked = tokens(headers, &header::UPGRADE);
    let first = asked.next().and_then(named);
    match (first, asked.next()) {
        (first, None) => Ok(first.cloned()),
        // One of two, and which it becomes is for the upstream to say.
        (Some(_), Some(_)) => Err(ServeError::Upgrade),
        (None, Some(second)) if named(second).is_some() || asked.any(|it| named(it).is_some()) => {
            Err(ServeError::Upgrade)
        }
        (None, Some(_)) => Ok(None),
    }
}

/// The entries of a field that is a list, of all its lines.
fn tokens<'a>(
    headers: &'a HeaderMap,
    name: &header::HeaderName,
) -> impl Iterator<Item = &'a [u8]> + use<'a> {
    let lines = headers.get_all(name).iter();
    lines.flat_map(|line| {
        line.as_bytes()
            .split(|byte| *byte == b',')
            .map(<[u8]>::trim_ascii)
    })
}

fn is_websocket(protocol: &str) -> bool {
    protocol == "websocket"
}

impl Upgrade {
    /// Asks the upstream for it. The fields are those that are sent, all others are there.
    pub(super) fn write(&mut self, fields: &mut HeaderMap) {
        let key = fields.get(header::SEC_WEBSOCKET_KEY);
        self.stage = Stage::Sent(key.cloned().filter(|_| is_websocket(&self.protocol)));
        self.write_fields(fields);
    }

    fn write_fields(&self, fields: &mut HeaderMap) {
        fields.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        if let Ok(protocol) = HeaderValue::from_str(&self.protocol) {
            fields.insert(header::UPGRADE, protocol);
        }
    }

    fn is_agreed_by(&self, response: &HeaderMap) -> bool {
        let Stage::Sent(key) = &self.stage else {
            return false;
        };
        let mut protocols = tokens(response, &header::UPGRADE);
        let is_this = |token: &[u8]| token.eq_ignore_ascii_case(self.protocol.as_bytes());
        protocols.next().is_some_and(is_this)
            && protocols.next().is_none()
            && tokens(response, &header::CONNECTION).any(|it| it.eq_ignore_ascii_case(b"upgrade"))
            && (!is_websocket(&self.protocol)
                || key
                    .as_ref()
                    .is_some_and(|key| websocket::accepts(response, key)))
    }

    /// What passes the bytes, if the upstream agreed; writes the fields that say so.
    pub(super) fn into_tunnel(self, fields: &mut HeaderMap) -> Option<Tunnel> {
        self.write_fields(fields);
        match self.stage {
            Stage::Agreed(upstream) => Some(Tunnel::new(self.client, upstream, self.place)),
            Stage::Asked | Stage::Sent(_) => None,
        }
    }

    pub(super) fn protocol(&self) -> &Arc<str> {
        &self.protocol
    }
}

/// Takes an upstream's 101 for what it is.
///
/// # Errors
/// Nobody asked, or not for this.
pub(super) fn agree<B>(
    exchange: &mut Exchange,
    response: &mut Response<B>,
) -> Result<(), ServeError> {
    debug_assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
    let asked = exchange.upgrade.as_mut();
    let asked = asked.filter(|upgrade| upgrade.is_agreed_by(response.headers()));
    let upstream = response.extensions_mut().remove::<OnUpgrade>();
    let (Some(upgrade), Some(upstream)) = (asked, upstream) else {
        let id = exchange.record.id.as_str();
        tracing::warn!(
            id,
            "the upstream changed the protocol in a way that was not asked for"
        );
        return Err(ServeError::UpstreamFailed);
    };
    upgrade.stage = Stage::Agreed(upstream);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn only_one_protocol_that_the_route_names_is_asked_for() {
        let allowed = ["websocket".into(), "x-own".into()];
        for (lines, asked) in [
            (
                &[("connection", "Upgrade"), ("upgrade", "WebSocket")][..],
                Ok(Some("websocket")),
            ),
            (
                &[("connection", "keep-alive, upgrade"), ("upgrade", "x-own")],
                Ok(Some("x-own")),
            ),
            (&[("upgrade", "websocket")], Ok(None)),
            (
                &[("connection", "keep-alive"), ("upgrade", "websocket")],
                Ok(None),
            ),
            (&[("connection", "upgrade")], Ok(None)),
            (&[("connection", "upgrade"), ("upgrade", "h2c")], Ok(None)),
            (
                &[("connection", "upgrade"), ("upgrade", "h2c, tls")],
                Ok(None),
            ),
            (
                &[("connection", "upgrade"), ("upgrade", "websocket/13")],
                Ok(None),
            ),
            (
                &[("connection", "upgrade"), ("upgrade", "websocket, h2c")],
                Err(()),
            ),
            (
                &[("connection", "upgrade"), ("upgrade", "h2c, websocket")],
                Err(()),
            ),
            (
                &[("connection", "upgrade"), ("upgrade", "a, b, websocket")],
                Err(()),
            ),
            (
                &[
                    ("connection", "upgrade"),
                    ("upgrade", "websocket"),
                    ("upgrade", "websocket"),
                ],
                Err(()),
            ),
        ] {
            let found = protocol_asked(&headers(lines), &allowed);
            let found = found.as_ref().map(|protocol| protocol.as_deref());
            assert_eq!(found.map_err(|_| ()), asked, "{lines:?}");
        }
    }
}
