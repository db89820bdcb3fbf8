//! What a rule does to one event of a stream.
//!
//! Fields that a rule does not name stay as the upstream wrote them, byte for byte.

use std::fmt;

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{MapAccess, Visitor},
    ser::SerializeMap,
};
use serde_json::value::RawValue;
use tollgate_sdk::{Event, Kind, Value, pointer};

use crate::{
    edit::{Document, Edits},
    settings::{EventKind, EventRule, Replacement},
};

/// Whether an event is sent.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Kept,
    Dropped,
}

impl EventRule {
    /// Whether events are sent as they come.
    pub(crate) fn is_idle(&self) -> bool {
        self.drop_kinds.is_empty() && self.replace_text.is_empty() && self.leaves_fields()
    }

    fn leaves_fields(&self) -> bool {
        self.set.is_empty() && self.remove.is_empty()
    }
}

/// Edits an event. One that nothing was done to stays untouched.
pub(crate) fn edit(rule: &EventRule, event: &mut Event) -> Fate {
    if event.is_done() {
        return Fate::Kept;
    }
    if !rule.drop_kinds.is_empty() && rule.drop_kinds.contains(&kind(event)) {
        return Fate::Dropped;
    }
    replace_text(&rule.replace_text, event);
    if !rule.leaves_fields() {
        edit_fields(rule, event);
    }
    Fate::Kept
}

fn kind(event: &Event) -> EventKind {
    match event.kind() {
        Kind::Role(_) => EventKind::Role,
        Kind::Text(_) => EventKind::Text,
        Kind::ToolCall(_) => EventKind::ToolCall,
        Kind::Finish(_) => EventKind::Finish,
        Kind::Usage(_) => EventKind::Usage,
        Kind::Done | Kind::Other => EventKind::Other,
    }
}

fn replace_text(replacements: &[Replacement], event: &mut Event) {
    for Replacement { from, to } in replacements {
        let texts = || {
            event
                .choices()
                .iter()
                .filter_map(|choice| choice.text.as_deref())
        };
        if texts().any(|text| text.contains(from.as_str())) {
            event.map_text(|text| text.replace(from.as_str(), to));
        }
    }
}

fn edit_fields(rule: &EventRule, event: &mut Event) {
    let Ok(mut fields) = serde_json::from_slice::<Fields>(event.data()) else {
        return;
    };
    if fields.find("error").is_some() {
        return;
    }
    let mut edits = Edits::of_object(&mut fields);
    for pointer in &rule.remove {
        edits.remove(pointer.as_str());
    }
    for (pointer, literal) in rule.set.iter() {
        edits.set_where_it_fits(pointer, literal.value());
    }
    if fields.is_changed
        && let Ok(data) = serde_json::to_vec(&fields)
    {
        event.set_data(data);
    }
}

/// The top level of an object; what lies below is taken apart only where a pointer leads.
struct Fields {
    list: Vec<(String, Box<RawValue>)>,
    is_changed: bool,
}

impl Fields {
    fn find(&self, name: &str) -> Option<usize> {
        self.list.iter().rposition(|(other, _)| other == name)
    }

    fn write(&mut self, name: String, value: &serde_json::Value) {
        let Ok(value) = serde_json::value::to_raw_value(value) else {
            return;
        };
        match self.find(&name) {
            Some(at) if self.list[at].1.get() == value.get() => {}
            Some(at) => {
                self.list[at].1 = value;
                self.is_changed = true;
            }
            None => {
                self.list.push((name, value));
                self.is_changed = true;
            }
        }
    }

    /// The value of a field at the top level.
    fn read(&self, name: &str) -> Option<serde_json::Value> {
        let at = self.find(name)?;
        serde_json::from_str(self.list[at].1.get()).ok()
    }
}

/// The name at the top level, and the pointer from there.
fn split(whole: &str) -> Option<(String, &str)> {
    let inner = whole.strip_prefix('/')?;
    let end = inner.find('/').unwrap_or(inner.len());
    let name = pointer::tokens(&whole[..=end]).ok()?.pop()?;
    Some((name, &inner[end..]))
}

impl Document for Fields {
    fn values(&self, pointers: &[&str]) -> Vec<Option<Value>> {
        let read = |whole: &&str| {
            let (name, rest) = split(whole)?;
            let value = self.read(&name)?;
            value.pointer(rest).cloned().map(Value::from)
        };
        pointers.iter().map(read).collect()
    }

    fn set(&mut self, whole: &str, value: Value) {
        let Some((name, rest)) = split(whole) else {
            return;
        };
        let empty = || serde_json::Value::Object(serde_json::Map::new());
        let mut field = self.read(&name).unwrap_or_else(empty);
        if pointer::set(&mut field, rest, value.to_json()).is_ok() {
            self.write(name, &field);
        }
    }

    fn remove(&mut self, whole: &str) {
        let Some((name, rest)) = split(whole) else {
            return;
        };
        if rest.is_empty() {
            let count = self.list.len();
            self.list.retain(|(other, _)| *other != name);
            self.is_changed |= self.list.len() != count;
            return;
        }
        let Some(mut field) = self.read(&name) else {
            return;
        };
        if field.pointer(rest).is_some() && pointer::remove(&mut field, rest).is_ok() {
            self.write(name, &field);
        }
    }
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;

        impl<'de> Visitor<'de> for Pairs {
            type Value = Fields;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                let mut list = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    list.push(pair);
                }
                Ok(Fields {
                    list,
                    is_changed: false,
                })
            }
        }
        deserializer.deserialize_map(Pairs)
    }
}

impl Serialize for Fields {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.list.len()))?;
        for (name, value) in &self.list {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}
