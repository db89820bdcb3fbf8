//! What reached the stand-in and how it ended, for tests and for the curious.
//!
//! The last requests are kept whole; everything else is a counter. A request that
//! is dropped before its answer was handed over counts as cancelled: the server
//! drops it when the client's connection closes.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{Uri, request::Parts};
use parking_lot::Mutex;
use serde_json::{Value, json};

const CANCELLATIONS_KEPT: usize = 1024;

/// A snapshot of what the stand-in has seen.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// Requests whose body was read, or that were answered without it.
    pub requests: u64,
    /// Of them, those answered with a stream.
    pub streams: u64,
    /// Begun and not yet answered in full.
    pub in_flight: u64,
    /// Answered to the end, faults on purpose included.
    pub completed: u64,
    /// Left by the client before the end.
    pub cancelled: u64,
    /// The last of them, oldest first.
    pub cancellations: Vec<Cancellation>,
    /// TCP connections accepted.
    pub connections: u64,
    /// The last requests, oldest first; as many as the options say.
    pub last: Vec<SeenRequest>,
}

/// A request that the client did not wait for.
#[derive(Debug, Clone)]
pub struct Cancellation {
    /// [`SeenRequest::id`].
    pub request: u64,
    pub path: String,
    /// When the stand-in noticed.
    pub at: Instant,
    /// From the request's arrival.
    pub after: Duration,
}

/// A request as it reached the stand-in.
#[derive(Debug, Clone)]
pub struct SeenRequest {
    /// Counts from 1.
    pub id: u64,
    pub at: Instant,
    pub method: String,
    /// Path and query, as received.
    pub path: String,
    /// In the order received; values that are not UTF-8 are shown lossily.
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
}

impl SeenRequest {
    /// The first value of a header; the name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// Every value of a header; the name in lower case.
    pub fn header_values(&self, name: &str) -> Vec<&str> {
        self.headers
            .iter()
            .filter(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
            .collect()
    }

    /// The body as JSON, or `null` if it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }
}

impl Seen {
    /// The newest request.
    pub fn newest(&self) -> Option<&SeenRequest> {
        self.last.last()
    }

    /// The newest request with this header value: how a test finds its own.
    pub fn with_header(&self, name: &str, value: &str) -> Option<&SeenRequest> {
        self.last
            .iter()
            .rev()
            .find(|request| request.header(name) == Some(value))
    }

    /// As `GET /standin/seen` answers it.
    pub(super) fn to_json(&self) -> Value {
        let last = self.last.iter().map(|request| {
            let body = match serde_json::from_slice(&request.body) {
                Ok(body) => body,
                Err(_) => Value::String(String::from_utf8_lossy(&request.body).into_owned()),
            };
            json!({
                "id": request.id,
                "method": request.method,
                "path": request.path,
                "headers": request.headers,
                "body": body,
            })
        });
        let cancellations = self.cancellations.iter().map(|one| {
            json!({
                "request": one.request,
                "path": one.path,
                "after_ms": one.after.as_secs_f64() * 1e3,
                "ago_ms": one.at.elapsed().as_secs_f64() * 1e3,
            })
        });
        json!({
            "requests": self.requests,
            "streams": self.streams,
            "in_flight": self.in_flight,
            "completed": self.completed,
            "cancelled": self.cancelled,
            "connections": self.connections,
            "cancellations": cancellations.collect::<Vec<_>>(),
            "last": last.collect::<Vec<_>>(),
        })
    }
}

/// Counts and keeps, shared by all connections.
#[derive(Debug)]
pub(super) struct Ledger {
    keep: usize,
    requests: AtomicU64,
    streams: AtomicU64,
    completed: AtomicU64,
    cancelled: AtomicU64,
    connections: AtomicU64,
    last: Mutex<VecDeque<Kept>>,
    cancellations: Mutex<VecDeque<Cancellation>>,
}

#[derive(Debug)]
struct Kept {
    id: u64,
    at: Instant,
    parts: Parts,
    body: Bytes,
}

impl Ledger {
    pub(super) fn new(keep: usize) -> Arc<Self> {
        Arc::new(Self {
            keep,
            requests: AtomicU64::new(0),
            streams: AtomicU64::new(0),
            completed: AtomicU64::new(0),
            cancelled: AtomicU64::new(0),
            connections: AtomicU64::new(0),
            last: Mutex::default(),
            cancellations: Mutex::default(),
        })
    }

    pub(super) fn connected(&self) {
        self.connections.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a request; what it returns is its life.
    pub(super) fn begin(self: &Arc<Self>, uri: Uri) -> InFlight {
        let id = self.requests.fetch_add(1, Ordering::AcqRel) + 1;
        InFlight {
            ledger: self.clone(),
            id,
            at: Instant::now(),
            uri,
            over: false,
        }
    }

    pub(super) fn keep(&self, flight: &InFlight, parts: Parts, body: Bytes) {
        if self.keep == 0 {
            return;
        }
        let mut last = self.last.lock();
        if last.len() == self.keep {
            last.pop_front();
        }
        last.push_back(Kept {
            id: flight.id,
            at: flight.at,
            parts,
            body,
        });
    }

    pub(super) fn forget(&self) {
        self.last.lock().clear();
        self.cancellations.lock().clear();
    }

    /// Requests begun and not yet over.
    pub(super) fn in_flight(&self) -> u64 {
        let over = self.completed.load(Ordering::Acquire) + self.cancelled.load(Ordering::Acquire);
        let begun = self.requests.load(Ordering::Acquire);
        begun.saturating_sub(over)
    }

    pub(super) fn snapshot(&self) -> Seen {
        let completed = self.completed.load(Ordering::Acquire);
        let cancelled = self.cancelled.load(Ordering::Acquire);
        let requests = self.requests.load(Ordering::Acquire);
        Seen {
            requests,
            streams: self.streams.load(Ordering::Acquire),
            in_flight: requests.saturating_sub(completed + cancelled),
            completed,
            cancelled,
            cancellations: self.cancellations.lock().iter().cloned().collect(),
            connections: self.connections.load(Ordering::Acquire),
            last: self.last.lock().iter().map(Kept::show).collect(),
        }
    }
}

fn path_of(uri: &Uri) -> String {
    uri.path_and_query()
        .map_or_else(|| uri.to_string(), ToString::to_string)
}

impl Kept {
    fn show(&self) -> SeenRequest {
        let headers = self.parts.headers.iter();
        SeenRequest {
            id: self.id,
            at: self.at,
            method: self.parts.method.to_string(),
            path: path_of(&self.parts.uri),
            headers: headers
                .map(|(name, value)| {
                    (
                        name.to_string(),
                        String::from_utf8_lossy(value.as_bytes()).into_owned(),
                    )
                })
                .collect(),
            body: self.body.clone(),
        }
    }
}

/// One request between its arrival and the end of its answer. Dropped before
/// [`InFlight::over`], it counts as cancelled.
#[derive(Debug)]
pub(super) struct InFlight {
    ledger: Arc<Ledger>,
    id: u64,
    at: Instant,
    uri: Uri,
    over: bool,
}

impl InFlight {
    pub(super) fn id(&self) -> u64 {
        self.id
    }

    pub(super) fn streams(&self) {
        self.ledger.streams.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn over(mut self) {
        self.finish();
    }

    pub(super) fn finish(&mut self) {
        if !self.over {
            self.over = true;
            self.ledger.completed.fetch_add(1, Ordering::AcqRel);
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if self.over {
            return;
        }
        let mut cancellations = self.ledger.cancellations.lock();
        if cancellations.len() == CANCELLATIONS_KEPT {
            cancellations.pop_front();
        }
        cancellations.push_back(Cancellation {
            request: self.id,
            path: path_of(&self.uri),
            at: Instant::now(),
            after: self.at.elapsed(),
        });
        drop(cancellations);
        self.ledger.cancelled.fetch_add(1, Ordering::AcqRel);
    }
}
