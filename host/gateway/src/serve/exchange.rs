//! One exchange, from the request's head to the response's: read this first.
//!
//! [`serve`] takes a generation, and [`answer`] is the whole way, a step a line; where policies
//! have to be asked, the rest of it is [`travel`]. The response's body then goes on by itself,
//! with the exchange inside: see [`relay`](super::relay) and [`stream`](super::stream). Where a
//! step fails, the error is the answer.
//!
//! Steps that take kilobytes are pinned where they are made: awaited as they are, each would be
//! copied into its place.

use std::{mem, pin::pin, sync::Arc};

use http::{Request, Response};
use hyper::body::Incoming;

use super::{
    arrival::{self, Arrival, Entry},
    body::Body,
    cache,
    carry_on::{CarryOn, Gone},
    cohort,
    connection::Connection,
    errors::ServeError,
    generation::Generation,
    mirror,
    policies::{self, Answer, Asked},
    reply::{self, Reply},
    route::Route,
    slot::Slot,
    state::Exchange,
    tries,
};

/// Answers one request. Never fails: an error is an answer too.
///
/// It is served in place, and dropped with its client, where no policy has to be asked, now or
/// later: since there is none, or since all decided about such a request before. Any other
/// carries on without the client until its hooks have ended.
pub(super) async fn serve(
    connection: Arc<Connection>,
    mut request: Request<Incoming>,
) -> Response<Body> {
    let mut exchange = Exchange::begin(connection, &request);
    let entry = match arrival::enter(&mut exchange, &mut request) {
        Ok(entry) => entry,
        Err(error) => {
            drop(request);
            return deliver(exchange, Err(error)).await;
        }
    };
    pin!(answer(exchange, entry, request)).await
}

/// The way of a request to an upstream and of its response back, as far as nobody is asked.
async fn answer(
    mut exchange: Box<Exchange>,
    entry: Entry,
    request: Request<Incoming>,
) -> Response<Body> {
    let generation = exchange.generation.shared();
    // Only what the route or its policies need of the body is waited for.
    let taken = pin!(arrival::take_in(&mut exchange, entry, request)).await;
    let (route, mut arrival) = match taken {
        Ok(taken) => taken,
        Err(error) => return deliver(exchange, Err(error)).await,
    };
    exchange.enlist(&route.policies);
    let asked = match policies::recall(&mut exchange, &mut arrival.message) {
        Ok(asked) => asked,
        Err(error) => {
            // Its body, too, as `leave_body` wants it.
            drop(arrival);
            return deliver(exchange, Err(error)).await;
        }
    };
    if may_be_dropped(&exchange, &route, &asked, &arrival) {
        mirror::copy(&exchange, (&generation, &route), &mut arrival);
        let place = (&*generation, &*route);
        let travelled = pin!(tries::onward(&mut exchange, place, asked.wish, arrival)).await;
        return deliver(exchange, travelled).await;
    }
    let Some(shared) = exchange.shared().cloned() else {
        return deliver(exchange, Err(ServeError::ClientGone)).await;
    };
    let gone = Gone::watched();
    exchange.gone = gone.clone();
    // Made in its box; with `Box::pin` its kilobytes would be copied there.
    let rest = ask_and_answer(exchange, (generation, route), asked, arrival);
    let rest = Box::write(Box::new_uninit(), rest);
    CarryOn::new(
        Box::into_pin(rest),
        gone,
        shared.tracker.clone(),
        shared.runtime.clone(),
    )
    .await
}

/// Whether it may be dropped with its client: no hook follows, and the log knows by then who it
/// was.
fn may_be_dropped(exchange: &Exchange, route: &Route, asked: &Asked, arrival: &Arrival) -> bool {
    // Who watches is told how it ended upstream, too.
    let is_watched = exchange.record.journal.is_some() && !exchange.slots.is_empty();
    // Others than the route knows of may be asked where a policy wishes it to go.
    let asks_nobody_ahead = !route.has_policies_ahead && asked.is_without_wish();
    // Facts are noted once the body is there.
    let is_named = exchange.slots.is_empty() || !arrival.is_streamed();
    !is_watched
        && asks_nobody_ahead
        && is_named
        && exchange.slots.iter().all(Slot::wants_events_alone)
}

/// The rest of the way, with the policies that have to be asked.
async fn ask_and_answer(
    mut exchange: Box<Exchange>,
    place: (Arc<Generation>, Arc<Route>),
    asked: Asked,
    arrival: Arrival,
) -> Response<Body> {
    let travelled = pin!(travel(&mut exchange, place, asked, arrival)).await;
    deliver(exchange, travelled).await
}

async fn deliver(exchange: Box<Exchange>, travelled: Result<Reply, ServeError>) -> Response<Body> {
    exchange.leave_body().await;
    match travelled {
        // It left while the last hook ran: nobody takes this reply.
        Ok(_) if exchange.gone.is_gone() => reply::deliver_error(&ServeError::ClientGone, exchange),
        Ok(reply) => reply.deliver(exchange),
        Err(error) => reply::deliver_error(&error, exchange),
    }
}

/// From the first policy that has to be asked to an upstream and back.
async fn travel(
    exchange: &mut Exchange,
    (generation, route): (Arc<Generation>, Arc<Route>),
    asked: Asked,
    mut arrival: Arrival,
) -> Result<Reply, ServeError> {
    // Policies may change the request, say where it goes, or answer it.
    match policies::ask_request(exchange, &mut arrival.message, asked).await? {
        Answer::Forward(wish) => {
            let_others_ask(exchange, &mut arrival).await?;
            mirror::copy(exchange, (&generation, &route), &mut arrival);
            pin!(tries::onward(
                exchange,
                (&generation, &route),
                wish,
                arrival
            ))
            .await
        }
        Answer::Reply(reply) => Ok(reply),
        Answer::Planned(planned) => {
            Box::pin(cache::serve(
                exchange,
                (generation, route),
                planned,
                arrival,
            ))
            .await
        }
    }
}

/// Those that are ready ask their policies before anything is sent on.
async fn let_others_ask(exchange: &mut Exchange, arrival: &mut Arrival) -> Result<(), ServeError> {
    if !exchange.slots.iter().any(Slot::was_asked) {
        return Ok(());
    }
    cohort::gather().await;
    if exchange.gone.is_gone() {
        exchange.record.facts = mem::take(&mut arrival.message.facts);
        return Err(ServeError::ClientGone);
    }
    Ok(())
}

/// The rest of the way, where some policies were asked before.
///
/// # Errors
/// As any exchange.
pub(super) async fn carry_on(
    exchange: &mut Exchange,
    place: (&Arc<Generation>, &Arc<Route>),
    mut asked: Asked,
    mut arrival: Arrival,
) -> Result<Reply, ServeError> {
    loop {
        match policies::ask_request(exchange, &mut arrival.message, asked).await? {
            Answer::Forward(wish) => {
                mirror::copy(exchange, place, &mut arrival);
                return pin!(tries::onward(exchange, (place.0, place.1), wish, arrival)).await;
            }
            Answer::Reply(reply) => return Ok(reply),
            // One plan counts for an exchange: the first.
            Answer::Planned(planned) => asked = planned.asked,
        }
    }
}
