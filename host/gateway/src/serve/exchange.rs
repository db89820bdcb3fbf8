//! One exchange, from the request's head to the response's: read this first.
//!
//! [`serve`] takes a generation, and [`travel`] is the whole way, a step a line. Its
//! body then goes on by itself, with the exchange inside: see [`relay`](super::relay)
//! and [`stream`](super::stream). Where a step fails, the error is the answer.

use std::{mem, sync::Arc};

use http::{Request, Response};
use hyper::body::Incoming;
use tollgate_sandbox::contract::{Destination, Hooks, Target};

use super::{
    arrival::{self, Arrival, Entry},
    body::Body,
    cache,
    carry_on::{CarryOn, Gone},
    connection::Connection,
    dialect,
    errors::ServeError,
    forward,
    generation::Generation,
    policies::{self, Answer, Asked},
    reply::{self, Reply},
    respond,
    route::{Need, Route},
    state::Exchange,
    target,
    upstream::Upstream,
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
        Err(error) => return reply::deliver_error(&error, exchange),
    };
    if !entry.asks_policies() {
        return answer(exchange, entry, request).await;
    }
    let gone = Gone::watched();
    exchange.gone = gone.clone();
    CarryOn::new(
        answer(exchange, entry, request),
        gone,
        shared.tracker.clone(),
        shared.runtime.clone(),
    )
    .await
}

async fn answer(
    mut exchange: Box<Exchange>,
    entry: Entry,
    request: Request<Incoming>,
) -> Response<Body> {
    match travel(&mut exchange, entry, request).await {
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
        Answer::Forward(wish) => onward(exchange, (&generation, &route), wish, arrival).await,
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

/// The rest of the way, where some policies were asked before.
///
/// # Errors
/// As any exchange.
pub(super) async fn carry_on(
    exchange: &mut Exchange,
    place: (&Generation, &Route),
    mut asked: Asked,
    mut arrival: Arrival,
) -> Result<Reply, ServeError> {
    loop {
        match policies::ask_request(exchange, &mut arrival.message, asked).await? {
            Answer::Forward(wish) => return onward(exchange, place, wish, arrival).await,
            Answer::Reply(reply) => return Ok(reply),
            // One plan counts for an exchange: the first.
            Answer::Planned(planned) => asked = planned.asked,
        }
    }
}

/// From the policies to an upstream and back.
async fn onward(
    exchange: &mut Exchange,
    place: (&Generation, &Route),
    wish: Destination,
    mut arrival: Arrival,
) -> Result<Reply, ServeError> {
    let led = lead(exchange, place, wish, &mut arrival).await;
    // Wherever it led: the log names the caller of what led nowhere, too.
    exchange.record.facts = mem::take(&mut arrival.message.facts);
    let upstream = match led? {
        Led::To(upstream) => upstream,
        Led::Reply(reply) => return Ok(reply),
    };
    exchange.let_go(Hooks::RESPONSE | Hooks::EVENTS | Hooks::FINISH);
    let began = exchange.started.elapsed();
    let response = forward::send(exchange, upstream, arrival).await;
    let model = exchange.record.target_model.as_deref();
    let model = model.or(exchange.record.model.as_deref());
    exchange.note_attempt((&upstream.name, model), began, &response);
    let response = response?;
    // Policies see the response in reverse order; its body passes by, or is replaced.
    respond::reply(exchange, upstream, response).await
}

/// Where the way from the policies to an upstream leads.
enum Led<'a> {
    To(&'a Upstream),
    /// A policy of the target answers.
    Reply(Reply),
}

/// Chooses a target, and readies the request for it.
async fn lead<'a>(
    exchange: &mut Exchange,
    (generation, route): (&'a Generation, &'a Route),
    wish: Destination,
    arrival: &mut Arrival,
) -> Result<Led<'a>, ServeError> {
    arrival.note_model(exchange)?;
    // One upstream, by wish, by route or by the model's weights.
    let choice = target::choose(generation, route, wish, exchange.record.model.as_deref())?;
    let need = Need::at_target(
        choice.policies,
        choice.model.is_some() && arrival.names_in_body(),
    );
    arrival.have(exchange, need).await?;
    arrival.call_model(exchange, choice.model.clone())?;
    exchange.record.upstream = Some(choice.upstream.name.clone());
    exchange.record.attempts += 1;
    if !choice.policies.is_empty() {
        exchange.enlist(choice.policies);
        let target = contract_target(exchange, &choice);
        if let Some(reply) =
            policies::ask_attempt(exchange, choice.policies, &target, &mut arrival.message).await?
        {
            return Ok(Led::Reply(reply));
        }
    }
    Ok(Led::To(choice.upstream))
}

fn contract_target(exchange: &Exchange, choice: &target::Choice<'_>) -> Target {
    Target {
        upstream: choice.upstream.name.to_string(),
        dialect: dialect::name(choice.upstream.dialect).to_owned(),
        model: choice
            .model
            .as_deref()
            .map(str::to_owned)
            .or_else(|| exchange.record.model.clone()),
        attempt: exchange.record.attempts,
    }
}
