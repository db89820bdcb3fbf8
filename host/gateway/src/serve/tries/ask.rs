//! One try at one endpoint, to the head of its answer; where the head is held back, to the
//! first event with content.

use std::{future::Future, pin::pin, sync::Arc, time::Duration};

use http::Response;
use tokio::time::{Instant, timeout_at};

use super::{
    super::{
        at_hand::is_encoded,
        begun::Begun,
        content::Content,
        endpoint::Endpoint,
        errors::ServeError,
        forward::{self, Bounds, Prepared, Unanswered},
        pick::Pick,
        respond::is_events,
        stall::Stall,
        state::Exchange,
    },
    Tries,
};

/// How long a try may take.
#[derive(Clone, Copy)]
pub(super) struct Terms<'a> {
    bounds: Bounds<'a>,
    between_bytes: Duration,
    /// See [`Exchange::blames_after`].
    blames_after: Duration,
    /// Whether the head of a stream is held back.
    is_held: bool,
    /// Whether the request asks for a stream.
    is_stream: bool,
    first_token: Option<FirstToken<'a>>,
}

/// How long a first token is waited for where another try can follow, and who knows that.
#[derive(Clone, Copy)]
pub(super) struct FirstToken<'a> {
    pub(super) most: Duration,
    pub(super) tries: &'a Tries<'a>,
}

impl<'a> Terms<'a> {
    pub(super) fn new(
        exchange: &'a Exchange,
        connect_max: Duration,
        first_token: Option<FirstToken<'a>>,
        is_hedged: bool,
    ) -> Self {
        let waits = &exchange.waits;
        let config = &exchange.generation.config;
        Self {
            bounds: Bounds {
                gone: &exchange.gone,
                record: &exchange.record,
                deadline: exchange.deadline,
                connect: Some(waits.connect).filter(|most| *most < connect_max),
                head: waits.first_byte,
                upload: (
                    config.timeouts.request_body,
                    config.limits.request_body_bytes,
                ),
            },
            between_bytes: waits.between_bytes,
            blames_after: exchange.blames_after(),
            is_held: first_token.is_some() || is_hedged,
            is_stream: exchange.record.streaming,
            first_token,
        }
    }

    /// Waits for it; once that has taken too long and another try can follow, it is given up.
    /// That is asked once: `late` is none from then on.
    async fn unless_late<T>(
        &self,
        late: &mut Option<(Instant, &Tries<'_>)>,
        awaited: impl Future<Output = T>,
    ) -> Result<T, ServeError> {
        let mut awaited = pin!(awaited);
        if let Some((due, tries)) = *late {
            if let Ok(came) = timeout_at(due, awaited.as_mut()).await {
                return Ok(came);
            }
            if tries.make_sure(self.bounds.deadline) {
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
    if let Some(FirstToken { tries, .. }) = terms.first_token {
        tries.note_asked(pick.endpoint());
    }
    match answer(terms, &mut pick, prepared, sent).await {
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
    let mut late = terms
        .first_token
        .map(|FirstToken { most, tries }| (sent + most, tries));
    // The head of a whole answer comes with the whole answer.
    let late_head = if terms.is_stream {
        &mut late
    } else {
        &mut None
    };
    let response = forward::send(terms.bounds, pick, prepared);
    let response = terms.unless_late(late_head, response).await??;
    let head = sent.elapsed();
    pick.answered(response.status(), response.headers());
    let (parts, body) = response.into_parts();
    // What is compressed cannot be looked into.
    let is_held = terms.is_held
        && parts.status.is_success()
        && is_events(&parts.headers)
        && !is_encoded(&parts.headers);
    let content = if is_held {
        let stall = Stall::new(terms.between_bytes, terms.bounds.deadline);
        let begun = terms.bounds.gone.or(Begun::wait(body, stall));
        let begun = terms.unless_late(&mut late, begun).await?;
        Content::Begun(Box::new(begun.map_err(ServeError::from)??))
    } else {
        Content::to_come(body)
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
        }
    }
}
