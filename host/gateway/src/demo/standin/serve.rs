//! Takes connections and answers requests; the faults of the transport happen here.

use std::{borrow::Cow, sync::Arc};

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::{
    HeaderName, HeaderValue, Method, Request, Response, StatusCode,
    header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER},
};
use http_body_util::BodyExt;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    StandinOptions,
    answer::{Asked, Kind, error_body, models_body},
    behaviour::{Behaviour, Broken, HEADER, Wait},
    body::{Answered, Pieces},
    embeddings::embeddings_body,
    script::Script,
    seen::{InFlight, Ledger},
    wire::{Fuse, Wire},
};

/// The request header whose value the answer shows as its `system_fingerprint`.
const MARK: &str = "x-standin-mark";
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const EVENT_STREAM: HeaderValue = HeaderValue::from_static("text/event-stream; charset=utf-8");
const NO_CACHE: HeaderValue = HeaderValue::from_static("no-cache");

#[derive(Debug)]
pub(super) struct Server {
    models: Vec<String>,
    /// For requests that do not say otherwise.
    pub(super) behaviour: ArcSwap<Behaviour>,
    ledger: Arc<Ledger>,
}

impl Server {
    pub(super) fn new(options: StandinOptions, ledger: Arc<Ledger>) -> Self {
        Self {
            models: options.models,
            behaviour: ArcSwap::from_pointee(options.behaviour),
            ledger,
        }
    }
}

/// Takes connections until told to stop.
pub(super) async fn accept(
    listener: TcpListener,
    server: Arc<Server>,
    stop: CancellationToken,
    tasks: TaskTracker,
) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => return,
        };
        match accepted {
            Ok((stream, _)) => {
                let (server, stop) = (server.clone(), stop.clone());
                tasks.spawn(async move {
                    tokio::select! {
                        () = connection(stream, server) => {}
                        () = stop.cancelled() => {}
                    }
                });
            }
            // Out of file descriptors, most likely: others have to close first.
            Err(_) => tokio::time::sleep(std::time::Duration::from_millis(20)).await,
        }
    }
}

async fn connection(stream: TcpStream, server: Arc<Server>) {
    server.ledger.connected();
    // Small events are to leave at once; without it they only leave later.
    let _ = stream.set_nodelay(true);
    let (wire, fuse) = Wire::new(stream);
    let service = service_fn(move |request| {
        let (server, fuse) = (server.clone(), fuse.clone());
        async move { answer(&server, request, fuse).await }
    });
    // How a connection ended is the client's to judge, and faults are on purpose.
    let _ = auto::Builder::new(TokioExecutor::new())
        .serve_connection(TokioIo::new(wire), service)
        .await;
}

/// What ends a connection without a response.
#[derive(Debug, thiserror::Error)]
enum Gone {
    #[error("cut off before the response, as told")]
    CutHeaders,
    #[error("the request broke off: {0}")]
    Request(#[from] hyper::Error),
}

async fn answer(
    server: &Server,
    request: Request<Incoming>,
    fuse: Fuse,
) -> Result<Response<Answered>, Gone> {
    if request.uri().path() == "/standin/seen" {
        if request.method() == Method::DELETE {
            server.ledger.forget();
        }
        return Ok(whole(
            StatusCode::OK,
            server.ledger.snapshot().to_json().to_string(),
        ));
    }
    if let Some(answer) = operated(server, &request).await {
        return Ok(answer);
    }
    let flight = server.ledger.begin(request.uri().clone());
    let usual = server.behaviour.load_full();
    let behaviour = match behaviour_of(&usual, &request) {
        Ok(behaviour) => behaviour,
        Err(message) => return Ok(refuse(400, &message, flight)),
    };
    if let Some(status) = behaviour.early {
        let (parts, _) = request.into_parts();
        server.ledger.keep(&flight, parts, Bytes::new());
        return Ok(refuse(status, "Answered early, as told.", flight));
    }
    if request.uri().path() == "/echo" {
        return Ok(echo(server, request, flight));
    }
    let (parts, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let kind = endpoint(&parts.method, parts.uri.path());
    let mark = parts
        .headers
        .get(MARK)
        .and_then(|mark| mark.to_str().ok())
        .unwrap_or("standin")
        .to_owned();
    server.ledger.keep(&flight, parts, body.clone());

    stall(&behaviour).await;
    if let Some(how) = behaviour.cut_headers {
        if how == Broken::Reset {
            fuse.light();
        }
        flight.over();
        return Err(Gone::CutHeaders);
    }
    if let Some(status) = behaviour.fail {
        let response = refuse(status, "Failed, as told.", flight);
        return Ok(dressed(response, &behaviour));
    }
    let response = match kind {
        Endpoint::Text(kind) => text(kind, &body, &mark, &behaviour, flight, fuse).await,
        Endpoint::Embeddings => match embeddings_body(&body) {
            Ok(body) => sized(body, &behaviour, flight, fuse),
            Err(error) => refuse(
                400,
                &format!("The body is not as expected: {error}."),
                flight,
            ),
        },
        Endpoint::Models => sized(models_body(&server.models), &behaviour, flight, fuse),
        Endpoint::Unknown => refuse(404, "There is nothing at this path.", flight),
    };
    Ok(dressed(response, &behaviour))
}

async fn stall(behaviour: &Behaviour) {
    match behaviour.stall_before {
        Some(Wait::Forever) => std::future::pending().await,
        Some(Wait::For(pause)) => tokio::time::sleep(pause).await,
        None => {}
    }
}

/// What whoever operates a model server asks of it, as vLLM answers: how it is, and what
/// it has to do. It is no traffic and not counted; one that stalls or fails does so here.
async fn operated(server: &Server, request: &Request<Incoming>) -> Option<Response<Answered>> {
    let body = match (request.method(), request.uri().path()) {
        (&Method::GET, "/health") => String::new(),
        (&Method::GET, "/metrics") => {
            let running = server.ledger.in_flight();
            format!(
                "# TYPE vllm:num_requests_running gauge\nvllm:num_requests_running {running}\n\
                 # TYPE vllm:num_requests_waiting gauge\nvllm:num_requests_waiting 0\n"
            )
        }
        _ => return None,
    };
    let behaviour = server.behaviour.load_full();
    stall(&behaviour).await;
    let status = behaviour.fail.or(behaviour.status).unwrap_or(200);
    let mut response = whole(StatusCode::from_u16(status).unwrap_or_default(), body);
    let text = HeaderValue::from_static("text/plain; version=0.0.4");
    response.headers_mut().insert(CONTENT_TYPE, text);
    Some(response)
}

enum Endpoint {
    Text(Kind),
    Embeddings,
    Models,
    Unknown,
}

fn endpoint(method: &Method, path: &str) -> Endpoint {
    match (method, path) {
        (&Method::POST, "/v1/chat/completions") => Endpoint::Text(Kind::Chat),
        (&Method::POST, "/v1/completions") => Endpoint::Text(Kind::Completion),
        (&Method::POST, "/v1/embeddings") => Endpoint::Embeddings,
        (&Method::GET, "/v1/models") => Endpoint::Models,
        _ => Endpoint::Unknown,
    }
}

fn behaviour_of<'a>(
    usual: &'a Behaviour,
    request: &Request<Incoming>,
) -> Result<Cow<'a, Behaviour>, String> {
    let mut lists = request.headers().get_all(HEADER).iter().peekable();
    if lists.peek().is_none() {
        return Ok(Cow::Borrowed(usual));
    }
    let mut behaviour = usual.clone();
    for list in lists {
        let list = list
            .to_str()
            .map_err(|_| format!("`{HEADER}` is not text"))?;
        behaviour.apply(list).map_err(|error| error.to_string())?;
    }
    Ok(Cow::Owned(behaviour))
}

/// Answers a text endpoint, in one piece or as a stream.
async fn text(
    kind: Kind,
    body: &[u8],
    mark: &str,
    behaviour: &Behaviour,
    flight: InFlight,
    fuse: Fuse,
) -> Response<Answered> {
    let asked = match Asked::parse(body) {
        Ok(asked) => asked,
        Err(error) => {
            return refuse(
                400,
                &format!("The body is not as expected: {error}."),
                flight,
            );
        }
    };
    let answer = asked.answer(kind, flight.id(), mark, behaviour);
    if asked.stream != Some(true) {
        if !behaviour.pace.is_zero() {
            tokio::time::sleep(behaviour.pace).await;
        }
        return sized(answer.body(), behaviour, flight, fuse);
    }
    flight.streams();
    let script = Script::new(answer, behaviour.clone());
    let mut response = Response::new(Answered::script(script, pieces(behaviour), flight, fuse));
    response.headers_mut().insert(CONTENT_TYPE, EVENT_STREAM);
    response.headers_mut().insert(CACHE_CONTROL, NO_CACHE);
    response
}

fn pieces(behaviour: &Behaviour) -> Pieces {
    let one = behaviour.trickle.map(|_| 1);
    Pieces {
        size: behaviour.split.or(one).unwrap_or(usize::MAX),
        pause: behaviour.trickle,
    }
}

/// A plain answer, whole or with the faults that a body of known length can have.
fn sized(
    mut body: String,
    behaviour: &Behaviour,
    flight: InFlight,
    fuse: Fuse,
) -> Response<Answered> {
    if behaviour.malformed_json || behaviour.malformed {
        body.truncate(
            body.char_indices()
                .nth(body.len() / 2)
                .map_or(0, |(at, _)| at),
        );
    }
    if let Some(cut) = behaviour.cut {
        let length = body.len();
        let bytes = Bytes::from(body);
        let part = bytes.slice(..bytes.len().min(cut.after as usize));
        let mut response = Response::new(Answered::broken(part, cut.reset, flight, fuse));
        response.headers_mut().insert(CONTENT_TYPE, JSON);
        response.headers_mut().insert(CONTENT_LENGTH, length.into());
        return response;
    }
    if behaviour.split.is_some() || behaviour.trickle.is_some() {
        let length = body.len();
        let bytes = Answered::pieces(body.into(), pieces(behaviour), flight, fuse);
        let mut response = Response::new(bytes);
        response.headers_mut().insert(CONTENT_TYPE, JSON);
        response.headers_mut().insert(CONTENT_LENGTH, length.into());
        return response;
    }
    flight.over();
    whole(StatusCode::OK, body)
}

fn echo(server: &Server, request: Request<Incoming>, flight: InFlight) -> Response<Answered> {
    let (parts, body) = request.into_parts();
    let content_type = parts.headers.get(CONTENT_TYPE).cloned();
    server.ledger.keep(&flight, parts, Bytes::new());
    let mut response = Response::new(Answered::Echo(body, flight));
    if let Some(content_type) = content_type {
        response.headers_mut().insert(CONTENT_TYPE, content_type);
    }
    response
}

fn refuse(status: u16, message: &str, flight: InFlight) -> Response<Answered> {
    flight.over();
    let code = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    whole(code, error_body(status, message))
}

fn whole(status: StatusCode, body: String) -> Response<Answered> {
    let mut response = Response::new(Answered::Whole(Some(body.into())));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    response
}

/// The status and headers that the behaviour asks for.
fn dressed(mut response: Response<Answered>, behaviour: &Behaviour) -> Response<Answered> {
    if let Some(status) = behaviour
        .status
        .and_then(|status| StatusCode::from_u16(status).ok())
    {
        *response.status_mut() = status;
    }
    if let Some(retry_after) = behaviour
        .retry_after
        .as_deref()
        .and_then(|value| value.parse().ok())
    {
        response.headers_mut().insert(RETRY_AFTER, retry_after);
    }
    for (name, value) in &behaviour.headers {
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), value.parse::<HeaderValue>()) {
            response.headers_mut().append(name, value);
        }
    }
    response
}
