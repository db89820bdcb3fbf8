//! The places of a document, without its values.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};

use crate::place::At;

/// A value that others stand in, or none do.
#[derive(Debug)]
pub(crate) enum Shape {
    Leaf,
    List(Vec<At<Shape>>),
    Map(Vec<(At<String>, At<Shape>)>),
}

impl Shape {
    /// The value of a key, or the item of an index.
    pub(crate) fn child(&self, token: &str) -> Option<&At<Self>> {
        match self {
            Self::Leaf => None,
            Self::List(items) => items.get(token.parse::<usize>().ok()?),
            Self::Map(entries) => entries
                .iter()
                .find(|(key, _)| key.value == token)
                .map(|(_, value)| value),
        }
    }

    /// The `nth` entry of a map or item of a list, with its key if it has one.
    pub(crate) fn nth(&self, nth: usize) -> Option<(Option<&At<String>>, &At<Self>)> {
        match self {
            Self::Leaf => None,
            Self::List(items) => items.get(nth).map(|item| (None, item)),
            Self::Map(entries) => entries.get(nth).map(|(key, value)| (Some(key), value)),
        }
    }

    /// All that stand directly in it.
    pub(crate) fn children(&self) -> impl Iterator<Item = &At<Self>> {
        let (items, entries) = match self {
            Self::Leaf => (None, None),
            Self::List(items) => (Some(items), None),
            Self::Map(entries) => (None, Some(entries)),
        };
        let values = entries.into_iter().flatten().map(|(_, value)| value);
        items.into_iter().flatten().chain(values)
    }
}

impl<'de> Deserialize<'de> for Shape {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Outline)
    }
}

struct Outline;

impl<'de> Visitor<'de> for Outline {
    type Value = Shape;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }
    fn visit_bool<E>(self, _: bool) -> Result<Shape, E> {
        Ok(Shape::Leaf)
    }
    fn visit_i64<E>(self, _: i64) -> Result<Shape, E> {
        Ok(Shape::Leaf)
    }
    fn visit_i128<E>(self, _: i128) -> Result<Shape, E> {
        Ok(Shape::Leaf)
    }
    fn visit_u64<E>(self, _: u64) -> Result<Shape, E> {
        Ok(Shape::Leaf)
    }
    fn visit_u128<E>(self, _: u128) -> Result<Shape, E> {
        Ok(Shape::Leaf)
    }
    fn visit_f64<E>(self, _: f64) -> Result<Shape, E> {
        Ok(Shape::Leaf)
    }
    fn visit_str<E>(self, _: &str) -> Result<Shape, E> {
        Ok(Shape::Leaf)
    }
    fn visit_bytes<E>(self, _: &[u8]) -> Result<Shape, E> {
        Ok(Shape::Leaf)
    }
    fn visit_unit<E>(self) -> Result<Shape, E> {
        Ok(Shape::Leaf)
    }
    fn visit_none<E>(self) -> Result<Shape, E> {
        Ok(Shape::Leaf)
    }
    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Shape, D::Error> {
        Shape::deserialize(deserializer)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Shape, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element()? {
            items.push(item);
        }
        Ok(Shape::List(items))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Shape, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Shape::Map(entries))
    }
}
