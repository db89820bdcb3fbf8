//! A response body that no policy asks about: bytes pass as they come.
//!
//! It is watched all the same: usage is read, a stall is noticed, and a stream of
//! events that breaks off is told apart from one that ended.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::SizeHint;
use tokio::time::{Instant, Sleep, sleep};

use super::{
    body::BodyError,
    content::Flowing,
    dialect::farewell,
    errors::ServeError,
    events::Events,
    reply::Watch,
    stall::{Stall, Stalled},
    state::{Exchange, complete},
    usage::Kept,
};

/// How long a last word may take to the client before the transport is cut: hyper
/// cuts at once, with what is in its buffers.
pub(super) const LAST_WORD: Duration = Duration::from_millis(10);
/// How long an upstream may take to end its transport after `[DONE]`.
pub(super) const AFTER_DONE: Duration = Duration::from_millis(100);

/// See the module.
pub(super) struct Relay<B: Flowing> {
    body: B,
    watching: Watching,
    stall: Stall,
    phase: Phase,
    exchange: Box<Exchange>,
}

enum Watching {
    Nothing,
    Usage(Kept),
    Events(Box<Events>),
}

enum Phase {
    Flowing,
    /// The client was told; the cut follows.
    LastWord(Pin<Box<Sleep>>),
    Over,
}

impl<B: Flowing> Relay<B> {
    pub(super) fn new(body: B, watch: Watch, exchange: Box<Exchange>) -> Self {
        let config = &exchange.generation.config;
        let watching = match watch {
            Watch::Nothing => Watching::Nothing,
            Watch::Usage => Watching::Usage(Kept::default()),
            Watch::Events(end) => {
                Watching::Events(Box::new(Events::new(config.limits.event_bytes, end)))
            }
        };
        let stall = Stall::new(exchange.waits.between_bytes, exchange.deadline);
        Self {
            body,
            watching,
            stall,
            phase: Phase::Flowing,
            exchange,
        }
    }

    /// Events are not counted in bytes: what is not whole is held back.
    pub(super) fn size_hint(&self) -> SizeHint {
        match &self.watching {
            Watching::Events(_) => SizeHint::default(),
            Watching::Nothing | Watching::Usage(_) => self.body.size_hint(),
        }
    }

    pub(super) fn is_end_stream(&self) -> bool {
        matches!(self.phase, Phase::Over)
    }

    pub(super) fn poll(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, BodyError>>> {
        loop {
            match &mut self.phase {
                Phase::Over => return Poll::Ready(None),
                Phase::LastWord(pause) => {
                    ready!(pause.as_mut().poll(context));
                    self.phase = Phase::Over;
                    return Poll::Ready(Some(Err(BodyError)));
                }
                Phase::Flowing => {}
            }
            let passed = match Pin::new(&mut self.body).poll_frame(context) {
                Poll::Ready(Some(Ok(frame))) => {
                    // What comes behind the mark does not put the end off.
                    if !self.is_done() {
                        self.stall.moved();
                    }
                    let Ok(data) = frame.into_data() else {
                        continue;
                    };
                    self.exchange.note_arrival();
                    self.see(data)
                }
                Poll::Ready(Some(Err(_))) => self.broken(),
                Poll::Ready(None) => self.ended(),
                Poll::Pending => {
                    let stalled = ready!(self.stall.poll(context));
                    self.stalled(stalled)
                }
            };
            match passed {
                Ok(bytes) if bytes.is_empty() => {}
                Ok(bytes) => {
                    self.exchange.note_bytes(bytes.len());
                    return Poll::Ready(Some(Ok(bytes)));
                }
                Err(error) => return Poll::Ready(Some(self.break_off(&error))),
            }
        }
    }

    fn see(&mut self, data: Bytes) -> Result<Bytes, ServeError> {
        match &mut self.watching {
            Watching::Nothing => {
                self.finish_if_whole();
                Ok(data)
            }
            Watching::Usage(kept) => {
                kept.see(&data);
                self.finish_if_whole();
                Ok(data)
            }
            Watching::Events(events) if events.is_done() => Ok(Bytes::new()),
            Watching::Events(events) => {
                let passed = events.pass(data)?;
                if events.is_done() {
                    self.stall = Stall::new(AFTER_DONE, self.exchange.deadline);
                    // A client may hang up as soon as it has the mark.
                    self.note_whole();
                }
                Ok(passed)
            }
        }
    }

    /// hyper asks for no more once it has as many bytes as were announced.
    fn finish_if_whole(&mut self) {
        if self.body.is_end_stream() {
            self.finish();
        }
    }

    fn is_done(&self) -> bool {
        matches!(&self.watching, Watching::Events(events) if events.is_done())
    }

    fn ended(&mut self) -> Result<Bytes, ServeError> {
        let last = match &mut self.watching {
            Watching::Events(events) => events.finish()?,
            Watching::Nothing | Watching::Usage(_) => None,
        };
        self.finish();
        Ok(last.map(|frame| frame.raw).unwrap_or_default())
    }

    fn broken(&mut self) -> Result<Bytes, ServeError> {
        if self.is_done() {
            return self.ended();
        }
        if let Some(fault) = self.body.fault() {
            return Err(fault);
        }
        match self.watching {
            Watching::Events(_) => Err(ServeError::StreamBroken),
            Watching::Nothing | Watching::Usage(_) => Err(ServeError::UpstreamFailed),
        }
    }

    fn stalled(&mut self, stalled: Stalled) -> Result<Bytes, ServeError> {
        match stalled {
            _ if self.is_done() => self.ended(),
            Stalled::Silent => Err(ServeError::BetweenBytesTimeout),
            Stalled::Total(silent) => Err(ServeError::Overdue(silent)),
        }
    }

    fn note_usage(&mut self) {
        self.exchange.record.usage = match &self.watching {
            Watching::Nothing => return,
            Watching::Usage(kept) => kept.usage(),
            Watching::Events(events) => events.usage(),
        };
    }

    fn note_whole(&mut self) {
        self.note_usage();
        self.exchange.note_answered();
        complete(&mut self.exchange.record);
    }

    fn finish(&mut self) {
        self.phase = Phase::Over;
        // The endpoint is told how it did, also where no byte of a body ever came.
        self.note_whole();
        self.exchange.let_endpoint_go();
    }

    /// A stream of events gets an error as its last one; then the transport is cut.
    fn break_off(&mut self, error: &ServeError) -> Result<Bytes, BodyError> {
        self.exchange.note_error(error);
        if let Watching::Events(events) = &self.watching {
            self.exchange.record.usage = events.usage();
            if self.exchange.is_source() {
                self.phase = Phase::Over;
                return Err(BodyError);
            }
            self.phase = Phase::LastWord(Box::pin(sleep(LAST_WORD)));
            return Ok(farewell(self.exchange.dialect(), error));
        }
        self.phase = Phase::Over;
        Err(BodyError)
    }
}

impl<B: Flowing> Drop for Relay<B> {
    /// In the middle: the client left, or took nothing until its connection was cut.
    fn drop(&mut self) {
        if !matches!(self.phase, Phase::Flowing) || self.is_done() {
            return;
        }
        self.note_usage();
        if Instant::now() >= self.exchange.deadline {
            self.exchange.note_error(&ServeError::TotalTimeout);
        }
    }
}
