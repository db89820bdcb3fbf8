//! JSON and base64 that can be read in one way only.
//!
//! Two readers of one token must not see two tokens: a name twice in an object, padding,
//! or bits beyond the end are refused, and so is what is nested too deeply for the stack.

use std::fmt;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// Lists and objects within one another.
const DEPTH_MAX: usize = 16;

/// The bytes behind base64url without padding.
pub(crate) fn base64url(text: &[u8]) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

/// An object, and nothing after it.
pub(crate) fn object(text: &[u8]) -> Option<Map<String, Value>> {
    let mut reader = serde_json::Deserializer::from_slice(text);
    let value = Strict { left: DEPTH_MAX }.deserialize(&mut reader).ok()?;
    reader.end().ok()?;
    match value {
        Value::Object(object) => Some(object),
        _ => None,
    }
}

#[derive(Clone, Copy)]
struct Strict {
    left: usize,
}

impl Strict {
    fn deeper<E: Error>(self) -> Result<Self, E> {
        match self.left.checked_sub(1) {
            Some(left) => Ok(Self { left }),
            None => Err(E::custom("nested too deeply")),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Value, D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut values = Vec::new();
        while let Some(value) = list.next_element_seed(inner)? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut fields = Map::new();
        while let Some(name) = object.next_key::<String>()? {
            let value = object.next_value_seed(inner)?;
            if fields.insert(name, value).is_some() {
                return Err(A::Error::custom("a name twice"));
            }
        }
        Ok(Value::Object(fields))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_read_as_it_is() {
        let text = br#"{"a":[1,-2,0.5,"x",true,null],"b":{"c":{}}}"#;
        let expected: Value = serde_json::from_slice(text).unwrap();
        assert_eq!(object(text).map(Value::Object), Some(expected));
    }

    #[test]
    fn what_two_readers_could_read_differently_is_nothing() {
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(16), "]".repeat(16));
        let deeper = format!("{{\"a\":{}", "[".repeat(50_000));
        let cases: [&[u8]; 12] = [
            b"",
            b"[]",
            b"1",
            br#"{"a":1,"a":1}"#,
            br#"{"a":{"b":1,"\u0062":2}}"#,
            br#"{"a":1}{}"#,
            br#"{"a":1} x"#,
            br#"{"a":NaN}"#,
            br#"{"a":1e999}"#,
            b"{\"a\":\"\xff\"}",
            deep.as_bytes(),
            deeper.as_bytes(),
        ];
        for text in cases {
            let shown = String::from_utf8_lossy(&text[..text.len().min(40)]);
            assert_eq!(object(text), None, "{shown}");
        }
    }

    #[test]
    fn base64_has_one_form() {
        assert_eq!(base64url(b"_-8"), Some(vec![0xff, 0xef]));
        for text in ["_-8=", "/+8", "_-9", "_", "_- 8", "_-8\n", "é"] {
            assert_eq!(base64url(text.as_bytes()), None, "{text}");
        }
    }
}
