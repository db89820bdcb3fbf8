//! Upstreams made ready, and the pooled clients that reach them.
//!
//! A client is kept for each set of roots and connect timeout for as long as the
//! process lives, so warm connections survive a swap. Why the pool of hyper-util and
//! not reqwest: `docs/decisions/0002-hyper-util-below-the-data-path.md`.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicUsize},
    time::Duration,
};

use http::{
    HeaderName, HeaderValue, Uri,
    uri::{Authority, PathAndQuery, Scheme},
};
use hyper_rustls::{ConfigBuilderExt, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use parking_lot::Mutex;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, pem::PemObject};
use tollgate_config::{Dialect, StreamEnd};

use super::upload::Upload;

pub(super) type Pool = Client<HttpsConnector<HttpConnector>, Upload>;

/// How long an idle connection to an upstream is kept: below the 60 s and more after
/// which servers close theirs.
const IDLE: Duration = Duration::from_secs(50);
const IDLE_MAX: usize = 1024;
const RESPONSE_HEAD_BYTES_MAX: usize = 256 * 1024;

/// One upstream of one generation.
pub(super) struct Upstream {
    pub(super) name: Arc<str>,
    pub(super) dialect: Dialect,
    pub(super) stream_end: StreamEnd,
    /// Written over the client's.
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    pub(super) endpoints: Vec<Arc<Endpoint>>,
    pub(super) turn: AtomicUsize,
    pub(super) pool: Pool,
}

/// One address of an upstream, in the parts of a request.
pub(super) struct Endpoint {
    pub(super) scheme: Scheme,
    pub(super) authority: Authority,
    pub(super) host: HeaderValue,
    base_path: String,
}

impl Endpoint {
    /// `None`: not an address.
    pub(super) fn new(endpoint: &tollgate_config::Endpoint) -> Option<Self> {
        Some(Self {
            scheme: if endpoint.https {
                Scheme::HTTPS
            } else {
                Scheme::HTTP
            },
            authority: endpoint.authority.parse().ok()?,
            host: endpoint.authority.parse().ok()?,
            base_path: endpoint.base_path.clone(),
        })
    }

    /// The very path bytes that came in, behind this endpoint's own.
    pub(super) fn uri(&self, path: PathAndQuery) -> Result<Uri, http::Error> {
        let path = match self.base_path.as_str() {
            "" => path,
            base => PathAndQuery::try_from(format!("{base}{path}"))?,
        };
        let mut parts = http::uri::Parts::default();
        parts.scheme = Some(self.scheme.clone());
        parts.authority = Some(self.authority.clone());
        parts.path_and_query = Some(path);
        Ok(Uri::from_parts(parts)?)
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
    SystemRoots(#[from] std::io::Error),
    /// The TLS library refused.
    #[error("cannot set up TLS: {0}")]
    Tls(#[from] rustls::Error),
}

/// What sets clients apart.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Kind {
    roots: Roots,
    connect: Duration,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Roots {
    /// No endpoint speaks TLS.
    None,
    System,
    /// The system's and those of a file, told apart by what the file says.
    And(Vec<u8>),
}

/// The pooled clients of the process.
#[derive(Default)]
pub struct Clients {
    pools: Mutex<HashMap<Kind, Pool>>,
}

impl Clients {
    /// None yet: they are made as generations ask for them.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    pub(super) fn pool(
        &self,
        upstream: &tollgate_config::Upstream,
        connect: Duration,
    ) -> Result<Pool, ClientError> {
        let roots = match &upstream.ca {
            _ if !upstream.endpoints.iter().any(|endpoint| endpoint.https) => Roots::None,
            None => Roots::System,
            Some(path) => {
                Roots::And(std::fs::read(path).map_err(|error| unreadable(path, &error))?)
            }
        };
        let kind = Kind { roots, connect };
        if let Some(pool) = self.pools.lock().get(&kind) {
            return Ok(pool.clone());
        }
        let tls = tls_config(&kind.roots, upstream.ca.as_deref())?;
        let pool = build_pool(tls, connect);
        Ok(self.pools.lock().entry(kind).or_insert(pool).clone())
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

fn build_pool(tls: ClientConfig, connect: Duration) -> Pool {
    let mut http = HttpConnector::new();
    http.enforce_http(false);
    http.set_nodelay(true);
    http.set_connect_timeout(Some(connect));
    http.set_keepalive(Some(Duration::from_secs(60)));
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http()
        .enable_all_versions()
        .wrap_connector(http);
    Client::builder(TokioExecutor::new())
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE)
        .pool_max_idle_per_host(IDLE_MAX)
        .http1_max_buf_size(RESPONSE_HEAD_BYTES_MAX)
        .http2_keep_alive_interval(Duration::from_secs(20))
        .retry_canceled_requests(true)
        .set_host(false)
        .build(connector)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_reaches_an_endpoint_byte_for_byte() {
        let endpoint = tollgate_config::Endpoint {
            https: true,
            authority: "api.example.com".into(),
            base_path: "/base".into(),
        };
        let endpoint = Endpoint::new(&endpoint).unwrap();
        for path in ["/v1/a%20b;c=d?x=%2e%2e/&y=[z]", "/", "/v1/"] {
            let uri = endpoint.uri(path.parse().unwrap()).unwrap();
            assert_eq!(
                uri.to_string(),
                format!("https://api.example.com/base{path}")
            );
        }
    }
}
