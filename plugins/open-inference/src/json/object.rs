//! An object in the making, as its text.

use serde::Serialize;

/// See the module.
#[derive(Debug)]
pub(crate) struct Object {
    text: String,
}

impl Default for Object {
    fn default() -> Self {
        Self {
            text: "{".to_owned(),
        }
    }
}

impl Object {
    pub(crate) fn put(&mut self, name: &str, value: &(impl Serialize + ?Sized)) {
        let value = written(value);
        self.raw(name, &value);
    }

    /// Nothing is written of what is not there.
    pub(crate) fn put_some(&mut self, name: &str, value: Option<&(impl Serialize + ?Sized)>) {
        if let Some(value) = value {
            self.put(name, value);
        }
    }

    /// A field whose value is JSON already.
    pub(crate) fn raw(&mut self, name: &str, value: &str) {
        self.with(name, |out| out.push_str(value));
    }

    /// A field whose value is written in place.
    pub(crate) fn with(&mut self, name: &str, write: impl FnOnce(&mut String)) {
        if self.text.len() > 1 {
            self.text.push(',');
        }
        self.text.push_str(&quoted(name));
        self.text.push(':');
        write(&mut self.text);
    }

    /// A field that is a list of one.
    pub(crate) fn one(&mut self, name: &str, value: &str) {
        self.with(name, |out| {
            out.reserve(value.len() + 64);
            out.push('[');
            out.push_str(value);
            out.push(']');
        });
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.text.len() == 1
    }

    pub(crate) fn into_text(mut self) -> String {
        self.text.push('}');
        self.text
    }
}

pub(crate) fn quoted(text: &str) -> String {
    written(text)
}

/// A list of what is JSON already.
pub(crate) fn list<T: AsRef<str>>(items: impl IntoIterator<Item = T>) -> String {
    let mut out = "[".to_owned();
    for item in items {
        if out.len() > 1 {
            out.push(',');
        }
        out.push_str(item.as_ref());
    }
    out.push(']');
    out
}

fn written(value: &(impl Serialize + ?Sized)) -> String {
    // Names are texts and memory does not fail, so there is nothing that could go wrong.
    serde_json::to_string(value).unwrap_or_default()
}
