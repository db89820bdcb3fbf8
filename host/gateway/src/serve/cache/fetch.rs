//! Asks for an answer on behalf of all who listen, in a task of its own: it goes on when
//! the client leaves that it began for, and ends when nobody is left.
//!
//! The policies behind the one that planned are asked here, once, and the target's too:
//! what they leave of the answer is what is shared and kept.

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::Arc,
    task::Poll,
    time::Duration,
};

use bytes::Bytes;
use http::StatusCode;
use http_body::Body as _;
use tokio::time::timeout;
use tollgate_capabilities::CacheKey;
use tollgate_sandbox::contract::CachePlan;

use super::{
    super::{
        Shared,
        arrival::Arrival,
        body::Body,
        content::Content,
        errors::ServeError,
        exchange::carry_on,
        generation::Generation,
        policies::Asked,
        reply::{Reply, Watch},
        route::Route,
        slot::Slot,
        state::Exchange,
    },
    flight::{Flight, Head, Source},
    keep::keep,
};

/// How long the last hooks that belong to the upstream's part may keep the end waiting.
const OVER: Duration = Duration::from_secs(1);

/// See the module.
pub(in crate::serve) struct Fetch {
    pub(in crate::serve) shared: Arc<Shared>,
    pub(in crate::serve) flight: Arc<Flight>,
    pub(in crate::serve) key: CacheKey,
    pub(in crate::serve) plan: Box<CachePlan>,
    pub(in crate::serve) generation: Arc<Generation>,
    pub(in crate::serve) route: Arc<Route>,
}

/// What comes next of a body.
enum Next {
    Data(Bytes),
    Ended,
    Failed,
    /// Nobody listens any more.
    Left,
}

impl Fetch {
    /// The whole way to the upstream and back, in an exchange of its own.
    pub(in crate::serve) async fn run(
        self,
        mut exchange: Box<Exchange>,
        asked: Asked,
        arrival: Arrival,
    ) {
        let gone = exchange.gone.clone();
        let replied = {
            let place = (&self.generation, &self.route);
            let mut way = pin!(carry_on(&mut exchange, place, asked, arrival));
            poll_fn(|context| {
                if self.flight.poll_abandoned(context).is_ready() {
                    gone.raise();
                }
                way.as_mut().poll(context)
            })
            .await
        };
        match replied {
            Ok(reply) if !gone.is_gone() => self.pass(exchange, reply).await,
            replied => {
                let error = replied.err().unwrap_or(ServeError::ClientGone);
                exchange.note_error(&error);
                drop(exchange);
                self.flight.end(Bytes::new(), Err(error));
            }
        }
    }

    async fn pass(&self, mut exchange: Box<Exchange>, mut reply: Reply) {
        exchange.record.status = reply.status.as_u16();
        if matches!(
            reply.status,
            StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED
        ) {
            reply.content = Content::Empty;
        }
        self.flight.announce(head(&exchange, &reply, &self.plan));
        let limits = &exchange.generation.config.limits;
        let held_max = limits.answers_bytes;
        let mut body = Body::new(reply.content, reply.watch, exchange);
        let (last, end) = loop {
            match self.next(&mut body).await {
                Next::Data(chunk) if body.is_end_stream() => break (chunk, Ok(())),
                Next::Data(chunk) => {
                    if !self.flight.push(chunk, held_max) {
                        self.shared.flights.leave_out(&self.key, &self.flight);
                    }
                    self.room().await;
                }
                Next::Ended | Next::Left => break (Bytes::new(), Ok(())),
                Next::Failed => break (Bytes::new(), Err(ServeError::StreamBroken)),
            }
        };
        drop(body);
        // A body that nobody takes any more may still have hooks to end.
        let _ = timeout(OVER, self.flight.is_told()).await;
        self.store(last, end).await;
    }

    async fn next(&self, body: &mut Body) -> Next {
        poll_fn(|context| {
            if self.flight.poll_abandoned(context).is_ready() {
                return Poll::Ready(Next::Left);
            }
            Pin::new(&mut *body)
                .poll_frame(context)
                .map(|frame| match frame {
                    None => Next::Ended,
                    Some(Err(_)) => Next::Failed,
                    Some(Ok(frame)) => Next::Data(frame.into_data().unwrap_or_default()),
                })
        })
        .await
    }

    /// Waits for listeners who are to take something first, if any are left.
    async fn room(&self) {
        poll_fn(|context| {
            let is_left = self.flight.poll_abandoned(context).is_ready();
            match is_left {
                true => Poll::Ready(()),
                false => self.flight.poll_room(context),
            }
        })
        .await;
    }

    /// Keeps a good answer and ends it for all who listen: first the one and then the other,
    /// so that who asks again finds it, unless the store is far.
    async fn store(&self, last: Bytes, end: Result<(), ServeError>) {
        let answer = match &end {
            Ok(()) if self.plan.store && self.plan.ttl_ms > 0 => self.flight.whole(&last),
            _ => None,
        };
        let answer = answer.and_then(|(head, chunks)| keep(&head, &chunks, self.plan.kind));
        let stored = answer.map(|answer| {
            let ttl = Duration::from_millis(self.plan.ttl_ms);
            self.shared.cache.put(&self.key, answer, ttl).now()
        });
        self.flight.end(last, end);
        if let Some(Err(pending)) = stored {
            let _ = pending.get().await;
        }
    }
}

impl Drop for Fetch {
    /// However it ended: nobody waits for it any longer.
    fn drop(&mut self) {
        self.flight
            .end(Bytes::new(), Err(ServeError::UpstreamFailed));
        self.shared.flights.leave_out(&self.key, &self.flight);
    }
}

fn head(exchange: &Exchange, reply: &Reply, plan: &CachePlan) -> Head {
    let record = &exchange.record;
    Head {
        status: reply.status,
        headers: reply.headers.clone(),
        watch: reply.watch,
        length: match reply.watch {
            Watch::Events(_) => None,
            Watch::Nothing | Watch::Usage => reply.content.length(),
        },
        is_upstreams: record.attempts > 0 && !exchange.slots.iter().any(Slot::has_answered),
        stream_usage: plan.stream_usage,
        source: Source {
            upstream: record.upstream.clone(),
            target_model: record.target_model.clone(),
            endpoint: record.endpoint.clone(),
            attempts: record.attempts,
            reason: record.reason,
            tries: record.tries.clone(),
            over_budget: record.over_budget,
            upstream_head: record.upstream_head,
            facts: record.facts.clone(),
        },
    }
}
