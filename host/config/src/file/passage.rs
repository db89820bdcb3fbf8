//! Copies of requests, as the file says it.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;

use super::Period;
use crate::place::At;

/// Where copies of a route's requests go. Their answers are recorded and given to nobody.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Mirror {
    /// A name of `models`: one of its targets gets the copy, by weight.
    pub(crate) model: Option<At<String>>,
    /// A name of `upstreams`. With `model`: the model's target there.
    pub(crate) upstream: Option<At<String>>,
    /// How many of the requests are copied. Default: 100%.
    pub(crate) share: Option<At<Share>>,
    /// Of a copy and its answer in whole. Default: 60s.
    pub(crate) timeout: Option<At<Period>>,
}

/// A share such as `10%` or `0.5%`.
#[derive(Debug, Clone, Deserialize)]
#[serde(transparent)]
pub(crate) struct Share(pub(crate) String);

impl JsonSchema for Share {
    fn schema_name() -> Cow<'static, str> {
        "Share".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A share such as `10%` or `0.5%`.",
            "type": "string",
            "pattern": "^[0-9]+([.][0-9]{1,2})?%$",
        })
    }
}
