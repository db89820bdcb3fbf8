//! Where an address is, looked up in a file that the operator names. Needs the grant `geo`.
//!
//! The address of the client is the fact `client_address`.
//!
//! ```
//! use tollgate_sdk::{geo::{self, Place}, testing};
//!
//! testing::set_place("203.0.113.9", Place { country: Some("DE".into()), ..geo::nowhere() });
//! let place = geo::lookup("203.0.113.9").unwrap().unwrap();
//! assert_eq!(place.country.as_deref(), Some("DE"));
//! assert_eq!(geo::lookup("203.0.113.10"), Ok(None));
//! ```

#[cfg(target_arch = "wasm32")]
use crate::bindings::tollgate::policy::geo as host;
#[cfg(not(target_arch = "wasm32"))]
use crate::testing::host::geo as host;

/// What is known of a place.
///
/// ```
/// use tollgate_sdk::geo::Place;
///
/// fn is_in_europe(place: &Place) -> bool {
///     place.continent.as_deref() == Some("EU")
/// }
/// ```
pub use crate::bindings::tollgate::policy::geo::Place;

/// Why a place could not be looked up.
///
/// ```
/// use tollgate_sdk::geo;
///
/// assert_eq!(geo::lookup("not an address"), Err(geo::Error::Invalid));
/// ```
pub use crate::bindings::tollgate::policy::geo::Error;

/// Looks an IP address up, without a port; `None`: it is not known where it is.
///
/// ```
/// use tollgate_sdk::{geo, prelude::*};
///
/// fn country(request: &Request) -> Option<String> {
///     let address = request.fact("client_address")?;
///     geo::lookup(&address).ok()??.country
/// }
/// ```
///
/// # Errors
/// It is no address, or the operator's file cannot be read.
pub fn lookup(address: &str) -> Result<Option<Place>, Error> {
    host::lookup(address)
}

/// A place of which nothing is known, to begin one with.
///
/// ```
/// use tollgate_sdk::geo::{self, Place};
///
/// let place = Place { city: Some("Munich".to_owned()), ..geo::nowhere() };
/// assert_eq!(place.country, None);
/// ```
#[must_use]
pub fn nowhere() -> Place {
    Place {
        country: None,
        region: None,
        continent: None,
        city: None,
    }
}
