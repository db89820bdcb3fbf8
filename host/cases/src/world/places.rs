//! Secrets and places, by what the case gives.

use std::{collections::BTreeMap, net::IpAddr};

use tollgate_capabilities::{GeoError, GeoLocator, Place, Secret, SecretError, SecretStore};

use super::{Notes, shown};
use crate::{case::Given, file::Store};

pub(super) struct Secrets {
    by_name: BTreeMap<String, Option<String>>,
    notes: Notes,
}

impl Secrets {
    pub(super) fn new(given: &Given, notes: Notes) -> Self {
        Self {
            by_name: given.secrets.clone(),
            notes,
        }
    }
}

impl SecretStore for Secrets {
    fn get(&self, name: &str) -> Result<Secret, SecretError> {
        let found = match self.by_name.get(name) {
            Some(Some(value)) => Ok(Secret::new(value.as_bytes())),
            Some(None) => Err(SecretError::Unavailable),
            None => Err(SecretError::Denied),
        };
        let answer = match &found {
            Ok(secret) => format!("{} bytes", secret.expose().len()),
            Err(SecretError::Unavailable) => "unavailable".to_owned(),
            Err(SecretError::Denied) => "denied".to_owned(),
        };
        let name = shown(name.as_bytes());
        self.notes.call(format!("secrets.get({name}) -> {answer}"));
        found
    }
}

pub(super) struct Places {
    by_address: BTreeMap<IpAddr, Place>,
    is_there: bool,
    notes: Notes,
}

impl Places {
    pub(super) fn new(given: &Given, notes: Notes) -> Self {
        Self {
            by_address: given.places.clone(),
            is_there: !given.unavailable.contains(&Store::Geo),
            notes,
        }
    }
}

impl GeoLocator for Places {
    fn locate(&self, address: IpAddr) -> Result<Option<Place>, GeoError> {
        let place = self.by_address.get(&address);
        let answer = match place {
            _ if !self.is_there => "unavailable".to_owned(),
            Some(place) => {
                let parts = [&place.country, &place.region].into_iter().flatten();
                parts.cloned().collect::<Vec<_>>().join("/")
            }
            None => "not known".to_owned(),
        };
        self.notes
            .call(format!("geo.lookup({address}) -> {answer}"));
        if self.is_there {
            Ok(place.cloned())
        } else {
            Err(GeoError::Unavailable)
        }
    }
}
