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
    discovery::{DiscoveryError, Found},
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
    /// What was found last, and where.
    found: Mutex<Option<(Endpoints, Vec<Found>)>>,
    /// Why the last look for endpoints came to nothing.
    failing: Mutex<Option<DiscoveryError>>,
    upstreams: Mutex<Vec<Weak<Upstream>>>,
    breaker: Mutex<Option<Arc<Breaker>>>,
}

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
    pub(crate) probes: [AtomicU64; 2],
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
            found: Mutex::default(),
            failing: Mutex::default(),
            upstreams: Mutex::default(),
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

    /// The circuit breaker of these settings, new or as it is.
    pub(super) fn breaker(&self, settings: Option<&Circuit>) -> Option<Arc<Breaker>> {
        let settings = settings?;
        let mut breaker = self.breaker.lock();
        let kept = breaker.take().filter(|kept| kept.settings() == settings);
        let made = || Arc::new(Breaker::new(settings.clone(), Instant::now()));
        Some(breaker.insert(kept.unwrap_or_else(made)).clone())
    }

    /// What was found last where these endpoints are found; empty: nothing yet.
    pub(crate) fn last_found(&self, endpoints: &Endpoints) -> Vec<Found> {
        let found = self.found.lock();
        let found = found.as_ref().filter(|(from, _)| from == endpoints);
        found.map(|(_, found)| found.clone()).unwrap_or_default()
    }

    pub(crate) fn remember(&self, endpoints: &Endpoints, found: &[Found]) {
        *self.found.lock() = Some((endpoints.clone(), found.to_vec()));
    }

    pub(super) fn join(&self, upstream: &Arc<Upstream>) {
        let mut upstreams = self.upstreams.lock();
        upstreams.retain(|upstream| upstream.strong_count() > 0);
        upstreams.push(Arc::downgrade(upstream));
    }

    /// Gives all generations that look there what was found.
    pub(crate) fn renew(&self, endpoints: &Endpoints, found: &[Found]) {
        self.remember(endpoints, found);
        count(&self.counts.changes);
        let upstreams = self.upstreams.lock().clone();
        for upstream in upstreams.iter().filter_map(Weak::upgrade) {
            if upstream.written.endpoints == *endpoints {
                upstream.renew(found);
            }
        }
    }

    /// Why the last look for endpoints came to nothing, if it did.
    pub(crate) fn failing(&self) -> Option<String> {
        self.failing.lock().as_ref().map(ToString::to_string)
    }

    pub(crate) fn look_failed(&self, error: &DiscoveryError, is_news: bool) {
        count(&self.counts.discovery_failed);
        *self.failing.lock() = Some(error.clone());
        if is_news {
            let upstream = &*self.name;
            warn!(upstream, %error, "no news of its endpoints: those that are known go on");
        }
    }

    pub(crate) fn look_succeeded(&self) {
        if self.failing.lock().take().is_some() {
            info!(upstream = &*self.name, "its endpoints are found again");
        }
    }

    /// Logs and counts what changed.
    pub(crate) fn note(&self, tended: Tended) {
        if tended.iter().any(|change| is_of_number(change.event)) {
            self.gate.fit(self.ward.available());
        }
        for change in tended {
            let (what, counter) = self.said(change.event);
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
            let state = self.known.lock().get(&change.label).and_then(Weak::upgrade);
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
