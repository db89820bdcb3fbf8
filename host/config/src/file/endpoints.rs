//! Endpoints: written down one by one, or where they are to be found.

use std::{borrow::Cow, fmt};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer,
    de::{
        Error, MapAccess, SeqAccess, Visitor,
        value::{MapAccessDeserializer, SeqAccessDeserializer},
    },
};

use super::Period;
use crate::{model, place::At};

/// A list, or a source.
#[derive(Debug)]
pub(crate) enum Endpoints {
    Listed(Vec<At<Listed>>),
    Found(Box<Found>),
}

/// One of a list.
#[derive(Debug)]
pub(crate) enum Listed {
    Url(String),
    Weighted(Weighted),
}

/// An endpoint with a share of its own.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Weighted {
    /// `http` or `https`, host, optional port, optional base path.
    pub(crate) url: At<String>,
    /// Its share among the endpoints. Default: 1.
    #[schemars(range(min = 1, max = model::Endpoints::WEIGHT_MAX))]
    pub(crate) weight: Option<At<u64>>,
}

/// Where endpoints are found: exactly one of `file`, `dns` and `srv`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Found {
    /// A file of one URL a line, maybe with a weight behind it; `#` begins a comment.
    pub(crate) file: Option<At<String>>,
    /// A URL: every A and AAAA record of its host is an endpoint.
    pub(crate) dns: Option<At<String>>,
    /// A URL without a port: its host is the name of SRV records, which tell hosts, ports and weights.
    pub(crate) srv: Option<At<String>>,
    /// How often to look again. Default: 2s for a file, else as long as the records hold.
    pub(crate) refresh: Option<At<Period>>,
    /// The address of the DNS server to ask. Default: the system's.
    pub(crate) resolver: Option<At<String>>,
    /// Of one look, with all its questions of DNS and all their tries. Default: 5s.
    pub(crate) timeout: Option<At<Period>>,
}

impl<'de> Deserialize<'de> for Endpoints {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Endpoints;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of URLs, or a map with `file`, `dns` or `srv`")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Endpoints, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(seq)).map(Endpoints::Listed)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Endpoints, A::Error> {
                Found::deserialize(MapAccessDeserializer::new(map))
                    .map(|found| Endpoints::Found(Box::new(found)))
            }
        }
        deserializer.deserialize_any(Either)
    }
}

impl<'de> Deserialize<'de> for Listed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Listed;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a URL, or a map with `url` and `weight`")
            }

            fn visit_str<E: Error>(self, url: &str) -> Result<Listed, E> {
                Ok(Listed::Url(url.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Listed, A::Error> {
                Weighted::deserialize(MapAccessDeserializer::new(map)).map(Listed::Weighted)
            }
        }
        deserializer.deserialize_any(Either)
    }
}

impl JsonSchema for Endpoints {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Endpoints".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let listed = generator.subschema_for::<Listed>();
        let found = generator.subschema_for::<Found>();
        json_schema!({
            "anyOf": [{ "type": "array", "minItems": 1, "maxItems": model::Endpoints::MAX, "items": listed }, found],
        })
    }
}

impl JsonSchema for Listed {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Listed".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let weighted = generator.subschema_for::<Weighted>();
        json_schema!({ "anyOf": [{ "type": "string" }, weighted] })
    }
}
