//! What follows a try that failed or is late, as routes and models may say it.

use std::{borrow::Cow, fmt, marker::PhantomData};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, Visitor, value::MapAccessDeserializer},
};

use super::Period;
use crate::{model, place::At};

/// The word `off`, or what it would turn off.
#[derive(Debug)]
pub(crate) enum OrOff<T> {
    Off,
    On(T),
}

/// How a try that failed is made again.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Retries {
    /// How often, at most. Default: 1.
    #[schemars(range(min = 0, max = model::RETRIES_MAX))]
    pub(crate) count: Option<At<u64>>,
    /// Which failures. Default: connect.
    pub(crate) on: Option<At<Vec<At<Cause>>>>,
    /// Of the last 10 seconds' requests, how many percent may be made again. Default: 20.
    #[schemars(range(min = 0, max = model::PERCENT_MAX))]
    pub(crate) budget: Option<At<u64>>,
    /// The longest pause before the first retry at the same endpoint; it doubles. Default: 25ms.
    pub(crate) backoff: Option<At<Period>>,
    /// The longest pause of all, one that the upstream asks for included. Default: 1s.
    pub(crate) max_backoff: Option<At<Period>>,
}

/// A second try before the first has failed, where a request may be made twice.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Hedge {
    /// Of the recent first bytes, how many percent came before a second try is made. Default: 95.
    #[schemars(range(min = 50, max = 99))]
    pub(crate) percentile: Option<At<u64>>,
    /// So many have to be known. Default: 100.
    #[schemars(range(min = 1, max = 1000))]
    pub(crate) samples: Option<At<u64>>,
    /// No second try before this. Default: 50ms.
    pub(crate) min_delay: Option<At<Period>>,
    /// Of the last 10 seconds' requests, how many percent may be made twice. Default: 5.
    #[schemars(range(min = 0, max = model::PERCENT_MAX))]
    pub(crate) budget: Option<At<u64>>,
}

/// How long is waited, where it differs from `timeouts`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Waits {
    /// Connecting to an endpoint.
    pub(crate) connect: Option<At<Period>>,
    /// To the response's headers.
    pub(crate) first_byte: Option<At<Period>>,
    /// To the first event of a stream with content, where another try may follow.
    pub(crate) first_token: Option<At<Period>>,
    /// Between two pieces of a response body.
    pub(crate) between_bytes: Option<At<Period>>,
    /// Of the whole exchange.
    pub(crate) total: Option<At<Period>>,
    /// The longest total that a client may ask for.
    pub(crate) max_total: Option<At<Period>>,
}

/// A failure: `connect`, `reset`, `timeout`, `unavailable`, or a status such as 503.
#[derive(Debug, Clone, Deserialize)]
#[serde(transparent)]
pub(crate) struct Cause(pub(crate) String);

impl JsonSchema for Cause {
    fn schema_name() -> Cow<'static, str> {
        "Cause".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "No connection, one that broke before the client got anything, a late answer, no endpoint to ask, or a status.",
            "anyOf": [
                { "enum": ["connect", "reset", "timeout", "unavailable"] },
                { "type": "integer", "minimum": 400, "maximum": 599 },
            ],
        })
    }
}

impl<T: JsonSchema> JsonSchema for OrOff<T> {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        format!("{}OrOff", T::schema_name()).into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let on = generator.subschema_for::<T>();
        json_schema!({ "anyOf": [{ "const": "off" }, on] })
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OrOff<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MapOrOff<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for MapOrOff<T> {
            type Value = OrOff<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`off` or a map")
            }

            fn visit_str<E: Error>(self, word: &str) -> Result<OrOff<T>, E> {
                match word {
                    "off" => Ok(OrOff::Off),
                    _ => Err(E::unknown_variant(word, &["off"])),
                }
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<OrOff<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(OrOff::On)
            }
        }
        deserializer.deserialize_any(MapOrOff(PhantomData))
    }
}
