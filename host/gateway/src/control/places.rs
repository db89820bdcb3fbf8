//! The file of places, opened once for all policies of all generations that ask it.

use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tollgate_capabilities::{EmbeddedGeo, GeoLocator, NoGeo};

use super::{
    picture::Digest,
    refused::{Refused, Stage},
    snapshot::Part,
};

/// The last one that was opened, for as long as somebody holds it.
#[derive(Default)]
pub(crate) struct Places {
    last: Mutex<Option<(Digest, Weak<EmbeddedGeo>)>>,
}

impl Places {
    /// What a generation with this file asks.
    ///
    /// # Errors
    /// The file is no database, or changed since the snapshot was taken.
    pub(crate) fn open(&self, part: Option<&Part>) -> Result<Arc<dyn GeoLocator>, Refused> {
        let Some(part) = part else {
            return Ok(Arc::new(NoGeo));
        };
        let mut last = self.last.lock();
        if let Some((digest, held)) = &*last
            && *digest == part.digest
            && let Some(geo) = held.upgrade()
        {
            return Ok(geo);
        }
        let geo = EmbeddedGeo::new(part.bytes()?);
        let geo = geo.map_err(|error| Refused::file(Stage::Load, "geo", &part.file, error))?;
        let geo = Arc::new(geo);
        *last = Some((part.digest, Arc::downgrade(&geo)));
        Ok(geo)
    }
}
