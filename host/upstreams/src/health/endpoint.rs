//! How one endpoint fares, and where it stands.
//!
//! An endpoint with nothing against it is read with one atomic load. All else is below
//! a lock of its own that only those take who report an error, and those who look at an
//! endpoint that is not fully in. Whether it is out is for its [`Ward`](super::Ward) to say.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tollgate_config::{Health as Settings, Passive};

use super::{
    checks::Checks,
    circuit::{Admitted, Circuit},
    ramp,
    window::Window,
};

/// See the module.
#[derive(Debug)]
pub struct Health {
    label: Arc<str>,
    /// Nothing is against it, and its share is whole.
    plain: AtomicBool,
    errors_in_a_row: AtomicU32,
    pub(super) window: Window,
    pub(super) state: Mutex<State>,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) circuit: Circuit,
    pub(super) checks: Checks,
    /// The ward has taken it out. A circuit that is not closed is that of an endpoint
    /// that is out.
    pub(super) out: bool,
    busy_until: Option<Instant>,
    /// It came back then, and its share still grows.
    pub(super) returned: Option<Instant>,
}

/// Where an endpoint stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It may be asked, with this much of its weight.
    In(Share),
    /// It may be asked by one that decides whether it is back.
    OnProbation,
    /// It asked for a pause, and is asked if nobody else can be.
    Busy,
    /// It is left alone.
    Out(Out),
}

/// A part of a whole, in thousandths, above 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Share(u32);

/// Why an endpoint is left alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Out {
    /// Exchanges failed at it.
    Ejected,
    /// The gateway's own questions failed.
    Down,
}

impl Share {
    /// All of it.
    pub const WHOLE: Self = Self(ramp::WHOLE);

    /// This part of a weight, at least 1 of any.
    #[must_use]
    pub fn of(self, weight: u32) -> u32 {
        let part = u64::from(weight) * u64::from(self.0) / u64::from(ramp::WHOLE);
        u32::try_from(part).unwrap_or(u32::MAX).max(1)
    }

    /// In thousandths.
    #[must_use]
    pub fn thousandths(self) -> u32 {
        self.0
    }
}

impl Health {
    /// One that nothing is known of, under the name that logs give it.
    #[must_use]
    pub fn new(label: Arc<str>, settings: &Settings, now: Instant) -> Self {
        let window = settings.passive.as_ref();
        let window = window.map_or(Duration::from_secs(10), |passive| passive.circuit.window);
        Self {
            label,
            plain: AtomicBool::new(true),
            errors_in_a_row: AtomicU32::new(0),
            window: Window::new(window, now),
            state: Mutex::new(State {
                circuit: Circuit::new(),
                checks: Checks::default(),
                out: false,
                busy_until: None,
                returned: None,
            }),
        }
    }

    /// From now on its errors are counted over another time, if that is what these say.
    pub(super) fn follow(&self, settings: &Settings) {
        if let Some(passive) = &settings.passive {
            self.window.set_length(passive.circuit.window);
        }
    }

    /// What logs call it.
    #[must_use]
    pub fn label(&self) -> &Arc<str> {
        &self.label
    }

    /// Where it stands now.
    #[must_use]
    pub fn standing(&self, settings: &Settings, now: Instant) -> Standing {
        if self.plain.load(Ordering::Acquire) {
            return Standing::In(Share::WHOLE);
        }
        let mut state = self.state.lock();
        let standing = state.standing(settings, now);
        self.mirror(&state);
        standing
    }

    /// Whether it may be asked, by the request that is about to. A probe has to be told
    /// of when it ended.
    #[must_use]
    pub fn admit(&self, settings: &Settings, now: Instant) -> Admitted {
        if self.plain.load(Ordering::Acquire) {
            return Admitted::Freely;
        }
        let mut state = self.state.lock();
        match &settings.passive {
            _ if !state.out => Admitted::Freely,
            Some(passive) if !state.checks.is_down() => state.circuit.admit(&passive.circuit, now),
            _ => Admitted::No,
        }
    }

    /// How long it is left alone for what exchanges found, where that is known.
    #[must_use]
    pub fn pause_left(&self, now: Instant) -> Option<Duration> {
        let state = self.state.lock();
        let is_ejected = state.out && !state.checks.is_down();
        state.circuit.pause_left(now).filter(|_| is_ejected)
    }

    /// A probe ended and nobody knows how it did.
    pub fn left(&self, admitted: Admitted) {
        if let Admitted::AsProbe(phase) = admitted {
            self.state.lock().circuit.left(phase);
        }
    }

    /// It works. Takes no lock.
    pub(super) fn did_well(&self, passive: &Passive, now: Instant) {
        if self.errors_in_a_row.load(Ordering::Relaxed) != 0 {
            self.errors_in_a_row.store(0, Ordering::Relaxed);
        }
        if passive.circuit.error_percent != 0 {
            self.window.count(true, now);
        }
    }

    /// It does not. Tells why that is enough, if it is.
    pub(super) fn did_badly(&self, passive: &Passive, now: Instant) -> Option<super::ward::Why> {
        let in_a_row = self.errors_in_a_row.fetch_add(1, Ordering::Relaxed) + 1;
        let circuit = &passive.circuit;
        if circuit.error_percent != 0 {
            self.window.count(false, now);
        }
        if passive.consecutive_errors != 0 && in_a_row >= passive.consecutive_errors {
            return Some(super::ward::Why::InARow);
        }
        let over = self
            .window
            .is_over(circuit.error_percent, circuit.min_requests, now);
        over.then_some(super::ward::Why::Rate)
    }

    /// What was held against it is dealt with.
    pub(super) fn forget(&self) {
        self.errors_in_a_row.store(0, Ordering::Relaxed);
        self.window.clear();
    }

    pub(super) fn busy(&self, until: Instant) {
        let mut state = self.state.lock();
        state.busy_until = state.busy_until.max(Some(until));
        self.mirror(&state);
    }

    /// Keeps the fast answer right; called with the lock held.
    pub(super) fn mirror(&self, state: &State) {
        let plain = !state.out && state.busy_until.is_none() && state.returned.is_none();
        self.plain.store(plain, Ordering::Release);
    }
}

impl State {
    fn standing(&mut self, settings: &Settings, now: Instant) -> Standing {
        if self.out {
            return match &settings.passive {
                _ if self.checks.is_down() => Standing::Out(Out::Down),
                Some(passive) => match self.circuit.would_admit(&passive.circuit, now) {
                    Admitted::No => Standing::Out(Out::Ejected),
                    Admitted::AsProbe(_) | Admitted::Freely => Standing::OnProbation,
                },
                None => Standing::Out(Out::Ejected),
            };
        }
        self.busy_until = self.busy_until.filter(|until| now < *until);
        let share = self.returned;
        let share = share.and_then(|since| ramp::share(since, settings.slow_start, now));
        // Those of an earlier generation, without a slow start, do not end this one's.
        if share.is_none() && !settings.slow_start.is_zero() {
            self.returned = None;
        }
        match self.busy_until {
            Some(_) => Standing::Busy,
            None => Standing::In(Share(share.unwrap_or(ramp::WHOLE))),
        }
    }
}
