//! Whether two look for the same endpoints, and what the one makes of what the other found.

use std::net::SocketAddr;

use tollgate_config::{DnsRecord, Endpoint, EndpointDns, Endpoints};

use super::Found;

/// Whether both look at the same place and ask the same server: what the one finds the
/// other would find too, but for its own scheme and path.
#[must_use]
pub fn is_same(one: &Endpoints, other: &Endpoints) -> bool {
    match (one, other) {
        (Endpoints::File(one), Endpoints::File(other)) => one.path == other.path,
        (Endpoints::Dns(one), Endpoints::Dns(other)) => {
            is_same_name(one, other) && one.resolver == other.resolver
        }
        _ => false,
    }
}

fn is_same_name(one: &EndpointDns, other: &EndpointDns) -> bool {
    one.record == other.record && one.url.host() == other.url.host()
}

/// What `endpoints` would have made of what another found that looks for the same name.
#[must_use]
pub fn found_for(endpoints: &Endpoints, found: &[Found]) -> Vec<Found> {
    let Endpoints::Dns(dns) = endpoints else {
        return found.to_vec();
    };
    let of = |found: &Found| {
        let before = &found.endpoint;
        let endpoint = match dns.record {
            DnsRecord::Address => dns.url.clone(),
            DnsRecord::Srv => {
                let place = (before.host(), before.port());
                srv_target(&dns.url, place, before.weight).ok()?
            }
        };
        let address = found.address;
        Some(Found {
            address: address.map(|address| SocketAddr::new(address.ip(), endpoint.port())),
            endpoint,
        })
    };
    found.iter().filter_map(of).collect()
}

/// A target of SRV records, of whose URL it has scheme and path.
pub(super) fn srv_target(
    url: &Endpoint,
    (host, port): (&str, u16),
    weight: u32,
) -> Result<Endpoint, String> {
    let scheme = if url.https { "https" } else { "http" };
    let endpoint = Endpoint::parse(&format!("{scheme}://{host}:{port}{}", url.base_path))?;
    Ok(Endpoint { weight, ..endpoint })
}

/// What was found last of some names, for when nobody can be asked.
#[derive(Debug, Default)]
pub struct LastFound(Vec<(EndpointDns, Vec<Found>)>);

impl LastFound {
    /// Names that are remembered; the oldest goes first.
    pub const MAX: usize = 8;

    /// Remembers it, where it comes from the DNS and is anything at all.
    pub fn remember(&mut self, endpoints: &Endpoints, found: &[Found]) {
        let Endpoints::Dns(dns) = endpoints else {
            return;
        };
        if found.is_empty() {
            return;
        }
        self.0.retain(|(known, _)| !is_same_name(known, dns));
        if self.0.len() == Self::MAX {
            self.0.remove(0);
        }
        self.0.push((dns.clone(), found.to_vec()));
    }

    /// What was found of the same name, whoever was asked; empty: nothing yet.
    #[must_use]
    pub fn of(&self, endpoints: &Endpoints) -> Vec<Found> {
        let Endpoints::Dns(dns) = endpoints else {
            return Vec::new();
        };
        let known = self.0.iter().find(|(known, _)| is_same_name(known, dns));
        known
            .map(|(_, found)| found_for(endpoints, found))
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn dns(url: &str, record: DnsRecord) -> EndpointDns {
        EndpointDns {
            url: Endpoint::parse(url).unwrap(),
            record,
            refresh: None,
            resolver: None,
            timeout: Duration::from_secs(5),
        }
    }

    fn found(url: &str, address: &str, weight: u32) -> Found {
        let endpoint = Endpoint::parse(url).unwrap();
        Found {
            endpoint: Endpoint { weight, ..endpoint },
            address: Some(address.parse().unwrap()),
        }
    }

    #[test]
    fn what_was_found_of_a_name_holds_for_every_url_of_it() {
        let mut last = LastFound::default();
        let asked = dns("http://a.svc:8000", DnsRecord::Address);
        let known = [found("http://a.svc:8000", "10.0.0.1:8000", 1)];
        last.remember(&Endpoints::Dns(asked.clone()), &known);
        let refreshed = EndpointDns {
            refresh: Some(Duration::from_secs(1)),
            timeout: Duration::from_secs(1),
            resolver: Some("10.0.0.53:53".parse().unwrap()),
            ..asked
        };
        assert_eq!(last.of(&Endpoints::Dns(refreshed)), known);
        let moved = Endpoints::Dns(dns("https://a.svc/v1", DnsRecord::Address));
        let expected = [found("https://a.svc/v1", "10.0.0.1:443", 1)];
        assert_eq!(last.of(&moved), expected);
        for other in [
            dns("http://b.svc:8000", DnsRecord::Address),
            dns("http://a.svc", DnsRecord::Srv),
        ] {
            assert_eq!(last.of(&Endpoints::Dns(other)), []);
        }
    }

    #[test]
    fn targets_of_srv_records_keep_ports_and_weights() {
        let moved = Endpoints::Dns(dns("https://_http._tcp.v/v1", DnsRecord::Srv));
        let known = [
            found("http://a.svc:443", "10.0.0.1:443", 3),
            found("http://b.svc", "10.0.0.2:80", 1),
        ];
        let expected = [
            found("https://a.svc/v1", "10.0.0.1:443", 3),
            found("https://b.svc:80/v1", "10.0.0.2:80", 1),
        ];
        assert_eq!(found_for(&moved, &known), expected);
    }

    #[test]
    fn some_names_are_remembered_and_nothing_is_not() {
        let mut last = LastFound::default();
        let name =
            |number: usize| Endpoints::Dns(dns(&format!("http://h{number}"), DnsRecord::Address));
        let known = [found("http://h", "10.0.0.1:80", 1)];
        for number in 0..=LastFound::MAX {
            last.remember(&name(number), &known);
            last.remember(&name(number), &[]);
        }
        assert_eq!(last.of(&name(0)), []);
        for number in 1..=LastFound::MAX {
            assert_eq!(last.of(&name(number)).len(), 1, "{number}");
        }
    }

    #[test]
    fn another_server_may_know_others() {
        let asked = dns("http://a.svc:8000", DnsRecord::Address);
        let one = Endpoints::Dns(asked.clone());
        let other = Endpoints::Dns(EndpointDns {
            resolver: Some("10.0.0.53:53".parse().unwrap()),
            ..asked.clone()
        });
        let refreshed = Endpoints::Dns(EndpointDns {
            refresh: Some(Duration::from_secs(1)),
            ..asked
        });
        assert!(is_same(&one, &refreshed));
        assert!(!is_same(&one, &other));
        assert!(!is_same(&one, &Endpoints::Listed(Vec::new())));
    }
}
