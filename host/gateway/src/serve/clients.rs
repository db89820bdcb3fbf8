//! The pooled clients that reach endpoints.
//!
//! There is a client for each set of roots and connect timeout, for as long as a generation
//! uses it: a new one takes it over from the live one, so warm connections survive a swap. An
//! endpoint whose address is known has one of its own: two addresses of one name must not
//! share connections. Why the pool of hyper-util and not reqwest:
//! `docs/decisions/0002-hyper-util-below-the-data-path.md`.

use std::{
    collections::HashMap,
    future::Future,
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    pin::Pin,
    sync::{Arc, Weak},
    task::{Context, Poll},
    time::Duration,
};

use hyper_rustls::{ConfigBuilderExt, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{
        Client,
        connect::{
            HttpConnector,
            dns::{GaiResolver, Name},
        },
    },
    rt::{TokioExecutor, TokioTimer},
};
use parking_lot::Mutex;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, pem::PemObject};
use tollgate_config::Endpoints;
use tower_service::Service;

use super::{admission::AllGate, connect::InTime, fleet::Fleet, upload::Upload};

pub(super) type Pool = Client<InTime<HttpsConnector<HttpConnector<Names>>>, Upload>;

/// How long an idle connection to an upstream is kept: below the 60 s and more after
/// which servers close theirs.
const IDLE: Duration = Duration::from_secs(50);
const IDLE_MAX: usize = 1024;
const RESPONSE_HEAD_BYTES_MAX: usize = 256 * 1024;

/// Where the connections to a host go.
#[derive(Debug, Clone)]
pub(super) enum Names {
    /// Wherever the system says.
    System,
    /// To this address, whatever the host is called.
    Pinned(SocketAddr),
}

impl Service<Name> for Names {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        match self {
            Self::Pinned(address) => {
                let addresses = vec![*address].into_iter();
                Box::pin(std::future::ready(Ok(addresses)))
            }
            Self::System => {
                let asked = GaiResolver::new().call(name);
                Box::pin(async { Ok(asked.await?.collect::<Vec<_>>().into_iter()) })
            }
        }
    }
}

/// A client could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Roots that cannot be read.
    #[error("cannot read the certificates of `{}`: {reason}", path.display())]
    Roots {
        /// The PEM file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The system's own roots.
    #[error("cannot read the system's certificates: {0}")]
    SystemRoots(#[from] io::Error),
    /// The TLS library refused.
    #[error("cannot set up TLS: {0}")]
    Tls(#[from] rustls::Error),
}

/// What sets clients apart.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Kind {
    roots: Roots,
    longest: Longest,
}

/// How long connections wait for an endpoint: as long as anything that may use them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Longest {
    pub(super) connect: Duration,
    /// Until it takes what was written to it.
    pub(super) write: Duration,
}

#[cfg(test)]
impl Longest {
    /// In which a connection is to be there.
    pub(super) fn to_connect(connect: Duration) -> Self {
        let write = Duration::from_secs(1);
        Self { connect, write }
    }
}

/// Of HTTP, over TLS; without, it is HTTP/1.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Versions {
    /// What the server prefers.
    All,
    Http1,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Roots {
    /// No endpoint speaks TLS.
    None,
    System,
    /// The system's, if it has some: an endpoint may speak TLS one day.
    SystemIfAny,
    /// The system's and those of a file, told apart by what the file says.
    And(Vec<u8>),
}

/// How the endpoints of an upstream are reached: those without TLS, and those with it.
#[derive(Clone)]
pub(super) struct Ways {
    plain: Arc<Way>,
    tls: Arc<Way>,
}

impl Ways {
    pub(super) fn to(&self, endpoint: &tollgate_config::Endpoint) -> &Arc<Way> {
        match endpoint.https {
            true => &self.tls,
            false => &self.plain,
        }
    }

    pub(super) fn are_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.plain, &other.plain) && Arc::ptr_eq(&self.tls, &other.tls)
    }
}

/// How some endpoints of an upstream are reached.
pub(super) struct Way {
    pub(super) kind: Kind,
    tls: ClientConfig,
    shared: Pool,
}

impl Way {
    /// For all endpoints whose address is not known.
    pub(super) fn shared(&self) -> Pool {
        self.shared.clone()
    }

    /// For the one of this address.
    pub(super) fn pinned(&self, address: SocketAddr) -> Pool {
        let names = Names::Pinned(address);
        build_pool(self.tls.clone(), self.kind.longest, names, Versions::All)
    }

    /// For one connection that is to change its protocol, which over HTTP/2 none does. How
    /// long it may wait then is not for these bounds to say.
    pub(super) fn of_one_use(&self, address: Option<SocketAddr>) -> Pool {
        let names = address.map_or(Names::System, Names::Pinned);
        build_pool(self.tls.clone(), self.kind.longest, names, Versions::Http1)
    }
}

/// The pooled clients of the process, and what it knows of the endpoints that they reach.
#[derive(Default)]
pub struct Clients {
    ways: Mutex<HashMap<Kind, Weak<Way>>>,
    fleets: Mutex<HashMap<String, Weak<Fleet>>>,
    /// Before all upstreams together.
    pub(super) gate: AllGate,
}

impl Clients {
    /// None yet: they are made as generations ask for them.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// What is known of the endpoints of the upstream of this name.
    pub(crate) fn fleet(&self, name: &str) -> Arc<Fleet> {
        let mut fleets = self.fleets.lock();
        if let Some(known) = fleets.get(name).and_then(Weak::upgrade) {
            return known;
        }
        fleets.retain(|_, fleet| fleet.strong_count() > 0);
        let fleet = Arc::new(Fleet::new(name));
        fleets.insert(name.to_owned(), Arc::downgrade(&fleet));
        fleet
    }

    /// Those of an upstream. An endpoint without TLS keeps its own when others with TLS come
    /// and go.
    pub(super) fn ways(
        &self,
        upstream: &tollgate_config::Upstream,
        longest: Longest,
    ) -> Result<Ways, ClientError> {
        let plain = self.way(Roots::None, longest, None)?;
        let roots = match (&upstream.ca, &upstream.endpoints) {
            (_, endpoints) if !endpoints.may_be_https() => {
                let tls = plain.clone();
                return Ok(Ways { plain, tls });
            }
            (None, Endpoints::File(_)) => Roots::SystemIfAny,
            (None, _) => Roots::System,
            (Some(path), _) => {
                Roots::And(std::fs::read(path).map_err(|error| unreadable(path, &error))?)
            }
        };
        let tls = self.way(roots, longest, upstream.ca.as_deref())?;
        Ok(Ways { plain, tls })
    }

    /// `path`: the file that the roots are from.
    fn way(
        &self,
        roots: Roots,
        longest: Longest,
        path: Option<&Path>,
    ) -> Result<Arc<Way>, ClientError> {
        let kind = Kind { roots, longest };
        let mut ways = self.ways.lock();
        if let Some(known) = ways.get(&kind).and_then(Weak::upgrade) {
            return Ok(known);
        }
        ways.retain(|_, way| way.strong_count() > 0);
        let tls = tls_config(&kind.roots, path)?;
        let way = Arc::new(Way {
            kind: kind.clone(),
            shared: build_pool(tls.clone(), longest, Names::System, Versions::All),
            tls,
        });
        ways.insert(kind, Arc::downgrade(&way));
        Ok(way)
    }
}

fn unreadable(path: &Path, error: &dyn std::error::Error) -> ClientError {
    ClientError::Roots {
        path: path.to_owned(),
        reason: error.to_string(),
    }
}

fn tls_config(roots: &Roots, path: Option<&Path>) -> Result<ClientConfig, ClientError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let builder = match roots {
        Roots::None => builder.with_root_certificates(RootCertStore::empty()),
        Roots::System => builder.with_native_roots()?,
        Roots::SystemIfAny => {
            let mut store = RootCertStore::empty();
            store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            builder.with_root_certificates(store)
        }
        Roots::And(pem) => {
            let path = path.unwrap_or(Path::new(""));
            let mut store = RootCertStore::empty();
            store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            let mut count = 0;
            for certificate in CertificateDer::pem_slice_iter(pem) {
                let certificate = certificate.map_err(|error| unreadable(path, &error))?;
                store
                    .add(certificate)
                    .map_err(|error| unreadable(path, &error))?;
                count += 1;
            }
            if count == 0 {
                return Err(ClientError::Roots {
                    path: path.to_owned(),
                    reason: "there is none in it".into(),
                });
            }
            builder.with_root_certificates(store)
        }
    };
    Ok(builder.with_no_client_auth())
}

fn build_pool(tls: ClientConfig, longest: Longest, names: Names, versions: Versions) -> Pool {
    let Longest { connect, write } = longest;
    let mut http = HttpConnector::new_with_resolver(names);
    http.enforce_http(false);
    http.set_nodelay(true);
    http.set_connect_timeout(Some(connect));
    // Behind an answer that came early, nobody is left to give up on the request.
    #[cfg(target_os = "linux")]
    if matches!(versions, Versions::All) {
        http.set_tcp_user_timeout(Some(write));
    }
    http.set_keepalive(Some(Duration::from_secs(60)));
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http();
    let connector = match versions {
        Versions::All => connector.enable_all_versions().wrap_connector(http),
        Versions::Http1 => connector.enable_http1().wrap_connector(http),
    };
    Client::builder(TokioExecutor::new())
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE)
        .pool_max_idle_per_host(IDLE_MAX)
        .http1_max_buf_size(RESPONSE_HEAD_BYTES_MAX)
        .http2_keep_alive_interval(Duration::from_secs(20))
        .retry_canceled_requests(true)
        .set_host(false)
        .build(InTime::new(connector, connect))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn connections_are_kept_while_a_generation_uses_them_and_no_longer() {
        let text = "upstreams: { u: { endpoints: [ 'http://h' ] } }\nroutes: [ { upstream: u } ]\n";
        let config = tollgate_config::parse_str(text, "tollgate.yaml", "/".as_ref()).unwrap();
        let upstream = &config.upstreams["u"];
        let clients = Clients::new();
        let way = |millis| {
            let longest = Longest::to_connect(Duration::from_millis(millis));
            clients.ways(upstream, longest).unwrap().plain
        };
        let mut live = way(1);
        for millis in 1..10 {
            let next = way(millis);
            assert_eq!(Arc::ptr_eq(&live, &next), millis == 1, "{millis}");
            let former = Arc::downgrade(&std::mem::replace(&mut live, next));
            assert_eq!(former.upgrade().is_some(), millis == 1, "{millis}");
            // The one that has just gone is forgotten with the next new one.
            assert!(clients.ways.lock().len() <= 2, "{millis}");
        }
    }
}
