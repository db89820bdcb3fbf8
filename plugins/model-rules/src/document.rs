//! What rules change: a message of the gateway, or one that a case describes.

use tollgate_sdk::{Message, Value, pointer};

use crate::names::Pointer;

pub(crate) trait Document {
    fn get(&self, pointer: &str) -> Option<Value>;
    fn set(&mut self, pointer: &str, value: Value);
    fn remove(&mut self, pointer: &str);
    fn set_header(&mut self, name: &str, value: &str);
    fn append_header(&mut self, name: &str, value: &str);
    fn remove_header(&mut self, name: &str);

    /// Sets a field if the document has a place for it, and tells whether it has. A
    /// client's odd body is no reason for a decision that the gateway refuses.
    fn put(&mut self, at: &Pointer, value: Value) -> bool {
        for (container, next) in at.containers() {
            match self.get(container) {
                None => break,
                Some(Value::Json(text)) if text.starts_with('{') => {}
                Some(Value::Json(text)) if text.starts_with('[') => {
                    if next != "-" && self.get(&format!("{container}/{next}")).is_none() {
                        return false;
                    }
                }
                Some(_) => return false,
            }
        }
        self.set(at.as_str(), value);
        true
    }
}

impl Document for Message<'_> {
    fn get(&self, pointer: &str) -> Option<Value> {
        self.json_value(pointer)
    }

    fn set(&mut self, pointer: &str, value: Value) {
        self.set_json(pointer, value);
    }

    fn remove(&mut self, pointer: &str) {
        self.remove_json(pointer);
    }

    fn set_header(&mut self, name: &str, value: &str) {
        Message::set_header(self, name, value);
    }

    fn append_header(&mut self, name: &str, value: &str) {
        Message::append_header(self, name, value);
    }

    fn remove_header(&mut self, name: &str) {
        Message::remove_header(self, name);
    }
}

/// A message of a case.
#[derive(Debug, Clone)]
pub(crate) struct Sheet {
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: serde_json::Value,
}

impl Document for Sheet {
    fn get(&self, pointer: &str) -> Option<Value> {
        self.body.pointer(pointer).cloned().map(Value::from)
    }

    /// `put` has seen to it that there is a place.
    fn set(&mut self, pointer: &str, value: Value) {
        let _placed = pointer::set(&mut self.body, pointer, value.to_json());
    }

    fn remove(&mut self, pointer: &str) {
        let _removed = pointer::remove(&mut self.body, pointer);
    }

    fn set_header(&mut self, name: &str, value: &str) {
        self.remove_header(name);
        self.append_header(name, value);
    }

    fn append_header(&mut self, name: &str, value: &str) {
        self.headers.push((name.to_owned(), value.to_owned()));
    }

    fn remove_header(&mut self, name: &str) {
        self.headers
            .retain(|(other, _)| !other.eq_ignore_ascii_case(name));
    }
}
