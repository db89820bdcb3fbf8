//! Who a request comes from: facts that the gateway itself establishes.
//!
//! The address is the peer's. Where the peer is a proxy that the operator trusts, it is
//! the last one in `x-forwarded-for` that is not such a proxy, since each appends whom it
//! was asked by: what stands further to the left, anybody may have written.

use std::{net::IpAddr, sync::Arc};

use http::HeaderMap;
use tollgate_config::Config;
use tollgate_sandbox::Given;

const ADDRESS: &str = "client_address";
const FORWARDED_FOR: &str = "x-forwarded-for";
/// So many proxies in a row are passed, and no more.
const HOPS_MAX: usize = 32;

/// What holds for every exchange of a connection: the peer's address, and what its
/// certificate says.
pub(super) fn of_connection(peer: IpAddr, certificate: Vec<(&'static str, String)>) -> Given {
    let address = (ADDRESS, peer.to_string());
    std::iter::once(address).chain(certificate).collect()
}

/// What holds for one exchange.
pub(super) fn of_exchange(
    connection: &Given,
    peer: IpAddr,
    config: &Config,
    headers: &HeaderMap,
) -> Given {
    if !is_trusted(config, peer) {
        return Arc::clone(connection);
    }
    let client = forwarded_for(config, headers).unwrap_or(peer);
    let rest = connection.iter().filter(|(name, _)| *name != ADDRESS);
    of_connection(client, rest.cloned().collect())
}

fn is_trusted(config: &Config, address: IpAddr) -> bool {
    let proxies = &config.trusted_proxies;
    proxies.iter().any(|network| network.contains(&address))
}

/// The first address from the right that is no trusted proxy's; the last trusted one, if
/// what stands before it is no address, or nothing does.
fn forwarded_for(config: &Config, headers: &HeaderMap) -> Option<IpAddr> {
    let lines: Vec<_> = headers.get_all(FORWARDED_FOR).iter().collect();
    let hops = lines
        .iter()
        .rev()
        .flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
    let mut last = None;
    for hop in hops.take(HOPS_MAX) {
        let Some(address) = address(hop.trim_ascii()) else {
            return last;
        };
        last = Some(address);
        if !is_trusted(config, address) {
            return last;
        }
    }
    last
}

/// As proxies write it: plain, with a port, or in brackets.
fn address(text: &[u8]) -> Option<IpAddr> {
    let text = str::from_utf8(text).ok()?;
    let address = match text.parse::<IpAddr>() {
        Ok(address) => address,
        Err(_) => match text.parse::<std::net::SocketAddr>() {
            Ok(address) => address.ip(),
            Err(_) => text.strip_prefix('[')?.strip_suffix(']')?.parse().ok()?,
        },
    };
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        let text = "trusted_proxies: [ 10.0.0.0/8, \"2001:db8::/32\" ]\n\
            upstreams: { u: { endpoints: [ \"http://h\" ] } }\nroutes: [ { upstream: u } ]\n";
        tollgate_config::parse_str(text, "t.yaml", "/".as_ref()).unwrap()
    }

    fn seen(peer: &str, lines: &[&str]) -> String {
        let peer = peer.parse().unwrap();
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(FORWARDED_FOR, line.parse().unwrap());
        }
        let connection = of_connection(peer, vec![("client_cert_dns", "p.example".to_owned())]);
        let given = of_exchange(&connection, peer, &config(), &headers);
        assert_eq!(given.len(), 2, "{given:?}");
        assert_eq!(given[1], ("client_cert_dns", "p.example".to_owned()));
        assert_eq!(given[0].0, ADDRESS);
        given[0].1.clone()
    }

    #[test]
    fn a_stranger_is_who_it_is_whatever_it_says() {
        for lines in [
            &[][..],
            &["1.2.3.4"],
            &["10.0.0.1"],
            &["127.0.0.1", "1.2.3.4"],
        ] {
            assert_eq!(seen("192.0.2.7", lines), "192.0.2.7", "{lines:?}");
            assert_eq!(seen("2001:db9::7", lines), "2001:db9::7", "{lines:?}");
        }
    }

    #[test]
    fn behind_trusted_proxies_the_last_one_that_is_none_counts() {
        for (lines, expected) in [
            (&["192.0.2.7"][..], "192.0.2.7"),
            (&["1.1.1.1, 192.0.2.7"], "192.0.2.7"),
            (&["1.1.1.1, 192.0.2.7, 10.2.3.4"], "192.0.2.7"),
            (&["1.1.1.1", "192.0.2.7", "10.2.3.4,10.0.0.9"], "192.0.2.7"),
            (&["192.0.2.7:4711"], "192.0.2.7"),
            (&["[2001:db9::7]:4711"], "2001:db9::7"),
            (&["[2001:db9::7]"], "2001:db9::7"),
            (&["::ffff:192.0.2.7"], "192.0.2.7"),
            (&["2001:db9::7, 2001:db8::5"], "2001:db9::7"),
            // Everybody is trusted: the first of them all.
            (&["10.0.0.3, 10.0.0.4"], "10.0.0.3"),
            // Beyond what is no address, nothing is believed.
            (&["192.0.2.7, unknown, 10.0.0.4"], "10.0.0.4"),
            (&["192.0.2.7, _hidden"], "10.0.0.1"),
            (&["192.0.2.7,"], "10.0.0.1"),
            (&["192.0.2.7 10.0.0.4"], "10.0.0.1"),
            (&[""], "10.0.0.1"),
            (&[], "10.0.0.1"),
        ] {
            assert_eq!(seen("10.0.0.1", lines), expected, "{lines:?}");
        }
    }

    #[test]
    fn a_list_without_end_is_not_walked_to_its_end() {
        let line = format!("192.0.2.7{}", ", 10.0.0.9".repeat(5000));
        assert_eq!(seen("10.0.0.1", &[&line]), "10.0.0.9");
    }
}
