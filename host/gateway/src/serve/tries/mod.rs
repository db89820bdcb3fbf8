//! From the policies to an upstream and back, in as many tries as it takes.
//!
//! [`onward`] goes around: a target, an endpoint, the target's policies, the request sent.
//! What fails before anything of it reached the client may be followed by another try: see
//! [`Tries::follow`]. Each try starts from the request as the route's policies left it, and
//! only where one may follow is a copy of that kept.

mod ask;
mod follow;
mod manner;
mod race;
mod told;

use std::{mem, pin::pin, sync::Arc, time::Duration};

use http::{Response, StatusCode};
use tokio::time::Instant;
use tollgate_config::Cause;
use tollgate_sandbox::{
    Message,
    contract::{Destination, Hooks, Target},
};
use tollgate_upstreams::{hedge::Hedge, retry::asked_pause};

use super::{
    admission::{self, Permits},
    arrival::Arrival,
    content::Content,
    dialect,
    endpoint::Endpoint,
    errors::ServeError,
    fleet::count,
    forward::{self, Prepared},
    generation::Generation,
    hints::Hints,
    pick::{self, Pick},
    policies,
    record::Record,
    reply::Reply,
    respond,
    route::{Need, Route},
    state::Exchange,
    target::{self, Choice, Line},
    upgrade,
};
pub(super) use ask::Answer;
use ask::{Missed, Terms};
use follow::{Ahead, End, Failure};
use manner::Hedges;
pub(super) use manner::{Manner, Retry};
pub use told::{Reason, Try, TryOutcome};

/// From the policies to an upstream and back.
///
/// # Errors
/// No target, what a policy of it says, or the failure of the last try.
pub(super) async fn onward(
    exchange: &mut Exchange,
    place: (&Generation, &Route),
    wish: Destination,
    mut arrival: Arrival,
) -> Result<Reply, ServeError> {
    let went = pin!(go(exchange, place, wish, &mut arrival)).await;
    // The log names the caller of what led nowhere, too.
    if went.is_err() && exchange.record.facts.is_empty() {
        exchange.record.facts = mem::take(&mut arrival.message.facts);
    }
    went
}

async fn go(
    exchange: &mut Exchange,
    (generation, route): (&Generation, &Route),
    wish: Destination,
    arrival: &mut Arrival,
) -> Result<Reply, ServeError> {
    arrival.note_model(exchange)?;
    // One target, by wish, by route or by the model's weights, and those in line behind it.
    let line = target::choose(generation, route, wish, exchange.record.model.as_deref())?;
    if let Some(model) = line.model {
        exchange.wait_as(&model.manner.waits);
    }
    let mut tries = Tries::new((generation, route), line, exchange);
    loop {
        let attempted = pin!(tries.attempt(exchange, arrival)).await;
        let failure = match attempted? {
            Attempted::Reply(reply) => return Ok(reply),
            Attempted::Answered(response) => {
                return respond::reply(exchange, tries.choice.upstream, response).await;
            }
            Attempted::Failed(failure) => failure,
        };
        match tries.follow(exchange, arrival, *failure).await? {
            None => {}
            Some(End::Error(error)) => return Err(error),
            Some(End::Answer(answer)) => {
                let response = exchange.keep(*answer);
                return respond::reply(exchange, tries.choice.upstream, response).await;
            }
        }
    }
}

/// The tries of one exchange: where the next one goes, and what may follow it.
struct Tries<'a> {
    choice: Choice<'a>,
    line: Line<'a>,
    retry: &'a Retry,
    retries_left: u32,
    fallback_on: &'a [Cause],
    hedges: Option<&'a Hedges>,
    /// Of these, what is known of such requests; chosen with the first try.
    hedge: Option<&'a Hedge>,
    /// Longer than this no pool waits for a connection.
    connect_max: Duration,
    reason: Reason,
    /// The endpoints of this target that failed.
    failed: Vec<Arc<Endpoint>>,
    /// Whether the request is still there.
    is_kept: bool,
    /// It is for a mirror: tried once, and never made to wait.
    is_copy: bool,
    ahead: Ahead,
    /// Of the last try at this target.
    hints: Option<Hints>,
    /// What the last try was let in with, if another follows at once: the exchange had a
    /// place, and would be behind all who wait if it asked for one anew.
    permits: Permits,
}

enum Attempted {
    /// A policy of the target answers.
    Reply(Reply),
    Answered(Response<Content>),
    Failed(Box<Failure>),
}

impl<'a> Tries<'a> {
    fn new(
        (generation, route): (&'a Generation, &'a Route),
        line: Line<'a>,
        exchange: &Exchange,
    ) -> Self {
        let manner = line.model.map(|model| &model.manner);
        let retry = manner.and_then(|manner| manner.retry.as_ref());
        let retry = retry.or(route.manner.retry.as_ref());
        let retry = retry.unwrap_or(&generation.retry);
        // A copy is tried once, and counts for nothing.
        let is_copy = exchange.record.mirror;
        if !is_copy {
            retry.note_request();
        }
        let hedges = manner.and_then(|manner| manner.hedges.as_ref());
        let hedges = hedges.or(route.manner.hedges.as_ref());
        Self {
            choice: line.first.clone(),
            retries_left: if is_copy { 0 } else { retry.rules.count },
            retry,
            fallback_on: line.model.map_or(&[], |model| &model.fallback_on),
            hedges: hedges.filter(|_| !is_copy),
            hedge: None,
            connect_max: generation.connect,
            line,
            reason: Reason::First,
            failed: Vec::new(),
            is_kept: false,
            is_copy,
            ahead: Ahead::default(),
            hints: None,
            permits: Permits::default(),
        }
    }

    fn may_retry(&self) -> bool {
        let rules = &self.retry.rules;
        let has_place = rules.same_endpoint || !self.choice.upstream.is_alone();
        self.retries_left > 0 && !rules.on.is_empty() && has_place
    }

    /// Whether another try may follow this failure, as far as that is known before.
    fn follows(&self, cause: Cause) -> bool {
        if self.is_copy {
            return false;
        }
        (self.may_retry() && self.retry.rules.on.contains(&cause))
            || (self.line.has_next() && self.fallback_on.contains(&cause))
    }

    /// Whether an answer of this status may be given up for another try.
    fn pass_over(&self, status: StatusCode) -> bool {
        status.as_u16() >= 400 && self.follows(Cause::Status(status.as_u16()))
    }

    /// An endpoint of the target; one of these only where there is no other.
    fn pick(&self, record: &Record, hints: &Hints, avoid: &[Arc<Endpoint>]) -> Option<Pick> {
        let model = record.target_model.as_deref().or(record.model.as_deref());
        self.choice.upstream.pick(&pick::Ask {
            model,
            key: hints.key,
            prefix: hints.prefix(),
            avoid,
            scores: &hints.scores,
        })
    }

    /// What of the body has to be read before the target's policies are asked.
    fn need(&self, exchange: &Exchange, arrival: &Arrival) -> Need {
        let choice = &self.choice;
        let is_renamed = choice.model.is_some() && arrival.names_in_body();
        let need = Need::at_target(choice.policies, is_renamed).max(choice.upstream.need());
        // Whether a stream is asked for decides how it is hedged, and when it is late.
        let is_timed = self.hedges.is_some() || exchange.waits.first_token.is_some();
        match is_timed && arrival.is_at_hand() {
            true => need.max(Need::Glance),
            false => need,
        }
    }

    /// What its endpoint is chosen by: the same for each try at one target, unless policies
    /// of the target have a say in what is sent.
    fn take_hints(&mut self, message: &mut Message, model: Option<&str>) -> Hints {
        let choice = &self.choice;
        let known = self.hints.take().filter(|_| choice.policies.is_empty());
        known.unwrap_or_else(|| choice.upstream.hints(message, model))
    }

    /// One try: readies the request for its target, and sends it.
    async fn attempt(
        &mut self,
        exchange: &mut Exchange,
        arrival: &mut Arrival,
    ) -> Result<Attempted, ServeError> {
        let choice = self.choice.clone();
        let need = self.need(exchange, arrival);
        if arrival.waits_for_client(need) {
            // For as long as the client likes; nobody is kept waiting meanwhile.
            drop(mem::take(&mut self.permits));
        }
        arrival.have(exchange, need).await?;
        self.choose_hedge(&exchange.record);
        self.is_kept = !self.is_copy && (self.may_retry() || self.line.has_next());
        let mut request = arrival.for_try(self.is_kept);
        call_model(exchange, &mut request, choice.model.clone())?;
        exchange.begin_try(self.reason, &choice.upstream.name);
        if !choice.policies.is_empty() || self.reason == Reason::Fallback {
            exchange.line_up(choice.policies);
        }
        let ids = self.offer_endpoints(&mut request);
        let asked = ask_policies(exchange, &choice, &mut request).await;
        let model = choice.model.as_deref().or(exchange.record.model.as_deref());
        let mut hints = self.take_hints(&mut request.message, model);
        request.message.endpoints = None;
        if let Some(scores) = request.message.scores.take() {
            hints.scores = ids.into_iter().zip(scores).collect();
        }
        exchange.record.facts = mem::take(&mut request.message.facts);
        if let Some(reply) = asked? {
            return Ok(Attempted::Reply(reply));
        }
        // Its model may yet be another one's.
        if !self.line.has_next() {
            exchange.look_again();
        }
        // One that has only `on_attempt` is asked again with the next try.
        let again = if self.is_kept {
            Hooks::ATTEMPT
        } else {
            Hooks::empty()
        };
        exchange.let_go(Hooks::RESPONSE | Hooks::EVENTS | Hooks::FINISH | again);
        let is_streamed = request.is_streamed();
        let pick = match self.enter(exchange, &hints).await {
            Ok(pick) => pick,
            Err(error) => {
                let unread = is_streamed.then(|| request.into_body());
                let permits = mem::take(&mut self.permits);
                return Ok(Attempted::failed(Failure::unasked(error, unread, permits)));
            }
        };
        exchange.record.endpoint = Some(pick.endpoint().label.clone());
        let prepared = forward::prepare(exchange, choice.upstream, request)?;
        let journal = exchange.record.journal.as_ref();
        let began = journal.map(|journal| journal.now());
        let ended = match self.hedge {
            None => pin!(ask::ask(self.terms(exchange, &prepared), pick, prepared)).await,
            Some(hedge) => {
                let race = race::run(self, exchange, hedge, &hints, (pick, prepared));
                Box::pin(race).await
            }
        };
        self.hints = Some(hints);
        exchange.record.over_budget += self.take_over_budget();
        let ended = match ended {
            Ok(mut answer) => match disagreement(exchange, &mut answer) {
                Some(error) => Err(answer.missed(error)),
                None => Ok(answer),
            },
            missed => missed,
        };
        if let Some(began) = began {
            let model = exchange.record.target_model.as_deref();
            let model = model.or(exchange.record.model.as_deref());
            let answered = match &ended {
                Ok(answer) => Ok(answer.response.status()),
                Err(missed) => Err(&missed.unanswered.error),
            };
            exchange.note_attempt((&choice.upstream.name, model), began, answered);
        }
        Ok(self.judge(exchange, ended, is_streamed))
    }

    /// What policies of the target may score, if one of them may; the id of each.
    fn offer_endpoints(&self, request: &mut Arrival) -> Vec<u64> {
        let mut policies = self.choice.policies.iter();
        if !policies.any(|policy| policy.config().grants.endpoints) {
            return Vec::new();
        }
        let (ids, shown) = self.choice.upstream.candidates(&self.failed);
        request.message.endpoints = Some(shown);
        ids
    }

    /// Waits for its turn, and for the endpoint that is the best by then.
    async fn enter(&mut self, exchange: &mut Exchange, hints: &Hints) -> Result<Pick, ServeError> {
        let upstream = self.choice.upstream;
        // No upstream is asked before it is its turn, and its client may leave.
        exchange.record.attempts -= 1;
        let left = mem::take(&mut self.permits);
        let permits = match self.is_copy {
            true => {
                let all = exchange.generation.gate.as_ref();
                admission::try_admit_spare(all, upstream.door.as_ref())
                    .ok_or(ServeError::NoEndpoint(None))?
            }
            false => admission::admit(exchange, upstream.door.as_ref(), left).await?,
        };
        exchange.record.note_queued(permits.waited);
        let Some(pick) = self.pick(&exchange.record, hints, &self.failed) else {
            count(&upstream.care.fleet.counts.unavailable);
            self.permits = permits;
            return Err(ServeError::NoEndpoint(upstream.pause_left()));
        };
        exchange.record.attempts += 1;
        Ok(pick.under(permits))
    }

    /// By the model and whether it is to be a stream, which are known by now. The request
    /// counts once, however often it is tried.
    fn choose_hedge(&mut self, record: &Record) {
        if let (Some(hedges), None) = (self.hedges, self.hedge) {
            let hedge = hedges.of(record.model.as_deref(), record.streaming);
            hedge.note_request(Instant::now());
            self.hedge = Some(hedge);
        }
    }

    fn terms<'t>(&'t self, exchange: &'t Exchange, prepared: &Prepared) -> Terms<'t> {
        let first_token = exchange.waits.first_token;
        // A body that passes by is gone with the try.
        let first_token =
            first_token.filter(|_| !prepared.is_streamed() && self.follows(Cause::Timeout));
        Terms::new(exchange, self, first_token)
    }

    fn judge(
        &mut self,
        exchange: &mut Exchange,
        ended: Result<Answer, Missed>,
        is_streamed: bool,
    ) -> Attempted {
        match ended {
            Ok(answer) => {
                exchange.record.upstream_head = Some(answer.head);
                let status = answer.response.status();
                if !self.pass_over(status) {
                    self.leave_off();
                    return Attempted::Answered(exchange.keep(answer));
                }
                let headers = answer.response.headers();
                let value = |name| headers.get(name).map(http::HeaderValue::as_bytes);
                Attempted::failed(Failure {
                    outcome: TryOutcome::Status(status.as_u16()),
                    endpoint: Some(answer.pick.endpoint().clone()),
                    took: answer.head,
                    asked_pause: asked_pause(
                        value("retry-after-ms"),
                        value("retry-after"),
                        std::time::SystemTime::now(),
                    ),
                    end: End::Answer(Box::new(answer)),
                    streamed: is_streamed.then_some(None),
                    permits: Permits::default(),
                })
            }
            Err(Missed {
                unanswered,
                endpoint,
                took,
                permits,
            }) => {
                exchange.record.upstream_head = Some(took);
                Attempted::failed(Failure {
                    outcome: TryOutcome::of(&unanswered.error),
                    end: End::Error(unanswered.error),
                    endpoint: Some(endpoint),
                    took,
                    asked_pause: None,
                    streamed: is_streamed.then_some(unanswered.unread),
                    permits,
                })
            }
        }
    }
}

impl Attempted {
    fn failed(failure: Failure) -> Self {
        Self::Failed(Box::new(failure))
    }
}

/// Has the request call the target's model. What policies found out is the exchange's again if
/// that cannot be.
fn call_model(
    exchange: &mut Exchange,
    request: &mut Arrival,
    model: Option<Arc<str>>,
) -> Result<(), ServeError> {
    exchange.record.target_model = None;
    let called = request.call_model(exchange, model);
    if called.is_err() {
        exchange.record.facts = mem::take(&mut request.message.facts);
    }
    called
}

/// What is wrong with an answer that changes the protocol.
fn disagreement(exchange: &mut Exchange, answer: &mut Answer) -> Option<ServeError> {
    (answer.response.status() == StatusCode::SWITCHING_PROTOCOLS)
        .then(|| upgrade::agree(exchange, &mut answer.response).err())?
}

/// Asks the `on_attempt` hooks of the target.
async fn ask_policies(
    exchange: &mut Exchange,
    choice: &Choice<'_>,
    request: &mut Arrival,
) -> Result<Option<Reply>, ServeError> {
    if choice.policies.is_empty() {
        return Ok(None);
    }
    let target = Target {
        upstream: choice.upstream.name.to_string(),
        dialect: dialect::name(choice.upstream.dialect).to_owned(),
        model: choice
            .model
            .as_deref()
            .map(str::to_owned)
            .or_else(|| exchange.record.model.clone()),
        attempt: exchange.record.attempts,
    };
    policies::ask_attempt(exchange, choice.policies, &target, &mut request.message).await
}
