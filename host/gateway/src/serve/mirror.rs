//! Copies of requests for a second target, whose answers are recorded and given to nobody:
//! for a share of a route's, or where a policy says so.
//!
//! A copy is an exchange of its own, in a task of its own: with the request as the policies
//! of the route left it, without those policies, and with the ones of its target. The client
//! waits for none of it. There is room for so many copies and for so many bytes of them, and
//! a request that finds none goes on without one.

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    task::Poll,
    time::Duration,
};

use http::StatusCode;
use http_body::Body as _;
use tokio::time::Instant;
use tollgate_config::Share;
use tollgate_sandbox::contract::Destination;

use super::{
    Shared, arrival::Arrival, body::Body, chance, content::Content, errors::ServeError,
    generation::Generation, reply::Reply, route::Route, state::Exchange, tries,
};

/// Why a request that was to be copied was not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotMirrored {
    /// Its body passes by and is never at hand.
    Streamed,
    /// As many copies as may be are under way.
    Count,
    /// Their bodies are as long as they may be.
    Bytes,
    /// There is so much to do for clients that nothing is done that need not be.
    Busy,
}

impl NotMirrored {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Streamed, Self::Count, Self::Bytes, Self::Busy];

    /// A stable word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Streamed => "streamed",
            Self::Count => "count",
            Self::Bytes => "bytes",
            Self::Busy => "busy",
        }
    }
}

/// The copies that are under way, and what became of others.
#[derive(Debug, Default)]
pub struct Mirrors {
    under_way: AtomicUsize,
    bytes: AtomicUsize,
    left_out: [AtomicU64; NotMirrored::ALL.len()],
}

impl Mirrors {
    /// Under way.
    pub fn under_way(&self) -> usize {
        self.under_way.load(Ordering::Relaxed)
    }

    /// How many requests were not copied for this reason.
    pub fn left_out(&self, why: NotMirrored) -> u64 {
        self.left_out[why as usize].load(Ordering::Relaxed)
    }
}

/// Room for one copy.
struct Room {
    shared: Arc<Shared>,
    bytes: usize,
}

impl Room {
    fn take(
        shared: &Arc<Shared>,
        bytes: usize,
        generation: &Generation,
    ) -> Result<Self, NotMirrored> {
        if is_busy(shared, generation) {
            return Err(NotMirrored::Busy);
        }
        let limits = &generation.config.limits;
        let mirrors = &shared.mirrors;
        let room = Self {
            shared: shared.clone(),
            bytes,
        };
        let (count, before) = (
            mirrors.under_way.fetch_add(1, Ordering::Relaxed),
            mirrors.bytes.fetch_add(bytes, Ordering::Relaxed),
        );
        if count >= limits.mirrors {
            Err(NotMirrored::Count)
        } else if before.saturating_add(bytes) > limits.mirror_bytes {
            Err(NotMirrored::Bytes)
        } else {
            Ok(room)
        }
    }
}

/// Whether one of the bounds on what clients have going is three quarters full: the last
/// quarter is for them alone.
fn is_busy(shared: &Shared, generation: &Generation) -> bool {
    let is_nearly = |count: usize, most: usize| count > most - most / 4;
    let (gauges, config) = (&shared.gauges, &generation.config);
    is_nearly(gauges.connections(), config.limits.connections)
        || is_nearly(shared.bodies.held(), config.limits.request_bodies_bytes)
        || is_nearly(gauges.of_clients(), config.overload.exchanges)
        || generation
            .gate
            .as_ref()
            .is_some_and(|gate| !gate.has_spare())
}

impl Drop for Room {
    fn drop(&mut self) {
        let mirrors = &self.shared.mirrors;
        mirrors.under_way.fetch_sub(1, Ordering::Relaxed);
        mirrors.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// A route's mirror.
pub(super) struct Mirror {
    to: Destination,
    share: Share,
    timeout: Duration,
}

impl Mirror {
    pub(super) fn new(mirror: &tollgate_config::Mirror) -> Self {
        Self {
            to: Destination {
                model: mirror.model.clone(),
                upstream: mirror.upstream.clone(),
            },
            share: mirror.share,
            timeout: mirror.timeout,
        }
    }

    fn is_drawn(&self) -> bool {
        self.share == Share::ALL || self.share.holds(chance::below(Share::OF))
    }
}

/// How long a copy may take that a policy asked for, on a route that does not say.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Sends a copy of the request on its way, where a policy or the route says so and there is
/// room.
pub(super) fn copy(
    exchange: &Exchange,
    (generation, route): (&Arc<Generation>, &Arc<Route>),
    arrival: &mut Arrival,
) {
    let (wish, mirror) = (arrival.message.shadow.take(), route.mirror.as_ref());
    let to = match (wish, mirror) {
        (None, None) => return,
        (Some(wish), _) => *wish,
        (None, Some(mirror)) if mirror.is_drawn() => mirror.to.clone(),
        (None, Some(_)) => return,
    };
    if exchange.upgrade.is_some() {
        return;
    }
    let Some(shared) = exchange.shared() else {
        return;
    };
    let copied = arrival.copy().ok_or(NotMirrored::Streamed);
    let copied = copied.and_then(|copy| {
        let room = Room::take(shared, copy.bytes(), generation)?;
        Ok((copy, room))
    });
    match copied {
        Err(why) => {
            shared.mirrors.left_out[why as usize].fetch_add(1, Ordering::Relaxed);
        }
        Ok((copy, room)) => {
            let timeout = mirror.map_or(TIMEOUT, |mirror| mirror.timeout);
            let own = exchange.mirrored(Instant::now() + timeout);
            let place = (generation.clone(), route.clone());
            let task = run(own, place, to, copy, room);
            shared.tracker.spawn_on(Box::pin(task), &shared.runtime);
        }
    }
}

/// There and back, and the answer to its end.
async fn run(
    mut exchange: Box<Exchange>,
    (generation, route): (Arc<Generation>, Arc<Route>),
    to: Destination,
    copy: Arrival,
    room: Room,
) {
    let shared = room.shared.clone();
    let gone = exchange.gone.clone();
    let replied = {
        let mut stopping = pin!(shared.stopping.cancelled());
        let mut way = pin!(tries::onward(
            &mut exchange,
            (&generation, &route),
            to,
            copy
        ));
        // A hook at work ends first; what waits for the network ends at once.
        poll_fn(|context| {
            if stopping.as_mut().poll(context).is_ready() {
                gone.raise();
            }
            way.as_mut().poll(context)
        })
        .await
    };
    match replied {
        Ok(reply) if !gone.is_gone() => take(exchange, reply, &shared).await,
        Ok(_) => exchange.note_error(&ServeError::ClientGone),
        Err(error) => exchange.note_error(&error),
    }
    drop(room);
}

/// Takes the answer as a client would, and keeps nothing of it.
async fn take(mut exchange: Box<Exchange>, mut reply: Reply, shared: &Shared) {
    exchange.record.status = reply.status.as_u16();
    if matches!(
        reply.status,
        StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED
    ) {
        reply.content = Content::Empty;
    }
    let mut body = Body::new(reply.content, reply.watch, exchange);
    let mut stopping = pin!(shared.stopping.cancelled());
    poll_fn(|context| {
        if stopping.as_mut().poll(context).is_ready() {
            return Poll::Ready(());
        }
        loop {
            match Pin::new(&mut body).poll_frame(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(Ok(_))) if !body.is_end_stream() => {}
                Poll::Ready(_) => return Poll::Ready(()),
            }
        }
    })
    .await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_the_requests_is_drawn() {
        let drawn = |hundredths| {
            let mirror = Mirror {
                to: Destination {
                    model: None,
                    upstream: None,
                },
                share: Share::new(hundredths).unwrap(),
                timeout: Duration::ZERO,
            };
            (0..20_000).filter(|_| mirror.is_drawn()).count()
        };
        assert_eq!(drawn(10_000), 20_000);
        // Ten standard deviations to either side.
        assert!((1_576..=2_424).contains(&drawn(1_000)));
    }
}
