//! One policy of one generation: its plugin, configured and proven, and the
//! instances that are ready for the next exchanges.
//!
//! With `isolation: exchange` an instance is thrown away after its exchange, and
//! the next one is made when it is over, by the thread that used it and off the path
//! of any request. An exchange makes its own only when there is none left.

mod counters;
pub(crate) mod memo;
mod quarantine;
mod ready;
mod timer;

use std::{
    fmt::Display,
    sync::{Arc, OnceLock},
    time::Instant,
};

pub use counters::PolicyStats;
pub(crate) use counters::{Counters, Fault};
pub use memo::{About, Recalled, Remembered};
use memo::{Memo, Reads, Seen};
use quarantine::Quarantine;
use ready::{READY_MIN, Ready};
pub use timer::FirstTick;
use timer::Timer;
use tollgate_config::{Isolation, OnError};
use wasmtime::Store;

use crate::{
    Failure, Hook, Message, NotOpened, Observed, Session,
    charge::Hold,
    compile::{Facts, Form},
    contract::{Decision, Head, Hooks, Needs},
    host::{Circumstances, ExchangeContext, Shared, State},
    instance::Instance,
    place::{Allowance, Origin, Trail},
    program::{Guest, Program},
    tender::Tender,
};

/// One policy of one generation.
pub struct Policy {
    pub(crate) shared: Arc<Shared>,
    pub(crate) facts: Facts,
    pub(crate) program: Program,
    /// For a plugin whose memory could not be snapshotted.
    pub(crate) settings: Option<String>,
    pub(crate) tender: Arc<Tender>,
    pub(crate) quarantine: Quarantine,
    pub(crate) memo: Memo,
    /// For places of traps.
    allowance: Allowance,
    hash: String,
    config: tollgate_config::Policy,
    hooks: Hooks,
    needs: Needs,
    ready: Ready,
    observed: OnceLock<Observed>,
    timer: Timer,
}

/// What a policy is made of.
pub(crate) struct Parts {
    pub(crate) shared: Arc<Shared>,
    pub(crate) facts: Facts,
    pub(crate) program: Program,
    pub(crate) tender: Arc<Tender>,
    pub(crate) hash: String,
    pub(crate) config: tollgate_config::Policy,
}

impl Policy {
    pub(crate) fn new(parts: Parts) -> Arc<Self> {
        let settings = (!parts.facts.snapshotted).then(|| parts.config.settings.to_string());
        let remembered = match parts.program {
            Program::Module { .. } => parts.config.sandbox.remembered_decisions as usize,
            // What it is asked is not told from what else it does.
            Program::Component { .. } => 0,
        };
        let hooks = hooks(parts.facts.hooks);
        let memo = Memo::new(remembered, hooks.contains(Hooks::EVENTS));
        Arc::new(Self {
            hooks,
            needs: needs(parts.facts.needs),
            shared: parts.shared,
            facts: parts.facts,
            program: parts.program,
            settings,
            tender: parts.tender,
            quarantine: Quarantine::default(),
            memo,
            allowance: Allowance::default(),
            hash: parts.hash,
            config: parts.config,
            ready: Ready::default(),
            observed: OnceLock::new(),
            timer: Timer::default(),
        })
    }

    /// The name that the configuration gives it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.shared.policy
    }

    /// The plugin's name in the configuration.
    #[must_use]
    pub fn plugin(&self) -> &str {
        &self.config.plugin
    }

    /// As the plugin describes itself.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.facts.version
    }

    /// SHA-256 of the plugin's file, in hex.
    #[must_use]
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// What the configuration says of it.
    #[must_use]
    pub fn config(&self) -> &tollgate_config::Policy {
        &self.config
    }

    /// The interfaces that the plugin imports, such as `kv`.
    #[must_use]
    pub fn imports(&self) -> &[String] {
        &self.facts.imports
    }

    /// `module`: adapted to run without its component, so that an instance can be put
    /// back to its snapshot after each exchange; or `component`.
    #[must_use]
    pub fn runs_as(&self) -> &'static str {
        match self.program {
            Program::Module { .. } => "module",
            Program::Component { .. } => "component",
        }
    }

    /// Whether its instances begin with the memory that it had after `configure`; else each
    /// is configured when it is made.
    #[must_use]
    pub fn is_snapshot(&self) -> bool {
        self.facts.snapshotted
    }

    /// Whether closing a session asks the plugin nothing and makes no other instance: the
    /// one it had is put back in place.
    #[must_use]
    pub fn closes_at_once(&self) -> bool {
        self.closes_in_place() && !self.is_shared()
    }

    /// Whether closing a session takes no longer than a hook, a plugin's own destructor
    /// included.
    #[must_use]
    pub fn closes_in_place(&self) -> bool {
        matches!(self.program, Program::Module { .. })
    }

    /// The hooks that the plugin wants; others are never called.
    #[must_use]
    pub fn hooks(&self) -> Hooks {
        self.hooks
    }

    /// Whether the plugin wants this hook. [`Hook::Tick`] comes once [`Policy::start_timer`] was
    /// called.
    #[must_use]
    pub fn has(&self, hook: Hook) -> bool {
        match hook.flag() {
            Some(flag) => self.hooks.contains(flag),
            None => self.facts.ticks,
        }
    }

    /// What must be at hand before its hooks run.
    #[must_use]
    pub fn needs(&self) -> Needs {
        self.needs
    }

    /// What an exchange gets when the policy fails.
    #[must_use]
    pub fn on_error(&self) -> OnError {
        self.config.on_error
    }

    /// Counters since its generation began.
    #[must_use]
    pub fn stats(&self) -> PolicyStats {
        let mut stats = self.shared.counters.snapshot();
        stats.ready = self.ready.len() as u64;
        stats.quarantined = self.quarantine.is_closed();
        stats
    }

    /// What it was seen to do when it was proven.
    #[must_use]
    pub fn observed(&self) -> &Observed {
        static NOTHING: Observed = Observed::NOTHING;
        self.observed.get().unwrap_or(&NOTHING)
    }

    /// Once.
    pub(crate) fn note(&self, observed: Observed) {
        // A policy that is proven once more does the same.
        let _ = self.observed.set(observed);
    }

    /// Opens a session for one exchange.
    ///
    /// # Errors
    /// Quarantine, no free instance, or the plugin's constructor failed.
    pub async fn open(
        self: &Arc<Self>,
        head: &Head,
        exchange: &ExchangeContext,
    ) -> Result<Session, NotOpened> {
        let instance = self.instance().await?;
        Session::open(self.clone(), instance, head, exchange).await
    }

    /// Opens a session and asks its `on_request` hook at once, which costs less than one after
    /// the other. The decision is not applied: see [`Session::on_request`]. A future that is
    /// dropped half-way loses the message.
    ///
    /// # Errors
    /// As [`Policy::open`]; what the hook came to is in what is returned.
    pub async fn open_and_request(
        self: &Arc<Self>,
        (head, exchange): (&Head, &ExchangeContext),
        request: &mut Message,
    ) -> Result<(Session, Result<Decision, Failure>), NotOpened> {
        let instance = self.instance().await?;
        Session::open_and_request(
            self.clone(),
            instance,
            (head, exchange),
            (request, None, false),
        )
        .await
    }

    /// What was decided about such a request before, where nothing else is asked in the exchange,
    /// since this is the only hook or the policy leaves with it. It counts once
    /// [`Policy::decide_at_once`] or [`Policy::decide_again`] was called.
    pub fn recall(&self, about: &About<'_>, request: &mut Message, is_only_hook: bool) -> Recalled {
        // Who watches wants to see what it asks; and a failing policy is not to look well.
        let may_be_known = is_only_hook || self.memo.knows_of_leaving(about.streaming);
        if !may_be_known || about.recorded || self.quarantine.is_closed() {
            return Recalled::Resting;
        }
        self.memo.recall(about, request)
    }

    /// Decides as it did before, and holds again what it held: whether all of it could be held.
    /// Else nothing is, and the policy has to be asked: that there is not enough left is its
    /// business.
    pub async fn decide_again(
        &self,
        remembered: &Remembered,
        about: &About<'_>,
        request: &mut Message,
    ) -> bool {
        let holds = &remembered.0.holds;
        if !holds.is_empty() && !self.hold_again(holds, about, request).await {
            return false;
        }
        self.note_remembered();
        true
    }

    /// As [`Policy::decide_again`], without waiting; `None`, and nothing is done, where it holds
    /// more than once, or of a bucket that is not at hand.
    pub fn decide_at_once(
        &self,
        remembered: &Remembered,
        about: &About<'_>,
        request: &mut Message,
    ) -> Option<bool> {
        match &*remembered.0.holds {
            [] => {}
            [hold] => {
                let Ok(charge) = hold.hold_at_once(&self.shared, about.body_bytes)? else {
                    return Some(false);
                };
                request.charges.reserve_exact(1);
                request.charges.push(charge);
            }
            _ => return None,
        }
        self.note_remembered();
        Some(true)
    }

    fn note_remembered(&self) {
        self.shared.counters.remembered();
        self.quarantine.went_well();
    }

    /// As [`Policy::open_and_request`]; what the hook decides is remembered if it came of what it
    /// read of the request alone, and it was [`Recalled::Unknown`].
    ///
    /// # Errors
    /// As [`Policy::open`]; what the hook came to is in what is returned.
    pub async fn ask(
        self: &Arc<Self>,
        (about, recalled): (&About<'_>, Recalled),
        (head, exchange): (&Head, &ExchangeContext),
        request: &mut Message,
        is_only_hook: bool,
    ) -> Result<(Session, Result<Decision, Failure>), NotOpened> {
        let reads = matches!(recalled, Recalled::Unknown).then(Reads::default);
        let instance = self.instance().await?;
        Session::open_and_request(
            self.clone(),
            instance,
            (head, exchange),
            (request, reads.map(|reads| (about, reads)), is_only_hook),
        )
        .await
    }

    /// Whether all of it could be held; else nothing is.
    async fn hold_again(&self, holds: &[Hold], about: &About<'_>, request: &mut Message) -> bool {
        let charges = &mut request.charges;
        let before = charges.len();
        charges.reserve_exact(holds.len());
        for hold in holds {
            match hold.hold_again(&self.shared, about.body_bytes).await {
                Ok(charge) => charges.push(charge),
                Err(_) => {
                    for charge in charges.drain(before..) {
                        charge.give_back().get().await;
                    }
                    return false;
                }
            }
        }
        true
    }

    /// Says that a decision that was remembered does not hold, and why: see
    /// [`Session::reject`].
    pub fn reject(&self, why: &dyn Display) -> Failure {
        let failure = Failure::BadDecision(why.to_string());
        self.blame(&failure);
        failure
    }

    async fn instance(self: &Arc<Self>) -> Result<Box<Instance>, Failure> {
        if !self.quarantine.admits() {
            self.shared.counters.fault(Fault::Quarantined);
            return Err(Failure::Quarantined);
        }
        match self.ready.take() {
            Some(instance) => Ok(instance),
            None => self.make_late().await,
        }
    }

    /// One for what no exchange waits for.
    pub(crate) async fn spare(&self) -> Result<Box<Instance>, Failure> {
        if let Some(instance) = self.ready.take() {
            return Ok(instance);
        }
        let permit = self.tender.permit().await.ok_or(Failure::NoInstance)?;
        let made = Instance::make(self, permit).await;
        made.map_err(|error| self.failure(&error, Circumstances::default()))
    }

    /// Makes one while an exchange waits, and sees to it that more are ready next time.
    async fn make_late(self: &Arc<Self>) -> Result<Box<Instance>, Failure> {
        self.shared.counters.late();
        self.ready.missed();
        let permit = self.tender.permit().await.ok_or_else(|| {
            self.shared.counters.fault(Fault::NoInstance);
            Failure::NoInstance
        })?;
        Instance::make(self, permit)
            .await
            .map_err(|error| self.failed(&error, Circumstances::default()))
    }

    /// Makes one more ready, if there are too few.
    pub(crate) async fn refill(&self) {
        if !self.ready.lacks() || self.quarantine.is_closed() {
            return;
        }
        let Some(permit) = self.tender.try_permit() else {
            return;
        };
        match Instance::make(self, permit).await {
            Ok(instance) => self.ready.put(instance),
            Err(error) => {
                let _ = self.failed(&error, Circumstances::default());
            }
        }
    }

    /// Makes the first few ready before the generation goes live.
    pub(crate) async fn warm(self: &Arc<Self>) {
        for _ in 0..READY_MIN {
            self.refill().await;
        }
    }

    /// Takes back an instance that may serve another exchange.
    pub(crate) fn give_back(&self, instance: Box<Instance>) {
        self.ready.put(instance);
    }

    /// Keeps no instance ready from now on, and has no more ticks: no exchange will begin
    /// with this policy.
    pub fn retire(&self) {
        self.timer.stop();
        drop(self.ready.retire());
    }

    /// Gives up instances that no exchange has needed for a while.
    pub(crate) fn sweep(&self) {
        drop(self.ready.sweep());
    }

    /// Whether an instance takes no longer to make than the memory it is made from.
    pub(crate) fn is_quick_to_make(&self) -> bool {
        self.settings.is_none()
    }

    /// What the plugin says of its session; `None`: it is not known.
    pub(crate) fn seen(&self, guest: &Guest, store: &Store<State>) -> Option<Seen> {
        let Guest::Module(guest) = guest else {
            return None;
        };
        match self.facts.form {
            Form::Module { seen: Some(at), .. } => Seen::of(guest.word(store, at)?),
            _ => Some(Seen::ALL),
        }
    }

    pub(crate) fn is_shared(&self) -> bool {
        self.config.isolation == Isolation::Shared
    }

    /// Counts a failed call and says what it was.
    pub(crate) fn failed(&self, error: &wasmtime::Error, circumstances: Circumstances) -> Failure {
        let failure = self.failure(error, circumstances);
        self.blame(&failure);
        failure
    }

    /// What it was, and where.
    fn failure(&self, error: &wasmtime::Error, circumstances: Circumstances) -> Failure {
        let trail = if self.allowance.take(Instant::now()) {
            Trail::of(error, self.origin())
        } else {
            Trail::default()
        };
        Failure::of(error, &self.shared.bounds, (circumstances, trail))
    }

    fn origin(&self) -> Origin<'_> {
        match self.program {
            Program::Module { .. } => Origin::Module(self.facts.lines.as_deref()),
            Program::Component { .. } => Origin::Component,
        }
    }

    /// Counts a failure, and holds nothing against the policy.
    pub(crate) fn count(&self, failure: &Failure) {
        self.shared.counters.fault(match failure {
            Failure::Trapped(_) => Fault::Trapped,
            Failure::OutOfTime(_) | Failure::ExchangeOutOfTime(_) | Failure::TickOutOfTime(_) => {
                Fault::OutOfTime
            }
            Failure::TooManyHostCalls(_) => Fault::HostCalls,
            Failure::BadDecision(_) => Fault::BadDecision,
            Failure::Quarantined => Fault::Quarantined,
            Failure::NoInstance => Fault::NoInstance,
        });
    }

    pub(crate) fn blame(&self, failure: &Failure) {
        self.count(failure);
        if self.quarantine.failed() {
            tracing::error!(
                policy = self.name(),
                plugin = self.plugin(),
                on_error = ?self.on_error(),
                last = %failure,
                "a policy keeps failing and is in quarantine: its on_error applies at once until a probe succeeds"
            );
        }
    }
}

impl std::fmt::Debug for Policy {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Policy")
            .field("name", &self.name())
            .field("hash", &self.hash)
            .finish_non_exhaustive()
    }
}

fn hooks(on: [bool; 5]) -> Hooks {
    flags(
        on,
        [
            Hooks::REQUEST,
            Hooks::ATTEMPT,
            Hooks::RESPONSE,
            Hooks::EVENTS,
            Hooks::FINISH,
        ],
    )
}

fn needs(on: [bool; 4]) -> Needs {
    flags(
        on,
        [
            Needs::REQUEST_JSON,
            Needs::REQUEST_BODY,
            Needs::RESPONSE_JSON,
            Needs::RESPONSE_BODY,
        ],
    )
}

fn flags<T: std::ops::BitOr<Output = T> + Default, const N: usize>(
    on: [bool; N],
    all: [T; N],
) -> T {
    on.into_iter()
        .zip(all)
        .filter(|(on, _)| *on)
        .fold(T::default(), |sum, (_, flag)| sum | flag)
}
