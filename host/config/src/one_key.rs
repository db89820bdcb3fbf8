//! A map of exactly one key, which says what the value is.
//!
//! The parser takes a word alone for a variant as well, and reads what the variant says from
//! whatever follows the word: so a map is asked for here, and counted.

use std::{borrow::Cow, fmt, marker::PhantomData};

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{Error, MapAccess, Visitor, value::MapAccessDeserializer},
};

/// What is wrong then, for a message of this crate's.
pub(crate) const MORE_THAN_ONE: &str = "more than one key stands here";

/// An enum whose variants all say something: `{ variant: … }`.
#[derive(Debug, Clone, Serialize)]
pub struct OneKey<T>(pub T);

impl<T> OneKey<T> {
    /// Reads the map.
    ///
    /// # Errors
    /// It has no key, another one, or more than one.
    pub fn read<'de, A>(mut map: A) -> Result<T, A::Error>
    where
        T: Deserialize<'de>,
        A: MapAccess<'de>,
    {
        let value = T::deserialize(MapAccessDeserializer::new(&mut map))?;
        match map.next_key::<Second>()? {
            None => Ok(value),
            Some(Second) => Err(Second::refused()),
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OneKey<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OnlyMap<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for OnlyMap<T> {
            type Value = T;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of one key")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
                OneKey::read(map)
            }
        }
        deserializer.deserialize_map(OnlyMap(PhantomData)).map(Self)
    }
}

/// A key too many, refused where it stands.
struct Second;

impl Second {
    fn refused<E: Error>() -> E {
        E::custom(MORE_THAN_ONE)
    }
}

impl<'de> Deserialize<'de> for Second {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Err(Self::refused())
    }
}

impl<T: JsonSchema> JsonSchema for OneKey<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }
    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }
    fn schema_id() -> Cow<'static, str> {
        T::schema_id()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}
