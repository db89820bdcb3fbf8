//! Host names and IP addresses, as they stand in URLs and `host` headers.

use std::net::{Ipv4Addr, Ipv6Addr};

/// `text` in lower case if it is a DNS name, an IPv4 address, or an IPv6 address in brackets.
pub(super) fn host(text: &str) -> Option<String> {
    let host = text.to_ascii_lowercase();
    if let Some(inner) = host.strip_prefix('[') {
        let address: Ipv6Addr = inner.strip_suffix(']')?.parse().ok()?;
        return Some(format!("[{address}]"));
    }
    let labels_good = host.len() <= 253 && host.split('.').all(is_label);
    // A name that ends in a number is an IPv4 address to resolvers, or a spelling of one.
    let last = host.rsplit('.').next().unwrap_or_default();
    let numeric = last.bytes().all(|b| b.is_ascii_digit()) || last.starts_with("0x");
    let good = labels_good && (!numeric || host.parse::<Ipv4Addr>().is_ok());
    good.then_some(host)
}

fn is_label(label: &str) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
    (1..=63).contains(&label.len())
        && label.bytes().all(inner)
        && !label.starts_with('-')
        && !label.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_put_into_lower_case() {
        for (text, read) in [
            ("Example.COM", "example.com"),
            ("10.0.0.1", "10.0.0.1"),
            ("[::1]", "[::1]"),
            ("my_svc", "my_svc"),
        ] {
            assert_eq!(host(text).as_deref(), Some(read));
        }
    }

    #[test]
    fn what_is_no_host_or_spells_an_address_oddly_is_refused() {
        for text in [
            "",
            ".",
            "a..b",
            "-a",
            "a-",
            "a b",
            "ex\u{e4}mple",
            "1.2.3",
            "0x7f.0.0.1",
            "127.0.0.0x1",
            "010.0.0.1",
            "2130706433",
            "[::1",
            "[1.2.3.4]",
            "[fe80::1%eth0]",
            "a/b",
            "a@b",
        ] {
            assert_eq!(host(text), None, "{text}");
        }
    }
}
