//! The stand-in's response bodies: whole, played from a script, or the request's own.
//!
//! A body owns the request's [`InFlight`], so a client that leaves in the middle is
//! counted the moment the server drops the body.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Sleep, sleep};

use super::{
    script::{Script, Step},
    seen::InFlight,
    wire::Fuse,
};

/// Time for what was sent before a cut to reach the wire.
const BEFORE_CUT: Duration = Duration::from_millis(2);

pub(super) enum Answered {
    Whole(Option<Bytes>),
    Played(Box<Player>),
    /// The request's body, sent back as it comes in.
    Echo(Incoming, InFlight),
}

pub(super) struct Player {
    source: Source,
    flight: InFlight,
    fuse: Fuse,
    pieces: Pieces,
    pending: Bytes,
    sleep: Option<Pin<Box<Sleep>>>,
    cutting: Option<bool>,
}

/// How bytes come to the wire.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pieces {
    /// So many at once, at most.
    pub(super) size: usize,
    /// Waited after each of them.
    pub(super) pause: Option<Duration>,
}

enum Source {
    Script(Box<Script>),
    /// These bytes, and then a cut.
    Broken(Option<Bytes>, bool),
    /// These bytes in pieces.
    Pieces(Option<Bytes>),
}

impl Pieces {
    const WHOLE: Self = Self {
        size: usize::MAX,
        pause: None,
    };
}

impl Source {
    fn next(&mut self) -> Option<Step> {
        match self {
            Self::Script(script) => script.next(),
            Self::Broken(bytes, reset) => {
                Some(bytes.take().map_or(Step::Cut { reset: *reset }, Step::Send))
            }
            Self::Pieces(bytes) => bytes.take().map(Step::Send),
        }
    }
}

impl Answered {
    pub(super) fn script(script: Script, pieces: Pieces, flight: InFlight, fuse: Fuse) -> Self {
        Self::Played(Player::boxed(
            Source::Script(Box::new(script)),
            pieces,
            flight,
            fuse,
        ))
    }

    /// Breaks off after these bytes.
    pub(super) fn broken(bytes: Bytes, reset: bool, flight: InFlight, fuse: Fuse) -> Self {
        Self::Played(Player::boxed(
            Source::Broken(Some(bytes), reset),
            Pieces::WHOLE,
            flight,
            fuse,
        ))
    }

    pub(super) fn pieces(bytes: Bytes, pieces: Pieces, flight: InFlight, fuse: Fuse) -> Self {
        Self::Played(Player::boxed(
            Source::Pieces(Some(bytes)),
            pieces,
            flight,
            fuse,
        ))
    }
}

impl Player {
    fn boxed(source: Source, pieces: Pieces, flight: InFlight, fuse: Fuse) -> Box<Self> {
        Box::new(Self {
            source,
            flight,
            fuse,
            pieces,
            pending: Bytes::new(),
            sleep: None,
            cutting: None,
        })
    }

    fn poll_play(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, io::Error>>> {
        loop {
            if let Some(sleep) = &mut self.sleep {
                ready!(sleep.as_mut().poll(cx));
                self.sleep = None;
            }
            if !self.pending.is_empty() {
                let size = self.pieces.size.min(self.pending.len());
                self.sleep = self.pieces.pause.map(|pause| Box::pin(sleep(pause)));
                return Poll::Ready(Some(Ok(self.pending.split_to(size))));
            }
            if let Some(reset) = self.cutting {
                self.flight.finish();
                if reset {
                    self.fuse.light();
                }
                return Poll::Ready(Some(Err(io::Error::other("cut off, as told"))));
            }
            match self.source.next() {
                Some(Step::Send(bytes)) => self.pending = bytes,
                Some(Step::Pause(pause)) => self.sleep = Some(Box::pin(sleep(pause))),
                Some(Step::Stall) => {
                    self.sleep = Some(Box::pin(sleep(Duration::from_secs(86_400))))
                }
                Some(Step::Cut { reset }) => {
                    self.cutting = Some(reset);
                    self.sleep = Some(Box::pin(sleep(BEFORE_CUT)));
                }
                None => {
                    self.flight.finish();
                    return Poll::Ready(None);
                }
            }
        }
    }
}

impl Body for Answered {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        match &mut *self {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Played(player) => player.poll_play(cx).map_ok(Frame::data),
            Self::Echo(incoming, flight) => {
                let frame = ready!(Pin::new(incoming).poll_frame(cx));
                if frame.is_none() {
                    flight.finish();
                }
                Poll::Ready(frame.map(|frame| frame.map_err(io::Error::other)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.is_none(),
            Self::Played(_) | Self::Echo(..) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            Self::Played(_) | Self::Echo(..) => SizeHint::default(),
        }
    }
}
