//! What the process knows of the endpoints of one upstream, by the upstream's name.
//!
//! It outlives generations for as long as one of them uses the upstream, so an endpoint
//! that stays keeps its connections, its load and its health over a reload. Every change
//! of an endpoint's state passes [`Fleet::note`], which logs and counts it.

use std::{
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tollgate_config::{Circuit, Endpoints, Health as Settings};
use tollgate_upstreams::{
    discovery::{DiscoveryError, Found, LastFound, News, found_for, is_same},
    health::{Breaker, Event, Opened, Tended, Ward, Why},
    load,
};
use tracing::{info, warn};

use super::{
    admission::UpstreamGate,
    endpoint::{Known, State},
    upstream::Upstream,
};

/// See the module.
pub(crate) struct Fleet {
    pub(crate) name: Arc<str>,
    pub(crate) counts: Counts,
    pub(super) ward: Ward,
    pub(super) gate: UpstreamGate,
    known: Mutex<Known>,
    /// By live generations.
    last_found: Mutex<LastFound>,
    looks: Mutex<Looks>,
    upstreams: Mutex<Vec<Weak<Upstream>>>,
    /// The one of the live generation. Locked while it changes, so that nobody takes over
    /// for one that is live no more.
    live: Mutex<Weak<Upstream>>,
    /// The live generation's.
    breaker: Mutex<Option<Arc<Breaker>>>,
}

/// What came of looking for endpoints.
#[derive(Debug, Default)]
struct Looks {
    turn: Turn,
    /// Why the last one came to nothing.
    failing: Option<DiscoveryError>,
}

/// Whose turn it is to look. Whoever looked before may be at it still when the next one begins,
/// and is heard no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Turn(u64);

/// What is counted of an upstream's endpoints.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) ejected: [AtomicU64; 3],
    pub(crate) spared: AtomicU64,
    pub(crate) returned: AtomicU64,
    pub(crate) busy: AtomicU64,
    pub(crate) unavailable: AtomicU64,
    pub(crate) breaker_opened: AtomicU64,
    /// Good, and not.
    pub(crate) checks: [AtomicU64; 2],
    pub(crate) scrapes: [AtomicU64; 2],
    pub(crate) changes: AtomicU64,
    pub(crate) discovery_failed: AtomicU64,
}

pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl Fleet {
    pub(super) fn new(name: &str) -> Self {
        Self {
            name: name.into(),
            counts: Counts::default(),
            ward: Ward::new(),
            gate: UpstreamGate::new(),
            known: Mutex::default(),
            last_found: Mutex::default(),
            looks: Mutex::default(),
            upstreams: Mutex::default(),
            live: Mutex::default(),
            breaker: Mutex::default(),
        }
    }

    /// The state of an endpoint, new or as it is.
    pub(super) fn state(
        &self,
        label: &Arc<str>,
        settings: &Settings,
        load: load::Settings,
    ) -> Arc<State> {
        let mut known = self.known.lock();
        if let Some(state) = known.get(label).and_then(Weak::upgrade) {
            return state;
        }
        known.retain(|_, state| state.strong_count() > 0);
        let state = State::new(label, settings, load);
        known.insert(label.clone(), Arc::downgrade(&state));
        state
    }

    /// The circuit breaker of these settings: the live generation's, or a new one.
    pub(super) fn breaker(&self, settings: Option<&Circuit>) -> Option<Arc<Breaker>> {
        let settings = settings?;
        let live = self.breaker.lock().clone();
        let kept = live.filter(|live| live.settings() == settings);
        let made = || Arc::new(Breaker::new(settings.clone(), Instant::now()));
        Some(kept.unwrap_or_else(made))
    }

    pub(super) fn keep_breaker(&self, breaker: Option<&Arc<Breaker>>) {
        *self.breaker.lock() = breaker.cloned();
    }

    /// What the live generation knows, where these are the endpoints that it looks for.
    pub(crate) fn known(&self, endpoints: &Endpoints) -> Vec<Found> {
        let live = self.live.lock().upgrade();
        let live = live.filter(|live| is_same(&live.written.endpoints, endpoints));
        live.map(|live| found_for(endpoints, &live.found()))
            .unwrap_or_default()
    }

    /// What was last found of the same name, whoever was asked; empty: nothing yet.
    pub(crate) fn last_found(&self, endpoints: &Endpoints) -> Vec<Found> {
        self.last_found.lock().of(endpoints)
    }

    pub(super) fn join(&self, upstream: &Arc<Upstream>) {
        let mut upstreams = self.upstreams.lock();
        upstreams.retain(|upstream| upstream.strong_count() > 0);
        upstreams.push(Arc::downgrade(upstream));
    }

    /// From now on this one is the live generation's.
    pub(super) fn go_live(&self, upstream: &Arc<Upstream>) {
        let mut live = self.live.lock();
        // What was found since it was asked for.
        if let Some(before) = live.upgrade().filter(|before| upstream.goes_by(before)) {
            let found = found_for(&upstream.written.endpoints, &before.found());
            if !found.is_empty() && found != upstream.found() {
                upstream.renew(found);
            }
        }
        *live = Arc::downgrade(upstream);
        self.remember(upstream);
        upstream.take_over();
    }

    /// No live generation has this one any more, though exchanges may.
    pub(super) fn retire(&self, upstream: &Upstream) {
        let mut live = self.live.lock();
        if live.as_ptr() == std::ptr::from_ref(upstream) {
            *live = Weak::new();
        }
    }

    fn remember(&self, upstream: &Upstream) {
        let endpoints = &upstream.written.endpoints;
        let mut last_found = self.last_found.lock();
        last_found.remember(endpoints, &upstream.found());
    }

    /// Gives all generations that look there what was found for one of them. Tells whether
    /// the live one is among them; else nothing is done.
    pub(crate) fn renew(&self, endpoints: &Endpoints, found: &[Found]) -> bool {
        let live = self.live.lock();
        let looks_there = |one: &Arc<Upstream>| is_same(&one.written.endpoints, endpoints);
        let Some(current) = live.upgrade().filter(looks_there) else {
            return false;
        };
        count(&self.counts.changes);
        let upstreams = self.upstreams.lock().clone();
        let upstreams = upstreams.iter().filter_map(Weak::upgrade);
        for upstream in upstreams.filter(looks_there) {
            upstream.renew(found_for(&upstream.written.endpoints, found));
        }
        self.remember(&current);
        current.take_over();
        true
    }

    /// Why the last look for endpoints came to nothing, if it did.
    pub(crate) fn failing(&self) -> Option<DiscoveryError> {
        self.looks.lock().failing.clone()
    }

    /// From now on somebody else looks, or nobody. With why the last look came to nothing.
    pub(crate) fn next_turn(&self) -> (Turn, Option<DiscoveryError>) {
        let mut looks = self.looks.lock();
        looks.turn.0 += 1;
        (looks.turn, looks.failing.clone())
    }

    /// Takes news from whoever looks for the endpoints of this upstream, if it still is that
    /// one's turn.
    pub(crate) fn hear(&self, turn: Turn, upstream: &Upstream, news: News<'_>) {
        let mut looks = self.looks.lock();
        if looks.turn != turn {
            return;
        }
        match news {
            News::Endpoints(found) => {
                let (before, now) = (upstream.endpoints().len(), found.len());
                if self.renew(&upstream.written.endpoints, found) {
                    info!(upstream = &*self.name, before, now, "endpoints changed");
                }
                self.succeed(&mut looks);
            }
            News::Failing(error) => {
                self.warn_of(error);
                self.fail(&mut looks, error);
            }
            News::StillFailing(error) => self.fail(&mut looks, error),
            News::Mended => self.succeed(&mut looks),
        }
    }

    /// What came of the look before it went live.
    pub(super) fn looked(&self, looked: &Result<(), DiscoveryError>) {
        let mut looks = self.looks.lock();
        match looked {
            Ok(()) => self.succeed(&mut looks),
            Err(error) => self.fail(&mut looks, error),
        }
    }

    pub(crate) fn warn_of(&self, error: &DiscoveryError) {
        let upstream = &*self.name;
        warn!(upstream, %error, "no news of its endpoints: those that are known go on");
    }

    fn fail(&self, looks: &mut Looks, error: &DiscoveryError) {
        count(&self.counts.discovery_failed);
        looks.failing = Some(error.clone());
    }

    fn succeed(&self, looks: &mut Looks) {
        if looks.failing.take().is_some() {
            info!(upstream = &*self.name, "its endpoints are found again");
        }
    }

    #[cfg(test)]
    pub(crate) fn turn(&self) -> Turn {
        self.looks.lock().turn
    }

    /// Logs and counts what changed.
    pub(crate) fn note(&self, tended: Tended) {
        if tended.iter().any(|change| is_of_number(change.event)) {
            self.gate.fit(|| self.ward.available());
        }
        for change in tended {
            let state = self.known.lock().get(&change.label).and_then(Weak::upgrade);
            let (mut what, counter) = self.said(change.event);
            if let Event::Down { .. } | Event::TakenOut = change.event
                && let Some(why) = state.as_ref().and_then(|state| state.failed_check())
            {
                what = format!("{what}: {why}");
            }
            if let Some(counter) = counter {
                count(counter);
            }
            let (upstream, endpoint) = (&*self.name, &*change.label);
            match change.event {
                Event::Ejected(..) | Event::Down { .. } | Event::TakenOut => {
                    warn!(upstream, endpoint, "{what}");
                }
                Event::Returned | Event::Up | Event::Readmitted => {
                    info!(upstream, endpoint, "{what}");
                }
                // These may come with every request.
                Event::Spared(_) | Event::Busy(_) => {
                    tracing::debug!(upstream, endpoint, "{what}");
                }
            }
            if let Some(state) = state {
                if matches!(change.event, Event::Returned | Event::Up) {
                    state.came_back();
                }
                state.notes.lock().why = Some((what, Instant::now()));
            }
        }
    }

    fn said(&self, event: Event) -> (String, Option<&AtomicU64>) {
        let counts = &self.counts;
        match event {
            Event::Ejected(why, pause) => {
                let counter = &counts.ejected[match why {
                    Why::InARow => 0,
                    Why::Rate => 1,
                    Why::Probe => 2,
                }];
                let said = format!("ejected for {}: {}", seconds(pause), why.as_str());
                (said, Some(counter))
            }
            Event::Spared(why) => {
                let said = format!("kept, since too many are out: {}", why.as_str());
                (said, Some(&counts.spared))
            }
            Event::Returned => ("returned".into(), Some(&counts.returned)),
            Event::Down { out: true } => ("down".into(), None),
            Event::Down { out: false } => ("down, and kept, since too many are out".into(), None),
            Event::Up => ("up".into(), None),
            Event::Readmitted => ("back, since too many are out".into(), None),
            Event::TakenOut => ("down, and out now that others are back".into(), None),
            Event::Busy(pause) => {
                let said = format!("asked for a pause of {}", seconds(pause));
                (said, Some(&counts.busy))
            }
        }
    }

    pub(super) fn note_breaker(&self, opened: Opened) {
        let upstream = &*self.name;
        match opened {
            Opened::For(pause) => {
                count(&self.counts.breaker_opened);
                warn!(upstream, pause = %seconds(pause), "fails as a whole: it is left alone");
            }
            Opened::NoLonger => info!(upstream, "works again"),
        }
    }
}

/// Whether more or fewer endpoints can be asked after it.
fn is_of_number(event: Event) -> bool {
    !matches!(event, Event::Spared(_) | Event::Busy(_))
}

fn seconds(time: Duration) -> String {
    format!("{:.1}s", time.as_secs_f64())
}
