//! An upstream of one generation: its settings, and its endpoints as they are now.
//!
//! What is known of an endpoint is the process's: see [`Fleet`]. Where endpoints come and
//! go by themselves, this generation's are replaced whole.

use std::{sync::Arc, time::Instant};

use arc_swap::ArcSwap;
use http::{HeaderName, HeaderValue};
use parking_lot::Mutex;
use tokio::sync::watch;
use tollgate_config::{Dialect, Endpoints, Overload, StreamEnd};
use tollgate_upstreams::{
    balance::Balancer,
    discovery::{DiscoveryError, Found, is_same, read_list},
    health::Breaker,
    load,
};

use super::{admission::Door, clients::Ways, endpoint::Endpoint, fleet::Fleet};

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
    ways: Ways,
    looked: Option<Result<(), DiscoveryError>>,
    found: Mutex<Vec<Found>>,
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

/// What is known of an upstream's endpoints before it goes live.
pub(crate) struct FirstLook {
    /// The upstream's; held, so that it is still there then.
    pub(crate) fleet: Arc<Fleet>,
    /// What it begins with, where it has to be asked for.
    pub(crate) found: Vec<Found>,
    /// What came of asking; `None`: nobody was asked.
    pub(crate) looked: Option<Result<(), DiscoveryError>>,
}

impl FirstLook {
    /// Nobody was asked.
    pub(crate) fn none(fleet: Arc<Fleet>) -> Self {
        Self {
            fleet,
            found: Vec::new(),
            looked: None,
        }
    }
}

impl Upstream {
    /// One that changes nothing of what the process knows before it goes live.
    ///
    /// # Errors
    /// A file of endpoints that is malformed.
    pub(super) fn new(
        written: &tollgate_config::Upstream,
        headers: Vec<(HeaderName, HeaderValue)>,
        ways: Ways,
        first: FirstLook,
        overload: &Overload,
    ) -> Result<Arc<Self>, DiscoveryError> {
        let fleet = first.fleet;
        let (found, looked) = match &written.endpoints {
            Endpoints::Listed(listed) => {
                let listed = listed.iter().cloned().map(Found::listed);
                (listed.collect(), Some(Ok(())))
            }
            Endpoints::File(file) => (read_list(&file.path)?, Some(Ok(()))),
            Endpoints::Dns(_) => (first.found, first.looked),
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
            ways,
            looked,
            found: Mutex::default(),
            endpoints: ArcSwap::default(),
            replaced: watch::Sender::new(()),
        });
        upstream.renew(found);
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

    /// What its endpoints were made of.
    pub(crate) fn found(&self) -> Vec<Found> {
        self.found.lock().clone()
    }

    /// Whether its endpoints are those of the other, for which somebody looks.
    pub(super) fn goes_by(&self, other: &Self) -> bool {
        let knows_better = matches!(self.looked, Some(Ok(())));
        !knows_better && is_same(&self.written.endpoints, &other.written.endpoints)
    }

    /// Whether the task that looks for the other's endpoints may look for its own: that tells
    /// of what differs from what it found itself.
    pub(crate) fn is_told_as(&self, other: &Self) -> bool {
        let has_failed = matches!(self.looked, Some(Err(_)));
        !has_failed && self.found() == other.found()
    }

    /// No live generation has it any more.
    pub(crate) fn retire(&self) {
        self.care.fleet.retire(self);
    }

    /// Replaces the endpoints; what is known of those that stay is kept.
    pub(super) fn renew(&self, found: Vec<Found>) {
        let load = load::Settings::of(&self.written.balance);
        let before = self.present();
        let make = |found: &Found| {
            let label = found.label();
            let stays =
                |one: &&Arc<Endpoint>| one.label == label && one.weight == found.endpoint.weight;
            if let Some(same) = before.iter().find(stays) {
                return Some(same.clone());
            }
            let state = self.care.fleet.state(&label, &self.care.health, load);
            Endpoint::new(found, label, state, (self.ways.to(&found.endpoint), load)).map(Arc::new)
        };
        let endpoints: Vec<_> = found.iter().filter_map(make).collect();
        self.endpoints.store(Arc::new(endpoints));
        *self.found.lock() = found;
        self.replaced.send_replace(());
    }

    /// From now on it is the live generation's: what it was built with is the process's.
    pub(crate) fn go_live(self: &Arc<Self>) {
        let fleet = &self.care.fleet;
        fleet.go_live(self);
        if let Some(looked) = &self.looked {
            fleet.looked(looked);
        }
    }

    /// From now on its endpoints are those that are watched over. To be called for the
    /// live generation's alone, by its fleet.
    pub(super) fn take_over(&self) {
        let endpoints = self.present();
        endpoints.iter().for_each(|endpoint| endpoint.take_over());
        let healths = endpoints.iter().map(|one| one.state.health.clone());
        let Care {
            health,
            fleet,
            breaker,
        } = &*self.care;
        fleet.keep_breaker(breaker.as_ref());
        let tended = fleet.ward.set(healths.collect(), health, Instant::now());
        drop(endpoints);
        fleet
            .gate
            .follow(self.door.as_ref(), || fleet.ward.available());
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
            && self.ways.are_same(&other.ways)
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

    /// One as a configuration has it, and live.
    pub(super) fn read(text: &str) -> Arc<Self> {
        let upstream = Self::candidate(&Clients::new(), text, Vec::new());
        upstream.go_live();
        upstream
    }

    /// One that is not live, with what was found of its name. Sections of the configuration
    /// may follow it in lines of their own.
    pub(super) fn candidate(clients: &Clients, text: &str, found: Vec<Found>) -> Arc<Self> {
        Self::looked_for(clients, text, (found, None))
    }

    /// The same, after a look that came to this.
    pub(super) fn looked_for(
        clients: &Clients,
        text: &str,
        (found, looked): (Vec<Found>, Option<Result<(), DiscoveryError>>),
    ) -> Arc<Self> {
        let (text, more) = text.split_once('\n').unwrap_or((text, ""));
        let text = format!("upstreams: {{ u: {text} }}\nroutes: [ {{ upstream: u }} ]\n{more}");
        let config = tollgate_config::parse_str(&text, "tollgate.yaml", "/".as_ref());
        let mut config = config.unwrap();
        let written = config.upstreams.remove("u").unwrap();
        let ways = clients
            .ways(
                &written,
                Longest::to_connect(std::time::Duration::from_secs(1)),
            )
            .unwrap();
        let first = FirstLook {
            found,
            looked,
            ..FirstLook::none(clients.fleet("u"))
        };
        Self::new(&written, Vec::new(), ways, first, &config.overload).unwrap()
    }
}

#[cfg(test)]
use super::clients::{Clients, Longest};

#[cfg(test)]
#[path = "upstream_tests.rs"]
mod tests;
