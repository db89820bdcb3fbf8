//! Which endpoints an upstream has, from wherever that is written.
//!
//! A [`Source`] is looked at again and again by [`follow`], which tells what changed. A
//! file that is malformed and a DNS server that is slow, fails, or knows of nothing
//! change nothing: what was known last goes on, and why is told once.

mod dns;
mod file;
mod same;
#[cfg(test)]
mod tests;

use std::{fmt, net::SocketAddr, sync::Arc, time::Duration};

use tokio::time::sleep;
use tollgate_config::{Endpoint, Endpoints};

pub use dns::DnsSource;
pub use file::{FileSource, read_list};
pub use same::{LastFound, found_for, is_same};

/// An endpoint, and where its connections go.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Found {
    /// What it is asked as.
    pub endpoint: Endpoint,
    /// The address, if it is known; else the host is resolved for each connection.
    pub address: Option<SocketAddr>,
}

impl Found {
    /// One that its URL alone tells.
    #[must_use]
    pub fn listed(endpoint: Endpoint) -> Self {
        Self {
            endpoint,
            address: None,
        }
    }

    /// What tells it from all others, its weight aside: so what is known of it is kept.
    #[must_use]
    pub fn label(&self) -> Arc<str> {
        self.to_string().into()
    }
}

impl fmt::Display for Found {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address {
            None => self.endpoint.fmt(formatter),
            Some(address) => write!(formatter, "{} at {address}", self.endpoint),
        }
    }
}

/// Why a look told nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DiscoveryError {
    /// The file.
    #[error("cannot read the endpoints of `{path}`: {reason}")]
    Unreadable {
        /// Its path.
        path: String,
        /// Why.
        reason: String,
    },
    /// A line of the file.
    #[error("`{path}`, line {line}: {reason}")]
    Malformed {
        /// Its path.
        path: String,
        /// From 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// No endpoint in the file, or no record.
    #[error("`{0}` has no endpoint")]
    Empty(String),
    /// More than anyone would use.
    #[error("`{0}` has more than {max} endpoints", max = Endpoints::MAX)]
    TooMany(String),
    /// The name server answered with an error, not in time, or not at all.
    #[error("cannot resolve `{name}`: {reason}")]
    Dns {
        /// What was asked for.
        name: String,
        /// Why.
        reason: String,
    },
}

impl DiscoveryError {
    /// For labels.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } => "unreadable",
            Self::Malformed { .. } => "malformed",
            Self::Empty(_) => "empty",
            Self::TooMany(_) => "too_many",
            Self::Dns { .. } => "dns",
        }
    }
}

/// What a look came to.
#[derive(Debug)]
pub struct Looked {
    /// At least one endpoint, in a stable order.
    pub found: Result<Vec<Found>, DiscoveryError>,
    /// After this long the next look is due.
    pub next: Duration,
}

/// Endpoints that may change by themselves.
#[derive(Debug)]
pub enum Source {
    /// In a file.
    File(FileSource),
    /// In the DNS.
    Dns(Box<DnsSource>),
}

impl Source {
    /// `None`: they are listed and stay as they are.
    #[must_use]
    pub fn new(endpoints: &Endpoints) -> Option<Self> {
        match endpoints {
            Endpoints::Listed(_) => None,
            Endpoints::File(file) => Some(Self::File(FileSource::new(file.clone()))),
            Endpoints::Dns(dns) => Some(Self::Dns(Box::new(DnsSource::new(dns.clone())))),
        }
    }

    /// Looks once. Part of an answer is taken for one only where nothing is known.
    pub async fn look(&mut self, is_anything_known: bool) -> Looked {
        match self {
            Self::File(file) => file.look().await,
            Self::Dns(dns) => dns.look(is_anything_known).await,
        }
    }
}

/// What [`follow`] tells.
#[derive(Debug, PartialEq, Eq)]
pub enum News<'a> {
    /// These are the endpoints from now on.
    Endpoints(&'a [Found]),
    /// A look failed, and another had succeeded or failed otherwise before.
    Failing(&'a DiscoveryError),
    /// A look failed as the one before it did.
    StillFailing(&'a DiscoveryError),
    /// A look succeeded again; the endpoints are what they were.
    Mended,
}

/// Looks at a source for ever, beginning with `known`, which was found before or is empty,
/// and with why the last look failed, if it did.
pub async fn follow(
    mut source: Source,
    (mut known, mut failing): (Vec<Found>, Option<DiscoveryError>),
    first: Duration,
    mut tell: impl FnMut(News<'_>) + Send,
) {
    let mut next = first;
    loop {
        sleep(next).await;
        let looked = source.look(!known.is_empty()).await;
        next = looked.next;
        match looked.found {
            Ok(found) if found != known => {
                failing = None;
                known = found;
                tell(News::Endpoints(&known));
            }
            Ok(_) => {
                if failing.take().is_some() {
                    tell(News::Mended);
                }
            }
            Err(error) => {
                match failing.as_ref() == Some(&error) {
                    true => tell(News::StillFailing(&error)),
                    false => tell(News::Failing(&error)),
                }
                failing = Some(error);
            }
        }
    }
}
