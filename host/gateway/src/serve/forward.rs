//! Sends a request to one upstream and waits for the head of its response.

use std::{error::Error, io, pin::pin};

use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header, uri::PathAndQuery,
};
use hyper::body::Incoming;
use hyper_util::client::legacy;
use tokio::time::{Instant, timeout_at};
use tollgate_sandbox::contract::Hooks;

use super::{
    admission,
    arrival::Arrival,
    clients::Pool,
    content::Content,
    errors::ServeError,
    headers,
    pick::Ask,
    respond::reports_usage,
    stall::Stall,
    state::Exchange,
    upload::{Progress, Upload},
    upstream::Upstream,
};

/// Sends what came in, as the policies left it.
///
/// # Errors
/// No connection, no response in time, or a client whose body failed or that left.
pub(super) async fn send(
    exchange: &mut Exchange,
    upstream: &Upstream,
    mut arrival: Arrival,
) -> Result<Response<Incoming>, ServeError> {
    let path = path(&mut arrival)?;
    let permits = admission::admit(exchange, upstream.door.as_ref()).await?;
    exchange.record.note_queued(permits.waited);
    let pick = upstream.pick(&Ask {
        model: exchange
            .record
            .target_model
            .as_deref()
            .or(exchange.record.model.as_deref()),
        key: arrival.hints.key,
        prefix: arrival.hints.prefix(),
        avoid: &[],
    });
    let mut pick = pick.ok_or(ServeError::NoEndpoint)?.under(permits);
    let endpoint = pick.endpoint().clone();
    let content = match arrival.message.take_body() {
        Some(body) if body.is_empty() => Content::Empty,
        Some(body) => Content::AtHand(body),
        None => arrival.content,
    };
    let mut fields = std::mem::take(&mut arrival.message.headers);
    headers::keep_request(&mut fields);
    say_who_asks(exchange, &mut fields, arrival.host);
    if reports_usage(upstream.dialect)
        || exchange.is_source()
        || exchange.any_wants(Hooks::RESPONSE)
        || exchange.any_wants(Hooks::EVENTS)
    {
        fields.remove(header::ACCEPT_ENCODING);
    }
    fields.insert(header::HOST, endpoint.host.clone());
    frame(&arrival.message.method, &content, &mut fields);
    for (name, value) in &upstream.headers {
        fields.insert(name.clone(), value.clone());
    }
    let config = &exchange.generation.config;
    let stall = Stall::new(config.timeouts.request_body, exchange.deadline);
    let (upload, progress) = Upload::new(content, config.limits.request_body_bytes, stall);
    let mut request = Request::new(upload);
    *request.method_mut() = std::mem::take(&mut arrival.message.method);
    *request.uri_mut() = endpoint
        .uri(path)
        .map_err(|_| ServeError::UpstreamUnreachable)?;
    *request.headers_mut() = fields;
    let sent = Instant::now();
    match wait(exchange, &endpoint.pool, request, progress).await {
        Ok(response) => {
            pick.answered(response.status(), response.headers());
            exchange.hold(pick, sent);
            Ok(response)
        }
        Err(error) => {
            if let Some(fault) = error.fault() {
                pick.failed(fault);
            }
            Err(error)
        }
    }
}

/// The path as it came, or as a policy set it.
fn path(arrival: &mut Arrival) -> Result<PathAndQuery, ServeError> {
    if arrival.message.path == arrival.path.as_str() {
        return Ok(arrival.path.clone());
    }
    PathAndQuery::try_from(std::mem::take(&mut arrival.message.path))
        .map_err(|_| ServeError::UpstreamUnreachable)
}

fn say_who_asks(exchange: &Exchange, fields: &mut HeaderMap, host: HeaderValue) {
    let Some(connection) = exchange.connection() else {
        return;
    };
    let scheme = if connection.secure { "https" } else { "http" };
    fields.insert("x-forwarded-for", connection.peer.clone());
    fields.insert("x-forwarded-proto", HeaderValue::from_static(scheme));
    if !host.is_empty() {
        fields.insert("x-forwarded-host", host);
    }
    fields.insert("x-request-id", exchange.record.id.header());
    connection.shared.via.append_to(fields);
}

/// What the HTTP library below would leave out: an empty body that a method implies,
/// and one of unknown length that it does not.
fn frame(method: &Method, content: &Content, fields: &mut HeaderMap) {
    let implies_body = !matches!(
        *method,
        Method::GET | Method::HEAD | Method::DELETE | Method::OPTIONS
    );
    match content {
        Content::Empty if implies_body => {
            fields.insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        Content::ToCome(_) if !implies_body && content.length().is_none() => {
            fields.insert(
                header::TRANSFER_ENCODING,
                HeaderValue::from_static("chunked"),
            );
        }
        Content::Empty | Content::AtHand(_) | Content::ToCome(_) | Content::Kept(_) => {}
    }
}

async fn wait(
    exchange: &mut Exchange,
    pool: &Pool,
    request: Request<Upload>,
    progress: Option<Progress>,
) -> Result<Response<Incoming>, ServeError> {
    let config = exchange.generation.config.clone();
    let sent = Instant::now();
    let mut response = pin!(pool.request(request));
    let mut due = sent + config.timeouts.first_byte;
    let fault = || {
        progress
            .as_ref()
            .and_then(|progress| progress.fault(config.limits.request_body_bytes))
    };
    loop {
        let waited = exchange
            .gone
            .or(timeout_at(due.min(exchange.deadline), response.as_mut()))
            .await?;
        exchange.record.upstream_head = Some(sent.elapsed());
        match waited {
            Ok(Ok(response)) if response.status() == StatusCode::SWITCHING_PROTOCOLS => {
                return Err(ServeError::UpstreamFailed);
            }
            Ok(Ok(response)) => return Ok(response),
            Ok(Err(error)) => return Err(fault().unwrap_or_else(|| failure(exchange, &error))),
            Err(_) if Instant::now() >= exchange.deadline => return Err(ServeError::TotalTimeout),
            // The clock runs from the request's last byte; until then the body has its own.
            Err(_)
                if progress
                    .as_ref()
                    .is_some_and(|progress| !progress.is_done()) =>
            {
                due = Instant::now() + config.timeouts.first_byte;
            }
            Err(_) => return Err(ServeError::FirstByteTimeout),
        }
    }
}

fn failure(exchange: &Exchange, error: &legacy::Error) -> ServeError {
    let (id, upstream) = (
        exchange.record.id.as_str(),
        exchange.record.upstream.as_deref(),
    );
    tracing::warn!(id, upstream, error = %chain(error), "upstream failed");
    match (error.is_connect(), timed_out(error)) {
        (true, true) => ServeError::ConnectTimeout,
        (true, false) => ServeError::UpstreamUnreachable,
        (false, _) => ServeError::UpstreamFailed,
    }
}

fn chain(error: &(dyn Error + 'static)) -> String {
    let causes = std::iter::successors(error.source(), |cause| (*cause).source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

fn timed_out(error: &(dyn Error + 'static)) -> bool {
    std::iter::successors(error.source(), |cause| (*cause).source())
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|cause| cause.kind() == io::ErrorKind::TimedOut)
}
