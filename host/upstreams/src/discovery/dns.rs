//! Endpoints from the DNS: every address of a name, or of the targets of its SRV records.
//!
//! Nothing is cached below: a look asks. An answer of which a part is missing is taken
//! only where nothing better is known, so that a name server that drops one kind of
//! question never takes endpoints away.

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use futures_util::future::join_all;
use hickory_resolver::{
    TokioResolver,
    config::{ConnectionConfig, NameServerConfig, ResolverConfig},
    net::{NetError, runtime::TokioRuntimeProvider},
    proto::rr::{RData, RecordType, rdata::SRV},
};
use tokio::time::{Instant, timeout_at};
use tollgate_config::{DnsRecord, Endpoint, EndpointDns, Endpoints};

use super::{DiscoveryError, Found, Looked, same::srv_target};

/// However short records are to hold.
const TTL_LEAST: Duration = Duration::from_secs(1);
/// However long.
const TTL_MOST: Duration = Duration::from_secs(300);
/// The first pause after a failure; each further one is twice as long, up to the refresh
/// or this many doublings.
const RETRY: Duration = Duration::from_secs(1);
const RETRY_MOST: Duration = Duration::from_secs(30);
/// Targets of SRV records that are asked for, all at once: none that is slow keeps the others
/// waiting.
const TARGETS_MAX: usize = 100;

/// A name that is asked for again and again.
#[derive(Debug)]
pub struct DnsSource {
    dns: EndpointDns,
    /// Made anew after a failure: the system's configuration may have changed.
    server: Option<Server>,
    failures: u32,
}

/// Who is asked.
#[derive(Debug, Clone)]
struct Server {
    resolver: TokioResolver,
}

/// What a question brought.
struct Answer<T> {
    records: Vec<T>,
    ttl: Duration,
    /// What could not be asked.
    missing: Option<DiscoveryError>,
}

impl DnsSource {
    pub(super) fn new(dns: EndpointDns) -> Self {
        Self {
            dns,
            server: None,
            failures: 0,
        }
    }

    pub(super) async fn look(&mut self, is_anything_known: bool) -> Looked {
        let whole = self.ask().await.and_then(|answer| match answer.missing {
            Some(error) if is_anything_known || answer.records.is_empty() => Err(error),
            _ => Ok((self.bounded(answer.records)?, answer.ttl)),
        });
        match whole {
            Ok((found, ttl)) => {
                self.failures = 0;
                let ttl = ttl.clamp(TTL_LEAST, TTL_MOST);
                Looked {
                    found: Ok(found),
                    next: self.dns.refresh.unwrap_or(ttl),
                }
            }
            Err(error) => {
                self.server = None;
                Looked {
                    found: Err(error),
                    next: self.pause(),
                }
            }
        }
    }

    /// After one more failure.
    fn pause(&mut self) -> Duration {
        let doubled = RETRY.saturating_mul(2_u32.saturating_pow(self.failures));
        self.failures = self.failures.saturating_add(1);
        doubled
            .min(RETRY_MOST)
            .min(self.dns.refresh.unwrap_or(RETRY_MOST))
    }

    fn bounded(&self, mut found: Vec<Found>) -> Result<Vec<Found>, DiscoveryError> {
        let name = || self.dns.url.host().to_owned();
        found.sort_by(|one, other| {
            let key = |found: &Found| (found.address, found.endpoint.authority.clone());
            key(one).cmp(&key(other))
        });
        found.dedup_by(|one, other| one.to_string() == other.to_string());
        match found.len() {
            0 => Err(DiscoveryError::Empty(name())),
            count if count > Endpoints::MAX => Err(DiscoveryError::TooMany(name())),
            _ => Ok(found),
        }
    }

    async fn ask(&mut self) -> Result<Answer<Found>, DiscoveryError> {
        let server = match &self.server {
            Some(server) => server.clone(),
            None => {
                let made = Server::new(&self.dns)?;
                self.server.insert(made).clone()
            }
        };
        let url = &self.dns.url;
        let due = Instant::now() + self.dns.timeout;
        match self.dns.record {
            DnsRecord::Address => {
                let answer = server.addresses(url.host(), due).await?;
                Ok(answer.map(|ip| at(url.clone(), ip)))
            }
            DnsRecord::Srv => server.services(url, due).await,
        }
    }
}

impl<T> Answer<T> {
    fn map<U>(self, each: impl FnMut(T) -> U) -> Answer<U> {
        Answer {
            records: self.records.into_iter().map(each).collect(),
            ttl: self.ttl,
            missing: self.missing,
        }
    }
}

fn at(endpoint: Endpoint, ip: IpAddr) -> Found {
    let address = SocketAddr::new(ip, endpoint.port());
    Found {
        endpoint,
        address: Some(address),
    }
}

fn failed(name: &str, reason: &dyn std::fmt::Display) -> DiscoveryError {
    DiscoveryError::Dns {
        name: name.to_owned(),
        reason: reason.to_string(),
    }
}

impl Server {
    fn new(dns: &EndpointDns) -> Result<Self, DiscoveryError> {
        let broken = |error: NetError| failed(dns.url.host(), &error);
        let mut builder = match dns.resolver {
            None => TokioResolver::builder_tokio().map_err(broken)?,
            Some(address) => {
                let mut connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()];
                for connection in &mut connections {
                    connection.port = address.port();
                }
                let server = NameServerConfig::new(address.ip(), true, connections.into());
                let config = ResolverConfig::from_parts(None, Vec::new(), vec![server]);
                TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
            }
        };
        let options = builder.options_mut();
        options.cache_size = 0;
        // Two tries fit into the time that a look may take.
        options.attempts = 1;
        options.timeout = (dns.timeout * 2 / 5).max(Duration::from_millis(1));
        Ok(Self {
            resolver: builder.build().map_err(broken)?,
        })
    }

    /// The records of one kind. None of them is an answer too.
    async fn records<T>(
        &self,
        (name, kind): (&str, RecordType),
        due: Instant,
        read: impl Fn(&RData) -> Option<T>,
    ) -> Result<(Vec<T>, Duration), DiscoveryError> {
        let lookup = match timeout_at(due, self.resolver.lookup(name, kind)).await {
            Ok(Ok(lookup)) => lookup,
            Ok(Err(error)) if error.is_no_records_found() => return Ok((Vec::new(), TTL_MOST)),
            Ok(Err(error)) => return Err(failed(name, &error)),
            Err(_) => return Err(failed(name, &"it took too long")),
        };
        let answers = lookup.answers();
        let records = answers.iter().filter_map(|record| read(&record.data));
        let ttl = answers.iter().map(|record| record.ttl).min().unwrap_or(0);
        Ok((records.collect(), Duration::from_secs(ttl.into())))
    }

    /// Addresses of both kinds.
    async fn addresses(&self, name: &str, due: Instant) -> Result<Answer<IpAddr>, DiscoveryError> {
        let (four, six) = tokio::join!(
            self.records((name, RecordType::A), due, |data| match data {
                RData::A(address) => Some(IpAddr::from(address.0)),
                _ => None,
            }),
            self.records((name, RecordType::AAAA), due, |data| match data {
                RData::AAAA(address) => Some(IpAddr::from(address.0)),
                _ => None,
            }),
        );
        let mut answer = Answer {
            records: Vec::new(),
            ttl: TTL_MOST,
            missing: None,
        };
        for kind in [four, six] {
            match kind {
                Ok((records, ttl)) => {
                    // Not what a name server says of a name that it hides.
                    let is_host = |ip: &IpAddr| !ip.is_unspecified() && !ip.is_multicast();
                    answer.records.extend(records.into_iter().filter(is_host));
                    answer.ttl = answer.ttl.min(ttl);
                }
                Err(error) => answer.missing = Some(error),
            }
        }
        match answer.missing {
            Some(error) if answer.records.is_empty() => Err(error),
            _ => Ok(answer),
        }
    }

    /// The addresses of all targets of the best priority.
    async fn services(
        &self,
        url: &Endpoint,
        due: Instant,
    ) -> Result<Answer<Found>, DiscoveryError> {
        let name = url.host();
        let read = |data: &RData| match data {
            RData::SRV(record) => Some(record.clone()),
            _ => None,
        };
        let (records, ttl) = self.records((name, RecordType::SRV), due, read).await?;
        let targets = best(records);
        if targets.len() > TARGETS_MAX {
            return Err(DiscoveryError::TooMany(name.to_owned()));
        }
        let mut answer = Answer {
            records: Vec::new(),
            ttl,
            missing: None,
        };
        let asked = targets
            .into_iter()
            .map(|target| self.target(url, target, due));
        for asked in join_all(asked).await {
            match asked {
                Ok(target) => {
                    answer.records.extend(target.records);
                    answer.ttl = answer.ttl.min(target.ttl);
                    answer.missing = answer.missing.or(target.missing);
                }
                Err(error) => answer.missing = Some(error),
            }
        }
        Ok(answer)
    }

    async fn target(
        &self,
        url: &Endpoint,
        (host, port, weight): (String, u16, u32),
        due: Instant,
    ) -> Result<Answer<Found>, DiscoveryError> {
        let endpoint = srv_target(url, (&host, port), weight);
        let endpoint = endpoint.map_err(|reason| failed(url.host(), &reason))?;
        let answer = self.addresses(&format!("{host}."), due).await?;
        Ok(answer.map(|ip| at(endpoint.clone(), ip)))
    }
}

/// Hosts, ports and weights. A target that is no host, or the root, serves nothing.
fn best(records: Vec<SRV>) -> BTreeSet<(String, u16, u32)> {
    let priority = records.iter().map(|record| record.priority).min();
    let best = records
        .into_iter()
        .filter(|record| Some(record.priority) == priority);
    let read = best.filter_map(|record| {
        let host = record.target.to_ascii();
        let host = host.strip_suffix('.').unwrap_or(&host).to_owned();
        let parsed = Endpoint::parse(&format!("http://{host}:{}", record.port)).ok()?;
        Some((
            parsed.host().to_owned(),
            record.port,
            u32::from(record.weight).max(1),
        ))
    });
    read.collect()
}
