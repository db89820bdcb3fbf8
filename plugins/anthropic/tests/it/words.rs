//! What requests and answers are made of, whoever says them.

use proptest::{collection::vec, prelude::*};
use serde_json::{Map, Value, json};

/// Puts together what is there.
pub(crate) fn fields<const N: usize>(fields: [(&str, Option<Value>); N]) -> Value {
    let there = fields
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Value::Object(there.collect::<Map<_, _>>())
}

pub(crate) fn text() -> impl Strategy<Value = String> {
    "[a-z\"\\\\\n éß字😀]{1,12}"
}

pub(crate) fn word() -> impl Strategy<Value = String> {
    "[a-zA-Z0-9_-]{1,8}"
}

/// Of a tool's arguments.
pub(crate) fn input() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-1000..1000_i32).prop_map(|number| Value::from(f64::from(number) / 8.0)),
        text().prop_map(Value::from),
    ];
    let inner = leaf.prop_recursive(2, 8, 3, |inner| vec(inner, 0..3).prop_map(Value::from));
    vec((word(), inner), 0..3).prop_map(|fields| Value::Object(fields.into_iter().collect()))
}

pub(crate) fn text_part() -> impl Strategy<Value = Value> {
    text().prop_map(|text| json!({ "type": "text", "text": text }))
}

pub(crate) fn texts(least: usize) -> impl Strategy<Value = Value> {
    prop_oneof![
        text().prop_map(Value::from),
        vec(text_part(), least..4).prop_map(Value::from),
    ]
}

pub(crate) fn schema() -> impl Strategy<Value = Value> {
    word()
        .prop_map(|name| json!({ "type": "object", "properties": { name: { "type": "string" } } }))
}

/// A number that both write the same way.
pub(crate) fn share() -> impl Strategy<Value = Value> {
    (0..=16_u8).prop_map(|part| Value::from(f64::from(part) / 16.0))
}

pub(crate) fn pieces(text: &str, size: usize) -> Vec<String> {
    let characters: Vec<char> = text.chars().collect();
    characters
        .chunks(size)
        .map(|piece| piece.iter().collect())
        .collect()
}
