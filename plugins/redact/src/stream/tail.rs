//! An event of its own for what is left of a text.

use serde_json::{Map, Value, json};
use tollgate_sdk::RawEvent;

use crate::json::Step;

/// The same as the last event of the text says of the whole, and the text at its place.
pub(super) fn event(last: &RawEvent, way: &[Step], text: &str) -> RawEvent {
    let last_data: Map<String, Value> = serde_json::from_slice(&last.data).unwrap_or_default();
    let mut data = scalars(&last_data);
    if let Some((top, below)) = way.get(1..).and_then(<[Step]>::split_first) {
        let kind = last_data.get(&top.name).and_then(|delta| delta.get("type"));
        data.insert(top.name.clone(), nest(top, below, kind, text));
    }
    RawEvent {
        name: last.name.clone(),
        ..RawEvent::json(&data)
    }
}

/// Such as `id` and `model`, but not the usage.
fn scalars(data: &Map<String, Value>) -> Map<String, Value> {
    let is_scalar = |(_, value): &(&String, &Value)| !value.is_object() && !value.is_array();
    let fields = data.iter().filter(is_scalar);
    fields
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// The value of a step, with the text at the end of the steps below it.
fn nest(step: &Step, below: &[Step], kind: Option<&Value>, text: &str) -> Value {
    let Some((next, rest)) = below.split_first() else {
        return text.into();
    };
    let mut fields = Map::new();
    if let Some(kind) = kind {
        fields.insert("type".to_owned(), kind.clone());
    }
    if let Some(index) = step.index {
        fields.insert("index".to_owned(), index.into());
    }
    fields.insert(next.name.clone(), nest(next, rest, None, text));
    if step.name == "choices" {
        fields.insert("finish_reason".to_owned(), Value::Null);
    }
    match step.index {
        Some(_) => json!([fields]),
        None => fields.into(),
    }
}
