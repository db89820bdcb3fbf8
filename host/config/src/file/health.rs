//! When an endpoint or an upstream is left alone.

use std::{borrow::Cow, fmt, marker::PhantomData};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, Visitor, value::MapAccessDeserializer},
};

use super::Period;
use crate::{model, place::At};

/// When an endpoint, or the whole upstream, is left alone, and how it comes back.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Health {
    /// Endpoints that fail exchanges are ejected for a time; or `off`.
    pub(crate) passive: Option<Switch<Passive>>,
    /// Each endpoint is checked, asked whether it is ready; or `off`. Default: off.
    pub(crate) active: Option<At<Switch<Active>>>,
    /// An upstream that fails as a whole is left alone for a time; or `off`. Default: off.
    pub(crate) breaker: Option<Switch<Breaker>>,
    /// The most endpoints that are out at once, in percent, rounded down. Default: 50.
    #[schemars(range(min = 0, max = model::PERCENT_MAX))]
    pub(crate) max_out: Option<At<u64>>,
    /// How long a returning endpoint takes to its full share; or `off`. Default: 10s.
    pub(crate) slow_start: Option<At<PeriodOrOff>>,
    /// The longest that a `retry-after` keeps requests from an endpoint; or `off`. Default: 30s.
    pub(crate) busy_max: Option<At<PeriodOrOff>>,
}

/// Errors are no connection, a reset, a timeout, and 5xx other than 501 and 505.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Passive {
    /// Errors in a row; 0: not counted. Default: 5.
    #[schemars(range(min = 0, max = model::IN_A_ROW_MAX))]
    pub(crate) consecutive_errors: Option<At<u64>>,
    /// Errors within `window`, in percent; 0: not counted. Default: 50.
    #[schemars(range(min = 0, max = model::PERCENT_MAX))]
    pub(crate) error_percent: Option<At<u64>>,
    /// Fewer requests within `window` say nothing. Default: 20.
    #[schemars(range(min = 1, max = model::MIN_REQUESTS_MAX))]
    pub(crate) min_requests: Option<At<u64>>,
    /// Default: 10s.
    pub(crate) window: Option<At<Period>>,
    /// How long an endpoint is out the first time; each further time twice as long. Default: 5s.
    pub(crate) pause: Option<At<Period>>,
    /// Default: 5m.
    pub(crate) pause_max: Option<At<Period>>,
    /// Requests that it is tried with after a pause; all have to do well. Default: 1.
    #[schemars(range(min = 1, max = model::PROBES_MAX))]
    pub(crate) probes: Option<At<u64>>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Breaker {
    /// Errors within `window`, in percent. Default: 50.
    #[schemars(range(min = 1, max = model::PERCENT_MAX))]
    pub(crate) error_percent: Option<At<u64>>,
    /// Fewer requests within `window` say nothing. Default: 50.
    #[schemars(range(min = 1, max = model::MIN_REQUESTS_MAX))]
    pub(crate) min_requests: Option<At<u64>>,
    /// Default: 10s.
    pub(crate) window: Option<At<Period>>,
    /// How long the upstream is left alone; each further time twice as long. Default: 5s.
    pub(crate) pause: Option<At<Period>>,
    /// Default: 1m.
    pub(crate) pause_max: Option<At<Period>>,
    /// Requests that it is tried with after a pause; all have to do well. Default: 3.
    #[schemars(range(min = 1, max = model::PROBES_MAX))]
    pub(crate) probes: Option<At<u64>>,
}

/// An answer of 200 to 299 in time is a success.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Active {
    /// Stands by itself, not behind the base path. Default: by the dialect; opaque has none.
    pub(crate) path: Option<At<String>>,
    /// Between two checks. Default: 5s.
    pub(crate) interval: Option<At<Period>>,
    /// By how much of it each pause differs at random, in percent. Default: 20.
    #[schemars(range(min = 0, max = model::PERCENT_MAX))]
    pub(crate) jitter: Option<At<u64>>,
    /// Of one check. Default: 2s.
    pub(crate) timeout: Option<At<Period>>,
    /// Failures in a row after which an endpoint is down. Default: 3.
    #[schemars(range(min = 1, max = model::IN_A_ROW_MAX))]
    pub(crate) down_after: Option<At<u64>>,
    /// Successes in a row after which it is up again. Default: 2.
    #[schemars(range(min = 1, max = model::IN_A_ROW_MAX))]
    pub(crate) up_after: Option<At<u64>>,
}

/// A section, or `off`.
#[derive(Debug)]
pub(crate) enum Switch<T> {
    Off,
    On(T),
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Switch<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Either<T> {
            type Value = Switch<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map, or `off`")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Switch<T>, E> {
                match text {
                    "off" => Ok(Switch::Off),
                    _ => Err(E::invalid_value(serde::de::Unexpected::Str(text), &self)),
                }
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Switch<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Switch::On)
            }
        }
        deserializer.deserialize_any(Either(PhantomData))
    }
}

impl<T: JsonSchema> JsonSchema for Switch<T> {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        format!("{}OrOff", T::schema_name()).into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let section = generator.subschema_for::<T>();
        json_schema!({ "anyOf": [section, { "const": "off" }] })
    }
}

/// A time such as `10s`, or `off`.
#[derive(Debug, Clone, Deserialize)]
#[serde(transparent)]
pub(crate) struct PeriodOrOff(pub(crate) String);

impl JsonSchema for PeriodOrOff {
    fn schema_name() -> Cow<'static, str> {
        "PeriodOrOff".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A time such as `500ms`, `30s` or `5m`, or `off`.",
            "type": "string",
            "pattern": "^(off|[0-9]+(ms|s|m|h))$",
        })
    }
}
