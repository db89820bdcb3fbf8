//! What a guest's imports do: each reads this instance's [`State`] or asks a
//! capability, after counting the call.
//!
//! Grants are checked at load, by what the component imports; only secrets are
//! checked by name here.

mod capability;
pub(crate) mod exchange;
mod machine;
mod reservations;

use std::{
    mem,
    ops::Range,
    sync::{Arc, OnceLock, atomic::Ordering},
    time::{Duration, Instant},
};

use tollgate_capabilities::{Capabilities, Namespace};
use tollgate_config::Grants;
use wasmtime::{ResourceLimiter, StoreContextMut, UpdateDeadline};

use crate::{
    Message,
    direct::{Direct, Pages, tell_hook},
    observed::Stage,
    place::plain,
    policy::{Counters, memo::Reads},
    recording::Recorded,
};
pub(crate) use capability::CACHE_KEY_MAX;
use machine::Output;
use reservations::Reservations;

/// Of what a guest says of an error.
const WORDS_BYTES_MAX: usize = 600;

/// Stands for the one message that a hook is shown; it lives in [`State::message`].
#[derive(Debug)]
pub struct MessageView;

/// Stands for one entry of [`State::reservations`], by its index.
#[derive(Debug)]
pub struct HeldReservation;

/// What is the same for every instance of a policy.
pub(crate) struct Shared {
    pub(crate) policy: String,
    pub(crate) namespace: Namespace,
    pub(crate) capabilities: Capabilities,
    pub(crate) grants: Grants,
    pub(crate) bounds: Bounds,
    pub(crate) counters: Counters,
}

/// The bounds of one instance.
#[derive(Debug, Clone)]
pub(crate) struct Bounds {
    pub(crate) hook_ticks: u32,
    pub(crate) hook_time: Duration,
    pub(crate) exchange_time: Duration,
    pub(crate) tick_time: Duration,
    pub(crate) memory_bytes: usize,
    pub(crate) table_elements: usize,
    pub(crate) host_calls: u32,
    pub(crate) edits: usize,
    pub(crate) log_lines: u32,
}

/// What a call of a hook ended with, where wasmtime only knows of a trap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Bound {
    #[error("out of time")]
    Time,
    #[error("too many host calls")]
    HostCalls,
}

/// What a failed hook had done before, which says more than the trap.
#[derive(Debug, Default)]
pub(crate) struct Circumstances {
    /// Growth was refused in it, so a trap is likely of that.
    pub(crate) lacked_memory: bool,
    /// What it wrote last as an error.
    pub(crate) last_words: Option<String>,
}

/// The exchange that an instance works for.
#[derive(Debug, Clone)]
pub struct ExchangeContext {
    /// Goes into the plugin's log lines.
    pub request_id: Arc<str>,
    /// When the whole exchange is out of time.
    pub deadline: Instant,
    /// Whether what its guests ask the host is written down: see [`crate::Recording`].
    pub recorded: bool,
}

impl Default for ExchangeContext {
    fn default() -> Self {
        static NONE: OnceLock<Arc<str>> = OnceLock::new();
        Self {
            request_id: NONE.get_or_init(|| Arc::from("-")).clone(),
            deadline: Instant::now() + Duration::from_secs(60),
            recorded: false,
        }
    }
}

/// The host's side of one instance.
pub(crate) struct State {
    pub(crate) shared: Arc<Shared>,
    message: Message,
    /// Whether `message` is one, and not a place for one.
    shows: bool,
    /// How far the exchange is with it, and so what the hook at work may plan.
    stage: Stage,
    pub(crate) exchange: ExchangeContext,
    pub(crate) reservations: Reservations,
    /// `None`: nobody watches.
    pub(crate) recorded: Recorded,
    /// `None`: what is read is not noted.
    pub(crate) reads: Option<Reads>,
    ticks: u32,
    host_calls: u32,
    log_lines: u32,
    http_calls: u32,
    /// Of this exchange.
    pub(crate) host_calls_all: u32,
    pub(crate) memory_bytes: usize,
    pub(crate) grew: bool,
    /// Of the hook at work.
    circumstances: Circumstances,
    /// Of the request, as the session was told when it opened.
    pub(crate) body_bytes: Option<u64>,
    /// Of an instance that runs without its component.
    pub(crate) direct: Option<Direct>,
    /// Kept for its room: what an instance wrote, while it is put back.
    pub(crate) written: Vec<Range<usize>>,
    pub(crate) pages: Pages,
    /// The size of a memory that is to come and is the host's own.
    map_bytes: Option<usize>,
    /// What a component of another language wrote, up to a line's end.
    output: Output,
}

impl State {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            message: Message::default(),
            shows: false,
            stage: Stage::Response,
            exchange: ExchangeContext::default(),
            reservations: Reservations::default(),
            recorded: None,
            reads: None,
            ticks: 0,
            host_calls: 0,
            log_lines: 0,
            http_calls: 0,
            host_calls_all: 0,
            memory_bytes: 0,
            grew: false,
            circumstances: Circumstances::default(),
            body_bytes: None,
            direct: None,
            written: Vec::new(),
            pages: Pages::default(),
            map_bytes: None,
            output: Output::default(),
        }
    }

    /// A memory of this size will be made that does not count as the plugin's.
    pub(crate) fn expect_map(&mut self, bytes: usize) {
        self.map_bytes = Some(bytes);
    }

    /// # Errors
    /// The instance runs within its component.
    pub(crate) fn direct(&mut self) -> wasmtime::Result<&mut Direct> {
        let none = || wasmtime::Error::msg("the plugin runs as a component");
        self.direct.as_mut().ok_or_else(none)
    }

    /// For the next exchange.
    pub(crate) fn begin(&mut self, exchange: &ExchangeContext) {
        self.exchange = exchange.clone();
        self.recorded = exchange.recorded.then(Box::default);
        self.log_lines = 0;
        self.http_calls = 0;
        self.host_calls_all = 0;
    }

    /// Lets go of what the last exchange left; what it held stays charged.
    pub(crate) fn end(&mut self) {
        self.reservations = Reservations::default();
        if let Some(direct) = &mut self.direct {
            direct.end();
        }
    }

    /// Lets the guest see a message, until [`State::hide`] gives it back.
    pub(crate) fn show(&mut self, message: &mut Message, stage: Stage) {
        mem::swap(&mut self.message, message);
        self.shows = true;
        self.stage = stage;
    }

    pub(crate) fn hide(&mut self, message: &mut Message) {
        mem::swap(&mut self.message, message);
        self.shows = false;
        self.stage = Stage::Response;
    }

    pub(crate) fn begin_hook(&mut self) {
        self.ticks = 0;
        self.host_calls = 0;
        self.circumstances = Circumstances::default();
    }

    /// Notes what the guest says of an error.
    pub(crate) fn heard(&mut self, words: &str) {
        self.circumstances.last_words = Some(plain(words, WORDS_BYTES_MAX));
    }

    /// What led to the failure of the hook at work; once.
    pub(crate) fn circumstances(&mut self) -> Circumstances {
        mem::take(&mut self.circumstances)
    }

    /// A session was opened, and what is counted from now on is the hook's that it is asked.
    pub(crate) fn goes_on(&mut self) {
        self.host_calls_all = self.host_calls_all.saturating_add(self.host_calls);
        self.ticks = 0;
        self.host_calls = 0;
        self.stage = Stage::Request;
    }

    pub(crate) fn end_hook(&mut self) {
        self.end_lines();
        self.host_calls_all = self.host_calls_all.saturating_add(self.host_calls);
    }

    /// Counts a host call.
    ///
    /// # Errors
    /// A trap, when there were too many in this hook.
    fn enter(&mut self) -> wasmtime::Result<()> {
        self.host_calls = self.host_calls.saturating_add(1);
        if self.host_calls > self.shared.bounds.host_calls {
            return Err(Bound::HostCalls.into());
        }
        Ok(())
    }

    /// Counts the items of one call as calls, but for the first: the clock cannot
    /// interrupt the host, so what it does in one call has to be bounded.
    pub(crate) fn enter_for(&mut self, items: usize) -> wasmtime::Result<()> {
        let more = u32::try_from(items.saturating_sub(1)).unwrap_or(u32::MAX);
        self.host_calls = self.host_calls.saturating_add(more);
        if self.host_calls > self.shared.bounds.host_calls {
            return Err(Bound::HostCalls.into());
        }
        Ok(())
    }

    /// Each call is a tick of the epoch clock with the guest at work. Counting them,
    /// instead of reading a clock, does not blame the guest for a busy machine.
    pub(crate) fn on_tick(
        mut store: StoreContextMut<'_, Self>,
    ) -> wasmtime::Result<UpdateDeadline> {
        tell_hook(&mut store);
        let state = store.data_mut();
        state.ticks += 1;
        if state.ticks > state.shared.bounds.hook_ticks {
            return Err(Bound::Time.into());
        }
        Ok(UpdateDeadline::Yield(1))
    }
}

impl ResourceLimiter for State {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        if current == 0 && self.map_bytes == Some(desired) {
            self.map_bytes = None;
            return Ok(true);
        }
        if desired > self.shared.bounds.memory_bytes {
            self.circumstances.lacked_memory = true;
            self.shared
                .counters
                .memory_refused
                .fetch_add(1, Ordering::Relaxed);
            return Ok(false);
        }
        self.memory_bytes = self.memory_bytes - current.min(self.memory_bytes) + desired;
        self.grew |= current > 0;
        self.shared.counters.memory(self.memory_bytes as u64);
        Ok(true)
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(desired <= self.shared.bounds.table_elements)
    }
}
