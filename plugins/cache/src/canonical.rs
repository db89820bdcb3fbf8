//! The one form of all bodies that say the same: keys in order, no spaces, numbers and
//! texts spelt one way, and no field that is null.
//!
//! Stricter than `serde_json`: what could be read in two ways is nobody's canonical form.

use std::{cell::Cell, collections::BTreeMap, fmt};

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use tollgate_sdk::Value;

/// How many brackets may be open at once, as a stack of 64 KiB has room for.
const DEPTH_MAX: usize = 120;
/// How many values a body may have: a plugin has 16 MiB.
const VALUES_MAX: usize = 50_000;
/// Beyond it, a number that is no 64-bit integer may stand for several.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Canonical {
    Null,
    Boolean(bool),
    Whole(i128),
    Real(f64),
    Text(String),
    List(Vec<Self>),
    Object(BTreeMap<String, Self>),
}

impl Canonical {
    /// Of a body that is an object; `None`: it is none, or could be read in two ways.
    pub(crate) fn of(body: &Value) -> Option<Self> {
        let Value::Json(text) = body else {
            return None;
        };
        let mut reader = serde_json::Deserializer::from_str(text);
        let values_left = Cell::new(VALUES_MAX);
        let tree = Tree {
            depth: 0,
            values_left: &values_left,
        };
        let read = tree.deserialize(&mut reader).ok()?;
        reader.end().ok()?;
        matches!(read, Self::Object(_)).then_some(read)
    }

    pub(crate) fn at(&self, path: &[&str]) -> Option<&Self> {
        path.iter().try_fold(self, |at, name| match at {
            Self::Object(fields) => fields.get(*name),
            _ => None,
        })
    }

    pub(crate) fn is_true(&self) -> bool {
        *self == Self::Boolean(true)
    }

    /// Adds it to a key, without the fields at its top that are ignored or null.
    pub(crate) fn write(&self, out: &mut Vec<u8>, is_ignored: impl Fn(&str, &Self) -> bool) {
        match self {
            Self::Object(fields) => write_object(fields, out, |name, value| {
                *value != Self::Null && !is_ignored(name, value)
            }),
            other => other.write_inner(out),
        }
    }

    fn write_inner(&self, out: &mut Vec<u8>) {
        match self {
            Self::Null => out.extend_from_slice(b"null"),
            Self::Boolean(true) => out.extend_from_slice(b"true"),
            Self::Boolean(false) => out.extend_from_slice(b"false"),
            Self::Whole(number) => out.extend_from_slice(number.to_string().as_bytes()),
            Self::Real(number) => out.extend_from_slice(number.to_string().as_bytes()),
            Self::Text(text) => write_text(text, out),
            Self::List(items) => {
                out.push(b'[');
                for item in items {
                    item.write_inner(out);
                    out.push(b',');
                }
                out.push(b']');
            }
            Self::Object(fields) => write_object(fields, out, |_, _| true),
        }
    }
}

fn write_object(
    fields: &BTreeMap<String, Canonical>,
    out: &mut Vec<u8>,
    matters: impl Fn(&str, &Canonical) -> bool,
) {
    out.push(b'{');
    for (name, value) in fields {
        if matters(name, value) {
            write_text(name, out);
            value.write_inner(out);
            // No number ends in what follows it.
            out.push(b',');
        }
    }
    out.push(b'}');
}

/// With its length in front, no text can look like anything else.
fn write_text(text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(format!("{}:", text.len()).as_bytes());
    out.extend_from_slice(text.as_bytes());
}

#[derive(Clone, Copy)]
struct Tree<'t> {
    depth: usize,
    values_left: &'t Cell<usize>,
}

impl Tree<'_> {
    fn inner<E: Error>(self) -> Result<Self, E> {
        let depth = self.depth + 1;
        if depth > DEPTH_MAX {
            return Err(E::custom("too deep"));
        }
        Ok(Self { depth, ..self })
    }
}

impl<'de> DeserializeSeed<'de> for Tree<'_> {
    type Value = Canonical;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Canonical, D::Error> {
        let left = self.values_left.get().checked_sub(1);
        let left = left.ok_or_else(|| D::Error::custom("too many values"))?;
        self.values_left.set(left);
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Tree<'_> {
    type Value = Canonical;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Canonical, E> {
        Ok(Canonical::Null)
    }

    fn visit_bool<E>(self, truth: bool) -> Result<Canonical, E> {
        Ok(Canonical::Boolean(truth))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Canonical, E> {
        Ok(Canonical::Whole(number.into()))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Canonical, E> {
        Ok(Canonical::Whole(number.into()))
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "whole and small enough to be exact"
    )]
    fn visit_f64<E: Error>(self, number: f64) -> Result<Canonical, E> {
        if !number.is_finite() || number.abs() >= EXACT_MAX {
            return Err(E::custom("a number that may stand for several"));
        }
        Ok(match number.fract() == 0.0 {
            true => Canonical::Whole(number as i128),
            false => Canonical::Real(number),
        })
    }

    fn visit_str<E>(self, text: &str) -> Result<Canonical, E> {
        Ok(Canonical::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Canonical, A::Error> {
        let inner = self.inner()?;
        let mut items = Vec::new();
        while let Some(item) = list.next_element_seed(inner)? {
            items.push(item);
        }
        Ok(Canonical::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Canonical, A::Error> {
        let inner = self.inner()?;
        let mut fields = BTreeMap::new();
        while let Some(name) = members.next_key::<String>()? {
            let value = members.next_value_seed(inner)?;
            if fields.insert(name, value).is_some() {
                return Err(A::Error::custom("a key that stands twice"));
            }
        }
        Ok(Canonical::Object(fields))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn form(text: &str) -> Option<Vec<u8>> {
        let canonical = Canonical::of(&Value::Json(text.to_owned()))?;
        let mut out = Vec::new();
        canonical.write(&mut out, |field, _| field == "user");
        Some(out)
    }

    #[test]
    fn what_says_the_same_has_one_form() {
        let same = [
            r#"{"model":"m","temperature":0,"messages":[{"role":"user","content":"A"}]}"#,
            r#"{ "messages": [ {"content":"\u0041","role":"user"} ], "temperature": 0.0, "model": "m" }"#,
            r#"{"model":"m","temperature":-0.0,"stop":null,"user":"ann","messages":[{"role":"user","content":"A"}]}"#,
            r#"{"model":"m","temperature":0e3,"messages":[{"role":"user","content":"A"}]}"#,
        ];
        let forms: Vec<_> = same.iter().map(|text| form(text).unwrap()).collect();
        assert!(forms.iter().all(|form| *form == forms[0]), "{forms:?}");
    }

    #[test]
    fn no_number_runs_into_the_name_behind_it() {
        let one = r#"{"seed":11,"uv":5,"wxyzabc":true}"#;
        let other = r#"{"seed":1,"uv57:wxyzabc":true}"#;
        assert_ne!(form(one), form(other));
        assert_ne!(
            form(r#"{"a":{"s":11},"u":5}"#),
            form(r#"{"a":{"s":1},"u":5}"#)
        );
    }

    #[test]
    fn what_says_something_else_has_another() {
        let texts = [
            r#"{"a":1}"#,
            r#"{"a":"1"}"#,
            r#"{"a":true}"#,
            r#"{"a":[1]}"#,
            r#"{"a":[[1]]}"#,
            r#"{"a":[]}"#,
            r#"{"a":{}}"#,
            r#"{"a":""}"#,
            r#"{"b":1}"#,
            r#"{}"#,
            r#"{"a":[1,1]}"#,
            r#"{"a":{"b":null}}"#,
            r#"{"a":[null]}"#,
            r#"{"a":[null,null]}"#,
            r#"{"a":0.1}"#,
            r#"{"a":0.10000000000000002}"#,
            r#"{"a":"x","b":"y"}"#,
            r#"{"a":"x1:b1:y"}"#,
            r#"{"a1:x":1}"#,
            r#"{"a":{"user":1}}"#,
            r#"{"a":9007199254740993}"#,
            r#"{"a":9007199254740992}"#,
            r#"{"a":-1}"#,
        ];
        for (at, text) in texts.iter().enumerate() {
            for other in &texts[..at] {
                assert_ne!(form(text).unwrap(), form(other).unwrap(), "{text} {other}");
            }
        }
    }

    #[test]
    fn what_could_be_read_in_two_ways_has_none() {
        let deep = format!(r#"{{"a":{}{}}}"#, "[".repeat(120), "]".repeat(120));
        let many = format!(r#"{{"a":[{}1]}}"#, "1,".repeat(VALUES_MAX));
        for text in [
            r#"{"a":1,"a":1}"#,
            r#"{"a":{"b":1,"\u0062":2}}"#,
            r#"{"a":1e400}"#,
            r#"{"a":18446744073709551617}"#,
            r#"{"a":9007199254740993.0}"#,
            r#"{"a":"\ud800"}"#,
            "[1]",
            "1",
            "{",
            "",
            &deep,
            &many,
        ] {
            assert_eq!(form(text), None, "{}", &text[..text.len().min(40)]);
        }
    }

    fn document() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            (-1e6..1e6).prop_map(|number: f64| number.into()),
            "[a-c\"\\\\:{}0-9é]{0,4}".prop_map(Into::into),
        ];
        let value = leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(serde_json::Value::Array),
                proptest::collection::vec(("[a-c]{1,2}", inner), 0..4)
                    .prop_map(|fields| serde_json::Value::Object(fields.into_iter().collect())),
            ]
        });
        proptest::collection::vec(("[a-d]{1,2}", value), 0..5)
            .prop_map(|fields| serde_json::Value::Object(fields.into_iter().collect()))
    }

    /// The same with its keys the other way round, and spaces.
    fn shuffled(value: &serde_json::Value) -> String {
        match value {
            serde_json::Value::Object(fields) => {
                let fields = fields.iter().rev();
                let fields = fields.map(|(name, value)| {
                    format!(" {} : {}\n", serde_json::json!(name), shuffled(value))
                });
                format!("{{{}}}", fields.collect::<Vec<_>>().join(","))
            }
            serde_json::Value::Array(items) => {
                let items: Vec<_> = items.iter().map(shuffled).collect();
                format!("[ {} ]", items.join(" , "))
            }
            other => other.to_string(),
        }
    }

    /// Without fields that are null at its top, which say nothing.
    fn bare(mut value: serde_json::Value) -> serde_json::Value {
        if let serde_json::Value::Object(fields) = &mut value {
            fields.retain(|_, value| !value.is_null());
        }
        value
    }

    proptest! {
        #[test]
        fn order_and_spaces_never_matter(value in document()) {
            prop_assert_eq!(form(&value.to_string()).unwrap(), form(&shuffled(&value)).unwrap());
        }

        #[test]
        fn two_forms_are_alike_only_if_the_bodies_are(a in document(), b in document()) {
            let (form_a, form_b) = (form(&a.to_string()), form(&b.to_string()));
            prop_assert_eq!(form_a == form_b, bare(a) == bare(b));
        }
    }
}
