//! One policy in one exchange.
//!
//! Each hook has the same beats: enter (bounds set, clock armed), call, leave
//! (counted, judged). After a failure the session is spent: its instance is gone,
//! and what happens next is said by `on_error`, which is the caller's business.

use std::{fmt::Display, sync::Arc, time::Duration};

use crate::{
    BadEdit, Failure, Hook, Message, NotOpened, Side,
    contract::{Decision, Event, EventsDecision, Head, Outcome, Target, Verdict},
    edit,
    host::{Circumstances, ExchangeContext},
    instance::{FIRST_TICK, Instance},
    observed::Stage,
    policy::{
        About, Policy,
        memo::{Basis, Reads, Seen},
    },
    recording::{Recorded, Recording},
    timed::{Times, timed},
};

/// What a session has cost so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Spent {
    /// In hooks, waiting for capabilities included.
    pub time: Duration,
    /// Imports called.
    pub host_calls: u32,
}

/// One policy in one exchange.
pub struct Session {
    policy: Arc<Policy>,
    /// `None`: the session failed and its instance is gone.
    work: Option<Box<Instance>>,
    /// Set while a hook runs; still set when the next begins, the hook's future was
    /// dropped and its instance cannot be entered again.
    at_work: bool,
    time: Duration,
    /// Of it, with the guest or the host at work for it.
    worked: Duration,
    host_calls: u32,
    /// What the hooks so far asked and nobody took yet.
    recorded: Recorded,
    has_left: bool,
}

impl Session {
    pub(crate) async fn open(
        policy: Arc<Policy>,
        mut instance: Box<Instance>,
        head: &Head,
        exchange: &ExchangeContext,
    ) -> Result<Self, NotOpened> {
        begin(&mut instance, (head, exchange));
        let Instance { store, guest, .. } = &mut *instance;
        let (opened, times) = timed(guest.open(store, head)).await;
        if let Err(error) = opened {
            return Err(not_opened(policy, instance, &error));
        }
        let state = store.data_mut();
        state.end_hook();
        let host_calls = state.host_calls_all;
        policy.shared.counters.host_called(host_calls);
        let mut session = Self::of(policy, instance);
        session.host_calls = host_calls;
        session.time = times.took;
        session.worked = times.worked;
        Ok(session)
    }

    /// Opens a session and asks the `on_request` hook. What opening takes counts as the hook's.
    /// With a place for what it reads, what it decides is remembered, if no other hook follows.
    pub(crate) async fn open_and_request(
        policy: Arc<Policy>,
        mut instance: Box<Instance>,
        (head, exchange): (&Head, &ExchangeContext),
        (request, learns, is_last): (&mut Message, Option<(&About<'_>, Reads)>, bool),
    ) -> Result<(Self, Result<Decision, Failure>), NotOpened> {
        begin(&mut instance, (head, exchange));
        let Instance { store, guest, .. } = &mut *instance;
        let (about, reads) = learns.unzip();
        store.data_mut().reads = reads;
        // Until the session is open, nothing can be planned.
        store.data_mut().show(request, Stage::Response);
        let (decided, times) = timed(guest.open_and_request(store, head)).await;
        store.data_mut().hide(request);
        let reads = store.data_mut().reads.take();
        // While there is an instance: a hook that failed has none any more.
        let seen = policy.seen(guest, store);
        match decided {
            Err(error) if !guest.is_open() => Err(not_opened(policy, instance, &error)),
            decided => {
                let mut session = Self::of(policy, instance);
                let decided = session.decided(Hook::Request, times, decided);
                session.note_leaving(seen);
                if session.has_left && decided.is_ok() {
                    session.policy.memo.note_leaving(head.streaming);
                }
                if let (Ok(decision), Some(about), Some(reads)) = (&decided, about, reads) {
                    let policy = &session.policy;
                    let basis = Basis {
                        seen: seen.filter(|seen| seen.is_stateless() || !policy.is_shared()),
                        reads,
                        host_calls: session.host_calls,
                        is_last: is_last || session.has_left,
                    };
                    if about.is_told(head, request) {
                        let told = (about, head.deadline_ms, request);
                        policy.memo.learn(told, basis, decision);
                    }
                }
                Ok((session, decided))
            }
        }
    }

    fn of(policy: Arc<Policy>, instance: Box<Instance>) -> Self {
        Self {
            policy,
            work: Some(instance),
            at_work: false,
            time: Duration::ZERO,
            worked: Duration::ZERO,
            host_calls: 0,
            recorded: None,
            has_left: false,
        }
    }

    /// The policy whose session it is.
    #[must_use]
    pub fn policy(&self) -> &Arc<Policy> {
        &self.policy
    }

    /// Asks the `on_request` hook. The decision is not applied: call
    /// [`Message::apply`], and [`Session::reject`] if that fails. A future that is
    /// dropped half-way loses the message.
    ///
    /// # Errors
    /// See [`Failure`].
    pub async fn on_request(&mut self, request: &mut Message) -> Result<Decision, Failure> {
        self.with_message(Hook::Request, Asked::Request, request)
            .await
    }

    /// Asks the `on_attempt` hook, as [`Session::on_request`] does.
    ///
    /// # Errors
    /// See [`Failure`].
    pub async fn on_attempt(
        &mut self,
        target: &Target,
        request: &mut Message,
    ) -> Result<Decision, Failure> {
        self.with_message(Hook::Attempt, Asked::Attempt(target), request)
            .await
    }

    /// Asks the `on_response` hook, as [`Session::on_request`] does.
    ///
    /// # Errors
    /// See [`Failure`].
    pub async fn on_response(
        &mut self,
        status: u16,
        response: &mut Message,
    ) -> Result<Decision, Failure> {
        self.with_message(Hook::Response, Asked::Response(status), response)
            .await
    }

    async fn with_message(
        &mut self,
        hook: Hook,
        asked: Asked<'_>,
        message: &mut Message,
    ) -> Result<Decision, Failure> {
        self.enter()?;
        let Some(instance) = &mut self.work else {
            return Err(Failure::Quarantined);
        };
        let Instance { store, guest, .. } = &mut **instance;
        let stage = match asked {
            Asked::Request => Stage::Request,
            Asked::Attempt(_) => Stage::Attempt,
            Asked::Response(_) => Stage::Response,
        };
        store.data_mut().show(message, stage);
        let call = async {
            match asked {
                Asked::Request => guest.on_request(store).await,
                Asked::Attempt(target) => guest.on_attempt(store, target).await,
                Asked::Response(status) => guest.on_response(store, status).await,
            }
        };
        let (decided, times) = timed(call).await;
        store.data_mut().hide(message);
        let seen = match asked {
            Asked::Request => self.policy.seen(guest, store),
            Asked::Attempt(_) | Asked::Response(_) => None,
        };
        let decided = self.decided(hook, times, decided);
        if hook == Hook::Request {
            self.note_leaving(seen);
        }
        decided
    }

    fn note_leaving(&mut self, seen: Option<Seen>) {
        self.has_left = seen.is_some_and(Seen::leaves);
    }

    /// Whether the policy wants no other hook of this exchange, since it said so in
    /// `on_request`.
    #[must_use]
    pub fn has_left(&self) -> bool {
        self.has_left
    }

    fn decided(
        &mut self,
        hook: Hook,
        times: Times,
        decided: wasmtime::Result<Decision>,
    ) -> Result<Decision, Failure> {
        let decision = self.leave(hook, times, decided)?;
        let decision = self.judge(decision, hook)?;
        self.policy.quarantine.succeeded();
        Ok(decision)
    }

    /// Asks the `on_events` hook about the events that are ready.
    ///
    /// # Errors
    /// See [`Failure`].
    pub async fn on_events(
        &mut self,
        batch: &[Event],
        last: bool,
    ) -> Result<EventsDecision, Failure> {
        self.enter()?;
        let Some(instance) = &mut self.work else {
            return Err(Failure::Quarantined);
        };
        let Instance { store, guest, .. } = &mut **instance;
        let (decided, times) = timed(guest.on_events(store, (batch, last))).await;
        let decision = self.leave(Hook::Events, times, decided)?;
        match edit::check_events_decision(&decision, batch.len()) {
            Ok(()) => {
                self.policy.quarantine.succeeded();
                Ok(decision)
            }
            Err(bad) => Err(self.reject(&bad)),
        }
    }

    /// Asks the `on_finish` hook, if the plugin has it: the last call of an exchange.
    /// [`Session::close`] it afterwards.
    ///
    /// # Errors
    /// See [`Failure`].
    pub async fn on_finish(&mut self, outcome: &Outcome) -> Result<Spent, Failure> {
        if self.policy.has(Hook::Finish) && !self.has_left {
            self.enter()?;
            if let Some(instance) = &mut self.work {
                let Instance { store, guest, .. } = &mut **instance;
                let (done, times) = timed(guest.on_finish(store, outcome)).await;
                self.leave(Hook::Finish, times, done)?;
                self.policy.quarantine.succeeded();
            }
        }
        Ok(self.spent())
    }

    /// Says that a decision does not hold, and why: a [`BadEdit`] or what else the
    /// caller found. The session is spent.
    pub fn reject(&mut self, why: &dyn Display) -> Failure {
        let failure = self.policy.reject(why);
        self.discard();
        failure
    }

    /// What the session has cost so far.
    #[must_use]
    pub fn spent(&self) -> Spent {
        Spent {
            time: self.time,
            host_calls: self.host_calls,
        }
    }

    /// What the last hook asked the host, if the exchange is recorded; what the session
    /// asked when it opened is that of its first hook.
    pub fn take_recording(&mut self) -> Option<Recording> {
        self.recorded.take().map(|recording| *recording)
    }

    /// Nothing is written down any more: nobody wants to see this exchange.
    pub fn stop_recording(&mut self) {
        self.recorded = None;
        if let Some(instance) = &mut self.work {
            instance.store.data_mut().recorded = None;
        }
    }

    fn judge(&mut self, decision: Decision, hook: Hook) -> Result<Decision, Failure> {
        let most = self.policy.shared.bounds.edits;
        let count = decision.edits.len();
        if count > most {
            return Err(self.reject(&format_args!("{count} edits; at most {most} are allowed")));
        }
        let side = if hook == Hook::Response {
            Side::Response
        } else {
            Side::Request
        };
        let checked = match &decision.verdict {
            // Its target is chosen.
            Verdict::GoTo(_) if hook == Hook::Attempt => Err(BadEdit::NotInAttempt),
            verdict => edit::check_verdict(verdict, side),
        };
        match checked {
            Ok(()) => Ok(decision),
            Err(bad) => Err(self.reject(&bad)),
        }
    }

    fn enter(&mut self) -> Result<(), Failure> {
        if self.at_work {
            self.discard();
        }
        let budget = self.policy.shared.bounds.exchange_time;
        if self.worked > budget {
            let failure = Failure::ExchangeOutOfTime(budget);
            self.policy.blame(&failure);
            self.discard();
            return Err(failure);
        }
        if let Some(instance) = &mut self.work {
            instance.store.data_mut().begin_hook();
            instance.store.set_epoch_deadline(FIRST_TICK);
            self.at_work = true;
        }
        Ok(())
    }

    fn leave<T>(
        &mut self,
        hook: Hook,
        times: Times,
        result: wasmtime::Result<T>,
    ) -> Result<T, Failure> {
        self.at_work = false;
        self.time += times.took;
        self.worked += times.worked;
        let counters = &self.policy.shared.counters;
        counters.called(hook, times.took);
        let mut circumstances = Circumstances::default();
        if let Some(instance) = &mut self.work {
            let state = instance.store.data_mut();
            state.end_hook();
            if result.is_err() {
                circumstances = state.circumstances();
            }
            counters.host_called(state.host_calls_all - self.host_calls);
            self.host_calls = state.host_calls_all;
            if let Some(recording) = &mut state.recorded {
                self.recorded = Some(std::mem::take(recording));
            }
        }
        result.map_err(|error| {
            self.discard();
            self.policy.failed(&error, circumstances)
        })
    }

    /// Ends the session; no hook is asked any more. An instance that can serve another
    /// exchange is given back. Any other is thrown away, and the next one made by the
    /// same thread, with its memory still in the caches.
    pub async fn close(mut self) {
        if self.at_work {
            return self.discard();
        }
        let Some(instance) = self.work.take() else {
            return;
        };
        instance.leave(&self.policy).await;
    }

    fn discard(&mut self) {
        if let Some(instance) = self.work.take() {
            self.policy
                .tender
                .clear(self.policy.clone(), Some(instance));
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.discard();
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Session")
            .field("policy", &self.policy.name())
            .finish_non_exhaustive()
    }
}

fn begin(instance: &mut Instance, (head, exchange): (&Head, &ExchangeContext)) {
    let Instance { store, .. } = instance;
    store.data_mut().begin(exchange);
    store.data_mut().body_bytes = head.body_bytes;
    store.data_mut().begin_hook();
    store.set_epoch_deadline(FIRST_TICK);
}

/// What opening came to, and the instance is cleared away.
fn not_opened(
    policy: Arc<Policy>,
    mut instance: Box<Instance>,
    error: &wasmtime::Error,
) -> NotOpened {
    let state = instance.store.data_mut();
    state.end_hook();
    policy.shared.counters.host_called(state.host_calls_all);
    let recording = state.recorded.take();
    let failure = policy.failed(error, state.circumstances());
    let tender = policy.tender.clone();
    tender.clear(policy, Some(instance));
    NotOpened { failure, recording }
}

/// The hooks that are shown a message.
enum Asked<'a> {
    Request,
    Attempt(&'a Target),
    Response(u16),
}
