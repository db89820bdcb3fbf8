//! What goes to the client: status, headers, and where the body comes from.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header};
use tollgate_config::StreamEnd;
use tollgate_sandbox::contract::Answer;

use super::{body::Body, content::Content, errors::ServeError, headers, state::Exchange};

/// See the module.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) content: Content,
    pub(super) watch: Watch,
}

/// What to look for in a body that passes through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Watch {
    Nothing,
    /// A JSON document with the tokens that were used.
    Usage,
    /// Server-sent events, and what ends them.
    Events(StreamEnd),
}

impl Reply {
    pub(super) fn at_hand(status: StatusCode, headers: HeaderMap, body: Bytes) -> Self {
        let content = if body.is_empty() {
            Content::Empty
        } else {
            Content::AtHand(body)
        };
        Self {
            status,
            headers,
            content,
            watch: Watch::Nothing,
        }
    }

    /// A policy's answer.
    ///
    /// # Errors
    /// A status below 200, or a header that is not a policy's to write.
    pub(super) fn of(answer: Answer) -> Result<Self, String> {
        let status = StatusCode::from_u16(answer.status)
            .ok()
            .filter(|status| (200..600).contains(&status.as_u16()));
        let status =
            status.ok_or_else(|| format!("{} is no status to answer with", answer.status))?;
        let mut map = HeaderMap::with_capacity(answer.headers.len() + 3);
        for line in answer.headers {
            let name = HeaderName::from_bytes(line.name.as_bytes())
                .ok()
                .filter(headers::is_free);
            let value = HeaderValue::from_maybe_shared(Bytes::from(line.value));
            let (Some(name), Ok(value)) = (name, value) else {
                return Err(format!(
                    "the header `{}` cannot be set",
                    line.name.escape_debug()
                ));
            };
            map.append(name, value);
        }
        Ok(Self::at_hand(status, map, Bytes::from(answer.body)))
    }

    /// The response, with the exchange inside its body: it ends when that does.
    pub(super) fn deliver(mut self, mut exchange: Box<Exchange>) -> Response<Body> {
        exchange.record.status = self.status.as_u16();
        exchange.look_again();
        self.headers
            .insert("x-request-id", exchange.record.id.header());
        self.headers
            .insert("x-tollgate-generation", exchange.generation.header.clone());
        let bodiless = matches!(
            self.status,
            StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED
        );
        if bodiless || exchange.record.method != Method::HEAD {
            self.headers.remove(header::CONTENT_LENGTH);
        }
        if bodiless {
            self.content = Content::Empty;
        }
        // Whatever else was answered in the end: then the connection goes on as it was.
        let upgrade = exchange.upgrade.take();
        if self.status == StatusCode::SWITCHING_PROTOCOLS
            && let Some(upgrade) = upgrade
        {
            exchange.record.upgrade = Some(upgrade.protocol().clone());
            if let Some(tunnel) = upgrade.into_tunnel(&mut self.headers) {
                tunnel.begin(exchange);
            }
            return response(self.status, self.headers, Body::empty());
        }
        let body = Body::new(self.content, self.watch, exchange);
        response(self.status, self.headers, body)
    }
}

fn response(status: StatusCode, headers: HeaderMap, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// An error's response; the exchange ends with it.
pub(super) fn deliver_error(error: &ServeError, mut exchange: Box<Exchange>) -> Response<Body> {
    exchange.note_error(error);
    if matches!(error, ServeError::ClientGone) {
        return Response::new(Body::empty());
    }
    let mut reply = error.reply(exchange.dialect());
    // By the operator's name for it, so that who asks can say what to look at.
    if let ServeError::Refused(_) = error
        && let Some(slot) = exchange.slots.iter().find(|slot| slot.has_refused())
        && let Ok(name) = HeaderValue::from_str(slot.policy().name())
    {
        reply.headers.insert("x-tollgate-policy", name);
    }
    reply.deliver(exchange)
}
