//! One connection of a load: sends a request, reads its answer, checks it.

use std::{sync::Arc, time::Instant};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, Uri, header};
use http_body_util::{BodyExt, Full};
use hyper::{
    body::Incoming,
    client::conn::http1::{self, SendRequest},
};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::{net::TcpStream, task::JoinHandle, time::timeout};

use super::{
    GENERATION_HEADER, Load,
    events::Events,
    report::{Exchange, Failure, Marks, Tally},
};

pub(super) struct Connection {
    load: Arc<Load>,
    uri: Uri,
    headers: HeaderMap,
    open: Option<Open>,
}

struct Open {
    sender: SendRequest<Full<Bytes>>,
    driver: JoinHandle<()>,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Connection {
    pub(super) fn new(load: Arc<Load>) -> Self {
        let mut headers = HeaderMap::new();
        if let Ok(host) = HeaderValue::try_from(load.target.to_string()) {
            headers.insert(header::HOST, host);
        }
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        );
        headers.extend(load.headers.iter().cloned());
        let uri = load.path.parse().unwrap_or_default();
        Self {
            load,
            uri,
            headers,
            open: None,
        }
    }

    /// One request and its whole answer.
    pub(super) async fn exchange(&mut self, streamed: bool, tally: &mut Tally) -> Exchange {
        let mut exchange = Exchange {
            streamed,
            generation: None,
            marks: Marks::default(),
            events: 0,
            latency: None,
            outcome: Ok(()),
        };
        let patience = self.load.patience;
        exchange.outcome = match timeout(patience, self.try_exchange(&mut exchange, tally)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(Failure::TimedOut(patience)),
        };
        if exchange.outcome.is_err() {
            self.open = None;
        }
        exchange
    }

    async fn try_exchange(
        &mut self,
        exchange: &mut Exchange,
        tally: &mut Tally,
    ) -> Result<(), Failure> {
        let begun = Instant::now();
        let response = self.send(exchange.streamed, tally).await?;
        exchange.generation = generation(response.headers());
        let status = response.status().as_u16();
        if status != 200 {
            let body = response
                .into_body()
                .collect()
                .await
                .map(|body| body.to_bytes())
                .unwrap_or_default();
            return Err(Failure::Status {
                status,
                code: code_of(&body),
            });
        }
        if exchange.streamed {
            self.read_stream(response.into_body(), begun, exchange)
                .await
        } else {
            let body = response
                .into_body()
                .collect()
                .await
                .map_err(broken)?
                .to_bytes();
            exchange.latency = Some(begun.elapsed());
            self.check_json(&body, &mut exchange.marks)
        }
    }

    /// Sends a request; once more on a new connection if the old one was closed before
    /// the request left.
    async fn send(
        &mut self,
        streamed: bool,
        tally: &mut Tally,
    ) -> Result<Response<Incoming>, Failure> {
        let mut request = self.request(streamed);
        loop {
            let fresh = !matches!(&self.open, Some(open) if open.sender.is_ready());
            if fresh {
                self.open = Some(connect(&self.load).await?);
                tally.connected();
            }
            let Some(open) = &mut self.open else { continue };
            let failed = match open.sender.try_send_request(request).await {
                Ok(response) => return Ok(response),
                Err(failed) => failed,
            };
            self.open = None;
            let mut failed = failed;
            match failed.take_message() {
                Some(unsent) if !fresh => request = unsent,
                _ => return Err(broken(failed.into_error())),
            }
        }
    }

    fn request(&self, streamed: bool) -> Request<Full<Bytes>> {
        let body = if streamed {
            &self.load.streamed_body
        } else {
            &self.load.plain_body
        };
        let mut request = Request::new(Full::new(body.clone()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        request
    }

    async fn read_stream(
        &self,
        mut body: Incoming,
        begun: Instant,
        exchange: &mut Exchange,
    ) -> Result<(), Failure> {
        let (mut events, mut done, mut failure) = (Events::default(), false, None);
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(broken)?;
            let Some(bytes) = frame.data_ref() else {
                continue;
            };
            events.push(bytes, |data| {
                exchange.latency.get_or_insert_with(|| begun.elapsed());
                if done {
                    failure.get_or_insert(Failure::AfterDone);
                } else if data == b"[DONE]" {
                    done = true;
                } else {
                    exchange.events += 1;
                    if let Err(bad) = self.check_json(data, &mut exchange.marks) {
                        failure.get_or_insert(bad);
                    }
                }
            });
        }
        match failure {
            Some(failure) => Err(failure),
            None if events.has_rest() => Err(Failure::HalfEvent),
            None if !done => Err(Failure::NoDone),
            None => Ok(()),
        }
    }

    /// Checks what is cheap to see; parses only where marks are looked for.
    fn check_json(&self, data: &[u8], marks: &mut Marks) -> Result<(), Failure> {
        if data.starts_with(br#"{"error""#) {
            return Err(Failure::ErrorEvent(code_of(data).trim().to_owned()));
        }
        if self.load.marks.is_empty() {
            return if data.ends_with(b"}") {
                Ok(())
            } else {
                Err(Failure::NotJson)
            };
        }
        let value: Value = serde_json::from_slice(data).map_err(|_| Failure::NotJson)?;
        for (place, pointer) in self.load.marks.iter().enumerate() {
            match value.pointer(pointer) {
                Some(Value::String(mark)) => marks.see(place, mark),
                Some(Value::Null) | None => {}
                Some(other) => marks.see(place, &other.to_string()),
            }
        }
        Ok(())
    }
}

async fn connect(load: &Load) -> Result<Open, Failure> {
    let stream = TcpStream::connect(load.target)
        .await
        .map_err(|error| Failure::Connect(error.kind()))?;
    stream
        .set_nodelay(true)
        .map_err(|error| Failure::Connect(error.kind()))?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(broken)?;
    let driver = tokio::spawn(async move {
        // What breaks a connection is told to the request under way.
        let _ = connection.await;
    });
    sender.ready().await.map_err(broken)?;
    Ok(Open { sender, driver })
}

fn broken(error: hyper::Error) -> Failure {
    Failure::Broken(error.to_string())
}

fn generation(headers: &HeaderMap) -> Option<u64> {
    headers.get(GENERATION_HEADER)?.to_str().ok()?.parse().ok()
}

/// The code of an error object, for the failure's text.
fn code_of(body: &[u8]) -> String {
    let error: Option<Value> = serde_json::from_slice(body).ok();
    let code = error
        .as_ref()
        .and_then(|error| error.pointer("/error/code")?.as_str());
    code.map(|code| format!(" {code}")).unwrap_or_default()
}
