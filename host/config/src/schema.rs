//! The JSON schema of the file, for editors and for `tollgate check`'s readers.

use serde_json::Value;

use crate::file::File;

/// The JSON schema (2020-12) of a configuration file.
///
/// Says what keys there are and how values are spelled; that names exist and
/// numbers are in range is for [`load`](crate::load) to prove. The copy in
/// `host/config/schema` is kept equal by a test.
pub fn json_schema() -> Value {
    schemars::schema_for!(File).into()
}
