//! A kept answer as the body of a response: piece by piece, as it once came.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tollgate_capabilities::{KeptAnswer, cache::Form};

use super::{
    super::{body::BodyError, content::Flowing, errors::ServeError},
    listening::Listening,
};

/// A kept stream on its way to a client.
#[derive(Debug)]
pub(in crate::serve) struct Replay {
    answer: Arc<KeptAnswer>,
    next: usize,
    /// A piece that is not for this client.
    skipped: Option<usize>,
}

impl Replay {
    pub(in crate::serve) fn new(answer: Arc<KeptAnswer>, skipped: Option<usize>) -> Self {
        Self {
            answer,
            next: 0,
            skipped,
        }
    }

    fn next(&mut self) -> Option<Bytes> {
        let Form::Stream { ends, .. } = &self.answer.form else {
            return None;
        };
        if self.skipped == Some(self.next) {
            self.next += 1;
        }
        let end = *ends.get(self.next)? as usize;
        let start = match self.next.checked_sub(1) {
            Some(before) => *ends.get(before)? as usize,
            None => 0,
        };
        self.next += 1;
        Some(self.answer.body.slice(start..end))
    }

    fn is_over(&self) -> bool {
        match &self.answer.form {
            Form::Stream { ends, .. } => self.next >= ends.len(),
            Form::Document => true,
        }
    }
}

/// A body that comes from no upstream of its own.
#[derive(Debug)]
pub(in crate::serve) enum Kept {
    Listening(Listening),
    Replay(Replay),
}

impl Flowing for Kept {
    fn fault(&mut self) -> Option<ServeError> {
        match self {
            Self::Listening(listening) => listening.fault(),
            Self::Replay(_) => None,
        }
    }
}

impl Body for Kept {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut *self {
            Self::Listening(listening) => Pin::new(listening).poll_frame(context),
            Self::Replay(replay) => Poll::Ready(replay.next().map(|piece| Ok(Frame::data(piece)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Listening(listening) => listening.is_end_stream(),
            Self::Replay(replay) => replay.is_over(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Listening(listening) => listening.size_hint(),
            Self::Replay(_) => SizeHint::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(skipped: Option<usize>) -> Vec<Bytes> {
        let answer = KeptAnswer {
            status: 200,
            headers: Vec::new(),
            body: Bytes::from_static(b"data: a\n\ndata: bc\n\ndata: d\n\n"),
            form: Form::Stream {
                ends: vec![9, 19, 28],
                ends_with_done: false,
            },
        };
        let mut replay = Replay::new(Arc::new(answer), skipped);
        let pieces = std::iter::from_fn(|| replay.next()).collect();
        assert!(replay.is_over());
        pieces
    }

    #[test]
    fn a_stream_comes_in_the_pieces_that_it_was_made_of() {
        assert_eq!(pieces(None), ["data: a\n\n", "data: bc\n\n", "data: d\n\n"]);
        assert_eq!(pieces(Some(1)), ["data: a\n\n", "data: d\n\n"]);
        assert_eq!(pieces(Some(2)), ["data: a\n\n", "data: bc\n\n"]);
    }
}
