//! A subset of JSON schema: what it can say, and what of it is nonsense.
//!
//! What a keyword means is that of draft 2020-12. Keywords that are not here are refused
//! when the settings are read, by name: a schema that is half understood guards nothing.

mod check;

use std::{borrow::Cow, cell::Cell, collections::BTreeMap, fmt};

use schemars::{JsonSchema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer},
};
use serde_json::{Number, Value};

/// How deep schemas may lie in each other: what the stack of a plugin has room for.
const DEPTH_MAX: usize = 32;

thread_local! {
    /// Of the schema that is read. Serde has no other way to hand it further in.
    static DEPTH: Cell<usize> = const { Cell::new(0) };
}

/// A schema: `true` for anything, `false` for nothing, or keywords.
#[derive(Debug, Clone)]
pub(crate) enum Node {
    Bool(bool),
    Keywords(Box<Keywords>),
}

/// What a value has to be like. `title`, `description`, `default`, `examples`, `$comment`,
/// `$schema` and `$id` are allowed and say nothing.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
#[schemars(rename = "SchemaOfTheBody")]
pub(crate) struct Keywords {
    /// What kind of value it is; one of them, if it is a list. Default: any.
    #[serde(rename = "type")]
    pub(crate) kinds: Option<Kinds>,
    /// It is one of these. Default: any.
    #[serde(rename = "enum")]
    pub(crate) one_of: Option<Vec<Value>>,
    /// It is this. Default: any.
    #[serde(rename = "const", deserialize_with = "present")]
    pub(crate) exactly: Option<Value>,
    /// Members that an object has to have. Default: none.
    pub(crate) required: Vec<String>,
    /// Schemas for an object's members, by name. Default: none.
    pub(crate) properties: BTreeMap<String, Node>,
    /// A schema for all its other members; `false`: there are none. Default: anything.
    pub(crate) additional_properties: Option<Node>,
    /// A schema for all elements of a list. Default: anything.
    pub(crate) items: Option<Node>,
    /// The fewest elements. Default: 0.
    pub(crate) min_items: Option<u64>,
    /// The most elements. Default: any number.
    pub(crate) max_items: Option<u64>,
    /// The fewest characters. Default: 0.
    pub(crate) min_length: Option<u64>,
    /// The most characters. Default: any number.
    pub(crate) max_length: Option<u64>,
    /// The smallest number. Default: any.
    pub(crate) minimum: Option<Number>,
    /// The largest number. Default: any.
    pub(crate) maximum: Option<Number>,
    /// A number has to be larger. Default: any.
    pub(crate) exclusive_minimum: Option<Number>,
    /// A number has to be smaller. Default: any.
    pub(crate) exclusive_maximum: Option<Number>,
    /// Says nothing. Default: none.
    pub(crate) title: Option<String>,
    /// Says nothing. Default: none.
    pub(crate) description: Option<String>,
    /// Says nothing. Default: none.
    pub(crate) default: Option<Value>,
    /// Says nothing. Default: none.
    pub(crate) examples: Option<Vec<Value>>,
    /// Says nothing. Default: none.
    #[serde(rename = "$comment")]
    pub(crate) comment: Option<String>,
    /// Says nothing. Default: none.
    #[serde(rename = "$schema")]
    pub(crate) dialect: Option<String>,
    /// Says nothing. Default: none.
    #[serde(rename = "$id")]
    pub(crate) id: Option<String>,
}

/// The kinds of JSON values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    Null,
    Boolean,
    /// A number without a fraction, however it is written.
    Integer,
    Number,
    String,
    Array,
    Object,
}

/// One of them or more.
#[derive(Debug, Clone)]
pub(crate) struct Kinds(pub(crate) Vec<Kind>);

/// `null` is a value here.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

impl Node {
    /// What can never hold, each with its pointer.
    pub(crate) fn mistakes(&self, at: &str, mistakes: &mut Vec<String>) {
        let Self::Keywords(keywords) = self else {
            return;
        };
        let Keywords {
            min_items,
            max_items,
            min_length,
            max_length,
            ..
        } = &**keywords;
        let pairs = [
            ("minItems", min_items, "maxItems", max_items),
            ("minLength", min_length, "maxLength", max_length),
        ];
        for (min_name, min, max_name, max) in pairs {
            if let (Some(min), Some(max)) = (min, max)
                && min > max
            {
                mistakes.push(format!(
                    "{at}/{min_name}: expected no more than `{max_name}`"
                ));
            }
        }
        if let (Some(min), Some(max)) = (&keywords.minimum, &keywords.maximum)
            && check::order(min, max).is_gt()
        {
            mistakes.push(format!("{at}/minimum: expected no more than `maximum`"));
        }
        if keywords.one_of.as_ref().is_some_and(Vec::is_empty) {
            mistakes.push(format!("{at}/enum: expected at least one value"));
        }
        for (name, node) in &keywords.properties {
            let name = name.replace('~', "~0").replace('/', "~1");
            node.mistakes(&format!("{at}/properties/{name}"), mistakes);
        }
        let inner = [
            ("items", &keywords.items),
            ("additionalProperties", &keywords.additional_properties),
        ];
        for (name, node) in inner {
            if let Some(node) = node {
                node.mistakes(&format!("{at}/{name}"), mistakes);
            }
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a schema: an object of keywords, `true` or `false`")
    }

    fn visit_bool<E>(self, truth: bool) -> Result<Node, E> {
        Ok(Node::Bool(truth))
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<Node, A::Error> {
        let depth = DEPTH.get();
        if depth >= DEPTH_MAX {
            return Err(A::Error::custom(format!(
                "expected a schema of at most {DEPTH_MAX} levels"
            )));
        }
        DEPTH.set(depth + 1);
        let keywords = Keywords::deserialize(MapAccessDeserializer::new(members));
        DEPTH.set(depth);
        Ok(Node::Keywords(Box::new(keywords?)))
    }
}

/// One schema without alternatives, so that a mistake in it is told where it is.
impl JsonSchema for Node {
    fn schema_name() -> Cow<'static, str> {
        Keywords::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> schemars::Schema {
        let mut schema = Keywords::json_schema(generator);
        schema.insert("type".to_owned(), serde_json::json!(["object", "boolean"]));
        schema
    }
}

impl<'de> Deserialize<'de> for Kinds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(KindsVisitor)
    }
}

struct KindsVisitor;

impl<'de> Visitor<'de> for KindsVisitor {
    type Value = Kinds;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("the name of a type, or a list of them")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Kinds, E> {
        let kind = Kind::deserialize(serde::de::value::StrDeserializer::new(name))?;
        Ok(Kinds(vec![kind]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Kinds, A::Error> {
        let mut kinds = Vec::new();
        while let Some(kind) = list.next_element()? {
            kinds.push(kind);
        }
        if kinds.is_empty() {
            return Err(A::Error::custom("expected at least one type"));
        }
        Ok(Kinds(kinds))
    }
}

impl JsonSchema for Kinds {
    fn schema_name() -> Cow<'static, str> {
        "Kinds".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> schemars::Schema {
        let kind = generator.subschema_for::<Kind>();
        json_schema!({ "type": ["string", "array"], "items": kind })
    }
}
