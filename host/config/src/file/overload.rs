//! How much is taken on at once, and what becomes of the rest.

use schemars::{JsonSchema, Schema};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Period;
use crate::{
    model,
    place::{At, Named},
};

/// How much the gateway takes on at once.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Overload {
    /// Open exchanges, whatever they do; one more is refused at once. Default: 20000.
    #[schemars(range(min = 1, max = model::EXCHANGES_MAX))]
    pub(crate) exchanges: Option<At<u64>>,
    /// Requests at all upstreams together. Default: no bound.
    #[schemars(range(min = 1, max = model::CONCURRENCY_MAX))]
    pub(crate) concurrency: Option<At<u64>>,
    /// What becomes of one that is more than `concurrency`.
    pub(crate) queue: Option<At<Queue>>,
    /// Who goes first, in this queue and in those of the upstreams.
    pub(crate) priorities: Option<At<Priorities>>,
}

/// How much an upstream is given at once.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Concurrency {
    /// Requests at all of its endpoints together. Default: no bound.
    #[schemars(range(min = 1, max = model::CONCURRENCY_MAX))]
    pub(crate) total: Option<At<u64>>,
    /// Requests at each of its endpoints. Default: no bound.
    #[schemars(range(min = 1, max = model::CONCURRENCY_MAX))]
    pub(crate) endpoint: Option<At<u64>>,
    /// What becomes of one more.
    pub(crate) queue: Option<At<Queue>>,
}

/// Where requests wait. One that finds no place, or waits too long, is refused.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Queue {
    /// How many wait at once; 0: none. Default: 128.
    #[schemars(range(max = model::QUEUE_MAX))]
    pub(crate) length: Option<At<u64>>,
    /// How long one waits. Default: 10s.
    pub(crate) timeout: Option<At<Period>>,
}

/// Who goes first.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Priorities {
    /// The fact whose value is the priority. Default: priority.
    pub(crate) fact: Option<At<String>>,
    /// The weight of each priority, in turns and in places. Default: high 8, normal 4, low 1.
    #[schemars(transform = weights)]
    pub(crate) weights: Option<At<Named<At<u64>>>>,
    /// The priority of who has none of these. Written beside `weights`. Default: normal.
    pub(crate) default: Option<At<String>>,
}

fn weights(schema: &mut Schema) {
    schema.insert("minProperties".into(), 1.into());
    schema.insert("maxProperties".into(), json!(model::PRIORITIES_MAX));
    let weight = schema.get_mut("additionalProperties");
    if let Some(weight) = weight.and_then(Value::as_object_mut) {
        weight.insert("minimum".into(), 1.into());
        weight.insert("maximum".into(), json!(model::PRIORITY_WEIGHT_MAX));
    }
}
