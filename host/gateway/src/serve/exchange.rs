//! One exchange, from the request's head to the response's: read this first.
//!
//! [`serve`] takes a generation, and [`travel`] is the whole way, a step a line. Its
//! body then goes on by itself, with the exchange inside: see [`relay`](super::relay)
//! and [`stream`](super::stream). Where a step fails, the error is the answer.
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
/// A route without policies is served in place, and dropped with its client. One
/// with policies carries on without the client until its hooks have ended.
pub(super) async fn serve(
    connection: Arc<Connection>,
    mut request: Request<Incoming>,
) -> Response<Body> {
    let shared = connection.shared.clone();
    let mut exchange = Exchange::begin(connection, &request);
    let entry = match arrival::enter(&mut exchange, &mut request) {
        Ok(entry) => entry,
        Err(error) => {
            drop(request);
            exchange.leave_body().await;
            return reply::deliver_error(&error, exchange);
        }
    };
    if !entry.asks_policies() {
        return pin!(answer(exchange, entry, request)).await;
    }
    let gone = Gone::watched();
    exchange.gone = gone.clone();
    // Made in its box; with `Box::pin` its 12 KB would be copied there.
    let answer = Box::write(Box::new_uninit(), answer(exchange, entry, request));
    CarryOn::new(Box::into_pin(answer), gone, shared).await
}

async fn answer(
    mut exchange: Box<Exchange>,
    entry: Entry,
    request: Request<Incoming>,
) -> Response<Body> {
    let travelled = pin!(travel(&mut exchange, entry, request)).await;
    exchange.leave_body().await;
    match travelled {
        // It left while the last hook ran: nobody takes this reply.
        Ok(_) if exchange.gone.is_gone() => reply::deliver_error(&ServeError::ClientGone, exchange),
        Ok(reply) => reply.deliver(exchange),
        Err(error) => reply::deliver_error(&error, exchange),
    }
}

/// The way of a request to an upstream and of its response back.
async fn travel(
    exchange: &mut Exchange,
    entry: Entry,
    request: Request<Incoming>,
) -> Result<Reply, ServeError> {
    let generation = exchange.generation.shared();
    // Only what the route or its policies need of the body is waited for.
    let (route, mut arrival) = arrival::take_in(exchange, entry, request).await?;
    // Policies may change the request, say where it goes, or answer it.
    exchange.enlist(&route.policies);
    match policies::ask_request(exchange, &mut arrival.message, Asked::NOBODY).await? {
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
