//! One try at one endpoint, to the head of its answer; where the head is held back, to the
//! first event with content.

use std::{sync::Arc, time::Duration};

use http::Response;
use tokio::time::Instant;

use super::super::{
    begun::{Begun, Unbegun},
    content::Content,
    endpoint::Endpoint,
    errors::ServeError,
    forward::{self, Bounds, Prepared, Unanswered},
    pick::Pick,
    respond::is_events,
    stall::Stall,
    state::Exchange,
};

/// How long a try may take.
#[derive(Clone, Copy)]
pub(super) struct Terms<'a> {
    bounds: Bounds<'a>,
    between_bytes: Duration,
    /// See [`Exchange::blames_after`].
    blames_after: Duration,
    /// Whether the head of a stream is held back, and for how long at most.
    is_held: bool,
    first_token: Option<Duration>,
}

impl<'a> Terms<'a> {
    /// `first_token` where a try that is late may be followed by another.
    pub(super) fn new(
        exchange: &'a Exchange,
        connect_max: Duration,
        first_token: Option<Duration>,
        is_hedged: bool,
    ) -> Self {
        let waits = &exchange.waits;
        let config = &exchange.generation.config;
        let first_of_stream = first_token.filter(|_| exchange.record.streaming);
        let head = first_of_stream.map_or(waits.first_byte, |most| most.min(waits.first_byte));
        Self {
            bounds: Bounds {
                gone: &exchange.gone,
                record: &exchange.record,
                deadline: exchange.deadline,
                connect: Some(waits.connect).filter(|most| *most < connect_max),
                head,
                upload: (
                    config.timeouts.request_body,
                    config.limits.request_body_bytes,
                ),
            },
            between_bytes: waits.between_bytes,
            blames_after: exchange.blames_after(),
            is_held: first_token.is_some() || is_hedged,
            first_token,
        }
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
    let response = forward::send(terms.bounds, pick, prepared).await?;
    let head = sent.elapsed();
    pick.answered(response.status(), response.headers());
    let (parts, body) = response.into_parts();
    let is_held = terms.is_held && parts.status.is_success() && is_events(&parts.headers);
    let content = if is_held {
        let due = terms.first_token.map(|most| sent + most);
        let stall = Stall::new(terms.between_bytes, terms.bounds.deadline);
        let begun = terms.bounds.gone.or(Begun::wait(body, due, stall));
        match begun.await.map_err(ServeError::from)? {
            Ok(begun) => Content::Begun(Box::new(begun)),
            Err(Unbegun::Late) => return Err(ServeError::FirstByteTimeout.into()),
            Err(Unbegun::Broken(error)) => return Err(error.into()),
        }
    } else {
        Content::to_come(body)
    };
    Ok((Response::from_parts(parts, content), head))
}
