//! One listener of an answer under way: what it reads, and what it answers for.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::{
    super::{body::BodyError, errors::ServeError},
    flight::{Flight, Seat},
};

/// Who answers for what the upstream did, in log and budgets: one of all listeners.
#[derive(Debug)]
pub(in crate::serve) struct Account {
    flight: Arc<Flight>,
    is_first: bool,
}

impl Account {
    pub(in crate::serve) fn of(seat: &Seat, is_first: bool) -> Self {
        Self {
            flight: seat.flight().clone(),
            is_first,
        }
    }

    pub(in crate::serve) fn flight(&self) -> &Arc<Flight> {
        &self.flight
    }

    /// It is the one that asked.
    pub(in crate::serve) fn is_first(&self) -> bool {
        self.is_first
    }

    /// Whether it is this one, whose exchange came to its end or did not. The one that
    /// asked passes it on to those who stay if it leaves.
    pub(in crate::serve) fn settle(&self, has_ended: bool) -> bool {
        match (self.is_first, has_ended) {
            (true, true) => true,
            (true, false) => {
                self.flight.release();
                false
            }
            (false, true) => self.flight.account(),
            (false, false) => false,
        }
    }
}

/// An answer under way, as the body of one listener's response.
#[derive(Debug)]
pub(in crate::serve) struct Listening {
    seat: Seat,
    left: Option<u64>,
    is_over: bool,
    fault: Option<ServeError>,
}

impl Listening {
    pub(in crate::serve) fn new(seat: Seat, length: Option<u64>) -> Self {
        Self {
            seat,
            left: length,
            is_over: false,
            fault: None,
        }
    }

    pub(in crate::serve) fn fault(&mut self) -> Option<ServeError> {
        self.fault.take()
    }
}

impl Body for Listening {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        Poll::Ready(match std::task::ready!(self.seat.poll_next(context)) {
            Ok(Some(chunk)) => {
                if let Some(left) = &mut self.left {
                    *left = left.saturating_sub(chunk.len() as u64);
                }
                Some(Ok(Frame::data(chunk)))
            }
            Ok(None) => {
                self.is_over = true;
                None
            }
            Err(error) => {
                self.is_over = true;
                self.fault = Some(error);
                Some(Err(BodyError))
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        self.is_over || self.left == Some(0)
    }

    fn size_hint(&self) -> SizeHint {
        self.left
            .map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
