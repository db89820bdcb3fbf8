//! A server that says to the byte what a test tells it, in pieces of the test's choice,
//! and breaks off where it is told. It keeps what it heard.

use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{StreamExt, future, stream};
use http::{HeaderMap, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody, combinators::UnsyncBoxBody};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

/// A request that it got.
#[derive(Debug, Clone)]
pub(crate) struct Heard {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Heard {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }
}

/// An answer.
#[derive(Debug, Clone)]
pub(crate) struct Said {
    status: u16,
    headers: Vec<(String, String)>,
    /// Each is written by itself.
    pieces: Vec<Bytes>,
    end: End,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Whole,
    /// The connection breaks, so that the body has no end.
    Cut,
    /// Nothing more comes.
    Stall,
}

impl Said {
    pub(crate) fn new(status: u16, kind: &str, body: impl Into<Bytes>) -> Self {
        Self {
            status,
            headers: vec![("content-type".to_owned(), kind.to_owned())],
            pieces: vec![body.into()],
            end: End::Whole,
        }
    }

    pub(crate) fn json(status: u16, body: &Value) -> Self {
        Self::new(status, "application/json", body.to_string())
    }

    pub(crate) fn events(text: impl Into<Bytes>) -> Self {
        Self::new(200, "text/event-stream; charset=utf-8", text)
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// In pieces of so many bytes.
    pub(crate) fn split(mut self, bytes: usize) -> Self {
        let whole = self.pieces.concat();
        self.pieces = whole.chunks(bytes).map(Bytes::copy_from_slice).collect();
        self
    }

    /// Only so many bytes, and then the connection breaks.
    pub(crate) fn cut_after(mut self, bytes: usize) -> Self {
        let whole = self.pieces.concat();
        self.pieces = vec![Bytes::copy_from_slice(&whole[..bytes])];
        self.end = End::Cut;
        self
    }

    /// Only so many bytes, and then nothing.
    pub(crate) fn stall_after(self, bytes: usize) -> Self {
        Self {
            end: End::Stall,
            ..self.cut_after(bytes)
        }
    }

    fn body(self) -> UnsyncBoxBody<Bytes, io::Error> {
        let pieces = stream::iter(self.pieces).then(|piece| async move {
            // Pieces that are ready together would leave together.
            tokio::time::sleep(Duration::from_micros(100)).await;
            Ok(Frame::data(piece))
        });
        let end = match self.end {
            End::Whole => stream::empty().boxed(),
            End::Cut => stream::once(future::ready(Err(io::Error::other("as told")))).boxed(),
            End::Stall => stream::pending().boxed(),
        };
        StreamBody::new(pieces.chain(end)).boxed_unsync()
    }
}

type Answering = dyn Fn(&Heard) -> Said + Send + Sync;

/// Stops when it is dropped.
pub(crate) struct Scripted {
    pub(crate) addr: SocketAddr,
    inner: Arc<Inner>,
    stop: CancellationToken,
}

struct Inner {
    heard: Mutex<Vec<Heard>>,
    answering: Mutex<Arc<Answering>>,
}

impl Scripted {
    pub(crate) async fn start(answering: impl Fn(&Heard) -> Said + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let scripted = Self {
            addr: listener.local_addr().unwrap(),
            inner: Arc::new(Inner {
                heard: Mutex::default(),
                answering: Mutex::new(Arc::new(answering)),
            }),
            stop: CancellationToken::new(),
        };
        let (inner, stop) = (scripted.inner.clone(), scripted.stop.clone());
        tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                tokio::select! {
                    () = stop.cancelled() => return,
                    accepted = listener.accept() => {
                        connections.spawn(connection(accepted.unwrap().0, inner.clone()));
                    }
                }
            }
        });
        scripted
    }

    /// One that always says the same, until it is told otherwise.
    pub(crate) async fn saying(said: Said) -> Self {
        Self::start(move |_| said.clone()).await
    }

    /// What it says from now on.
    pub(crate) fn answer(&self, answering: impl Fn(&Heard) -> Said + Send + Sync + 'static) {
        *self.inner.answering.lock().unwrap() = Arc::new(answering);
    }

    pub(crate) fn say(&self, said: Said) {
        self.answer(move |_| said.clone());
    }

    pub(crate) fn heard(&self) -> Vec<Heard> {
        self.inner.heard.lock().unwrap().clone()
    }

    pub(crate) fn count(&self) -> usize {
        self.inner.heard.lock().unwrap().len()
    }

    pub(crate) fn newest(&self) -> Heard {
        self.heard().pop().expect("a request came")
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn connection(stream: TcpStream, inner: Arc<Inner>) {
    let service = service_fn(|request| {
        let inner = inner.clone();
        async move { Ok::<_, Infallible>(inner.answer_to(request).await) }
    });
    // How a connection ended is the client's to judge.
    let _ = http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

impl Inner {
    async fn answer_to(
        &self,
        request: Request<Incoming>,
    ) -> Response<UnsyncBoxBody<Bytes, io::Error>> {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.map(|body| body.to_bytes());
        let heard = Heard {
            method: parts.method.to_string(),
            path: parts.uri.to_string(),
            headers: parts.headers,
            body: body.unwrap_or_default(),
        };
        let answering = self.answering.lock().unwrap().clone();
        let said = answering(&heard);
        self.heard.lock().unwrap().push(heard);
        let mut response = Response::builder().status(said.status);
        for (name, value) in &said.headers {
            response = response.header(name, value);
        }
        response.body(said.body()).unwrap()
    }
}
