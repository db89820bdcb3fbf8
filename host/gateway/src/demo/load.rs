//! A load of plain and streamed requests, and the proof of what became of each.
//!
//! Every connection is a task that sends one request after another and keeps the
//! connection alive. A stream counts as answered only if it is whole; an exchange
//! has to show one generation, in the header `x-tollgate-generation` and at the
//! marked places of its body. Knows the gateway only from outside.

mod connection;
mod events;
mod report;

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

pub use report::{Latency, Report};

use connection::Connection;
use report::Tally;

/// The response header that names the generation that answered.
pub const GENERATION_HEADER: &str = "x-tollgate-generation";

/// A load to be run.
#[derive(Debug, Clone)]
pub struct Load {
    pub target: SocketAddr,
    /// Path and query of every request.
    pub path: String,
    /// Requests under way at once.
    pub connections: usize,
    /// Of 100 requests, how many ask for a stream; spread evenly.
    pub streamed_percent: u64,
    /// Sent with every request, besides `host`, `content-type` and `content-length`.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    pub plain_body: Bytes,
    pub streamed_body: Bytes,
    /// JSON pointers. All values found there in one exchange, in its body or in any of
    /// its events, have to be equal, and the same for all exchanges of a generation.
    pub marks: Vec<String>,
    /// An exchange that takes longer has failed.
    pub patience: Duration,
    /// Requests begin no faster than this; `None`: as soon as a connection is free.
    pub per_second: Option<u32>,
}

/// When a load ends. No request is begun after it; those under way are waited for.
#[derive(Debug, Clone)]
pub enum Until {
    Requests(u64),
    Elapsed(Duration),
    /// Somebody says so.
    Told(CancellationToken),
}

impl Load {
    /// Small chat requests to this model, all plain, on one connection.
    pub fn chat(target: SocketAddr, model: &str) -> Self {
        let body = |stream: bool| {
            let mut body = json!({
                "model": model,
                "messages": [{ "role": "user", "content": "Name three rivers." }],
            });
            if stream {
                body["stream"] = Value::Bool(true);
                body["stream_options"] = json!({ "include_usage": true });
            }
            Bytes::from(body.to_string())
        };
        Self {
            target,
            path: "/v1/chat/completions".to_owned(),
            connections: 1,
            streamed_percent: 0,
            headers: Vec::new(),
            plain_body: body(false),
            streamed_body: body(true),
            marks: Vec::new(),
            patience: Duration::from_secs(30),
            per_second: None,
        }
    }

    /// Adds a header to every request.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Sends the load, and reports when its last request has ended.
    pub async fn run(self, until: Until) -> Report {
        let start = Instant::now();
        let pace = Arc::new(Pace {
            begun: AtomicU64::new(0),
            most: match until {
                Until::Requests(most) => most,
                Until::Elapsed(_) | Until::Told(_) => u64::MAX,
            },
            deadline: match until {
                Until::Elapsed(time) => start.checked_add(time),
                Until::Requests(_) | Until::Told(_) => None,
            },
            told: match until {
                Until::Told(token) => token,
                Until::Requests(_) | Until::Elapsed(_) => CancellationToken::new(),
            },
            streamed_percent: self.streamed_percent.min(100),
            start,
            apart: self
                .per_second
                .map_or(Duration::ZERO, |rate| Duration::from_secs(1) / rate.max(1)),
        });
        let connections = self.connections.max(1);
        let load = Arc::new(self);
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..connections {
            tasks.spawn(one_after_another(load.clone(), pace.clone()));
        }
        let mut tally = Tally::default();
        while let Some(done) = tasks.join_next().await {
            match done {
                Ok(part) => tally.merge(part),
                Err(panic) => std::panic::resume_unwind(panic.into_panic()),
            }
        }
        tally.report(start.elapsed())
    }
}

/// Hands out requests to the connections.
struct Pace {
    begun: AtomicU64,
    most: u64,
    deadline: Option<Instant>,
    told: CancellationToken,
    streamed_percent: u64,
    start: Instant,
    /// Between the beginnings of two requests, at least.
    apart: Duration,
}

/// The next request to send.
enum Next {
    Plain,
    Streamed,
    Nothing,
}

impl Pace {
    async fn next(&self) -> Next {
        let late = self
            .deadline
            .is_some_and(|deadline| Instant::now() >= deadline);
        if late || self.told.is_cancelled() {
            return Next::Nothing;
        }
        let number = self.begun.fetch_add(1, Ordering::Relaxed);
        if number >= self.most {
            return Next::Nothing;
        }
        if !self.apart.is_zero() {
            let due = self.apart * u32::try_from(number).unwrap_or(u32::MAX);
            tokio::time::sleep_until((self.start + due).into()).await;
        }
        let streamed_before = |number: u64| number * self.streamed_percent / 100;
        match streamed_before(number + 1) > streamed_before(number) {
            true => Next::Streamed,
            false => Next::Plain,
        }
    }
}

async fn one_after_another(load: Arc<Load>, pace: Arc<Pace>) -> Tally {
    let mut tally = Tally::of_marks(load.marks.len());
    let mut connection = Connection::new(load);
    loop {
        let streamed = match pace.next().await {
            Next::Plain => false,
            Next::Streamed => true,
            Next::Nothing => return tally,
        };
        let exchange = connection.exchange(streamed, &mut tally).await;
        if exchange.outcome.is_err() {
            // A target that is gone must not be asked in a tight loop.
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        tally.add(exchange);
    }
}

#[cfg(test)]
mod tests;
