//! Sends a request to one endpoint and waits for the head of its response.

use std::{error::Error, io, pin::pin};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header, uri::PathAndQuery,
};
use hyper::body::Incoming;
use hyper_util::client::legacy::{self, connect::capture_connection};
use tokio::time::{Duration, Instant, timeout_at};
use tollgate_sandbox::contract::Hooks;

use super::{
    arrival::Arrival,
    bodies::Room,
    carry_on::Gone,
    clients::Pool,
    connect::AbortOnDrop,
    content::Content,
    errors::ServeError,
    headers,
    pick::Pick,
    record::Record,
    respond::reports_usage,
    stall::Stall,
    state::Exchange,
    upload::{Progress, Upload},
    upstream::Upstream,
};

/// A request as an upstream gets it, but for what differs by endpoint.
pub(super) struct Prepared {
    method: Method,
    path: PathAndQuery,
    fields: HeaderMap,
    content: Content,
    /// The connection is to change its protocol.
    is_upgrade: bool,
}

impl Prepared {
    /// Its body is still to come, and passes by.
    pub(super) fn is_streamed(&self) -> bool {
        matches!(self.content, Content::ToCome(_))
    }

    /// The same again; `None`: its body can be sent only once.
    pub(super) fn again(&self) -> Option<Self> {
        let content = match &self.content {
            Content::Empty => Content::Empty,
            Content::AtHand(bytes) => Content::AtHand(bytes.clone()),
            Content::ToCome(_) | Content::Kept(_) | Content::Begun(_) => return None,
        };
        Some(Self {
            method: self.method.clone(),
            path: self.path.clone(),
            fields: self.fields.clone(),
            content,
            is_upgrade: self.is_upgrade,
        })
    }
}

/// Readies what came in, as the policies left it, for an upstream.
///
/// # Errors
/// A path that cannot be sent.
pub(super) fn prepare(
    exchange: &mut Exchange,
    upstream: &Upstream,
    mut arrival: Arrival,
) -> Result<Prepared, ServeError> {
    let path = path(&mut arrival)?;
    let content = match arrival.message.take_body() {
        Some(body) if body.is_empty() => Content::Empty,
        Some(body) => Content::AtHand(held(exchange, &arrival.content, body)),
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
    frame(&arrival.message.method, &content, &mut fields);
    exchange.waits.tell(exchange.deadline, &mut fields);
    for (name, value) in &upstream.headers {
        fields.insert(name.clone(), value.clone());
    }
    match &mut exchange.upgrade {
        Some(upgrade) if matches!(content, Content::Empty) => upgrade.write(&mut fields),
        // A policy made another request of it.
        _ => exchange.upgrade = None,
    }
    Ok(Prepared {
        method: std::mem::take(&mut arrival.message.method),
        path,
        fields,
        content,
        is_upgrade: exchange.upgrade.is_some(),
    })
}

/// The body with room of its own, where it is not the one that came in.
fn held(exchange: &Exchange, came: &Content, body: Bytes) -> Bytes {
    let is_it = |came: &Bytes| came.as_ptr() == body.as_ptr() && came.len() == body.len();
    if matches!(came, Content::AtHand(came) if is_it(came)) {
        return body;
    }
    match Room::of(exchange) {
        Some(room) => room.made_of_another(body),
        None => body,
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
    if exchange.record.mirror {
        fields.insert("x-tollgate-mirror", HeaderValue::from_static("true"));
    }
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
        Content::Empty
        | Content::AtHand(_)
        | Content::ToCome(_)
        | Content::Kept(_)
        | Content::Begun(_) => {}
    }
}

/// How long a try may take, and what ends it early.
#[derive(Clone, Copy)]
pub(super) struct Bounds<'a> {
    pub(super) gone: &'a Gone,
    pub(super) record: &'a Record,
    /// Of the whole exchange.
    pub(super) deadline: Instant,
    /// To a connection, if that is less than the pool allows.
    pub(super) connect: Option<Duration>,
    /// To the head, from the request's last byte; and as long for each piece of its body to
    /// be taken.
    pub(super) head: Duration,
    /// Between two pieces of the request's body, and of all of it in bytes.
    pub(super) upload: (Duration, u64),
}

/// The head of a response.
pub(super) struct Answered {
    pub(super) response: Response<Incoming>,
    /// The request's body is still on its way: the client may wait for the head before it
    /// sends more.
    pub(super) is_uploading: bool,
}

/// There is no response.
pub(super) struct Unanswered {
    pub(super) error: ServeError,
    /// The request's body, if nothing of it was taken.
    pub(super) unread: Option<Incoming>,
}

impl From<ServeError> for Unanswered {
    fn from(error: ServeError) -> Self {
        Self {
            error,
            unread: None,
        }
    }
}

/// Sends it to the endpoint that was picked.
///
/// # Errors
/// No connection, no response in time, or a client whose body failed or that left.
pub(super) async fn send(
    bounds: Bounds<'_>,
    pick: &Pick,
    prepared: Prepared,
) -> Result<Answered, Unanswered> {
    let Prepared {
        method,
        path,
        mut fields,
        content,
        is_upgrade,
    } = prepared;
    let endpoint = pick.endpoint();
    fields.insert(header::HOST, endpoint.host.clone());
    let (pause_max, bytes_max) = bounds.upload;
    let stall = Stall::new(pause_max, bounds.deadline);
    let (upload, progress) = Upload::new(content, bytes_max, stall);
    let mut request = Request::new(upload);
    *request.method_mut() = method;
    *request.uri_mut() = endpoint
        .uri(path)
        .map_err(|_| ServeError::UpstreamUnreachable)?;
    *request.headers_mut() = fields;
    let pool = match is_upgrade {
        true => &endpoint.upgrade_pool(),
        false => &endpoint.pool,
    };
    let waited = wait(bounds, pool, request, progress.as_ref()).await;
    // Nobody asked for another protocol: that is no answer.
    let waited = waited.and_then(|response| match response.status() {
        StatusCode::SWITCHING_PROTOCOLS if !is_upgrade => Err(ServeError::UpstreamFailed),
        _ => Ok(response),
    });
    match waited {
        Ok(response) => Ok(Answered {
            response,
            is_uploading: progress.is_some_and(|progress| !progress.is_over()),
        }),
        // The request is gone by now, and has given back what it did not take.
        Err(error) => Err(Unanswered {
            error,
            unread: progress.and_then(|progress| {
                let unread = progress.unread();
                progress.give_up();
                unread
            }),
        }),
    }
}

async fn wait(
    bounds: Bounds<'_>,
    pool: &Pool,
    mut request: Request<Upload>,
    progress: Option<&Progress>,
) -> Result<Response<Incoming>, ServeError> {
    let sent = Instant::now();
    // The upload has a clock of its own for the client; what is at hand is sent at once.
    let upstream_since = || progress.map_or(Some(sent), Progress::upstream_since);
    // Nobody but the endpoint was awaited, unless the request's body was still to come.
    let is_over = || match upstream_since() {
        Some(since) => ServeError::Overdue(since.elapsed()),
        None => ServeError::TotalTimeout,
    };
    let may_block = request.body().may_block();
    let is_watched = may_block || bounds.connect.is_some();
    let mut connection = is_watched.then(|| capture_connection(&mut request));
    let aborted = connection.clone().filter(|_| may_block);
    let mut response = pin!(AbortOnDrop::new(pool.request(request), aborted));
    if let (Some(most), Some(connection)) = (bounds.connect, &mut connection) {
        let due = (sent + most).min(bounds.deadline);
        // The response too: one that fails to connect is never captured.
        let connected = async {
            tokio::select! {
                biased;
                response = response.as_mut() => Some(response),
                _ = connection.wait_for_connection_metadata() => None,
            }
        };
        match bounds.gone.or(timeout_at(due, connected)).await? {
            Ok(None) => {}
            Ok(Some(response)) => return judge(bounds, response, progress),
            Err(_) if Instant::now() >= bounds.deadline => return Err(is_over()),
            Err(_) => return Err(ServeError::ConnectTimeout),
        }
    }
    match in_turn(bounds, upstream_since, response).await {
        Ok(response) => judge(bounds, response, progress),
        Err(ServeError::TotalTimeout) => Err(is_over()),
        Err(error) => Err(error),
    }
}

/// Waits for an upstream that is not to be awaited for longer than the bound, since whenever
/// it is its turn.
async fn in_turn<T>(
    bounds: Bounds<'_>,
    upstream_since: impl Fn() -> Option<Instant>,
    response: impl Future<Output = T>,
) -> Result<T, ServeError> {
    let mut response = pin!(response);
    loop {
        let due = upstream_since().unwrap_or_else(Instant::now) + bounds.head;
        let waited = timeout_at(due.min(bounds.deadline), response.as_mut());
        match bounds.gone.or(waited).await? {
            Ok(response) => return Ok(response),
            Err(_) if Instant::now() >= bounds.deadline => return Err(ServeError::TotalTimeout),
            Err(_) if upstream_since().is_some_and(|since| since.elapsed() >= bounds.head) => {
                return Err(ServeError::FirstByteTimeout);
            }
            Err(_) => {}
        }
    }
}

fn judge(
    bounds: Bounds<'_>,
    response: Result<Response<Incoming>, legacy::Error>,
    progress: Option<&Progress>,
) -> Result<Response<Incoming>, ServeError> {
    match response {
        Ok(response) => Ok(response),
        Err(error) => {
            let fault = progress.and_then(|progress| progress.fault(bounds.upload.1));
            Err(fault.unwrap_or_else(|| failure(bounds.record, &error)))
        }
    }
}

fn failure(record: &Record, error: &legacy::Error) -> ServeError {
    let (id, upstream) = (record.id.as_str(), record.upstream.as_deref());
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

#[cfg(test)]
mod tests {
    use std::{cell::Cell, future::pending};

    use tokio::time::sleep;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// How long it takes, with 10 s to the head, and what it comes to.
    async fn waited(
        upstream_since: &Cell<Option<Instant>>,
        response: impl Future<Output = ()>,
    ) -> (u64, Result<(), ServeError>) {
        let (gone, record, begun) = (Gone::default(), Record::default(), Instant::now());
        let bounds = Bounds {
            gone: &gone,
            record: &record,
            deadline: begun + 100 * SECOND,
            connect: None,
            head: 10 * SECOND,
            upload: (SECOND, 1),
        };
        let waited = in_turn(bounds, || upstream_since.get(), response).await;
        (begun.elapsed().as_secs(), waited)
    }

    #[tokio::test(start_paused = true)]
    async fn an_upstream_has_all_its_time_however_late_the_client_was() {
        for (last_byte, answer, took, is_answered) in [
            (9, 9, 18, true),
            (9, 11, 19, false),
            (25, 9, 34, true),
            (95, 9, 100, false),
        ] {
            let since = Cell::new(None);
            let response = async {
                sleep(last_byte * SECOND).await;
                since.set(Some(Instant::now()));
                sleep(answer * SECOND).await;
            };
            let (after, waited) = waited(&since, response).await;
            assert_eq!(
                (after, waited.is_ok()),
                (took, is_answered),
                "{last_byte} {answer}"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_upstream_that_takes_no_more_of_a_body_is_late_too() {
        let since = Cell::new(Some(Instant::now()));
        let (after, waited) = waited(&since, pending()).await;
        assert_eq!(after, 10);
        assert!(
            matches!(waited, Err(ServeError::FirstByteTimeout)),
            "{waited:?}"
        );
    }
}
