//! Networks of addresses.

use std::net::IpAddr;

use ipnet::IpNet;

use super::{Misspelt, misspelt, quote};

/// `10.0.0.0/8`, or one address.
pub(crate) fn network(text: &str) -> Result<IpNet, Misspelt> {
    const EXPECTED: &str = "an IP address, or a network such as `10.0.0.0/8`";
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(IpNet::from(address.to_canonical()));
    }
    let Ok(network) = text.parse::<IpNet>() else {
        return misspelt(format!("{} is no network", quote(text)), EXPECTED);
    };
    if network.trunc() != network {
        let message = format!("{} has bits beyond its length", quote(text));
        return misspelt(
            message,
            "the first address of the network, such as `10.0.0.0/8`",
        );
    }
    Ok(network)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_an_address_or_begins_with_its_first_one() {
        for (text, expected) in [
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("192.0.2.7", "192.0.2.7/32"),
            ("::ffff:192.0.2.7", "192.0.2.7/32"),
            ("2001:db8::/32", "2001:db8::/32"),
            ("::1", "::1/128"),
        ] {
            assert_eq!(network(text).unwrap().to_string(), expected);
        }
        for text in [
            "",
            "10.0.0.1/8",
            "10.0.0.0/33",
            "10.0.0",
            "localhost",
            "::/129",
            "1.2.3.4/",
        ] {
            assert!(network(text).is_err(), "{text}");
        }
    }
}
