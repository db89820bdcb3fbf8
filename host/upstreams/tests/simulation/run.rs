//! One gateway before the endpoints, from the first request to the last token.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    sync::Arc,
    time::{Duration, Instant},
};

use tollgate_config::{Balance, HashOn};
use tollgate_upstreams::{
    balance::{Ask, Balancer, Candidate, hash},
    load::{InFlight, Load, Mark, Settings},
    scrape::figures,
};

use crate::{
    chance::Chance,
    endpoint::Endpoint,
    traffic::{Request, Traffic},
};

const ENDPOINTS: usize = 8;
const SCRAPE_TAKES: u64 = 50_000;

pub(crate) struct Setting {
    /// Scrapes begun later fail.
    pub(crate) scrapes_until: Duration,
    /// Requests before are served and not measured.
    pub(crate) measured_from: Duration,
}

impl Default for Setting {
    fn default() -> Self {
        Self {
            scrapes_until: Duration::MAX,
            measured_from: Duration::ZERO,
        }
    }
}

pub(crate) struct Outcome {
    /// Microseconds to each first token, in order.
    pub(crate) first_tokens: Vec<u64>,
    /// How much of all prompts came out of caches.
    pub(crate) cached: f64,
    /// Requests by endpoint.
    pub(crate) picks: Vec<u64>,
}

impl Outcome {
    pub(crate) fn p50(&self) -> f64 {
        self.quantile(0.50)
    }

    pub(crate) fn p99(&self) -> f64 {
        self.quantile(0.99)
    }

    /// In milliseconds.
    fn quantile(&self, part: f64) -> f64 {
        let at = (self.first_tokens.len() as f64 * part) as usize;
        self.first_tokens[at] as f64 / 1e3
    }

    /// The share of the endpoint that got the most.
    pub(crate) fn busiest(&self) -> f64 {
        let most = *self.picks.iter().max().unwrap();
        most as f64 / self.picks.iter().sum::<u64>() as f64
    }
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    StepEnds(usize),
    PageComes(usize),
    ScrapeBegins(usize),
    RequestComes(usize),
}

struct Gateway<'a> {
    start: Instant,
    requests: &'a [Request],
    setting: &'a Setting,
    balancer: Balancer,
    loads: Vec<Arc<Load>>,
    endpoints: Vec<Endpoint>,
    in_flight: Vec<Option<InFlight>>,
    pages: Vec<Option<(Mark, String)>>,
    events: BinaryHeap<Reverse<(u64, Event)>>,
    chance: Chance,
    outcome: Outcome,
    to_come: usize,
}

pub(crate) fn run(balance: &Balance, traffic: &Traffic, setting: &Setting) -> Outcome {
    let start = Instant::now();
    let load = |_| Load::new(Settings::of(balance), start);
    let requests = traffic.requests.as_slice();
    let mut gateway = Gateway {
        start,
        requests,
        setting,
        balancer: Balancer::new(balance),
        loads: (0..ENDPOINTS).map(load).collect(),
        endpoints: (0..ENDPOINTS).map(|_| Endpoint::default()).collect(),
        in_flight: requests.iter().map(|_| None).collect(),
        pages: (0..ENDPOINTS).map(|_| None).collect(),
        events: BinaryHeap::new(),
        chance: Chance::new(traffic.seed ^ 0xfeed),
        outcome: Outcome {
            first_tokens: Vec::new(),
            cached: 0.0,
            picks: vec![0; ENDPOINTS],
        },
        to_come: requests.len(),
    };
    gateway.run();
    gateway.outcome
}

impl Gateway<'_> {
    fn run(&mut self) {
        for (at, request) in self.requests.iter().enumerate() {
            self.events
                .push(Reverse((request.at, Event::RequestComes(at))));
        }
        for endpoint in 0..ENDPOINTS {
            let at = 1 + self.chance.between(0, 999_999);
            self.events
                .push(Reverse((at, Event::ScrapeBegins(endpoint))));
        }
        while self.to_come > 0 {
            let Reverse((now, event)) = self.events.pop().unwrap();
            match event {
                Event::RequestComes(request) => self.request_comes(now, request),
                Event::StepEnds(endpoint) => self.step_ends(now, endpoint),
                Event::ScrapeBegins(endpoint) => self.scrape_begins(now, endpoint),
                Event::PageComes(endpoint) => self.page_comes(endpoint),
            }
        }
        self.outcome.first_tokens.sort_unstable();
        let sum = |of: fn(&Endpoint) -> u64| self.endpoints.iter().map(of).sum::<u64>() as f64;
        self.outcome.cached = sum(|one| one.spared) / sum(|one| one.asked);
    }

    fn at(&self, micros: u64) -> Instant {
        self.start + Duration::from_micros(micros)
    }

    fn request_comes(&mut self, now: u64, at: usize) {
        let request = &self.requests[at];
        let candidates: Vec<Candidate<'_>> = self
            .loads
            .iter()
            .enumerate()
            .map(|(endpoint, load)| Candidate {
                id: hash(&endpoint.to_le_bytes()),
                weight: 1.0,
                load,
            })
            .collect();
        let ask = Ask {
            now: self.start + Duration::from_micros(now),
            key: self.balancer.hash_on().map(|on| match on {
                HashOn::Prompt(_) => request.beginning,
                HashOn::Fact(_) | HashOn::Header(_) => request.session,
            }),
            model: Some("model"),
            prefix: &request.prefix,
        };
        let chance = &mut self.chance;
        let picked = self.balancer.pick(&candidates, &ask, || chance.bits());
        let picked = picked.unwrap();
        self.outcome.picks[picked] += 1;
        self.in_flight[at] = Some(self.loads[picked].begin(self.at(now), &request.prefix));
        self.endpoints[picked].queue(at);
        if !self.endpoints[picked].is_at_work {
            self.step_begins(now, picked);
        }
    }

    fn step_begins(&mut self, now: u64, endpoint: usize) {
        if let Some(takes) = self.endpoints[endpoint].begin(self.requests) {
            self.events
                .push(Reverse((now + takes, Event::StepEnds(endpoint))));
        }
    }

    fn step_ends(&mut self, now: u64, endpoint: usize) {
        let step = self.endpoints[endpoint].end(self.requests);
        for request in step.first_tokens {
            let came = self.requests[request].at;
            if Duration::from_micros(came) >= self.setting.measured_from {
                self.outcome.first_tokens.push(now - came);
            }
            let now_is = self.at(now);
            let took = Duration::from_micros(now - came);
            self.in_flight[request]
                .as_mut()
                .unwrap()
                .answered(now_is, took);
            self.to_come -= 1;
        }
        for request in step.ended {
            self.in_flight[request] = None;
        }
        self.step_begins(now, endpoint);
    }

    fn scrape_begins(&mut self, now: u64, endpoint: usize) {
        if Duration::from_micros(now) < self.setting.scrapes_until {
            let mark = self.loads[endpoint].scrape_begins(self.at(now));
            self.pages[endpoint] = Some((mark, self.endpoints[endpoint].page()));
            self.events
                .push(Reverse((now + SCRAPE_TAKES, Event::PageComes(endpoint))));
        }
        self.events
            .push(Reverse((now + 1_000_000, Event::ScrapeBegins(endpoint))));
    }

    fn page_comes(&mut self, endpoint: usize) {
        if let Some((mark, page)) = self.pages[endpoint].take() {
            self.loads[endpoint].scraped(mark, figures(page.as_bytes()).unwrap());
        }
    }
}
