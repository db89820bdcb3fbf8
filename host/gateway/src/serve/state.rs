//! What one exchange holds from its first byte to its last hook.
//!
//! However it ends, by its last byte, an error, or a client that hung up, it ends by
//! being dropped: [`Exchange::drop`] is the one place where `on_finish` and the
//! observer come from, so both happen exactly once (`end.rs`).

mod end;

use std::{sync::Arc, time::Duration};

use end::close;
use http::{Request, Response, StatusCode, Version};
use http_body::Body as _;
use hyper::body::Incoming;
use tokio::{task::yield_now, time::Instant};
use tollgate_config::Dialect;
use tollgate_sandbox::{
    Policy,
    contract::{Ending, Hooks},
};

use crate::trace::{Attempt, Hidden};

use super::{
    Shared,
    cache::{Flight, Part},
    carry_on::Gone,
    connection::{Busy, Connection},
    content::Content,
    dialect,
    errors::ServeError,
    generation::Held,
    origin,
    pick::Pick,
    record::{Record, RequestId},
    reply::Reply,
    route::Route,
    slot::{Placed, Slot},
    tries::{Answer, Reason},
    upgrade::Upgrade,
    waits::Waits,
};

/// See the module.
pub(super) struct Exchange {
    pub(super) record: Record,
    /// The route's policies, then the target's.
    pub(super) slots: Vec<Slot>,
    pub(super) generation: Held,
    pub(super) gone: Gone,
    pub(super) started: Instant,
    pub(super) deadline: Instant,
    pub(super) waits: Waits,
    /// What it has to do with an answer that is kept or shared; most have nothing.
    pub(super) cache: Option<Box<Part>>,
    /// What its connection is to become, if the client asks and the route lets it.
    pub(super) upgrade: Option<Box<Upgrade>>,
    /// Over HTTP/1: a body came with the request, and nobody has read it to its end, as far
    /// as is known here.
    has_unread: bool,
    /// The endpoint that answers, from the head of its response to the end of the body.
    held: Option<Holding>,
    busy: Option<Busy>,
    streaming: bool,
}

/// A try that was answered.
struct Holding {
    pick: Pick,
    sent: Instant,
    has_begun: bool,
}

impl Exchange {
    pub(super) fn begin(connection: Arc<Connection>, request: &Request<Incoming>) -> Box<Self> {
        let generation = Held::new(connection.shared.generation.load_full());
        let started = Instant::now();
        let id = RequestId::of(request.headers().get("x-request-id"));
        let hidden = || hidden(&generation.hidden, request);
        let waits = Waits::new(&generation.config.timeouts, request.headers());
        let record = Record {
            journal: connection.shared.watchers.begin(id.as_str(), hidden),
            id,
            generation: generation.id,
            method: request.method().clone(),
            uri: request.uri().clone(),
            given: Some(origin::of_exchange(
                &connection.given,
                connection.address,
                &generation.config,
                request.headers(),
            )),
            ..Record::default()
        };
        Box::new(Self {
            record,
            slots: Vec::new(),
            gone: Gone::default(),
            started,
            deadline: started + waits.total(),
            waits,
            generation,
            cache: None,
            upgrade: None,
            has_unread: request.version() < Version::HTTP_2 && !request.body().is_end_stream(),
            held: None,
            busy: Some(Busy::new(connection)),
            streaming: false,
        })
    }

    /// The exchange that asks for an answer on behalf of this one and others: with the
    /// policies that were not asked yet, and in nobody's connection.
    pub(super) fn source(&mut self, flight: &Arc<Flight>, asked: usize) -> Box<Self> {
        let record = Record {
            journal: self.record.journal.clone(),
            ..self.record.of_the_same_request()
        };
        let busy = self.busy.as_ref();
        // Others listen, too, who did not ask for less time.
        let waits = self.waits.of_nobody();
        Box::new(Self {
            record,
            slots: self.slots.split_off(asked.min(self.slots.len())),
            gone: Gone::watched(),
            started: self.started,
            deadline: self.started + waits.total(),
            waits,
            generation: self.generation.clone(),
            cache: Some(Box::new(Part::Source(flight.clone()))),
            upgrade: None,
            has_unread: false,
            held: None,
            busy: busy.map(|busy| Busy::new(busy.0.stand_in())),
            streaming: false,
        })
    }

    /// The exchange of a copy of this one's request: without the policies, and in nobody's
    /// connection.
    pub(super) fn mirrored(&self, deadline: Instant) -> Box<Self> {
        let record = Record {
            mirror: true,
            ..self.record.of_the_same_request()
        };
        let busy = self.busy.as_ref();
        Box::new(Self {
            record,
            slots: Vec::new(),
            gone: Gone::watched(),
            started: Instant::now(),
            deadline,
            waits: self.waits.of_nobody(),
            generation: self.generation.clone(),
            cache: None,
            upgrade: None,
            has_unread: false,
            held: None,
            busy: busy.map(|busy| Busy::with_copy(&busy.0)),
            streaming: false,
        })
    }

    /// Whether it is no client's own: see [`Part::Source`].
    pub(super) fn is_source(&self) -> bool {
        matches!(self.cache.as_deref(), Some(Part::Source(_)))
    }

    pub(super) fn shared(&self) -> Option<&Arc<Shared>> {
        self.busy.as_ref().map(|busy| &busy.0.shared)
    }

    pub(super) fn connection(&self) -> Option<&Arc<Connection>> {
        self.busy.as_ref().map(|busy| &busy.0)
    }

    /// Puts policies in line, each once; none is asked yet.
    pub(super) fn enlist(&mut self, policies: &[Placed]) {
        let journal = self.record.journal.as_ref();
        if journal.is_some_and(|journal| !journal.takes_place(&self.record)) {
            self.record.journal = None;
        }
        let journal = self.record.journal.as_ref();
        if self.slots.is_empty() {
            self.slots = Vec::with_capacity(policies.len());
        }
        for placed in policies {
            if !self
                .slots
                .iter()
                .any(|slot| Arc::ptr_eq(slot.policy(), &placed.policy))
            {
                self.slots.push(Slot::new(placed, journal));
            }
        }
    }

    /// Writes no more down, if those who watch want others, as far as this one came.
    pub(super) fn look_again(&mut self) {
        let journal = self.record.journal.as_ref();
        if journal.is_some_and(|journal| !journal.is_wanted(&self.record)) {
            self.record.journal = None;
            self.slots.iter_mut().for_each(Slot::put_page_away);
        }
    }

    pub(super) fn any_wants(&self, hook: Hooks) -> bool {
        self.slots.iter().any(|slot| slot.wants(hook))
    }

    pub(super) fn note_route(&mut self, route: &Route) {
        self.record.route = Some(route.name.clone());
        self.record.dialect = route.dialect;
        self.wait_as(&route.manner.waits);
    }

    /// How long is waited, as a route or a model says.
    pub(super) fn wait_as(&mut self, said: &tollgate_config::Waits) {
        self.waits.follow(said);
        let deadline = self.started + self.waits.total();
        self.deadline = match self.record.mirror {
            // A copy has no more time than its mirror gives it.
            true => deadline.min(self.deadline),
            false => deadline,
        };
    }

    /// Puts the policies of a target in line behind the route's. Those of a target that was
    /// given up stand aside: they are told how the exchange ended, and asked no more.
    pub(super) fn line_up(&mut self, policies: &[Arc<Policy>]) {
        for slot in &mut self.slots {
            slot.stand_aside();
        }
        for policy in policies {
            let is_its = |slot: &Slot| Arc::ptr_eq(slot.policy(), policy);
            match self.slots.iter().position(is_its) {
                Some(at) if self.slots[at].is_aside() => {
                    let slot = self.slots.remove(at);
                    self.slots.push(slot.back_in_line());
                }
                Some(_) => {}
                None => {
                    let journal = self.record.journal.as_ref();
                    self.slots.push(Slot::of_target(policy.clone(), journal));
                }
            }
        }
    }

    /// What the client speaks.
    pub(super) fn dialect(&self) -> Dialect {
        let record = &self.record;
        record
            .dialect
            .unwrap_or_else(|| dialect::of_path(record.uri.path()))
    }

    pub(super) fn note_error(&mut self, error: &ServeError) {
        self.record.ending = error.ending();
        if !matches!(error, ServeError::ClientGone) {
            self.record.error = Some(error.code().to_owned());
        }
        let fault = error.fault(self.blames_after());
        if let (Some(held), Some(fault)) = (&mut self.held, fault) {
            held.pick.failed(fault);
        }
        if let Some(part) = &self.cache {
            part.note_error(error);
        }
    }

    /// An endpoint that was awaited for so long when the exchange's time ran out is to blame:
    /// for half of it, unless the client gave it less than the operator does, or a mirror less
    /// than any client.
    pub(super) fn blames_after(&self) -> Duration {
        let total = self.waits.total();
        let is_cut_short = self.waits.is_cut_short() || self.deadline < self.started + total;
        match is_cut_short {
            true => Duration::MAX,
            false => total / 2,
        }
    }

    /// The endpoint's answer ended well.
    pub(super) fn note_answered(&mut self) {
        if let Some(held) = &mut self.held {
            held.pick.ended();
        }
    }

    /// What the policies made of the endpoint's answer: it did well if nothing more of it is
    /// awaited, whatever else is sent, or why it is not.
    pub(super) fn note_reply(&mut self, reply: &Result<Reply, ServeError>) {
        let is_over = match reply {
            Ok(reply) => {
                reply.status != StatusCode::SWITCHING_PROTOCOLS
                    && matches!(reply.content, Content::Empty | Content::AtHand(_))
            }
            Err(ServeError::ClientGone | ServeError::TotalTimeout | ServeError::Overdue(_)) => {
                false
            }
            Err(error) => error.fault(Duration::MAX).is_none(),
        };
        if is_over {
            self.note_answered();
        }
    }

    /// The request's body is at hand.
    pub(super) fn note_body_read(&mut self) {
        self.has_unread = false;
    }

    /// Lets hyper look at a body that the gateway's own answer leaves unread, and that was let
    /// go of. What is there of it already it reads; if more is to come, this answer is the
    /// connection's last, and hyper says so in its head.
    pub(super) fn leave_body(&self) -> impl Future<Output = ()> + use<> {
        let has_unread = self.has_unread;
        async move {
            if has_unread {
                yield_now().await;
            }
        }
    }

    /// An upstream is about to be asked.
    pub(super) fn begin_try(&mut self, reason: Reason, upstream: &Arc<str>) {
        let record = &mut self.record;
        record.attempts += 1;
        record.reason = reason;
        record.upstream = Some(upstream.clone());
        record.endpoint = None;
    }

    /// Keeps the endpoint that answered as busy until its answer has come.
    pub(super) fn keep(&mut self, answer: Answer) -> Response<Content> {
        let Answer {
            response,
            mut pick,
            sent,
            head,
            ..
        } = answer;
        // Who speaks first on such a connection, and when, says nothing of the endpoint.
        let has_begun = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        if has_begun {
            pick.first_token(head);
        }
        self.held = Some(Holding {
            pick,
            sent,
            has_begun,
        });
        // This one is the upstream's, which may go on reading.
        self.has_unread = false;
        response
    }

    /// Nothing more is wanted of the endpoint that answered: its place is free, however slowly
    /// the client takes what came.
    pub(super) fn let_endpoint_go(&mut self) {
        self.held = None;
    }

    /// Bytes of the response's body came, or all of it.
    pub(super) fn note_arrival(&mut self) {
        if let Some(held) = &mut self.held
            && !std::mem::replace(&mut held.has_begun, true)
        {
            held.pick.first_token(held.sent.elapsed());
        }
    }

    pub(super) fn note_stream(&mut self) {
        self.record.streaming = true;
        if !self.is_source()
            && !self.record.mirror
            && !std::mem::replace(&mut self.streaming, true)
            && let Some(shared) = self.shared()
        {
            shared
                .gauges
                .streams
                .fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
    }

    /// A stream may be open for long: instances that have none of the hooks to come are
    /// not kept for it.
    pub(super) fn let_go(&mut self, to_come: Hooks) {
        if self.record.streaming {
            self.release(to_come);
        }
    }

    /// The same, of what is open for long whatever it is.
    pub(super) fn release(&mut self, to_come: Hooks) {
        let sessions = self.slots.iter_mut();
        let sessions: Vec<_> = sessions.filter_map(|slot| slot.let_go(to_come)).collect();
        let Some(shared) = self.shared().filter(|_| !sessions.is_empty()) else {
            return;
        };
        drop(shared.tracker.spawn_on(close(sessions), &shared.runtime));
    }

    /// An upstream was asked, `began` after the request's arrival, if somebody watches.
    pub(super) fn note_attempt(
        &self,
        (upstream, model): (&str, Option<&str>),
        began: Duration,
        answered: Result<StatusCode, &ServeError>,
    ) {
        let Some(journal) = &self.record.journal else {
            return;
        };
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        journal.attempt(Attempt {
            upstream: upstream.to_owned(),
            model: model.map(str::to_owned),
            at_us: micros(began),
            us: micros(journal.now().saturating_sub(began)),
            status: answered.ok().map(|status| status.as_u16()),
            error: answered.err().map(|error| error.code().to_owned()),
        });
    }

    /// Bytes that go to the client.
    pub(super) fn note_bytes(&mut self, count: usize) {
        self.record.bytes_out += count as u64;
        if self.record.first_byte.is_none() {
            self.record.first_byte = Some(self.started.elapsed());
        }
    }

    /// Bytes that passed so far on a connection that changed its protocol, from the client
    /// and to it.
    pub(super) fn note_passed(&mut self, from: u64, to: u64) {
        self.record.bytes_in = Some(from);
        self.record.bytes_out = to;
        if to > 0 && self.record.first_byte.is_none() {
            self.record.first_byte = Some(self.started.elapsed());
        }
    }
}

/// What nobody is shown of an exchange: the configuration's secrets, and the client's.
fn hidden(of_generation: &Hidden, request: &Request<Incoming>) -> Hidden {
    let mut hidden = of_generation.clone();
    for (name, value) in request.headers() {
        hidden.add_header(name.as_str(), value.as_bytes());
    }
    hidden.add_query(request.uri().query().unwrap_or_default());
    hidden
}

/// How an exchange that reached its end without an error counts.
pub(super) fn complete(record: &mut Record) {
    if record.error.is_none() {
        record.ending = Ending::Complete;
    }
}
