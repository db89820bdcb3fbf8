//! A policy that tells the upstream who the client is and where, so that the tests of the
//! whole gateway can see the capability `geo` at work from outside.

use tollgate_sdk::{
    geo::{self, Place},
    prelude::*,
};

/// See the crate.
pub struct Locator;

#[policy]
impl Policy for Locator {
    type Settings = NoSettings;

    fn open(_settings: &'static NoSettings, _head: &Head) -> Self {
        Self
    }

    fn on_request(&mut self, request: &mut Request) -> Verdict {
        let address = request.fact("client_address").unwrap_or_default();
        let place = match geo::lookup(&address) {
            Ok(Some(place)) => shown(place),
            Ok(None) => "unknown".to_owned(),
            Err(error) => format!("{error:?}"),
        };
        request.set_header("x-seen-address", address);
        request.set_header("x-seen-place", place);
        Verdict::next()
    }
}

fn shown(place: Place) -> String {
    let names = [place.continent, place.country, place.region, place.city];
    names.map(|name| name.unwrap_or("-".to_owned())).join("/")
}
