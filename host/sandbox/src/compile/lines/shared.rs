//! A table that many share, written down as the table that it is.

use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Lines;

pub(in crate::compile) fn serialize<S: Serializer>(
    lines: &Option<Arc<Lines>>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    lines.as_deref().serialize(serializer)
}

pub(in crate::compile) fn deserialize<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Arc<Lines>>, D::Error> {
    let lines = Option::<Lines>::deserialize(deserializer)?;
    Ok(lines.map(Arc::new))
}
