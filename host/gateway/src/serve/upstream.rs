//! An upstream of one generation: its settings, and its endpoints as they are now.
//!
//! What is known of an endpoint is the process's: see [`Fleet`]. Where endpoints come and
//! go by themselves, this generation's are replaced whole.

use std::{sync::Arc, time::Instant};

use arc_swap::ArcSwap;
use http::{HeaderName, HeaderValue};
use tokio::sync::watch;
use tollgate_config::{Dialect, Endpoints, Overload, StreamEnd};
use tollgate_upstreams::{
    balance::Balancer,
    discovery::{DiscoveryError, Found, read_list},
    health::Breaker,
    load,
};

use super::{
    admission::Door,
    clients::{Clients, Way},
    endpoint::Endpoint,
    fleet::Fleet,
};

/// See the module.
pub(crate) struct Upstream {
    pub(super) name: Arc<str>,
    pub(super) dialect: Dialect,
    pub(super) stream_end: StreamEnd,
    /// Written over the client's.
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    pub(crate) written: tollgate_config::Upstream,
    pub(crate) balancer: Balancer,
    /// Where requests are bounded.
    pub(crate) door: Option<Door>,
    /// What each try holds on to.
    pub(crate) care: Arc<Care>,
    way: Arc<Way>,
    endpoints: ArcSwap<Vec<Arc<Endpoint>>>,
    /// Told when they were replaced.
    pub(crate) replaced: watch::Sender<()>,
}

/// Who is told of how tries went.
pub(crate) struct Care {
    pub(crate) health: tollgate_config::Health,
    pub(crate) fleet: Arc<Fleet>,
    pub(crate) breaker: Option<Arc<Breaker>>,
}

impl Upstream {
    /// # Errors
    /// A file of endpoints that is malformed, where nothing is known from before.
    pub(super) fn new(
        name: &str,
        written: &tollgate_config::Upstream,
        headers: Vec<(HeaderName, HeaderValue)>,
        (way, clients): (Arc<Way>, &Clients),
        overload: &Overload,
    ) -> Result<Arc<Self>, DiscoveryError> {
        let fleet = clients.fleet(name);
        let found = match &written.endpoints {
            Endpoints::Listed(listed) => listed.iter().cloned().map(Found::listed).collect(),
            Endpoints::File(file) => {
                let found = read_list(&file.path)?;
                fleet.remember(&written.endpoints, &found);
                found
            }
            // Asked for before, by who can wait.
            Endpoints::Dns(_) => fleet.last_found(&written.endpoints),
        };
        let breaker = fleet.breaker(written.health.breaker.as_ref());
        let upstream = Arc::new(Self {
            name: fleet.name.clone(),
            dialect: written.dialect,
            stream_end: written.stream_end,
            headers,
            balancer: Balancer::new(&written.balance),
            door: Door::new(&fleet.gate, written.concurrency, overload),
            care: Arc::new(Care {
                health: written.health.clone(),
                fleet: fleet.clone(),
                breaker,
            }),
            written: written.clone(),
            way,
            endpoints: ArcSwap::default(),
            replaced: watch::Sender::new(()),
        });
        upstream.renew(&found);
        fleet.gate.open(upstream.door.as_ref(), found.len());
        fleet.join(&upstream);
        Ok(upstream)
    }

    /// As they are now.
    pub(crate) fn endpoints(&self) -> Arc<Vec<Arc<Endpoint>>> {
        self.endpoints.load_full()
    }

    /// Whether no endpoint could stand in for another.
    pub(super) fn is_alone(&self) -> bool {
        self.present().len() < 2
    }

    pub(super) fn present(&self) -> arc_swap::Guard<Arc<Vec<Arc<Endpoint>>>> {
        self.endpoints.load()
    }

    /// Replaces the endpoints; what is known of those that stay is kept.
    pub(super) fn renew(&self, found: &[Found]) {
        let load = load::Settings::of(&self.written.balance);
        let make = |found: &Found| {
            let label = found.label();
            let state = self.care.fleet.state(&label, &self.care.health, load);
            Endpoint::new(found, label, state, (&self.way, load)).map(Arc::new)
        };
        let endpoints: Vec<_> = found.iter().filter_map(make).collect();
        self.endpoints.store(Arc::new(endpoints));
        self.replaced.send_replace(());
    }

    /// From now on its endpoints are those that are watched over.
    pub(crate) fn take_over(&self) {
        let endpoints = self.present();
        let healths = endpoints.iter().map(|one| one.state.health.clone());
        let fleet = &self.care.fleet;
        let tended = fleet
            .ward
            .set(healths.collect(), &self.care.health, Instant::now());
        drop(endpoints);
        fleet
            .gate
            .follow(self.door.as_ref(), fleet.ward.available());
        fleet.note(tended);
    }

    /// The gateway asked an endpoint itself whether it is ready.
    pub(crate) fn checked(&self, endpoint: &Endpoint, is_good: bool) {
        let fleet = &self.care.fleet;
        let health = &endpoint.state.health;
        let tended = fleet.ward.checked(health, is_good, Instant::now());
        fleet.note(tended);
    }

    /// Whether all that the gateway does of its own for the other serves this one too.
    pub(crate) fn is_tended_as(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.care.fleet, &other.care.fleet)
            && Arc::ptr_eq(&self.way, &other.way)
            && self.written == other.written
            && self.headers == other.headers
    }
}

#[cfg(test)]
impl Upstream {
    /// One of these endpoints, with defaults for all else.
    pub(super) fn listed(urls: &[&str]) -> Arc<Self> {
        let urls = serde_json::to_string(urls).unwrap();
        Self::read(&format!("{{ endpoints: {urls} }}"))
    }

    /// One as a configuration has it.
    pub(super) fn read(text: &str) -> Arc<Self> {
        let text = format!("upstreams: {{ u: {text} }}\nroutes: [ {{ upstream: u }} ]");
        let config = tollgate_config::parse_str(&text, "tollgate.yaml", "/".as_ref());
        let mut config = config.unwrap();
        let written = config.upstreams.remove("u").unwrap();
        let clients = Clients::new();
        let way = clients
            .way(&written, std::time::Duration::from_secs(1))
            .unwrap();
        let upstream =
            Self::new("u", &written, Vec::new(), (way, &clients), &config.overload).unwrap();
        upstream.take_over();
        upstream
    }
}
