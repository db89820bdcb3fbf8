//! Watches over all endpoints of an upstream: no more of them are out at once than may
//! be, whatever the reason.
//!
//! An endpoint that should be out and may not, since too many are, stays in though it is
//! known to be bad: half an upstream that fails is not to be asked to carry the whole,
//! and a check that is wrong cannot take everything away.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;
use tollgate_config::{Health as Settings, Passive};

use super::{
    checks::Checks,
    circuit::{Admitted, Circuit, Phase},
    endpoint::{Health, State},
    outcome::Outcome,
};

/// See the module.
#[derive(Debug, Default)]
pub struct Ward {
    members: Mutex<Vec<Arc<Health>>>,
    /// Those that the members were set with, replaced with them: what an exchange of an older
    /// generation reports is not judged by what held then.
    settings: ArcSwapOption<Settings>,
}

/// What changed, and for which endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Its [`Health::label`].
    pub label: Arc<str>,
    /// What.
    pub event: Event,
}

/// Errors in a row, or too large a share of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// So many one after the other.
    InARow,
    /// Too many of all.
    Rate,
    /// The request that was to show whether it is back failed.
    Probe,
}

/// What may become of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// It is out for this long.
    Ejected(Why, Duration),
    /// It should be ejected, and is not, since too many are out.
    Spared(Why),
    /// It did well again, and is back.
    Returned,
    /// It is down, by the gateway's questions; and whether it is out for that.
    Down {
        /// Too many are out otherwise.
        out: bool,
    },
    /// It is up again.
    Up,
    /// It is back although nothing shows that it works: too many were out.
    Readmitted,
    /// It was known to be down, and is out now that others are back.
    TakenOut,
    /// It asked for a pause.
    Busy(Duration),
}

/// All that changed at once.
pub type Tended = Vec<Change>;

impl Why {
    /// For logs and labels.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InARow => "errors in a row",
            Self::Rate => "error rate",
            Self::Probe => "probe",
        }
    }
}

impl Ward {
    /// One without endpoints.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many of them are not out.
    #[must_use]
    pub fn available(&self) -> usize {
        let members = self.members.lock();
        members.len() - out(&members)
    }

    /// These are the endpoints from now on, watched over by these settings.
    pub fn set(&self, endpoints: Vec<Arc<Health>>, settings: &Settings, now: Instant) -> Tended {
        let mut members = self.members.lock();
        if !members.is_empty() {
            for health in &endpoints {
                if !members.iter().any(|member| Arc::ptr_eq(member, health)) {
                    back(health, &mut health.state.lock(), settings, now);
                }
            }
        }
        *members = endpoints;
        self.settings.store(Some(Arc::new(settings.clone())));
        let mut tended = Tended::new();
        for member in &*members {
            member.follow(settings);
            let mut state = member.state.lock();
            let was_out = state.out;
            if settings.passive.is_none() {
                state.circuit = Circuit::new();
            }
            if settings.active.is_none() {
                state.checks = Checks::default();
            }
            if settings.slow_start.is_zero() {
                state.returned = None;
            }
            state.out = !state.circuit.is_closed() || (was_out && state.checks.is_down());
            if was_out && !state.out {
                back(member, &mut state, settings, now);
                tended.push(change(member, Event::Readmitted));
            }
            member.mirror(&state);
        }
        settle(&members, settings, now, &mut tended);
        tended
    }

    /// A try at an endpoint came to an end. The common case, one that works and does not
    /// decide anything, takes no lock and allocates nothing.
    pub fn report(
        &self,
        health: &Arc<Health>,
        (outcome, admitted): (Outcome, Admitted),
        now: Instant,
    ) -> Tended {
        let mut tended = Tended::new();
        let settings = self.settings.load();
        let Some(settings) = settings.as_deref() else {
            return tended;
        };
        if let Outcome::Busy(pause) = outcome {
            let pause = pause.min(settings.busy_max);
            if !pause.is_zero() {
                health.busy(now + pause);
                tended.push(change(health, Event::Busy(pause)));
            }
        }
        let Some(passive) = &settings.passive else {
            return tended;
        };
        match (outcome, admitted) {
            (Outcome::Good | Outcome::Busy(_), Admitted::AsProbe(phase)) => {
                health.did_well(passive, now);
                self.passed(health, phase, now, &mut tended);
            }
            (Outcome::Good | Outcome::Busy(_), _) => health.did_well(passive, now),
            (Outcome::Error, Admitted::AsProbe(phase)) => {
                let mut state = health.state.lock();
                if let Some(pause) = state.circuit.failed(phase, &passive.circuit, now) {
                    tended.push(change(health, Event::Ejected(Why::Probe, pause)));
                }
            }
            (Outcome::Error, _) => {
                if let Some(why) = health.did_badly(passive, now) {
                    self.eject(health, why, now, &mut tended);
                }
            }
        }
        tended
    }

    /// The answer to a probe began, which passes for having done well, so that a long one does
    /// not keep others out. How it ends is then reported as of any other try.
    pub fn began(&self, health: &Arc<Health>, admitted: Admitted, now: Instant) -> Tended {
        let mut tended = Tended::new();
        if let Admitted::AsProbe(phase) = admitted {
            self.passed(health, phase, now, &mut tended);
        }
        tended
    }

    /// The gateway asked an endpoint itself, and it did well or not.
    pub fn checked(&self, health: &Arc<Health>, good: bool, now: Instant) -> Tended {
        let mut tended = Tended::new();
        let members = self.members.lock();
        let settings = self.settings.load();
        let Some(settings) = settings.as_deref() else {
            return tended;
        };
        let Some(active) = &settings.active else {
            return tended;
        };
        let mut state = health.state.lock();
        if !state.checks.answered(good, active) {
            return tended;
        }
        if state.checks.is_down() {
            let room = state.out || {
                drop(state);
                let room = out(&members) < cap(&members, settings);
                state = health.state.lock();
                room && is_member(&members, health)
            };
            state.out = room;
            tended.push(change(health, Event::Down { out: room }));
        } else {
            // One that was ejected besides still has to show that it is back.
            if state.out && state.circuit.is_closed() {
                back(health, &mut state, settings, now);
            }
            tended.push(change(health, Event::Up));
        }
        health.mirror(&state);
        drop(state);
        settle(&members, settings, now, &mut tended);
        tended
    }

    fn passed(&self, health: &Arc<Health>, phase: Phase, now: Instant, tended: &mut Tended) {
        let members = self.members.lock();
        let settings = self.settings.load();
        let Some((settings, passive)) = with_passive(settings.as_deref()) else {
            return;
        };
        let mut state = health.state.lock();
        if !state.circuit.passed(phase, &passive.circuit, now) {
            return;
        }
        health.forget();
        if !state.checks.is_down() {
            back(health, &mut state, settings, now);
        }
        drop(state);
        tended.push(change(health, Event::Returned));
        settle(&members, settings, now, tended);
    }

    fn eject(&self, health: &Arc<Health>, why: Why, now: Instant, tended: &mut Tended) {
        let members = self.members.lock();
        let settings = self.settings.load();
        let Some((settings, passive)) = with_passive(settings.as_deref()) else {
            return;
        };
        let cap = cap(&members, settings);
        if cap == 0 || !is_member(&members, health) {
            return;
        }
        let others_out = out(&members);
        let mut state = health.state.lock();
        if !state.circuit.is_closed() {
            return;
        }
        // What follows is a new reason or none.
        health.forget();
        if !state.out && others_out >= cap {
            tended.push(change(health, Event::Spared(why)));
            return;
        }
        let pause = state.circuit.open(&passive.circuit, now);
        state.out = true;
        health.mirror(&state);
        tended.push(change(health, Event::Ejected(why, pause)));
    }
}

fn with_passive(settings: Option<&Settings>) -> Option<(&Settings, &Passive)> {
    let settings = settings?;
    Some((settings, settings.passive.as_ref()?))
}

/// How many may be out.
fn cap(members: &[Arc<Health>], settings: &Settings) -> usize {
    let percent = usize::try_from(settings.max_out_percent).unwrap_or(100);
    members.len() * percent.min(100) / 100
}

fn out(members: &[Arc<Health>]) -> usize {
    let out = |member: &&Arc<Health>| member.state.lock().out;
    members.iter().filter(out).count()
}

fn is_member(members: &[Arc<Health>], health: &Arc<Health>) -> bool {
    members.iter().any(|member| Arc::ptr_eq(member, health))
}

fn change(health: &Health, event: Event) -> Change {
    Change {
        label: health.label().clone(),
        event,
    }
}

/// It is in again, slowly.
fn back(health: &Health, state: &mut State, settings: &Settings, now: Instant) {
    state.out = false;
    state.circuit.close(now);
    state.returned = (!settings.slow_start.is_zero()).then_some(now);
    health.mirror(state);
}

/// Lets some back in where too many are out, and takes those out that are down and were
/// kept in.
fn settle(members: &[Arc<Health>], settings: &Settings, now: Instant, tended: &mut Tended) {
    let cap = cap(members, settings);
    let mut out = out(members);
    // Those that are merely ejected come first: nothing says that they still fail.
    for even_down in [false, true] {
        for member in members {
            if out <= cap {
                break;
            }
            let mut state = member.state.lock();
            if state.out && state.checks.is_down() == even_down {
                back(member, &mut state, settings, now);
                out -= 1;
                tended.push(change(member, Event::Readmitted));
            }
        }
    }
    for member in members {
        if out >= cap {
            break;
        }
        let mut state = member.state.lock();
        if !state.out && state.checks.is_down() {
            state.out = true;
            member.mirror(&state);
            out += 1;
            tended.push(change(member, Event::TakenOut));
        }
    }
}

#[cfg(test)]
mod tests;
