//! One policy's place in one exchange.
//!
//! A policy that fails (trap, out of time, a decision that does not hold) is treated as its
//! `on_error` says. A session opens when the request reaches its policy, or late, for one
//! that only asks about the response. No hook is ever dropped half-way: see
//! [`carry_on`](super::carry_on).

mod judge;

use std::{borrow::Borrow, mem, sync::Arc};

pub(super) use judge::Step;
use tollgate_config::OnError;
use tollgate_sandbox::{
    About, Charge, Failure, Message, NotOpened, Policy, Recalled, Remembered, Session,
    contract::{Decision, Event, EventsDecision, Head, Hooks, Outcome},
};

use super::{
    errors::ServeError,
    introduction::Introduction,
    record::{Decided, PolicyRecord, Record},
};
use crate::trace::{Journal, OPEN, Page, hook_name};

/// A policy and the hooks that are asked where it stands.
pub(super) struct Placed {
    pub(super) policy: Arc<Policy>,
    pub(super) hooks: Hooks,
}

/// See the module.
pub(super) struct Slot {
    state: State,
    place: Place,
    hooks: Hooks,
    record: PolicyRecord,
    /// What the policy holds for the exchange.
    charges: Vec<Charge>,
    /// Where what it does is written down, if somebody watches.
    page: Option<Box<Page>>,
}

/// Whose policy it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Route,
    Target,
    /// Of a target that was given up.
    Aside,
}

enum State {
    Waiting,
    Open(Session),
    /// It left with the request, which asked for no stream; if one comes, it is opened anew.
    Left(Told),
    /// It failed or has no hook left; it is not asked again.
    Spent,
}

/// What the policy that left was told, or would have been, of what a later one may have changed.
enum Told {
    Now {
        caller: Option<String>,
        tier: Option<String>,
    },
    /// As it is remembered.
    Before,
}

impl Told {
    fn head(&self, head: &Head, remembered: Option<&Remembered>) -> Head {
        let [caller, tier] = match self {
            Self::Now { caller, tier } => [caller.as_deref(), tier.as_deref()],
            Self::Before => remembered.map(Remembered::told).unwrap_or_default(),
        };
        Head {
            caller: caller.map(str::to_owned),
            tier: tier.map(str::to_owned),
            ..head.clone()
        }
    }
}

impl Slot {
    pub(super) fn new(placed: &Placed, journal: Option<&Arc<Journal>>) -> Self {
        Self::at(Place::Route, (placed.policy.clone(), placed.hooks), journal)
    }

    pub(super) fn of_target(policy: Arc<Policy>, journal: Option<&Arc<Journal>>) -> Self {
        let hooks = policy.hooks();
        Self::at(Place::Target, (policy, hooks), journal)
    }

    fn at(
        place: Place,
        (policy, hooks): (Arc<Policy>, Hooks),
        journal: Option<&Arc<Journal>>,
    ) -> Self {
        Self {
            state: State::Waiting,
            place,
            hooks,
            record: PolicyRecord::new(policy),
            charges: Vec::new(),
            page: journal.map(|journal| Box::new(Page::new(journal.clone()))),
        }
    }

    /// A target was given up: its policies have no part in what another one answers.
    pub(super) fn stand_aside(&mut self) {
        if self.place == Place::Target {
            self.place = Place::Aside;
        }
    }

    pub(super) fn is_aside(&self) -> bool {
        self.place == Place::Aside
    }

    /// The next target has it too: its session goes on.
    pub(super) fn back_in_line(mut self) -> Self {
        self.place = Place::Target;
        self
    }

    /// Nobody wants to see what it does.
    pub(super) fn put_page_away(&mut self) {
        self.page = None;
        if let State::Open(session) = &mut self.state {
            session.stop_recording();
        }
    }

    pub(super) fn policy(&self) -> &Arc<Policy> {
        &self.record.policy
    }

    /// Whether the policy has this hook and may still be asked.
    pub(super) fn wants(&self, hook: Hooks) -> bool {
        let is_asked = !self.is_aside() || hook == Hooks::FINISH;
        let is_here = match &self.state {
            State::Waiting => true,
            State::Open(session) => !session.has_left(),
            State::Left(_) => hook == Hooks::EVENTS,
            State::Spent => false,
        };
        is_asked && is_here && self.hooks.contains(hook)
    }

    /// Whether nothing but events can be asked of it any more.
    pub(super) fn wants_events_alone(&self) -> bool {
        let hooks = [
            Hooks::REQUEST,
            Hooks::ATTEMPT,
            Hooks::RESPONSE,
            Hooks::FINISH,
        ];
        !hooks.into_iter().any(|hook| self.wants(hook))
    }

    /// Whether it came to a decision, and to none that was remembered.
    pub(super) fn was_asked(&self) -> bool {
        self.record.decided != Decided::Nothing && self.record.remembered.is_none()
    }

    pub(super) fn is_open(&self) -> bool {
        matches!(self.state, State::Open(_))
    }

    pub(super) fn record(&mut self) -> &mut PolicyRecord {
        &mut self.record
    }

    /// It failed, and the exchange went on without it.
    pub(super) fn is_bypassed(&self) -> bool {
        self.record.bypassed
    }

    /// What it said was its own answer.
    pub(super) fn has_answered(&self) -> bool {
        self.record.decided == Decided::Reply
    }

    pub(super) fn has_refused(&self) -> bool {
        self.record.decided == Decided::Refuse
    }

    /// What it did so far.
    pub(super) fn so_far(&self) -> PolicyRecord {
        let mut record = self.record.clone();
        if let State::Open(session) = &self.state {
            record.spent = session.spent();
        }
        record
    }

    /// The session, opened if it is not yet; `None`: it failed and is bypassed.
    pub(super) async fn session<I: Borrow<Introduction>>(
        &mut self,
        record: &Record,
        introduce: impl FnOnce() -> I,
    ) -> Result<Option<&mut Session>, ServeError> {
        if matches!(self.state, State::Waiting | State::Left(_)) {
            self.open(record, introduce().borrow()).await?;
        }
        Ok(match &mut self.state {
            State::Open(session) => Some(session),
            State::Waiting | State::Left(_) | State::Spent => None,
        })
    }

    async fn open(
        &mut self,
        record: &Record,
        Introduction { head, context }: &Introduction,
    ) -> Result<(), ServeError> {
        let policy = &self.record.policy;
        let opened = match &self.state {
            State::Left(told) => {
                let head = told.head(head, self.record.remembered.as_ref());
                policy.open(&head, context).await
            }
            State::Waiting | State::Open(_) | State::Spent => policy.open(head, context).await,
        };
        match opened {
            Ok(session) => self.state = State::Open(session),
            Err(not) => return self.not_opened(not, record),
        }
        // Of a policy that left. From here on it is its own business.
        for charge in self.take_charges() {
            charge.give_back().get().await;
        }
        Ok(())
    }

    /// What it would decide about the request, if it decided about such a one before.
    pub(super) fn recall(&self, about: &About<'_>, message: &mut Message) -> Recalled {
        match self.state {
            State::Waiting => {
                let is_only_hook = self.hooks == Hooks::REQUEST;
                self.policy().recall(about, message, is_only_hook)
            }
            State::Open(_) | State::Left(_) | State::Spent => Recalled::Resting,
        }
    }

    /// Asks the `on_request` hook, of a session that opens with it if there is none yet; `None`:
    /// it failed to, or had failed before, and is bypassed.
    pub(super) async fn request(
        &mut self,
        record: &Record,
        (about, recalled): (&About<'_>, Recalled),
        Introduction { head, context }: &Introduction,
        message: &mut Message,
    ) -> Result<Option<Result<Decision, Failure>>, ServeError> {
        match &mut self.state {
            State::Left(_) | State::Spent => return Ok(None),
            State::Open(session) => {
                let decided = session.on_request(message).await;
                self.charges = mem::take(&mut message.charges);
                return Ok(Some(decided));
            }
            State::Waiting => {}
        }
        let is_only_hook = self.hooks == Hooks::REQUEST;
        let policy = &self.record.policy;
        let asked = policy
            .ask((about, recalled), (head, context), message, is_only_hook)
            .await;
        self.charges = mem::take(&mut message.charges);
        match asked {
            Ok((session, decided)) => {
                self.state = State::Open(session);
                Ok(Some(decided))
            }
            Err(not) => self.not_opened(not, record).map(|()| None),
        }
    }

    /// What is left of a policy that left.
    fn left(&self, streaming: bool, told: impl FnOnce() -> Told) -> State {
        if streaming || !self.hooks.contains(Hooks::EVENTS) {
            return State::Spent;
        }
        State::Left(told())
    }

    pub(super) fn holds(&self) -> bool {
        !self.charges.is_empty()
    }

    /// What it holds; whoever takes it settles it.
    pub(super) fn take_charges(&mut self) -> Vec<Charge> {
        mem::take(&mut self.charges)
    }

    fn not_opened(&mut self, not: NotOpened, record: &Record) -> Result<(), ServeError> {
        let bypassed = self.may_be_bypassed();
        if let Some(page) = &self.page {
            let asked = not.recording.unwrap_or_default();
            page.not_opened(self.policy(), *asked, (&not.failure, bypassed));
        }
        self.failed(not.failure, OPEN, record)
    }

    /// Does as `on_error` says of a failure in `hook`.
    ///
    /// # Errors
    /// It says `refuse`.
    pub(super) fn failed(
        &mut self,
        failure: Failure,
        hook: &'static str,
        record: &Record,
    ) -> Result<(), ServeError> {
        if let State::Open(session) = mem::replace(&mut self.state, State::Spent) {
            self.record.spent = session.spent();
        }
        let policy = &self.record.policy;
        let (name, plugin, on_error) = (policy.name(), policy.plugin(), policy.on_error());
        let id = record.id.as_str();
        tracing::warn!(id, policy = name, plugin, hook, ?on_error, %failure, "policy failed");
        self.record.decided = Decided::Failed;
        self.record.failure = Some(failure.into());
        match on_error {
            OnError::Refuse => Err(ServeError::PolicyFailed(name.to_owned())),
            OnError::Bypass => {
                self.record.bypassed = true;
                Ok(())
            }
        }
    }

    fn may_be_bypassed(&self) -> bool {
        self.policy().on_error() == OnError::Bypass
    }

    /// Writes down what becomes of a batch of events, if somebody watches.
    pub(super) fn note_events(
        &mut self,
        batch: &[Event],
        decided: &Result<EventsDecision, Failure>,
    ) {
        let bypassed = self.may_be_bypassed();
        if let (Some(page), State::Open(session)) = (&mut self.page, &mut self.state) {
            let decided = decided.as_ref().map_err(|failure| (failure, bypassed));
            page.events(session, batch, decided);
        }
    }

    /// The session, if the policy has none of the hooks that are to come.
    pub(super) fn let_go(&mut self, to_come: Hooks) -> Option<Session> {
        let to_come = if self.is_aside() {
            to_come & Hooks::FINISH
        } else {
            to_come
        };
        if self.hooks.intersects(to_come) {
            return None;
        }
        match mem::replace(&mut self.state, State::Spent) {
            State::Open(session) => {
                self.record.spent = session.spent();
                Some(session)
            }
            State::Waiting | State::Left(_) | State::Spent => None,
        }
    }

    /// Closes the session if the request was all that the policy asks about. The next
    /// exchange then has the same instance, whose memory is still in the caches. For one that
    /// left, that is so with `isolation: shared` too, whose destructor is asked then: else
    /// the instance would serve nobody while the upstream works.
    pub(super) async fn close_early(&mut self, head: &Head) {
        if let State::Open(session) = &self.state
            && session.has_left()
        {
            let left = self.left(head.streaming, || Told::Now {
                caller: head.caller.clone(),
                tier: head.tier.clone(),
            });
            if let State::Open(session) = mem::replace(&mut self.state, left) {
                self.record.spent = session.spent();
                session.close().await;
            }
            return;
        }
        let later = Hooks::ATTEMPT | Hooks::RESPONSE | Hooks::EVENTS | Hooks::FINISH;
        if self.policy().closes_at_once()
            && let Some(session) = self.let_go(later)
        {
            session.close().await;
        }
    }

    pub(super) fn into_record(mut self) -> PolicyRecord {
        if let State::Open(session) = &self.state {
            self.record.spent = session.spent();
        }
        self.record
    }

    /// Asks `on_finish`, if the session is open; hands it on to be closed.
    pub(super) async fn finish(mut self, outcome: &Outcome) -> (PolicyRecord, Option<Session>) {
        let State::Open(mut session) = mem::replace(&mut self.state, State::Spent) else {
            return (self.record, None);
        };
        if let Err(failure) = session.on_finish(outcome).await {
            let policy = &self.record.policy;
            let (name, plugin, hook) = (policy.name(), policy.plugin(), hook_name(Hooks::FINISH));
            tracing::warn!(policy = name, plugin, hook, %failure, "policy failed to finish");
            self.record.failure = Some(failure.into());
        }
        self.record.spent = session.spent();
        if let Some(page) = &mut self.page
            && self.hooks.contains(Hooks::FINISH)
            && !session.has_left()
        {
            let failure = self.record.failure.as_deref();
            let step = page.step(&mut session, Hooks::FINISH);
            page.tell(step, failure.map(|failure| (failure, self.record.bypassed)));
        }
        (self.record, Some(session))
    }
}
