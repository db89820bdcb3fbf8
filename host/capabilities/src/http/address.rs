//! Which addresses a granted name may stand for.
//!
//! The operator listed the name, so private networks are fine. What no name of a
//! service stands for is refused: link-local and cloud metadata, multicast,
//! broadcast, reserved ranges, and loopback unless the name is `localhost`. An
//! address that carries an IPv4 one inside is judged by both.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Metadata services outside the link-local ranges (AWS over IPv6, Alibaba, Azure).
const METADATA_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);
const METADATA_V4: [Ipv4Addr; 2] = [
    Ipv4Addr::new(100, 100, 100, 200),
    Ipv4Addr::new(168, 63, 129, 16),
];

/// Whether a connection to `name` may go to this address. An address that the
/// operator wrote as a literal never comes here.
pub(super) fn may_stand_for(name: &str, address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4_may_stand_for(name, v4),
        IpAddr::V6(v6) => {
            v6_may_stand_for(name, v6)
                && embedded_v4(v6).is_none_or(|v4| v4_may_stand_for(name, v4))
        }
    }
}

fn is_localhost(name: &str) -> bool {
    name == "localhost" || name.ends_with(".localhost")
}

fn v4_may_stand_for(name: &str, address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let never = a == 0
        || address.is_link_local()
        || address.is_multicast()
        || a >= 240
        || (a, b, c) == (192, 0, 0)
        || METADATA_V4.contains(&address);
    !never && (!address.is_loopback() || is_localhost(name))
}

fn v6_may_stand_for(name: &str, address: Ipv6Addr) -> bool {
    let never = address.is_unspecified()
        || address.is_unicast_link_local()
        || address.is_multicast()
        || address == METADATA_V6;
    !never && (!address.is_loopback() || is_localhost(name))
}

/// The IPv4 address inside: mapped or compatible, 6to4 (2002::/16), NAT64 (64:ff9b::/96).
fn embedded_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let [a, b, c, d, e, f, g, h] = address.segments();
    let of = |high: u16, low: u16| Some(Ipv4Addr::from(u32::from(high) << 16 | u32::from(low)));
    match (a, b, c, d, e, f) {
        (0, 0, 0, 0, 0, 0xffff) | (0x64, 0xff9b, 0, 0, 0, 0) => of(g, h),
        (0, 0, 0, 0, 0, 0) if !address.is_loopback() => of(g, h),
        (0x2002, high, low, ..) => of(high, low),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn may(name: &str, address: &str) -> bool {
        may_stand_for(name, address.parse().unwrap())
    }

    #[test]
    fn public_and_private_addresses_may_stand_for_a_listed_name() {
        for address in [
            "93.184.216.34",
            "10.0.0.1",
            "172.16.0.1",
            "192.168.1.1",
            "100.64.0.1",
            "2606:4700::1111",
            "fd12::1",
            "::ffff:10.0.0.1",
        ] {
            assert!(may("auth.internal", address), "{address}");
        }
    }

    #[test]
    fn what_no_service_is_known_by_may_not() {
        for address in [
            "0.0.0.0",
            "0.1.2.3",
            "169.254.169.254",
            "100.100.100.200",
            "168.63.129.16",
            "192.0.0.192",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "fe80::1",
            "febf::1",
            "ff02::1",
            "fd00:ec2::254",
            "::ffff:169.254.169.254",
            "::169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "2002:a9fe:a9fe::1",
            "2002:7f00:1::",
        ] {
            assert!(!may("auth.internal", address), "{address}");
            assert!(
                !may("localhost", address) || address == "2002:7f00:1::",
                "{address}"
            );
        }
    }

    #[test]
    fn loopback_is_for_localhost_alone() {
        for address in ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"] {
            assert!(
                may("localhost", address) && may("a.localhost", address),
                "{address}"
            );
            assert!(!may("example.com", address), "{address}");
            assert!(!may("notlocalhost", address), "{address}");
        }
    }
}
