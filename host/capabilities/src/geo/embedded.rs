//! Looks places up in a file of MaxMind's format, whole in memory: GeoIP2, GeoLite2, and
//! others that are laid out as these are.
//!
//! A file is opened once and never changes; a new one is opened beside it. Of what a file
//! says, only short texts are handed on.

use std::net::IpAddr;

use bytes::Bytes;
use maxminddb::{LookupResult, PathElement, Reader, path};

use super::{GeoError, GeoLocator, Place};

/// The longest text that is taken from a file, in bytes.
const TEXT_MAX: usize = 256;

/// Why a file is no file of places.
#[derive(Debug, thiserror::Error)]
#[error("it is no database in MaxMind's format: {0}")]
pub struct GeoFileError(#[from] maxminddb::MaxMindDbError);

/// A file of places.
pub struct EmbeddedGeo {
    reader: Reader<Bytes>,
}

impl EmbeddedGeo {
    /// Takes the content of a file.
    ///
    /// # Errors
    /// It has no tree of addresses that could be walked.
    pub fn new(content: Bytes) -> Result<Self, GeoFileError> {
        Ok(Self {
            reader: Reader::from_source(content)?,
        })
    }
}

impl GeoLocator for EmbeddedGeo {
    fn locate(&self, address: IpAddr) -> Result<Option<Place>, GeoError> {
        let address = address.to_canonical();
        if address.is_ipv6() && self.reader.metadata().ip_version == 4 {
            return Ok(None);
        }
        let found = self.reader.lookup(address).map_err(unavailable)?;
        if !found.has_data() {
            return Ok(None);
        }
        Ok(Some(Place {
            country: text(&found, &path!["country", "iso_code"])?,
            region: text(&found, &path!["subdivisions", 0, "iso_code"])?,
            continent: text(&found, &path!["continent", "code"])?,
            city: text(&found, &path!["city", "names", "en"])?,
        }))
    }
}

fn text(
    found: &LookupResult<'_, Bytes>,
    path: &[PathElement<'_>],
) -> Result<Option<String>, GeoError> {
    let text: Option<&str> = found.decode_path(path).map_err(unavailable)?;
    Ok(text.filter(|text| is_plain(text)).map(str::to_owned))
}

fn is_plain(text: &str) -> bool {
    (1..=TEXT_MAX).contains(&text.len()) && !text.contains(char::is_control)
}

fn unavailable(error: maxminddb::MaxMindDbError) -> GeoError {
    tracing::debug!(%error, "a place cannot be read");
    GeoError::Unavailable
}

impl std::fmt::Debug for EmbeddedGeo {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = &self.reader.metadata().database_type;
        write!(formatter, "EmbeddedGeo({kind})")
    }
}

#[cfg(test)]
#[path = "../../../../tests/mmdb.rs"]
mod mmdb;

#[cfg(test)]
mod tests {
    use super::*;

    fn geo(entries: &[mmdb::Entry<'_>]) -> EmbeddedGeo {
        EmbeddedGeo::new(mmdb::database(entries).into()).unwrap()
    }

    fn at(geo: &EmbeddedGeo, address: &str) -> Option<Place> {
        geo.locate(address.parse().unwrap()).unwrap()
    }

    fn place(country: &str, region: &str, continent: &str, city: &str) -> Option<Place> {
        let known = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Some(Place {
            country: known(country),
            region: known(region),
            continent: known(continent),
            city: known(city),
        })
    }

    #[test]
    fn an_address_is_in_the_smallest_network_that_holds_it() {
        let geo = geo(&[
            ("192.0.2.0/24", ["DE", "", "EU", ""]),
            ("192.0.2.128/25", ["DE", "BY", "EU", "Munich"]),
            ("192.0.2.200/32", ["AT", "", "EU", "Linz"]),
            ("2001:db8::/32", ["JP", "13", "AS", "Tokyo"]),
        ]);
        for (address, expected) in [
            ("192.0.2.1", place("DE", "", "EU", "")),
            ("192.0.2.129", place("DE", "BY", "EU", "Munich")),
            ("192.0.2.200", place("AT", "", "EU", "Linz")),
            ("::ffff:192.0.2.129", place("DE", "BY", "EU", "Munich")),
            ("2001:db8::1", place("JP", "13", "AS", "Tokyo")),
            ("192.0.3.1", None),
            ("127.0.0.1", None),
            ("2001:db9::1", None),
            ("::1", None),
        ] {
            assert_eq!(at(&geo, address), expected, "{address}");
        }
    }

    #[test]
    fn what_is_too_long_or_would_steer_a_terminal_is_left_out() {
        let long = "x".repeat(TEXT_MAX + 1);
        let geo = geo(&[("0.0.0.0/1", ["DE", "a\u{1b}[2J", "EU", &long])]);
        assert_eq!(at(&geo, "1.2.3.4"), place("DE", "", "EU", ""));
    }

    #[test]
    fn a_file_that_is_none_is_refused() {
        let whole = mmdb::database(&[("192.0.2.0/24", ["DE", "", "EU", ""])]);
        for content in [&b""[..], b"no database", &whole[..whole.len() / 2]] {
            assert!(EmbeddedGeo::new(content.to_vec().into()).is_err());
        }
    }

    /// Whatever its bytes say: no panic, and nothing that is long.
    #[test]
    fn a_file_that_is_broken_anywhere_does_no_harm() {
        let whole = mmdb::database(&[
            ("192.0.2.0/24", ["DE", "BY", "EU", "Munich"]),
            ("2001:db8::/32", ["JP", "13", "AS", "Tokyo"]),
        ]);
        let mut opened = 0;
        for at in 0..whole.len() {
            for flip in [0x01, 0x80, 0xff] {
                let mut broken = whole.clone();
                broken[at] ^= flip;
                let Ok(geo) = EmbeddedGeo::new(broken.into()) else {
                    continue;
                };
                opened += 1;
                for address in ["192.0.2.1", "2001:db8::1", "255.255.255.255"] {
                    if let Ok(Some(place)) = geo.locate(address.parse().unwrap()) {
                        assert!(place.city.is_none_or(|city| city.len() <= TEXT_MAX));
                    }
                }
            }
        }
        assert!(opened > whole.len(), "only {opened} could be opened");
    }

    #[test]
    fn without_a_file_nothing_is_known() {
        use crate::geo::NoGeo;
        let answer = NoGeo.locate([127, 0, 0, 1].into());
        assert_eq!(answer, Err(GeoError::Unavailable));
    }
}
