//! One try at one endpoint, to the head of its answer and as much of its body as the head
//! is held back for: see [`Until`].

use std::{future::Future, pin::pin, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Response, response::Parts};
use http_body::Body as _;
use hyper::body::Incoming;
use tokio::time::{Instant, timeout_at};

use super::{
    super::{
        admission::Permits,
        at_hand::{is_encoded, is_json},
        begun::{Begun, Until},
        content::Content,
        endpoint::Endpoint,
        errors::ServeError,
        forward::{self, Answered, Bounds, Prepared, Unanswered},
        pick::Pick,
        respond::is_events,
        stall::Stall,
        state::Exchange,
    },
    Tries,
};

/// A JSON document of at most so many bytes is of no use to a client before it is whole.
const DOCUMENT_MAX: u64 = 64 * 1024;

/// How long a try may take.
#[derive(Clone, Copy)]
pub(super) struct Terms<'a> {
    tries: &'a Tries<'a>,
    bounds: Bounds<'a>,
    between_bytes: Duration,
    /// See [`Exchange::blames_after`].
    blames_after: Duration,
    /// Whether the head of a stream is held back.
    is_held: bool,
    /// Whether the request asks for a stream.
    is_stream: bool,
    /// How long a first token is waited for where another try can follow.
    first_token: Option<Duration>,
}

impl<'a> Terms<'a> {
    pub(super) fn new(
        exchange: &'a Exchange,
        tries: &'a Tries<'a>,
        first_token: Option<Duration>,
    ) -> Self {
        let waits = &exchange.waits;
        let config = &exchange.generation.config;
        Self {
            tries,
            bounds: Bounds {
                gone: &exchange.gone,
                record: &exchange.record,
                deadline: exchange.deadline,
                connect: Some(waits.connect).filter(|most| *most < tries.connect_max),
                head: waits.first_byte,
                upload: (
                    config.timeouts.request_body,
                    config.limits.request_body_bytes,
                ),
            },
            between_bytes: waits.between_bytes,
            blames_after: exchange.blames_after(),
            is_held: first_token.is_some() || tries.hedge.is_some(),
            is_stream: exchange.record.streaming,
            first_token,
        }
    }

    /// What of an answer's body is waited for before anything of it is given on; `None`:
    /// nothing.
    fn until(&self, head: &Parts, body: &Incoming) -> Option<Until> {
        if body.is_end_stream() || self.tries.pass_over(head.status) {
            return None;
        }
        if is_events(&head.headers) {
            // What is compressed cannot be looked into.
            let is_held = self.is_held && head.status.is_success() && !is_encoded(&head.headers);
            return is_held.then_some(Until::Event);
        }
        // One of unknown length may be a stream in its own way.
        let length = body.size_hint().exact().filter(|_| is_json(&head.headers));
        Some(match length {
            Some(length) if length <= DOCUMENT_MAX => Until::End,
            _ => Until::Byte,
        })
    }

    /// Waits for it; once that has taken too long and another try can follow, it is given up.
    /// That is asked once: `late` is none from then on.
    async fn unless_late<T>(
        &self,
        late: &mut Option<Instant>,
        awaited: impl Future<Output = T>,
    ) -> Result<T, ServeError> {
        let mut awaited = pin!(awaited);
        if let Some(due) = *late {
            if let Ok(came) = timeout_at(due, awaited.as_mut()).await {
                return Ok(came);
            }
            if self.tries.make_sure(self.bounds.deadline) {
                return Err(ServeError::FirstByteTimeout);
            }
            *late = None;
        }
        Ok(awaited.await)
    }
}

/// It answered.
pub(in crate::serve) struct Answer {
    pub(in crate::serve) response: Response<Content>,
    pub(in crate::serve) pick: Pick,
    pub(in crate::serve) sent: Instant,
    /// From the request sent to the head.
    pub(in crate::serve) head: Duration,
    /// To all that was waited for.
    pub(super) took: Duration,
}

/// It did not.
pub(super) struct Missed {
    pub(super) unanswered: Unanswered,
    pub(super) endpoint: Arc<Endpoint>,
    pub(super) took: Duration,
    /// What it was let in with.
    pub(super) permits: Permits,
}

/// See the module.
///
/// # Errors
/// No answer, none in time, or one that broke off before it began.
pub(super) async fn ask(
    terms: Terms<'_>,
    mut pick: Pick,
    prepared: Prepared,
) -> Result<Answer, Missed> {
    let sent = Instant::now();
    if terms.first_token.is_some() {
        terms.tries.note_asked(pick.endpoint());
    }
    let answered = pin!(answer(terms, &mut pick, prepared, sent)).await;
    match answered {
        Ok((response, head)) => Ok(Answer {
            response,
            pick,
            sent,
            head,
            took: sent.elapsed(),
        }),
        Err(unanswered) => {
            if let Some(fault) = unanswered.error.fault(terms.blames_after) {
                pick.failed(fault);
            }
            Err(Missed {
                unanswered,
                endpoint: pick.endpoint().clone(),
                took: sent.elapsed(),
                permits: pick.take_permits(),
            })
        }
    }
}

async fn answer(
    terms: Terms<'_>,
    pick: &mut Pick,
    prepared: Prepared,
    sent: Instant,
) -> Result<(Response<Content>, Duration), Unanswered> {
    let mut late = terms.first_token.map(|most| sent + most);
    // The head of a whole answer comes with the whole answer.
    let late_head = if terms.is_stream {
        &mut late
    } else {
        &mut None
    };
    let answered = {
        // Pinned here: handed on, the whole of it would be copied each time.
        let answered = pin!(forward::send(terms.bounds, pick, prepared));
        terms.unless_late(late_head, answered).await
    };
    let Answered {
        response,
        is_uploading,
    } = answered??;
    let head = sent.elapsed();
    pick.answered(response.status(), response.headers());
    let (parts, body) = response.into_parts();
    let until = terms.until(&parts, &body).filter(|_| !is_uploading);
    let content = match until {
        None => Content::to_come(body),
        Some(until) => {
            if until != Until::Event {
                late = None;
            }
            let stall = Stall::new(terms.between_bytes, terms.bounds.deadline);
            let begun = pin!(terms.bounds.gone.or(Begun::wait(body, until, stall)));
            let begun = terms.unless_late(&mut late, begun).await?;
            let begun = begun.map_err(ServeError::from)??;
            match begun.is_empty() && until != Until::Event {
                // Nobody polls a body of which it is known that nothing comes.
                true => Content::AtHand(Bytes::new()),
                false => Content::Begun(begun),
            }
        }
    };
    Ok((Response::from_parts(parts, content), head))
}

impl Answer {
    /// It is none after all.
    pub(super) fn missed(mut self, error: ServeError) -> Missed {
        if let Some(fault) = error.fault(Duration::MAX) {
            self.pick.failed(fault);
        }
        Missed {
            unanswered: error.into(),
            endpoint: self.pick.endpoint().clone(),
            took: self.took,
            permits: self.pick.take_permits(),
        }
    }
}
