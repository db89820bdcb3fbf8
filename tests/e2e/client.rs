//! A client that shows all that came: plain, as a stream of events, and as raw bytes.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinHandle,
    time::timeout,
};

use crate::fixture::PATIENCE;

/// A request, not sent yet. Each goes over a connection of its own.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    addr: SocketAddr,
    method: String,
    path: String,
    headers: Vec<(String, Vec<u8>)>,
    json: Value,
    body: Bytes,
}

impl Ask {
    pub(crate) fn new(addr: SocketAddr, method: &str, path: &str) -> Self {
        Self {
            addr,
            method: method.to_owned(),
            path: path.to_owned(),
            headers: Vec::new(),
            json: Value::Null,
            body: Bytes::new(),
        }
    }

    pub(crate) fn chat(addr: SocketAddr, model: &str) -> Self {
        let body = json!({ "model": model, "messages": [{ "role": "user", "content": "Name three rivers." }] });
        Self::new(addr, "POST", "/v1/chat/completions").json(body)
    }

    pub(crate) fn header(mut self, name: &str, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// How the stand-in is to answer.
    pub(crate) fn behaving(self, list: &str) -> Self {
        self.header("x-standin", list)
    }

    pub(crate) fn json(mut self, body: Value) -> Self {
        self.json = body;
        self.header("content-type", "application/json")
    }

    /// Sets a field of the JSON body.
    pub(crate) fn set(mut self, field: &str, value: impl Into<Value>) -> Self {
        self.json[field] = value.into();
        self
    }

    pub(crate) fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.json = Value::Null;
        self.body = body.into();
        self
    }

    pub(crate) async fn send(&self) -> Answer {
        let Streamed {
            status,
            headers,
            mut body,
            _driver,
            ..
        } = self.stream().await;
        let body = timeout(PATIENCE, body.collect_all())
            .await
            .expect("the answer ends");
        Answer {
            status,
            headers,
            body,
        }
    }

    /// Sends it and waits for the head of the answer.
    pub(crate) async fn stream(&self) -> Streamed {
        timeout(PATIENCE, self.try_stream())
            .await
            .expect("an answer begins")
    }

    /// Sends it, waits for nothing. Dropped, the client hangs up.
    pub(crate) fn begin(&self) -> Waiting {
        let ask = self.clone();
        Waiting(tokio::spawn(async move {
            drop(ask.try_stream().await.collect().await)
        }))
    }

    async fn try_stream(&self) -> Streamed {
        let stream = TcpStream::connect(self.addr).await.unwrap();
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        let driver = Driver(tokio::spawn(async move { drop(connection.await) }));
        let body = match &self.json {
            Value::Null => self.body.clone(),
            json => Bytes::from(json.to_string()),
        };
        let mut request = Request::builder()
            .method(self.method.as_str())
            .uri(self.path.as_str());
        if !self
            .headers
            .iter()
            .any(|(name, _)| name.eq_ignore_ascii_case("host"))
        {
            request = request.header("host", self.addr.to_string());
        }
        for (name, value) in &self.headers {
            request = request.header(name.as_str(), value.as_slice());
        }
        let response = sender
            .send_request(request.body(Full::new(body)).unwrap())
            .await
            .unwrap();
        let (parts, body) = response.into_parts();
        Streamed {
            status: parts.status.as_u16(),
            headers: parts.headers,
            body: Reading {
                body,
                _sender: sender,
            },
            buffer: String::new(),
            _driver: driver,
        }
    }
}

/// A request under way.
pub(crate) struct Waiting(JoinHandle<()>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.abort();
    }
}

struct Driver(JoinHandle<()>);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A body, and what keeps its connection open.
struct Reading {
    body: Incoming,
    _sender: http1::SendRequest<Full<Bytes>>,
}

impl Reading {
    async fn collect_all(&mut self) -> Bytes {
        let mut all = Vec::new();
        while let Some(frame) = self.body.frame().await {
            let frame = frame.expect("the body is whole");
            all.extend_from_slice(frame.data_ref().map_or(&[][..], |data| &data[..]));
        }
        all.into()
    }
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.to_vec()).unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {}", self.text()))
    }

    /// The code of the error that it is; fails if it is not one as OpenAI's clients
    /// expect it.
    pub(crate) fn error_code(&self) -> String {
        assert!(self.status >= 400, "{} {}", self.status, self.text());
        assert_eq!(self.header("content-type"), Some("application/json"));
        assert!(self.header("x-request-id").is_some_and(|id| !id.is_empty()));
        let error = &self.json()["error"];
        for field in ["message", "type", "code"] {
            assert!(
                error[field].as_str().is_some_and(|text| !text.is_empty()),
                "{field}: {}",
                self.text()
            );
        }
        assert!(error["param"].is_null());
        error["code"].as_str().unwrap().to_owned()
    }

    /// Its status and that code.
    pub(crate) fn refusal(&self) -> (u16, String) {
        (self.status, self.error_code())
    }
}

/// An answer that is read piece by piece. Dropped, the client hangs up.
pub(crate) struct Streamed {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    body: Reading,
    buffer: String,
    _driver: Driver,
}

/// All of a stream.
#[derive(Debug)]
pub(crate) struct Collected {
    /// The events' data, and before it, for those that have one, the name and a colon.
    pub(crate) events: Vec<String>,
    /// Whether the transport ended as it should.
    pub(crate) is_whole: bool,
}

impl Streamed {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The next event, if the stream does not end or break first.
    pub(crate) async fn next(&mut self) -> Option<String> {
        timeout(PATIENCE, self.read_on())
            .await
            .expect("an event or the end")
            .ok()
            .flatten()
    }

    /// Everything from here on.
    pub(crate) async fn collect(mut self) -> Collected {
        let mut events = Vec::new();
        loop {
            match timeout(PATIENCE, self.read_on())
                .await
                .expect("an event or the end")
            {
                Ok(Some(event)) => events.push(event),
                Ok(None) => {
                    return Collected {
                        events,
                        is_whole: true,
                    };
                }
                Err(_) => {
                    return Collected {
                        events,
                        is_whole: false,
                    };
                }
            }
        }
    }

    /// The rest of a body that is no stream, or that it broke off.
    pub(crate) async fn try_text(self) -> Result<String, hyper::Error> {
        let Self { body, .. } = self;
        let collected = timeout(PATIENCE, body.body.collect()).await;
        let bytes = collected.expect("the answer ends")?.to_bytes();
        Ok(String::from_utf8(bytes.to_vec()).unwrap())
    }

    async fn read_on(&mut self) -> Result<Option<String>, hyper::Error> {
        loop {
            if let Some((event, rest)) = self.buffer.split_once("\n\n") {
                let event = event_of(event);
                self.buffer = rest.to_owned();
                match event {
                    Some(event) => return Ok(Some(event)),
                    None => continue,
                }
            }
            let Some(frame) = self.body.body.frame().await.transpose()? else {
                let is_nothing = |line: &str| line.is_empty() || line.starts_with(':');
                assert!(
                    self.buffer.lines().all(is_nothing),
                    "half an event: {}",
                    self.buffer
                );
                return Ok(None);
            };
            let text = frame
                .data_ref()
                .map_or("", |data| std::str::from_utf8(data).unwrap());
            self.buffer
                .push_str(&text.replace("\r\n", "\n").replace('\r', "\n"));
        }
    }
}

fn event_of(lines: &str) -> Option<String> {
    let field = |name: &str| {
        let values = lines
            .trim_start_matches('\u{feff}')
            .lines()
            .filter_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        let values: Vec<_> = values
            .map(|value| value.strip_prefix(' ').unwrap_or(value))
            .collect();
        (!values.is_empty()).then(|| values.join("\n"))
    };
    let data = field("data")?;
    Some(match field("event") {
        Some(name) => format!("{name}:{data}"),
        None => data,
    })
}

impl Collected {
    /// The text that the model said.
    pub(crate) fn text(&self) -> String {
        let chunks = self
            .events
            .iter()
            .filter_map(|event| serde_json::from_str::<Value>(event).ok());
        chunks
            .filter_map(|chunk| {
                Some(
                    chunk
                        .pointer("/choices/0/delta/content")?
                        .as_str()?
                        .to_owned(),
                )
            })
            .collect()
    }

    /// Whole, and with the mark at its end.
    pub(crate) fn is_complete(&self) -> bool {
        self.is_whole && self.events.last().is_some_and(|event| event == "[DONE]")
    }

    /// The code of the error event that ended it.
    pub(crate) fn error_code(&self) -> Option<String> {
        let last: Value = serde_json::from_str(self.events.last()?).ok()?;
        Some(last.pointer("/error/code")?.as_str()?.to_owned())
    }
}

/// Sends bytes as they are, and returns all that comes until the gateway hangs up.
pub(crate) async fn raw(addr: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    // A gateway that refuses may hang up before all is written.
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let mut piece = [0; 16 * 1024];
    loop {
        let read = timeout(PATIENCE, stream.read(&mut piece)).await;
        match read
            .unwrap_or_else(|_| panic!("still open after {}", String::from_utf8_lossy(&answer)))
        {
            Ok(0) | Err(_) => return String::from_utf8_lossy(&answer).into_owned(),
            Ok(count) => answer.extend_from_slice(&piece[..count]),
        }
    }
}

/// The statuses of the answers in raw bytes.
pub(crate) fn statuses(answer: &str) -> Vec<u16> {
    let heads = answer.match_indices("HTTP/1.").map(|(at, _)| &answer[at..]);
    heads
        .filter_map(|head| head.get(9..12)?.parse().ok())
        .collect()
}
