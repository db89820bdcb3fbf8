//! Chooses the endpoint of one try, and holds it for as long as the try lasts.
//!
//! A [`Pick`] is made when a request is about to be sent and dropped when the last byte of
//! its answer has come, or when the try was given up: it is told in between how the
//! endpoint fares, and reports that once. What is made of that is [`tollgate_upstreams`]'s.
//!
//! Endpoints that are out are never asked. One that asked for a pause, or failed in this
//! exchange before, is asked only where there is no other.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use http::{HeaderMap, StatusCode, header};
use smallvec::SmallVec;
use tollgate_sandbox::contract::Endpoint as Shown;
use tollgate_upstreams::{
    balance::{self, Candidate, Prefix},
    health::{self, Admitted, Breaker, Outcome, Standing},
    load::InFlight,
    retry::asked_pause,
};

use super::{
    admission::{Door, Permits, Slot},
    chance,
    endpoint::Endpoint,
    upstream::{Care, Upstream},
};

/// An upstream of more endpoints than this costs an allocation a pick.
const FEW: usize = 16;

/// What an endpoint is chosen by.
pub(super) struct Ask<'a> {
    /// The model as the upstream knows it.
    pub(super) model: Option<&'a str>,
    /// A hash of what the upstream's balance goes by, where it goes by such a thing.
    pub(super) key: Option<u64>,
    /// Of the prompt; empty where nobody asks for it.
    pub(super) prefix: &'a Prefix,
    /// Those that failed in this exchange: asked again only if there is no other.
    pub(super) avoid: &'a [Arc<Endpoint>],
    /// What a policy thinks of each, by its id, if one has been asked.
    pub(super) scores: &'a [(u64, f64)],
}

impl Default for Ask<'_> {
    fn default() -> Self {
        Self {
            model: None,
            key: None,
            prefix: Prefix::UNKNOWN,
            avoid: &[],
            scores: &[],
        }
    }
}

/// How a try at an endpoint failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// No connection: nothing was sent.
    Connect,
    /// No connection in time.
    ConnectTimeout,
    /// It hung up, or sent what is no answer.
    Reset,
    /// No answer in time, or no first event.
    FirstByteTimeout,
    /// It fell silent within its answer.
    Silent,
    /// Its answer broke off or was malformed.
    Broken,
}

impl From<Fault> for health::Fault {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Connect => Self::Connect,
            Fault::Reset | Fault::Broken => Self::Reset,
            Fault::ConnectTimeout | Fault::FirstByteTimeout | Fault::Silent => Self::Timeout,
        }
    }
}

/// One try at one endpoint. It counts as in flight until it is dropped, so it lives as
/// long as the body of the response. Dropped without a word, the try was given up.
pub(super) struct Pick {
    endpoint: Arc<Endpoint>,
    care: Arc<Care>,
    in_flight: InFlight,
    _slot: Option<Slot>,
    admitted: Admitted,
    by_breaker: Passage,
    stage: Stage,
    /// The answer says that the endpoint works: how long it took counts.
    is_good: bool,
    /// Last, so that they are back when everything else is.
    permits: Permits,
}

/// How far a try is. Each says once how its endpoint did: a head of success promises that it
/// does well, and the rest of the answer shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Awaited,
    Promised,
    /// Bytes of the body came. If it is dropped now the client left, and all was well.
    Begun,
    Told,
}

/// Through the upstream's circuit breaker; given back when dropped.
struct Passage {
    breaker: Option<Arc<Breaker>>,
    admitted: Admitted,
}

impl Passage {
    /// `None`: it is open.
    fn through(care: &Care, now: Instant) -> Option<Self> {
        let Some(breaker) = &care.breaker else {
            return Some(Self {
                breaker: None,
                admitted: Admitted::Freely,
            });
        };
        let admitted = breaker.admit(now);
        (admitted != Admitted::No).then(|| Self {
            breaker: Some(breaker.clone()),
            admitted,
        })
    }
}

impl Drop for Passage {
    fn drop(&mut self) {
        if let Some(breaker) = &self.breaker {
            breaker.left(self.admitted);
        }
    }
}

/// How gladly an endpoint is asked; the least is the best.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Free,
    Busy,
    Tried,
    TriedAndBusy,
    Out,
}

impl Upstream {
    /// `None`: no endpoint is available.
    pub(super) fn pick(&self, ask: &Ask<'_>) -> Option<Pick> {
        let now = Instant::now();
        let by_breaker = Passage::through(&self.care, now)?;
        let (endpoint, admitted, slot) = self.choose(ask, now)?;
        Some(Pick {
            in_flight: endpoint.load.begin(now, ask.prefix),
            endpoint,
            care: self.care.clone(),
            admitted,
            by_breaker,
            stage: Stage::Awaited,
            is_good: false,
            _slot: slot,
            permits: Permits::default(),
        })
    }

    /// Whether an endpoint could be asked that is none of these. Only looks.
    pub(super) fn has_other(&self, known: &[Arc<Endpoint>]) -> bool {
        let now = Instant::now();
        let Care {
            health, breaker, ..
        } = &*self.care;
        let is_other = |endpoint: &Arc<Endpoint>| {
            let standing = endpoint.state.health.standing(health, now);
            !matches!(standing, Standing::Out(_))
                && !known.iter().any(|known| known.is(endpoint))
                && !self.is_full(endpoint)
        };
        breaker.as_ref().is_none_or(|it| it.would_admit(now)) && self.present().iter().any(is_other)
    }

    /// How long none of its endpoints will be available, where that is known.
    pub(super) fn pause_left(&self) -> Option<Duration> {
        let now = Instant::now();
        let breaker = self.care.breaker.as_ref();
        if let Some(pause) = breaker.and_then(|breaker| breaker.pause_left(now)) {
            return Some(pause);
        }
        let endpoints = self.present();
        let pauses = endpoints.iter().map(|one| one.state.health.pause_left(now));
        pauses.flatten().min()
    }

    fn choose(
        &self,
        ask: &Ask<'_>,
        now: Instant,
    ) -> Option<(Arc<Endpoint>, Admitted, Option<Slot>)> {
        let endpoints = self.present();
        let settings = &self.care.health;
        if let [only] = endpoints.as_slice() {
            let (admitted, slot) = self.enter(only, now)?;
            return Some((only.clone(), admitted, slot));
        }
        let ranked = endpoints
            .iter()
            .map(|endpoint| match self.is_full(endpoint) {
                true => (Rank::Out, 0.0),
                false => rank(endpoint, ask, settings, now),
            });
        let mut ranked: SmallVec<[(Rank, f64); FEW]> = ranked.collect();
        loop {
            let best = ranked.iter().map(|(rank, _)| *rank).min();
            let best = best.filter(|best| *best != Rank::Out)?;
            let candidates = endpoints.iter().zip(&ranked);
            let candidates = candidates.map(|(endpoint, (rank, share))| Candidate {
                id: endpoint.id,
                weight: if *rank == best { *share } else { 0.0 },
                load: &endpoint.load,
            });
            let mut candidates: SmallVec<[Candidate<'_>; FEW]> = candidates.collect();
            // A probe's place or a slot may be taken by the time it is asked for.
            for _ in 0..candidates.len() {
                let Some(chosen) = self.draw(&candidates, ask, now) else {
                    break;
                };
                let endpoint = &endpoints[chosen];
                if let Some((admitted, slot)) = self.enter(endpoint, now) {
                    return Some((endpoint.clone(), admitted, slot));
                }
                candidates[chosen].weight = 0.0;
            }
            for (rank, _) in &mut ranked {
                *rank = if *rank == best { Rank::Out } else { *rank };
            }
        }
    }

    /// Which of them is asked, by what a policy thinks of each or by the balance.
    fn draw(&self, candidates: &[Candidate<'_>], ask: &Ask<'_>, now: Instant) -> Option<usize> {
        let asked = balance::Ask {
            now,
            key: ask.key,
            model: ask.model,
            prefix: ask.prefix,
        };
        if ask.scores.is_empty() {
            return self.balancer.pick(candidates, &asked, chance::next);
        }
        let score = |candidate: &Candidate<'_>| {
            let own = ask.scores.iter().find(|(id, _)| *id == candidate.id);
            own.map_or(f64::NAN, |(_, score)| *score)
        };
        let scores: SmallVec<[f64; FEW]> = candidates.iter().map(score).collect();
        self.balancer
            .pick_by_scores(candidates, &scores, &asked, chance::next)
    }

    /// What a policy chooses from, and the id of each: all but those that are out.
    pub(super) fn candidates(&self, tried: &[Arc<Endpoint>]) -> (Vec<u64>, Vec<Shown>) {
        let now = Instant::now();
        let stale = self.balancer.scrape().map(|scrape| scrape.stale);
        let endpoints = self.present();
        let known = endpoints.iter().filter(|endpoint| {
            let standing = endpoint.state.health.standing(&self.care.health, now);
            !matches!(standing, Standing::Out(_)) && !self.is_full(endpoint)
        });
        let shown = known.map(|endpoint| {
            let report = endpoint.load.report().filter(|report| {
                stale.is_some_and(|stale| now.saturating_duration_since(report.at) < stale)
            });
            let figures = report.as_ref().map(|report| &report.figures);
            let latency = endpoint.load.latency(now);
            let shown = Shown {
                address: endpoint.authority.to_string(),
                weight: endpoint.weight,
                in_flight: endpoint.load.in_flight(),
                latency_ms: latency.map(|latency| latency.as_secs_f64() * 1_000.0),
                running: figures.map(|figures| figures.running),
                waiting: figures.map(|figures| figures.waiting),
                cache_use: figures.and_then(|figures| figures.cache_use),
                tried: tried.iter().any(|known| known.is(endpoint)),
            };
            (endpoint.id, shown)
        });
        shown.unzip()
    }

    fn is_full(&self, endpoint: &Endpoint) -> bool {
        let is_full = |door: &Door| endpoint.state.slots.are_taken(door.endpoint_max());
        self.door.as_ref().is_some_and(is_full)
    }

    /// `None`: it takes no request now.
    fn enter(&self, endpoint: &Endpoint, now: Instant) -> Option<(Admitted, Option<Slot>)> {
        let slot = match &self.door {
            Some(door) => Some(endpoint.state.slots.take(door.endpoint_max())?),
            None => None,
        };
        let admitted = endpoint.state.health.admit(&self.care.health, now);
        (admitted != Admitted::No).then_some((admitted, slot))
    }
}

fn rank(
    endpoint: &Endpoint,
    ask: &Ask<'_>,
    settings: &tollgate_config::Health,
    now: Instant,
) -> (Rank, f64) {
    let is_tried = || ask.avoid.iter().any(|tried| tried.is(endpoint));
    let is_tried = !ask.avoid.is_empty() && is_tried();
    let weight = f64::from(endpoint.weight);
    let (is_busy, share) = match endpoint.state.health.standing(settings, now) {
        Standing::Out(_) => return (Rank::Out, 0.0),
        Standing::In(share) => (false, weight * f64::from(share.thousandths()) / 1_000.0),
        Standing::OnProbation => (false, weight),
        Standing::Busy => (true, weight),
    };
    let rank = match (is_tried, is_busy) {
        (false, false) => Rank::Free,
        (false, true) => Rank::Busy,
        (true, false) => Rank::Tried,
        (true, true) => Rank::TriedAndBusy,
    };
    (rank, share)
}

impl Pick {
    /// With what the try was let in with.
    pub(super) fn under(mut self, permits: Permits) -> Self {
        self.permits = permits;
        self
    }

    /// Leaves them to the try that follows.
    pub(super) fn take_permits(&mut self) -> Permits {
        std::mem::take(&mut self.permits)
    }

    pub(super) fn endpoint(&self) -> &Arc<Endpoint> {
        &self.endpoint
    }

    /// The head of a response came.
    pub(super) fn answered(&mut self, status: StatusCode, headers: &HeaderMap) {
        let pause = match status {
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                let value = |name| headers.get(name).map(http::HeaderValue::as_bytes);
                let in_ms = value(header::HeaderName::from_static("retry-after-ms"));
                asked_pause(in_ms, value(header::RETRY_AFTER), SystemTime::now())
            }
            _ => None,
        };
        let outcome = Outcome::of_status(status.as_u16(), pause);
        self.is_good = outcome == Outcome::Good && !status.is_client_error();
        let is_promise = status.is_success() || status == StatusCode::SWITCHING_PROTOCOLS;
        if is_promise {
            self.stage = Stage::Promised;
        } else {
            self.report(outcome);
        }
    }

    /// The first bytes of a response's body came, so long after the request was sent. A probe
    /// is passed with them: a stream may be open for minutes.
    pub(super) fn first_token(&mut self, took: Duration) {
        let now = Instant::now();
        if self.is_good {
            self.in_flight.answered(now, took);
        }
        if self.stage != Stage::Promised {
            return;
        }
        self.stage = Stage::Begun;
        let fleet = &self.care.fleet;
        let admitted = std::mem::replace(&mut self.admitted, Admitted::Freely);
        if admitted != Admitted::Freely {
            let health = &self.endpoint.state.health;
            fleet.note(fleet.ward.began(health, admitted, now));
        }
        let Passage { breaker, admitted } = &mut self.by_breaker;
        if let Some(breaker) = breaker {
            let admitted = std::mem::replace(admitted, Admitted::Freely);
            if let Some(opened) = breaker.began(admitted, now) {
                fleet.note_breaker(opened);
            }
        }
    }

    /// Nothing was sent after all.
    pub(super) fn unsent(mut self) {
        self.in_flight.unsent();
    }

    /// The response ended well, or nobody needs the rest of it.
    pub(super) fn ended(&mut self) {
        if matches!(self.stage, Stage::Promised | Stage::Begun) {
            self.report(Outcome::Good);
        }
    }

    /// The try failed, before or within the response.
    pub(super) fn failed(&mut self, fault: Fault) {
        self.is_good = false;
        if self.stage != Stage::Told {
            self.report(health::Fault::from(fault).into());
        }
    }

    /// To be called once.
    fn report(&mut self, outcome: Outcome) {
        let now = Instant::now();
        self.stage = Stage::Told;
        match outcome {
            Outcome::Error => self.in_flight.failed(now),
            Outcome::Good if self.is_good => self.in_flight.ended(now),
            Outcome::Good | Outcome::Busy(_) => self.in_flight.turned_down(now),
        }
        let fleet = &self.care.fleet;
        let admitted = std::mem::replace(&mut self.admitted, Admitted::Freely);
        let health = &self.endpoint.state.health;
        let tended = fleet.ward.report(health, (outcome, admitted), now);
        if !tended.is_empty() {
            fleet.note(tended);
        }
        if let Some(breaker) = &self.by_breaker.breaker {
            let admitted = std::mem::replace(&mut self.by_breaker.admitted, Admitted::Freely);
            if let Some(opened) = breaker.report(outcome, admitted, now) {
                fleet.note_breaker(opened);
            }
        }
    }
}

impl Drop for Pick {
    fn drop(&mut self) {
        match self.stage {
            Stage::Begun => self.report(Outcome::Good),
            _ => self.endpoint.state.health.left(self.admitted),
        }
    }
}

#[cfg(test)]
#[path = "pick_tests.rs"]
mod tests;
