//! One endpoint of an upstream: the parts of a request to it, and what is known of it.

use std::{
    net::SocketAddr,
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use http::{
    HeaderValue, Uri,
    uri::{Authority, PathAndQuery, Scheme},
};
use parking_lot::Mutex;
use tollgate_config::Health as Settings;
use tollgate_upstreams::{
    balance::hash,
    discovery::Found,
    health::Health,
    load::{self, Load},
};

use super::{
    admission::Slots,
    clients::{Kind, Pool, Way},
};

/// One address of an upstream, in the parts of a request.
pub(crate) struct Endpoint {
    pub(super) scheme: Scheme,
    pub(super) authority: Authority,
    pub(super) host: HeaderValue,
    base_path: String,
    /// What it is called in logs: its URL, and the address if that is known.
    pub(crate) label: Arc<str>,
    /// The same in every process.
    pub(super) id: u64,
    pub(crate) weight: u32,
    pub(super) pool: Pool,
    way: Arc<Way>,
    address: Option<SocketAddr>,
    pub(crate) state: Arc<State>,
    pub(crate) load: Arc<Load>,
}

/// What the process knows of an endpoint, whatever generation asks it. What depends on
/// settings is the live generation's; one that has others has its own until it is live.
pub(crate) struct State {
    pub(crate) health: Arc<Health>,
    pub(crate) notes: Mutex<Notes>,
    load: Mutex<Arc<Load>>,
    /// Requests that are there, where they are bounded.
    pub(super) slots: Arc<Slots>,
    /// The connections of an endpoint whose address is known.
    pinned: Mutex<Option<(Kind, Pool)>>,
}

/// What the admin port shows besides.
#[derive(Debug, Default, Clone)]
pub(crate) struct Notes {
    /// Why it stands where it does, and since when.
    pub(crate) why: Option<(String, Instant)>,
    pub(crate) check: Option<Asked>,
    pub(crate) scrape: Option<Asked>,
}

/// What came of a question of the gateway's own.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) at: Instant,
    pub(crate) took: Duration,
    /// Why it came to nothing.
    pub(crate) error: Option<String>,
}

impl State {
    pub(super) fn new(label: &Arc<str>, settings: &Settings, load: load::Settings) -> Arc<Self> {
        let now = Instant::now();
        Arc::new(Self {
            health: Arc::new(Health::new(label.clone(), settings, now)),
            notes: Mutex::default(),
            load: Mutex::new(Load::new(load, now)),
            slots: Arc::default(),
            pinned: Mutex::default(),
        })
    }

    fn load(&self, settings: load::Settings) -> Arc<Load> {
        let load = self.load.lock().clone();
        match load.fits(settings) {
            true => load,
            false => Load::new(settings, Instant::now()),
        }
    }

    fn pool(&self, found: &Found, way: &Way) -> Pool {
        let Some(address) = found.address else {
            return way.shared();
        };
        let mut pinned = self.pinned.lock();
        match &*pinned {
            Some((kind, pool)) if *kind == way.kind => pool.clone(),
            Some(_) => way.pinned(address),
            None => {
                let pool = way.pinned(address);
                *pinned = Some((way.kind.clone(), pool.clone()));
                pool
            }
        }
    }

    #[cfg(test)]
    pub(super) fn is_pinned(&self, way: &Way) -> bool {
        matches!(&*self.pinned.lock(), Some((kind, _)) if *kind == way.kind)
    }

    /// Why the last check came to nothing, if it did.
    pub(super) fn failed_check(&self) -> Option<String> {
        self.notes.lock().check.as_ref()?.error.clone()
    }

    /// It was away: what it remembered is gone.
    pub(super) fn came_back(&self) {
        self.load.lock().forget();
    }
}

/// Where states are found again, for as long as someone holds them.
pub(super) type Known = std::collections::HashMap<Arc<str>, Weak<State>>;

impl Endpoint {
    /// `None`: not an address.
    pub(super) fn new(
        found: &Found,
        label: Arc<str>,
        state: Arc<State>,
        (way, load): (&Arc<Way>, load::Settings),
    ) -> Option<Self> {
        let endpoint = &found.endpoint;
        Some(Self {
            scheme: if endpoint.https {
                Scheme::HTTPS
            } else {
                Scheme::HTTP
            },
            authority: endpoint.authority.parse().ok()?,
            host: endpoint.authority.parse().ok()?,
            base_path: endpoint.base_path.clone(),
            id: hash(label.as_bytes()),
            label,
            weight: endpoint.weight,
            pool: state.pool(found, way),
            way: way.clone(),
            address: found.address,
            load: state.load(load),
            state,
        })
    }

    /// For a connection that is to change its protocol.
    pub(super) fn upgrade_pool(&self) -> Pool {
        self.way.of_one_use(self.address)
    }

    /// The very path bytes that came in, behind this endpoint's own.
    pub(super) fn uri(&self, path: PathAndQuery) -> Result<Uri, http::Error> {
        let path = match self.base_path.as_str() {
            "" => path,
            base => PathAndQuery::try_from(format!("{base}{path}"))?,
        };
        self.at(self.authority.clone(), path)
    }

    /// A path that stands by itself, maybe at another port.
    pub(super) fn own_uri(&self, path: &str, port: Option<u16>) -> Result<Uri, http::Error> {
        let authority = match port {
            None => self.authority.clone(),
            Some(port) => format!("{}:{port}", self.authority.host()).parse()?,
        };
        self.at(authority, path.parse()?)
    }

    fn at(&self, authority: Authority, path: PathAndQuery) -> Result<Uri, http::Error> {
        let mut parts = http::uri::Parts::default();
        parts.scheme = Some(self.scheme.clone());
        parts.authority = Some(authority);
        parts.path_and_query = Some(path);
        Ok(Uri::from_parts(parts)?)
    }

    /// From now on this is the live generation's.
    pub(super) fn take_over(&self) {
        let mut load = self.state.load.lock();
        if !Arc::ptr_eq(&load, &self.load) {
            *load = self.load.clone();
        }
        drop(load);
        if self.address.is_some() {
            let mut pinned = self.state.pinned.lock();
            if !matches!(&*pinned, Some((kind, _)) if *kind == self.way.kind) {
                *pinned = Some((self.way.kind.clone(), self.pool.clone()));
            }
        }
    }

    /// Whether it is the very same, for this generation or another.
    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.state, &other.state)
    }
}

#[cfg(test)]
mod tests {
    use super::super::upstream::Upstream;

    #[tokio::test]
    async fn the_path_reaches_an_endpoint_byte_for_byte() {
        let upstream = Upstream::listed(&["http://api.example.com/base"]);
        let endpoint = upstream.endpoints()[0].clone();
        for path in ["/v1/a%20b;c=d?x=%2e%2e/&y=[z]", "/", "/v1/"] {
            let uri = endpoint.uri(path.parse().unwrap()).unwrap();
            assert_eq!(
                uri.to_string(),
                format!("http://api.example.com/base{path}")
            );
        }
        let own = endpoint.own_uri("/metrics", Some(8002)).unwrap();
        assert_eq!(own, "http://api.example.com:8002/metrics");
    }
}
