//! Makes an upstream's response the client's: what stays behind, what the policies
//! say, and what is to be watched in the body as it passes.

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode, header};
use tollgate_config::Dialect;
use tollgate_sandbox::{
    Json, Message,
    contract::{Hooks, Needs},
};

use super::{
    at_hand::{Uncollected, collect, is_encoded, is_json},
    content::Content,
    errors::ServeError,
    headers, policies,
    reply::{Reply, Watch},
    stall::{Stall, Stalled},
    state::Exchange,
    upstream::Upstream,
    usage,
};

/// The response as the policies leave it.
///
/// # Errors
/// A body that has to be at hand and cannot be, or what a policy says.
pub(super) async fn reply(
    exchange: &mut Exchange,
    upstream: &Upstream,
    response: Response<Content>,
) -> Result<Reply, ServeError> {
    let (mut parts, content) = response.into_parts();
    headers::keep_response(&mut parts.headers);
    let watch = watch(&content, parts.status, &parts.headers, upstream);
    let reply = Reply {
        status: parts.status,
        headers: parts.headers,
        content,
        watch,
    };
    let replied = through_policies(exchange, reply).await;
    exchange.note_reply(&replied);
    replied
}

/// What the policies of this exchange make of a response.
///
/// # Errors
/// As [`reply`].
pub(super) async fn through_policies(
    exchange: &mut Exchange,
    reply: Reply,
) -> Result<Reply, ServeError> {
    let headers = &reply.headers;
    if is_events(headers) && is_encoded(headers) && exchange.any_wants(Hooks::EVENTS) {
        return Err(ServeError::ResponseEncoded);
    }
    if exchange.any_wants(Hooks::RESPONSE) {
        ask(exchange, reply).await
    } else {
        Ok(reply)
    }
}

fn watch(content: &Content, status: StatusCode, headers: &HeaderMap, upstream: &Upstream) -> Watch {
    if matches!(content, Content::Empty) || is_encoded(headers) {
        Watch::Nothing
    } else if is_events(headers) {
        Watch::Events(upstream.stream_end)
    } else if reports_usage(upstream.dialect) && status.is_success() && is_json(headers) {
        Watch::Usage
    } else {
        Watch::Nothing
    }
}

/// Whether its JSON bodies tell the tokens that were used.
pub(super) fn reports_usage(dialect: Dialect) -> bool {
    matches!(dialect, Dialect::OpenAi | Dialect::Anthropic)
}

pub(super) fn is_events(headers: &HeaderMap) -> bool {
    let Some(kind) = headers.get(header::CONTENT_TYPE) else {
        return false;
    };
    let kind = kind
        .as_bytes()
        .split(|byte| *byte == b';')
        .next()
        .unwrap_or_default();
    kind.trim_ascii().eq_ignore_ascii_case(b"text/event-stream")
}

async fn ask(exchange: &mut Exchange, reply: Reply) -> Result<Reply, ServeError> {
    let Reply {
        status,
        headers,
        mut content,
        mut watch,
    } = reply;
    let mut json = None;
    let (wants_body, wants_json) = needs(exchange);
    if (wants_body || wants_json) && !matches!(watch, Watch::Events(_)) {
        content = at_hand(exchange, content).await?;
        if let Content::AtHand(bytes) = &content {
            exchange.note_arrival();
            if watch == Watch::Usage {
                exchange.record.usage = usage::of_document(bytes);
                watch = Watch::Nothing;
            }
            if wants_json {
                let depth_max = exchange.generation.config.limits.json_depth;
                json = taken_apart(status, &headers, bytes, depth_max)?;
            }
            exchange.let_endpoint_go();
        }
    }
    let body = match &content {
        Content::AtHand(bytes) => Some(bytes.clone()),
        Content::Empty | Content::ToCome(_) | Content::Kept(_) | Content::Begun(_) => None,
    };
    let facts = std::mem::take(&mut exchange.record.facts);
    let json_depth = exchange.generation.config.limits.json_depth;
    let mut message = Message {
        status: status.as_u16(),
        headers,
        body,
        json,
        json_depth,
        facts,
        given: exchange.record.given.clone(),
        ..Message::default()
    };
    let answered = policies::ask_response(exchange, &mut message).await;
    exchange.record.facts = std::mem::take(&mut message.facts);
    if let Some(reply) = answered? {
        return Ok(reply);
    }
    let status = StatusCode::from_u16(message.status).unwrap_or(status);
    let headers = std::mem::take(&mut message.headers);
    match message.take_body() {
        Some(body) => Ok(Reply::at_hand(status, headers, body)),
        None => Ok(Reply {
            status,
            headers,
            content,
            watch,
        }),
    }
}

/// The body as JSON, if it says that it is. A success that says so and is not would pass
/// a policy that reads it unread; an error's body may be anything, a part is no document.
fn taken_apart(
    status: StatusCode,
    headers: &HeaderMap,
    bytes: &Bytes,
    depth_max: usize,
) -> Result<Option<Json>, ServeError> {
    if !is_json(headers) || bytes.is_empty() {
        return Ok(None);
    }
    let is_document = status.is_success() && status != StatusCode::PARTIAL_CONTENT;
    if is_encoded(headers) {
        return match is_document {
            true => Err(ServeError::ResponseEncoded),
            false => Ok(None),
        };
    }
    match Json::parse(bytes.clone(), depth_max) {
        Ok(json) => Ok(Some(json)),
        Err(error) if is_document => Err(ServeError::ResponseMalformed(error.to_string())),
        Err(_) => Ok(None),
    }
}

/// Whether a policy that is to be asked needs the body, and whether as JSON.
fn needs(exchange: &Exchange) -> (bool, bool) {
    let asked = || {
        exchange
            .slots
            .iter()
            .filter(|slot| slot.wants(Hooks::RESPONSE))
    };
    let any = |need: Needs| asked().any(|slot| slot.policy().needs().contains(need));
    (any(Needs::RESPONSE_BODY), any(Needs::RESPONSE_JSON))
}

async fn at_hand(exchange: &mut Exchange, content: Content) -> Result<Content, ServeError> {
    let config = &exchange.generation.config;
    let bytes_max = config.limits.response_buffer_bytes;
    let stall = Stall::new(exchange.waits.between_bytes, exchange.deadline);
    let gone = &exchange.gone;
    let collected = match content {
        Content::ToCome(body) => gone.or(collect(body, bytes_max as u64, stall)).await?,
        Content::Kept(body) => gone.or(collect(body, bytes_max as u64, stall)).await?,
        Content::Begun(body) => gone.or(collect(body, bytes_max as u64, stall)).await?,
        Content::Empty | Content::AtHand(_) => return Ok(content),
    };
    match collected {
        Ok(bytes) => {
            exchange.note_arrival();
            Ok(Content::AtHand(bytes))
        }
        Err(Uncollected::TooLong) => Err(ServeError::ResponseTooLarge(bytes_max)),
        Err(Uncollected::Broken(fault)) => Err(fault.unwrap_or(ServeError::UpstreamFailed)),
        Err(Uncollected::Stalled(Stalled::Silent)) => Err(ServeError::BetweenBytesTimeout),
        Err(Uncollected::Stalled(Stalled::Total(silent))) => Err(ServeError::Overdue(silent)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    /// What becomes of `body`, said to be of this kind and coding.
    fn read(
        status: u16,
        kind: &'static str,
        coding: &'static str,
        body: &'static str,
    ) -> &'static str {
        let headers = HeaderMap::from_iter([
            (header::CONTENT_TYPE, HeaderValue::from_static(kind)),
            (header::CONTENT_ENCODING, HeaderValue::from_static(coding)),
        ]);
        let status = StatusCode::from_u16(status).unwrap();
        match taken_apart(status, &headers, &Bytes::from_static(body.as_bytes()), 3) {
            Ok(Some(_)) => "read",
            Ok(None) => "passed",
            Err(ServeError::ResponseMalformed(_)) => "malformed",
            Err(ServeError::ResponseEncoded) => "encoded",
            Err(_) => "otherwise",
        }
    }

    #[test]
    fn a_success_that_says_json_and_is_none_does_not_pass_a_policy_that_reads_it() {
        for (status, kind, coding, body, came) in [
            (200, "application/json", "identity", "{}", "read"),
            (500, "application/json", "identity", "{}", "read"),
            (200, "application/json", "identity", "{\"a\":", "malformed"),
            (
                201,
                "application/problem+json",
                "identity",
                "oops",
                "malformed",
            ),
            (200, "application/json", "identity", "[[[[]]]]", "malformed"),
            (200, "application/json", "identity", "", "passed"),
            (502, "application/json", "identity", "oops", "passed"),
            (206, "application/json", "identity", "{\"a\":", "passed"),
            (206, "application/json", "identity", "{}", "read"),
            (200, "text/plain", "identity", "oops", "passed"),
            (200, "application/json", "gzip", "oops", "encoded"),
            (206, "application/json", "gzip", "oops", "passed"),
            (429, "application/json", "gzip", "oops", "passed"),
            (503, "application/json", "gzip", "{}", "passed"),
            (200, "text/plain", "gzip", "oops", "passed"),
        ] {
            assert_eq!(
                read(status, kind, coding, body),
                came,
                "{status} {kind} {coding} {body}"
            );
        }
    }
}
