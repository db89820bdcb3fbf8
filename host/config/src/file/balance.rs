//! How an upstream picks an endpoint: a word, or a map of one way and its options.

use std::fmt;

use schemars::JsonSchema;
use serde::{
    Deserialize, Deserializer,
    de::{
        Error, MapAccess, Visitor,
        value::{MapAccessDeserializer, StrDeserializer},
    },
};

use super::{Period, Size};
use crate::{model, one_key::OneKey, place::At};

/// How an endpoint is picked.
#[derive(Debug, JsonSchema)]
#[schemars(untagged)]
pub(crate) enum Balance {
    Word(BalanceWord),
    Options(Box<BalanceOptions>),
    /// Another word: refused where its place is known.
    #[schemars(skip)]
    Unknown(String),
}

/// A way that needs no option.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum BalanceWord {
    /// One after the other, by weight.
    RoundRobin,
    /// Of two drawn by chance, the one with fewer requests in flight.
    LeastRequests,
    /// Of two drawn by chance, the one that answers sooner, for what it has in flight.
    PeakEwma,
    /// By what the endpoint says of its queue and cache, and what it has seen of the prompt.
    ModelAware,
}

/// One way, with its options.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(extend("minProperties" = 1, "maxProperties" = 1))]
pub(crate) struct BalanceOptions {
    /// Of two drawn by chance, the one that answers sooner, for what it has in flight.
    pub(crate) peak_ewma: Option<At<PeakEwma>>,
    /// Requests alike in one thing go to one endpoint, as long as it has room.
    pub(crate) consistent_hash: Option<At<ConsistentHash>>,
    /// By what the endpoint says of its queue and cache, and what it has seen of the prompt.
    pub(crate) model_aware: Option<At<ModelAware>>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PeakEwma {
    /// How long a latency is remembered. Default: 10s.
    pub(crate) decay: Option<At<Period>>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ConsistentHash {
    /// What requests for one endpoint have in common.
    pub(crate) on: OneKey<HashOn>,
    /// In percent of its fair share: with more in flight, a key goes elsewhere. Default: 125.
    #[schemars(range(min = model::BOUND_MIN, max = model::BOUND_MAX))]
    pub(crate) bound: Option<At<u64>>,
}

/// What requests for one endpoint have in common.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub(crate) enum HashOn {
    /// A fact, such as `caller`, that the gateway or a policy set.
    Fact(At<String>),
    /// A header of the request.
    Header(At<String>),
    /// The beginning of the prompt, this much of it.
    Prompt(At<Size>),
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ModelAware {
    /// How the endpoints are asked for their metrics.
    pub(crate) scrape: Option<Scrape>,
    /// How much prompt text an endpoint is taken to have cached. Default: 8MiB.
    pub(crate) prefix_cache: Option<At<Size>>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Scrape {
    /// Default: `/metrics`.
    pub(crate) path: Option<At<String>>,
    /// Default: the endpoint's own.
    #[schemars(range(min = 1, max = 65_535))]
    pub(crate) port: Option<At<u64>>,
    /// Between two scrapes of an endpoint. Default: 1s.
    pub(crate) interval: Option<At<Period>>,
    /// From when on figures are too old to go by. Default: 5s.
    pub(crate) stale: Option<At<Period>>,
}

impl<'de> Deserialize<'de> for Balance {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct WordOrMap;
        impl<'de> Visitor<'de> for WordOrMap {
            type Value = Balance;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a way to balance, such as `least-requests`, or a map of one")
            }

            fn visit_str<E: Error>(self, word: &str) -> Result<Balance, E> {
                let known = BalanceWord::deserialize(StrDeserializer::<E>::new(word));
                Ok(known.map_or_else(|_| Balance::Unknown(word.to_owned()), Balance::Word))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Balance, A::Error> {
                let options = BalanceOptions::deserialize(MapAccessDeserializer::new(map))?;
                Ok(Balance::Options(Box::new(options)))
            }
        }
        deserializer.deserialize_any(WordOrMap)
    }
}
