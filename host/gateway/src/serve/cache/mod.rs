//! Answers that are kept and shared, where a policy planned for it.
//!
//! The cache stands in the onion where the policy stands that planned: those before it see
//! every exchange, request, response and events; those behind it, and the target's, see
//! what really goes to the upstream. A stored answer is given at once; one that is under
//! way is shared; else the exchange begins one ([`fetch`]) and listens to it like any other.

mod chat;
mod fetch;
mod flight;
mod flights;
mod keep;
mod key;
mod listening;
mod part;
mod replay;

use std::{mem, sync::Arc};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use tokio::time::timeout_at;
use tollgate_capabilities::{CacheKey, KeptAnswer, cache::Form};
use tollgate_config::StreamEnd;
use tollgate_sandbox::contract::{CacheKind, CachePlan, Hooks};

use super::{
    Shared,
    arrival::Arrival,
    at_hand::{Uncollected, collect},
    content::Content,
    errors::ServeError,
    exchange::carry_on,
    generation::Generation,
    policies::{Asked, Planned},
    record::Cached,
    reply::{Reply, Watch},
    respond,
    route::Route,
    slot::Slot,
    stall::{Stall, Stalled},
    state::Exchange,
};
use fetch::Fetch;
pub(super) use flight::Flight;
use flight::{Head, Seat};
pub(super) use flights::Flights;
use flights::Taking;
pub(super) use key::{Shape, shape};
use listening::{Account, Listening};
pub(super) use part::Part;
pub(super) use replay::Kept;
use replay::Replay;

const X_CACHE: HeaderName = HeaderName::from_static("x-cache");

/// What a plan comes to for one request.
struct Order {
    plan: Box<CachePlan>,
    key: CacheKey,
    wants_stream: bool,
    answer_bytes: usize,
    event_bytes: usize,
}

/// What became of a listener.
enum Heard {
    Reply(Box<Reply>),
    /// What came was for another alone: this one asks for itself.
    NotForThisOne,
}

/// Answers as the plan says, or goes on as if there were none.
///
/// # Errors
/// As any exchange.
pub(super) async fn serve(
    exchange: &mut Exchange,
    (generation, route): (Arc<Generation>, Arc<Route>),
    planned: Planned,
    mut arrival: Arrival,
) -> Result<Reply, ServeError> {
    let Planned { plan, asked } = planned;
    let shared = exchange.shared().cloned();
    let order = order(exchange, &route, (plan, &asked), &arrival);
    let (Some(shared), Some(order)) = (shared, order) else {
        return carry_on(exchange, (&generation, &route), asked, arrival).await;
    };
    if let Some(reply) = look_up(exchange, &shared, &order).await? {
        exchange.slots.truncate(asked.count);
        exchange.record.facts = mem::take(&mut arrival.message.facts);
        exchange.cache = Some(Box::new(Part::Hit));
        return finish(exchange, reply, Cached::Hit).await;
    }
    let seat = match take_part(&shared, &order) {
        None => return carry_on(exchange, (&generation, &route), asked, arrival).await,
        Some(Taking::First(seat)) => seat,
        Some(Taking::Later(seat)) => {
            exchange.record.facts.clone_from(&arrival.message.facts);
            let reply = match follow(exchange, seat, &order).await? {
                Heard::Reply(reply) => *reply,
                Heard::NotForThisOne => {
                    exchange.record.cache = Some(Cached::Miss);
                    let mut reply =
                        carry_on(exchange, (&generation, &route), asked, arrival).await?;
                    say(&mut reply, Cached::Miss);
                    return Ok(reply);
                }
            };
            exchange.slots.truncate(asked.count);
            return finish(exchange, reply, Cached::Shared).await;
        }
    };
    exchange.record.facts.clone_from(&arrival.message.facts);
    exchange.record.cache = Some(Cached::Miss);
    exchange.cache = Some(Box::new(Part::listener(Account::of(&seat, true))));
    let flight = seat.flight().clone();
    let source = exchange.source(&flight, asked.count);
    let fetch = Fetch {
        shared: shared.clone(),
        flight,
        key: order.key,
        plan: order.plan,
        generation,
        route,
    };
    // Those that were asked stay with this one.
    let asked = Asked { count: 0, ..asked };
    let fetching = Box::pin(fetch.run(source, asked, arrival));
    shared.tracker.spawn_on(fetching, &shared.runtime);
    let head = head_of(exchange, &seat).await?;
    note_source(exchange, &head);
    finish(exchange, listen(&head, seat), Cached::Miss).await
}

/// `None`: what is asked for, or what became of it on the way, is nothing to keep.
fn order(
    exchange: &Exchange,
    route: &Route,
    (plan, asked): (Box<CachePlan>, &Asked),
    arrival: &Arrival,
) -> Option<Order> {
    let shape = route.shape.as_ref()?;
    let planner = exchange.slots.get(asked.count.checked_sub(1)?)?.policy();
    let message = &arrival.message;
    // One that is still to come leaves with its client.
    let is_at_hand = message.body.is_some() || !matches!(arrival.content, Content::ToCome(_));
    let is_plain = is_at_hand
        && exchange.upgrade.is_none()
        && matches!(message.method, Method::GET | Method::POST)
        && !asks_for_a_part(&message.headers)
        && !exchange.slots.iter().any(Slot::is_bypassed);
    let wants_stream = exchange.record.streaming;
    let limits = &exchange.generation.config.limits;
    is_plain.then(|| Order {
        key: key::key(
            shape,
            planner,
            (message, &asked.wish),
            (&plan, wants_stream),
        ),
        plan,
        wants_stream,
        answer_bytes: limits.answer_bytes,
        event_bytes: limits.event_bytes,
    })
}

/// A part of an answer, or an answer on a condition.
fn asks_for_a_part(headers: &HeaderMap) -> bool {
    [
        header::RANGE,
        header::IF_RANGE,
        header::IF_MATCH,
        header::IF_NONE_MATCH,
        header::IF_MODIFIED_SINCE,
        header::IF_UNMODIFIED_SINCE,
    ]
    .iter()
    .any(|name| headers.contains_key(name))
}

/// A stored answer that is for this request.
async fn look_up(
    exchange: &Exchange,
    shared: &Shared,
    order: &Order,
) -> Result<Option<Reply>, ServeError> {
    if !order.plan.look_up {
        return Ok(None);
    }
    let found = match shared.cache.get(&order.key).now() {
        Ok(found) => found,
        Err(pending) => exchange.gone.or(pending.get()).await?,
    };
    let Some(found) = found.ok().flatten() else {
        return Ok(None);
    };
    let is_too_old = |most: u64| found.age.as_millis() > u128::from(most);
    if order.plan.max_age_ms.is_some_and(is_too_old) {
        return Ok(None);
    }
    let mut reply = give(&found.answer, order);
    if let Some(reply) = &mut reply {
        reply
            .headers
            .insert(header::AGE, found.age.as_secs().into());
    }
    Ok(reply)
}

/// `None`: neither another's answer nor one for others.
fn take_part(shared: &Shared, order: &Order) -> Option<Taking> {
    match (order.plan.look_up, order.plan.store) {
        (true, true) => Some(shared.flights.take_part(order.key, order.answer_bytes)),
        (true, false) => shared.flights.join(&order.key).map(Taking::Later),
        (false, true) => Some(Taking::First(shared.flights.alone(order.answer_bytes))),
        (false, false) => None,
    }
}

/// The response of an exchange that listens to an answer that another has asked for.
async fn follow(exchange: &mut Exchange, seat: Seat, order: &Order) -> Result<Heard, ServeError> {
    let head = match head_of(exchange, &seat).await {
        // What is wrong with a request may be wrong with this one alone.
        Ok(head) if head.is_upstreams && !head.status.is_client_error() => head,
        Ok(_) => return Ok(Heard::NotForThisOne),
        Err(error) if error.is_a_policys() => return Ok(Heard::NotForThisOne),
        Err(error) => return Err(error),
    };
    let account = Account::of(&seat, false);
    let is_stream = matches!(head.watch, Watch::Events(_));
    let fits = order.plan.kind == CacheKind::AsItCame
        || head.status != StatusCode::OK
        || (is_stream == order.wants_stream
            && (!is_stream || head.stream_usage == order.plan.stream_usage));
    let reply = if fits {
        let mut reply = listen(&head, seat);
        // The rest is about the exchange of the one that asked.
        reply.headers = header_map(&keep::described(&head.headers));
        reply
    } else {
        match converted(exchange, &head, seat, order).await? {
            Some(reply) => reply,
            None => return Ok(Heard::NotForThisOne),
        }
    };
    exchange.cache = Some(Box::new(Part::listener(account)));
    Ok(Heard::Reply(Box::new(reply)))
}

async fn head_of(exchange: &Exchange, seat: &Seat) -> Result<Arc<Head>, ServeError> {
    let head = timeout_at(exchange.deadline, seat.head());
    match exchange.gone.or(head).await? {
        Ok(head) => head,
        Err(_) => Err(ServeError::TotalTimeout),
    }
}

fn note_source(exchange: &mut Exchange, head: &Head) {
    let record = &mut exchange.record;
    let source = head.source.clone();
    record.upstream = source.upstream;
    record.endpoint = source.endpoint;
    record.target_model = source.target_model;
    record.attempts = source.attempts;
    record.reason = source.reason;
    record.tries = source.tries;
    record.over_budget = source.over_budget;
    record.upstream_head = source.upstream_head;
    record.facts = source.facts;
}

fn listen(head: &Head, seat: Seat) -> Reply {
    let listening = Listening::new(seat, head.length);
    Reply {
        status: head.status,
        headers: head.headers.clone(),
        content: Content::Kept(Box::new(Kept::Listening(listening))),
        watch: head.watch,
    }
}

/// The whole of an answer under way in the form that this one asked for.
async fn converted(
    exchange: &Exchange,
    head: &Head,
    seat: Seat,
    order: &Order,
) -> Result<Option<Reply>, ServeError> {
    let config = &exchange.generation.config;
    let bytes_max = config.limits.response_buffer_bytes;
    let stall = Stall::new(config.timeouts.between_bytes, exchange.deadline);
    let body = Kept::Listening(Listening::new(seat, head.length));
    let whole = exchange
        .gone
        .or(collect(body, bytes_max as u64, stall))
        .await?;
    let body: Bytes = match whole {
        Ok(body) => body,
        Err(Uncollected::TooLong) => return Ok(None),
        Err(Uncollected::Broken(fault)) => {
            return Err(fault.unwrap_or(ServeError::UpstreamFailed));
        }
        Err(Uncollected::Stalled(Stalled::Silent)) => return Err(ServeError::BetweenBytesTimeout),
        Err(Uncollected::Stalled(Stalled::Total(_))) => return Err(ServeError::TotalTimeout),
    };
    let answer = keep::keep(head, &[body], order.plan.kind);
    Ok(answer.and_then(|answer| give(&Arc::new(answer), order)))
}

/// An answer in the form that was asked for; `None`: it cannot have that form.
fn give(answer: &Arc<KeptAnswer>, order: &Order) -> Option<Reply> {
    let (plan, wants_stream) = (&order.plan, order.wants_stream);
    let is_chat = plan.kind == CacheKind::ChatCompletion;
    match &answer.form {
        Form::Document if is_chat && wants_stream => {
            let stream = chat::stream_of(answer, plan.stream_usage)?;
            let fits = longest_event(&stream) <= order.event_bytes;
            fits.then(|| replayed(&Arc::new(stream), None))
        }
        Form::Stream { .. } if is_chat && !wants_stream => {
            chat::document_of(answer).as_ref().map(documented)
        }
        Form::Document => Some(documented(answer)),
        Form::Stream { .. } if !is_chat => Some(replayed(answer, None)),
        Form::Stream { .. } => match chat::usage_piece(answer) {
            None if plan.stream_usage => None,
            usage => Some(replayed(answer, usage.filter(|_| !plan.stream_usage))),
        },
    }
}

fn longest_event(answer: &KeptAnswer) -> usize {
    let Form::Stream { ends, .. } = &answer.form else {
        return 0;
    };
    let starts = std::iter::once(&0).chain(ends);
    let lengths = ends.iter().zip(starts).map(|(end, start)| end - start);
    lengths.max().unwrap_or_default() as usize
}

fn documented(answer: &KeptAnswer) -> Reply {
    Reply::at_hand(status(answer), headers(answer), answer.body.clone())
}

fn replayed(answer: &Arc<KeptAnswer>, skipped: Option<usize>) -> Reply {
    let end = match answer.form {
        Form::Stream {
            ends_with_done: true,
            ..
        } => StreamEnd::DoneEvent,
        Form::Stream { .. } | Form::Document => StreamEnd::Transport,
    };
    let replay = Replay::new(answer.clone(), skipped);
    Reply {
        status: status(answer),
        headers: headers(answer),
        content: Content::Kept(Box::new(Kept::Replay(replay))),
        watch: Watch::Events(end),
    }
}

fn status(answer: &KeptAnswer) -> StatusCode {
    StatusCode::from_u16(answer.status).unwrap_or(StatusCode::OK)
}

fn headers(answer: &KeptAnswer) -> HeaderMap {
    header_map(&answer.headers)
}

fn header_map(lines: &[(String, Bytes)]) -> HeaderMap {
    let headers = lines.iter().filter_map(|(name, value)| {
        let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
        Some((name, HeaderValue::from_maybe_shared(value.clone()).ok()?))
    });
    headers.collect()
}

fn say(reply: &mut Reply, cached: Cached) {
    let said = HeaderValue::from_static(cached.as_str());
    reply.headers.insert(X_CACHE, said);
}

/// Through the policies before the cache, as if it came from an upstream.
async fn finish(
    exchange: &mut Exchange,
    mut reply: Reply,
    cached: Cached,
) -> Result<Reply, ServeError> {
    exchange.record.cache = Some(cached);
    say(&mut reply, cached);
    exchange.let_go(Hooks::RESPONSE | Hooks::EVENTS | Hooks::FINISH);
    respond::through_policies(exchange, reply).await
}
