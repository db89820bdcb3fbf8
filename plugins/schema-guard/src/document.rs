//! Reads a part of the body as a tree.
//!
//! Stricter than `serde_json`: a key that stands twice could be read in two ways, and
//! what nests deeper than the stack of a plugin should go is refused, not tried.

use std::{cell::Cell, fmt};

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// How many brackets may be open at once: as many as `limits.json_depth` can allow, and
/// as a stack of 64 KiB has room for.
pub(crate) const DEPTH_MAX: usize = 120;

/// How many values a tree may have: a small object takes a quarter of a KiB, and a plugin
/// has 16 MiB.
const VALUES_MAX: usize = 20_000;

/// # Errors
/// What is wrong, in words.
pub(crate) fn read(text: &str) -> Result<Value, String> {
    let mut reader = serde_json::Deserializer::from_str(text);
    let values_left = Cell::new(VALUES_MAX);
    let tree = Tree {
        depth: 0,
        values_left: &values_left,
    };
    let value = tree
        .deserialize(&mut reader)
        .map_err(|error| said(&error))?;
    reader.end().map_err(|error| said(&error))?;
    Ok(value)
}

/// Without line and column, which count from the start of the part.
pub(crate) fn said(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let text = text
        .rsplit_once(" at line ")
        .map_or(&*text, |(what, _)| what);
    text.to_owned()
}

/// # Errors
/// Too deep.
pub(crate) fn deeper<E: Error>(depth: usize) -> Result<usize, E> {
    if depth < DEPTH_MAX {
        Ok(depth + 1)
    } else {
        Err(E::custom(format!("more than {DEPTH_MAX} levels")))
    }
}

#[derive(Clone, Copy)]
struct Tree<'t> {
    depth: usize,
    values_left: &'t Cell<usize>,
}

impl Tree<'_> {
    fn inner<E: Error>(self) -> Result<Self, E> {
        let depth = deeper(self.depth)?;
        Ok(Self { depth, ..self })
    }
}

impl<'de> DeserializeSeed<'de> for Tree<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        let left = self.values_left.get().checked_sub(1);
        self.values_left
            .set(left.ok_or_else(|| D::Error::custom(format!("more than {VALUES_MAX} values")))?);
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Tree<'_> {
    type Value = Value;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, truth: bool) -> Result<Value, E> {
        Ok(truth.into())
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Value, E> {
        let number = Number::from_f64(number);
        number
            .map(Value::Number)
            .ok_or_else(|| E::custom("a number out of range"))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let inner = self.inner()?;
        let mut values = Vec::new();
        while let Some(value) = list.next_element_seed(inner)? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let inner = self.inner()?;
        let mut values = Map::new();
        while let Some(key) = members.next_key::<String>()? {
            let value = members.next_value_seed(inner)?;
            if values.insert(key, value).is_some() {
                return Err(A::Error::custom("a key that stands twice"));
            }
        }
        Ok(Value::Object(values))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_what_was_written() {
        let text = r#"{"a":[1,-2,0.5,null,true,"x\n"],"b":{},"c":18446744073709551615}"#;
        assert_eq!(read(text), Ok(serde_json::from_str(text).unwrap()));
    }

    #[test]
    fn what_could_be_read_in_two_ways_or_not_at_all_is_refused() {
        for (text, reason) in [
            (r#"{"a":{"b":1,"b":2}}"#, "stands twice"),
            (r#"{"a":1,"\u0061":2}"#, "stands twice"),
            ("1e400", "out of range"),
            ("[1] 2", "trailing"),
            ("", "EOF"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }

    #[test]
    fn a_tree_has_no_more_values_than_there_is_memory_for() {
        let list = |length: usize| format!("[{}1]", "{},".repeat(length - 1));
        assert!(read(&list(VALUES_MAX - 1)).is_ok());
        assert!(read(&list(VALUES_MAX)).unwrap_err().contains("values"));
    }

    #[test]
    fn what_nests_too_deep_is_refused_and_not_tried() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert!(read(&nested(DEPTH_MAX)).is_ok());
        assert!(read(&nested(DEPTH_MAX + 1)).unwrap_err().contains("levels"));
        assert!(
            read(&"{\"a\":".repeat(100_000))
                .unwrap_err()
                .contains("levels")
        );
    }
}
