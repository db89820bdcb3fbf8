//! Where the endpoints of an upstream come from.

use std::{fmt, net::SocketAddr, path::PathBuf, time::Duration};

/// One source for all endpoints of an upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoints {
    /// At least one.
    Listed(Vec<Endpoint>),
    /// Read from a file, one a line.
    File(EndpointFile),
    /// Every address of a name.
    Dns(EndpointDns),
}

/// A file of endpoints, looked at again and again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointFile {
    /// Absolute.
    pub path: PathBuf,
    /// How often it is looked at.
    pub refresh: Duration,
}

/// A name whose records are the endpoints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointDns {
    /// What they have in common. Its host is the name that is asked for: that of SRV
    /// records, whose targets and ports are the endpoints', or one with addresses.
    pub url: Endpoint,
    pub record: DnsRecord,
    /// How often it is asked for; `None`: as long as its records hold.
    pub refresh: Option<Duration>,
    /// Who is asked; `None`: whom the system asks.
    pub resolver: Option<SocketAddr>,
    /// Of one look, with all its questions and all their tries.
    pub timeout: Duration,
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DnsRecord {
    /// A and AAAA.
    Address,
    /// SRV, then A and AAAA of the targets.
    Srv,
}

/// One address of an upstream, in the parts of a URL.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Endpoint {
    pub https: bool,
    /// `host:port`, as it goes into the `host` header (default ports left out) and the connection.
    pub authority: String,
    /// `` or `/v1`-like.
    pub base_path: String,
    /// Its share among the endpoints of its upstream, at least 1.
    pub weight: u32,
}

impl Endpoints {
    /// The most that an upstream may have, wherever they come from.
    pub const MAX: usize = 1_000;
    /// The largest weight of one.
    pub const WEIGHT_MAX: u32 = 65_535;

    /// Whether any of them may speak TLS.
    pub fn may_be_https(&self) -> bool {
        match self {
            Self::Listed(endpoints) => endpoints.iter().any(|endpoint| endpoint.https),
            Self::File(_) => true,
            Self::Dns(dns) => dns.url.https,
        }
    }
}

impl Endpoint {
    /// Reads `http://host:port/base`, of weight 1.
    ///
    /// # Errors
    /// What is wrong with it, in one sentence.
    pub fn parse(text: &str) -> Result<Self, String> {
        crate::spelling::endpoint(text).map_err(|misspelt| misspelt.message)
    }

    /// The host alone: a name, an IPv4 address, or an IPv6 address in brackets.
    pub fn host(&self) -> &str {
        match self.authority.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => host,
            _ => &self.authority,
        }
    }

    /// As written, or the scheme's.
    pub fn port(&self) -> u16 {
        let written = self.authority.rsplit_once(':');
        let written = written.and_then(|(_, port)| port.parse().ok());
        written.unwrap_or(if self.https { 443 } else { 80 })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.https { "https" } else { "http" };
        write!(formatter, "{scheme}://{}{}", self.authority, self.base_path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_and_port_of_an_endpoint_are_known() {
        for (text, host, port) in [
            ("http://h", "h", 80),
            ("https://h/v1", "h", 443),
            ("https://h:80", "h", 80),
            ("http://[::1]", "[::1]", 80),
            ("http://[::1]:81", "[::1]", 81),
        ] {
            let endpoint = Endpoint::parse(text).unwrap();
            assert_eq!((endpoint.host(), endpoint.port()), (host, port), "{text}");
            assert_eq!(endpoint.to_string(), text);
        }
    }
}
