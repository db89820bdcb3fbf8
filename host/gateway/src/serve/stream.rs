//! A stream of events through the event hooks, the last policy first.
//!
//! One future per stream tells its story from the first event to the last and hands
//! chunks over through a place for one; it is polled by hyper, in the body, and runs
//! on by itself when the client leaves. Every call of a hook gets all events that
//! are ready, so a fast upstream costs fewer calls, and nothing is ever waited for
//! to fill a batch.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::time::{Instant, sleep, timeout};
use tollgate_config::StreamEnd;
use tollgate_sandbox::contract::Ending;

use super::{
    Shared,
    body::BodyError,
    carry_on::{CarryOn, ClientLeft, Gone},
    content::Flowing,
    dialect::{self, farewell},
    errors::ServeError,
    events::{Events, Next},
    onion::{self, Batch, Flow},
    relay::{AFTER_DONE, LAST_WORD},
    stall::{Stall, Stalled},
    state::{Exchange, complete},
};

const DONE: &[u8] = b"data: [DONE]\n\n";

/// What hyper polls.
pub(super) struct EventStream {
    story: CarryOn<Result<(), BodyError>>,
    ended: Option<Result<(), BodyError>>,
    place: Arc<Mutex<Option<Bytes>>>,
}

impl EventStream {
    pub(super) fn new(
        body: impl Flowing,
        end: StreamEnd,
        shared: &Shared,
        mut exchange: Box<Exchange>,
    ) -> Self {
        let place = Arc::new(Mutex::new(None));
        let gone = Gone::watched();
        exchange.gone = gone.clone();
        let config = &exchange.generation.config;
        let source = Source {
            body,
            events: Events::new(config.limits.event_bytes, end),
            client_takes_done: dialect::ends_with_done(exchange.dialect()),
            stall: Stall::new(exchange.waits.between_bytes, exchange.deadline),
            state: Upstream::Open,
        };
        let client = Client {
            place: place.clone(),
            gone: gone.clone(),
        };
        let story = CarryOn::new(
            Box::pin(tell(exchange, source, client)),
            gone,
            shared.tracker.clone(),
            shared.runtime.clone(),
        );
        Self {
            story,
            ended: None,
            place,
        }
    }

    pub(super) fn poll(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, BodyError>>> {
        loop {
            if let Some(chunk) = self.place.lock().take() {
                return Poll::Ready(Some(Ok(chunk)));
            }
            if let Some(ended) = self.ended {
                return Poll::Ready(ended.err().map(Err));
            }
            match Pin::new(&mut self.story).poll(context) {
                Poll::Ready(ended) => self.ended = Some(ended),
                Poll::Pending => match self.place.lock().take() {
                    Some(chunk) => return Poll::Ready(Some(Ok(chunk))),
                    None => return Poll::Pending,
                },
            }
        }
    }
}

/// The client's end: a place for one chunk, taken at the next poll.
struct Client {
    place: Arc<Mutex<Option<Bytes>>>,
    gone: Gone,
}

impl Client {
    async fn send(&self, chunk: Bytes) -> Result<(), ClientLeft> {
        let mut chunk = Some(chunk);
        let place = poll_fn(|_| {
            let mut place = self.place.lock();
            match place.is_some() {
                true => Poll::Pending,
                false => {
                    *place = chunk.take();
                    Poll::Ready(())
                }
            }
        });
        self.gone.or(place).await
    }
}

/// The whole story of a stream. The exchange ends with it.
async fn tell<B: Flowing>(
    mut exchange: Box<Exchange>,
    mut source: Source<B>,
    client: Client,
) -> Result<(), BodyError> {
    let told = pump(&mut exchange, &mut source, &client).await;
    exchange.record.usage = source.events.usage();
    let error = match told {
        Ok(()) => return Ok(()),
        // It was there, and took nothing until its connection was cut.
        Err(ServeError::ClientGone) if Instant::now() >= exchange.deadline => {
            ServeError::TotalTimeout
        }
        Err(error) => error,
    };
    exchange.note_error(&error);
    let dialect = exchange.dialect();
    drop(source);
    // Each of those who listen is told by its own.
    if exchange.is_source() {
        return Err(BodyError);
    }
    if client.send(farewell(dialect, &error)).await.is_ok() {
        let _ = client.gone.or(sleep(LAST_WORD)).await;
    }
    Err(BodyError)
}

async fn pump<B: Flowing>(
    exchange: &mut Exchange,
    source: &mut Source<B>,
    client: &Client,
) -> Result<(), ServeError> {
    loop {
        let mut batch = client.gone.or(source.next_batch()).await??;
        exchange.note_arrival();
        let flow = onion::ask_events(exchange, &mut batch).await?;
        let mut chunk = batch.write();
        // Where `[DONE]` is the mark, it is the host's: behind all that the hooks had to say.
        if batch.last && batch.host_ends {
            chunk = [&chunk[..], DONE].concat().into();
        }
        if !chunk.is_empty() {
            exchange.note_bytes(chunk.len());
            client.send(chunk).await?;
        }
        if flow == Flow::Cut {
            exchange.record.ending = Ending::Cut;
            return Ok(());
        }
        if batch.last {
            exchange.note_answered();
            complete(&mut exchange.record);
            // An upstream that ends its transport now keeps its connection.
            let _ = client.gone.or(timeout(AFTER_DONE, source.drain())).await;
            return Ok(());
        }
    }
}

/// The upstream's end.
struct Source<B> {
    body: B,
    events: Events,
    client_takes_done: bool,
    stall: Stall,
    state: Upstream,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Upstream {
    Open,
    Ended,
    Broken,
}

impl<B: Flowing> Source<B> {
    /// At least one frame or the end, and all that is ready besides. What came before
    /// a failure goes out first; the failure is met again.
    async fn next_batch(&mut self) -> Result<Batch, ServeError> {
        let mut batch = Batch::default();
        poll_fn(|context| self.poll_batch(&mut batch, context)).await?;
        batch.host_ends = self.client_takes_done && self.events.ends_with_done();
        Ok(batch)
    }

    fn poll_batch(
        &mut self,
        batch: &mut Batch,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), ServeError>> {
        loop {
            match self.take_frames(batch) {
                Ok(Full::Yes) => return Poll::Ready(Ok(())),
                Ok(Full::No) => {}
                Err(error) => {
                    return Poll::Ready(if batch.is_empty() { Err(error) } else { Ok(()) });
                }
            }
            match self.state {
                Upstream::Open => {}
                Upstream::Broken if batch.is_empty() => {
                    let fault = self.body.fault();
                    return Poll::Ready(Err(fault.unwrap_or(ServeError::StreamBroken)));
                }
                Upstream::Ended if batch.is_empty() => return Poll::Ready(self.last(batch)),
                Upstream::Broken | Upstream::Ended => return Poll::Ready(Ok(())),
            }
            match Pin::new(&mut self.body).poll_frame(context) {
                Poll::Ready(Some(Ok(frame))) => {
                    self.stall.moved();
                    if let Ok(data) = frame.into_data() {
                        self.events.feed(data);
                    }
                }
                Poll::Ready(Some(Err(_))) => self.state = Upstream::Broken,
                Poll::Ready(None) => self.state = Upstream::Ended,
                Poll::Pending if batch.is_empty() => {
                    return self.stall.poll(context).map(|stalled| match stalled {
                        Stalled::Silent => Err(ServeError::BetweenBytesTimeout),
                        Stalled::Total(silent) => Err(ServeError::Overdue(silent)),
                    });
                }
                Poll::Pending => return Poll::Ready(Ok(())),
            }
        }
    }

    fn take_frames(&mut self, batch: &mut Batch) -> Result<Full, ServeError> {
        while !batch.is_full() {
            match self.events.next()? {
                Next::Frame(frame) => batch.push(frame),
                Next::Wait => return Ok(Full::No),
                Next::Done(_) => {
                    batch.last = true;
                    break;
                }
                Next::Last(frame) => {
                    batch.push(frame);
                    batch.last = true;
                    break;
                }
            }
        }
        Ok(Full::Yes)
    }

    /// The transport ended cleanly; whether the stream did is another question.
    fn last(&mut self, batch: &mut Batch) -> Result<(), ServeError> {
        if let Some(frame) = self.events.finish()? {
            batch.push(frame);
        }
        batch.last = true;
        Ok(())
    }

    async fn drain(&mut self) {
        while self.state == Upstream::Open {
            let frame = poll_fn(|context| Pin::new(&mut self.body).poll_frame(context)).await;
            if !matches!(frame, Some(Ok(_))) {
                self.state = Upstream::Ended;
            }
        }
    }
}

/// Whether a batch takes no more.
enum Full {
    Yes,
    No,
}
