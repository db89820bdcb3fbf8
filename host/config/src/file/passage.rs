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
    /// Of the requests, how many percent are copied. Default: 100.
    pub(crate) percent: Option<At<Percent>>,
    /// Of a copy and its answer in whole. Default: 60s.
    pub(crate) timeout: Option<At<Period>>,
}

/// A percentage such as `10` or `0.5`: the text of it, since it is exact to the hundredth.
#[derive(Debug, Clone, Deserialize)]
#[serde(transparent)]
pub(crate) struct Percent(pub(crate) String);

impl JsonSchema for Percent {
    fn schema_name() -> Cow<'static, str> {
        "Percent".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A percentage such as `10` or `0.5`, to the hundredth.",
            "type": "number",
            "minimum": 0.01,
            "maximum": 100,
        })
    }
}
