//! Where an address is: a country, its largest region, a city.
//!
//! Read and never written, so nothing of it belongs to a plugin. Which policy may ask is
//! the sandbox's business.

mod embedded;

pub use embedded::{EmbeddedGeo, GeoFileError};

use std::net::IpAddr;

/// What is known of a place; what is not is `None`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    /// ISO 3166-1, two letters, such as `DE`.
    pub country: Option<String>,
    /// The largest subdivision: the part of its ISO 3166-2 code after the country's,
    /// such as `BY`.
    pub region: Option<String>,
    /// Two letters, such as `EU`.
    pub continent: Option<String>,
    /// Its English name.
    pub city: Option<String>,
}

/// Why a place could not be looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum GeoError {
    /// There is no file of places, or what it says of this address cannot be read.
    #[error("the place cannot be looked up")]
    Unavailable,
}

/// Finds places.
pub trait GeoLocator: Send + Sync {
    /// Where the address is; `None`: not known.
    ///
    /// # Errors
    /// It cannot be looked up now.
    fn locate(&self, address: IpAddr) -> Result<Option<Place>, GeoError>;
}

/// There is no file of places.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoGeo;

impl GeoLocator for NoGeo {
    fn locate(&self, _: IpAddr) -> Result<Option<Place>, GeoError> {
        Err(GeoError::Unavailable)
    }
}
