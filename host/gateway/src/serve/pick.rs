//! Chooses the endpoint of one try, and holds it for as long as the try lasts.
//!
//! A [`Pick`] is made when a request is about to be sent and dropped when the last byte of
//! its answer has come, or when the try was given up: it is told in between how the
//! endpoint fares. What is made of that is [`tollgate_upstreams`]'s.
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
    fleet::count,
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
    /// The answer says that the endpoint works: how long it took counts.
    is_good: bool,
    /// Last, so that they are back when everything else is.
    _permits: Permits,
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
        let care = &self.care;
        let picked = Passage::through(care, now).and_then(|by_breaker| {
            let (endpoint, admitted, slot) = self.choose(ask, now)?;
            Some(Pick {
                in_flight: endpoint.load.begin(ask.prefix),
                endpoint,
                care: care.clone(),
                admitted,
                by_breaker,
                is_good: false,
                _slot: slot,
                _permits: Permits::default(),
            })
        });
        if picked.is_none() {
            count(&care.fleet.counts.unavailable);
        }
        picked
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
        self._permits = permits;
        self
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
        self.report(outcome);
    }

    /// The first bytes of a response's body came, so long after the request was sent.
    pub(super) fn first_token(&mut self, took: Duration) {
        if self.is_good {
            self.in_flight.answered(Instant::now(), took);
        }
    }

    /// The try failed, before or within the response.
    pub(super) fn failed(&mut self, fault: Fault) {
        self.is_good = false;
        self.report(health::Fault::from(fault).into());
    }

    /// What follows after the first word decides nothing any more.
    fn report(&mut self, outcome: Outcome) {
        let now = Instant::now();
        let Care { health, fleet, .. } = &*self.care;
        let admitted = std::mem::replace(&mut self.admitted, Admitted::Freely);
        let state = &self.endpoint.state;
        let tended = fleet
            .ward
            .report(health, &state.health, (outcome, admitted), now);
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
        self.endpoint.state.health.left(self.admitted);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(upstream: &Upstream, avoid: &[Arc<Endpoint>]) -> String {
        let ask = Ask {
            avoid,
            ..Ask::default()
        };
        let pick = upstream.pick(&ask).unwrap();
        pick.endpoint().authority.to_string()
    }

    /// As many as it takes.
    fn errors(upstream: &Upstream) -> u32 {
        let passive = upstream.care.health.passive.as_ref();
        passive.unwrap().consecutive_errors
    }

    fn fail(upstream: &Upstream, which: usize) {
        let others: Vec<_> = upstream.endpoints().iter().cloned().collect();
        let others = others
            .iter()
            .enumerate()
            .filter(|(at, _)| *at != which)
            .map(|(_, one)| one.clone());
        let avoid: Vec<_> = others.collect();
        for _ in 0..errors(upstream) {
            let ask = Ask {
                avoid: &avoid,
                ..Ask::default()
            };
            let mut pick = upstream.pick(&ask).unwrap();
            assert!(pick.endpoint().is(&upstream.endpoints()[which]));
            pick.failed(Fault::Connect);
        }
    }

    #[tokio::test]
    async fn endpoints_take_turns() {
        let upstream = Upstream::listed(&["http://a", "http://b"]);
        let mut picked: Vec<_> = (0..4).map(|_| at(&upstream, &[])).collect();
        assert_ne!(picked[0], picked[1]);
        picked.sort();
        assert_eq!(picked, ["a", "a", "b", "b"]);
    }

    #[tokio::test]
    async fn one_that_failed_is_asked_again_only_if_there_is_no_other() {
        let upstream = Upstream::listed(&["http://a", "http://b"]);
        let both = upstream.endpoints();
        for _ in 0..3 {
            assert_eq!(at(&upstream, &both[..1]), "b");
        }
        assert!(["a", "b"].contains(&at(&upstream, &both).as_str()));
    }

    #[tokio::test]
    async fn one_that_is_out_is_never_asked() {
        let upstream = Upstream::listed(&["http://a", "http://b"]);
        fail(&upstream, 0);
        for _ in 0..10 {
            assert_eq!(at(&upstream, &[]), "b");
        }
        let both = upstream.endpoints();
        assert_eq!(at(&upstream, &both), "b");
    }

    #[tokio::test]
    async fn one_that_asked_for_a_pause_is_asked_only_if_there_is_no_other() {
        let upstream = Upstream::listed(&["http://a", "http://b"]);
        let both = upstream.endpoints();
        let mut headers = HeaderMap::new();
        headers.insert(header::RETRY_AFTER, 20.into());
        let ask = Ask {
            avoid: &both[1..],
            ..Ask::default()
        };
        let mut pick = upstream.pick(&ask).unwrap();
        pick.answered(StatusCode::TOO_MANY_REQUESTS, &headers);
        for _ in 0..4 {
            assert_eq!(at(&upstream, &[]), "b");
        }
        assert_eq!(at(&upstream, &both[1..]), "a");
    }

    #[tokio::test]
    async fn with_none_in_there_is_no_pick() {
        let upstream =
            Upstream::read("{ endpoints: [ 'http://a', 'http://b' ], health: { max_out: 100 } }");
        assert_eq!(upstream.pause_left(), None);
        fail(&upstream, 0);
        let first = upstream.pause_left().unwrap();
        assert!(first > Duration::ZERO);
        fail(&upstream, 1);
        assert!(upstream.pick(&Ask::default()).is_none());
        assert!(upstream.pause_left().unwrap() <= first, "the shortest");
    }

    #[tokio::test]
    async fn where_the_best_are_taken_the_next_best_is_asked() {
        let upstream = Upstream::read(
            "{ endpoints: [ 'http://a', 'http://b' ], health: { passive: \
             { consecutive_errors: 1, pause: 10ms, pause_max: 10ms, probes: 1 } } }",
        );
        fail(&upstream, 0);
        let mut headers = HeaderMap::new();
        headers.insert(header::RETRY_AFTER, 20.into());
        let mut pick = upstream.pick(&Ask::default()).unwrap();
        pick.answered(StatusCode::TOO_MANY_REQUESTS, &headers);
        drop(pick);
        tokio::time::sleep(Duration::from_millis(10)).await;
        // The first takes one request, to see whether it is back; the second asked for a pause.
        let begin = std::sync::Barrier::new(3);
        for _ in 0..1_000 {
            let pick = || {
                begin.wait();
                let pick = upstream.pick(&Ask::default());
                begin.wait();
                pick.map(|pick| pick.endpoint().authority.to_string())
            };
            let picked = std::thread::scope(|scope| {
                let picking = [(); 3].map(|()| scope.spawn(pick));
                picking.map(|picked| picked.join().unwrap())
            });
            assert!(picked.iter().all(Option::is_some), "{picked:?}");
        }
    }

    #[tokio::test]
    async fn an_upstream_that_fails_as_a_whole_is_left_alone() {
        let upstream = Upstream::read(
            "{ endpoints: [ 'http://a' ], health: { breaker: { min_requests: 3 } } }",
        );
        for _ in 0..3 {
            upstream.pick(&Ask::default()).unwrap().failed(Fault::Reset);
        }
        assert!(upstream.pick(&Ask::default()).is_none());
    }

    #[tokio::test]
    async fn a_pick_is_in_flight_until_it_is_dropped() {
        let upstream = Upstream::listed(&["http://a"]);
        let load = &upstream.endpoints()[0].load;
        let pick = upstream.pick(&Ask::default()).unwrap();
        assert_eq!(load.in_flight(), 1);
        drop(pick);
        assert_eq!(load.in_flight(), 0);
    }
}
