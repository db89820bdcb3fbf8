//! JSON objects, taken apart field by field, and put together.
//!
//! A field that is `null` counts as missing, as both APIs have it. Texts are moved, never
//! copied: an image is large.

use serde_json::{Map, Number, Value};

use crate::{at::At, fault::Fault};

/// An object whose fields are taken out one by one.
#[derive(Debug)]
pub(crate) struct Fields<'a> {
    pub(crate) at: At<'a>,
    map: Map<String, Value>,
}

impl<'a> Fields<'a> {
    pub(crate) fn of(value: Value, at: At<'a>) -> Result<Self, Fault> {
        match value {
            Value::Object(map) => Ok(Self { at, map }),
            _ => Err(Fault::expected(at, "an object")),
        }
    }

    pub(crate) fn take(&mut self, name: &str) -> Option<Value> {
        match self.map.get_mut(name)?.take() {
            Value::Null => None,
            value => Some(value),
        }
    }

    pub(crate) fn text(&mut self, name: &str) -> Result<Option<String>, Fault> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(self.expected(name, "a string")),
        }
    }

    pub(crate) fn need_text(&mut self, name: &str) -> Result<String, Fault> {
        self.text(name)?
            .ok_or_else(|| self.expected(name, "a string"))
    }

    pub(crate) fn list(&mut self, name: &str) -> Result<Option<Vec<Value>>, Fault> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Array(list)) => Ok(Some(list)),
            Some(_) => Err(self.expected(name, "an array")),
        }
    }

    pub(crate) fn need_list(&mut self, name: &str) -> Result<Vec<Value>, Fault> {
        self.list(name)?
            .ok_or_else(|| self.expected(name, "an array"))
    }

    pub(crate) fn flag(&mut self, name: &str) -> Result<Option<bool>, Fault> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(flag)),
            Some(_) => Err(self.expected(name, "a boolean")),
        }
    }

    pub(crate) fn number(&mut self, name: &str) -> Result<Option<Number>, Fault> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Number(number)) => Ok(Some(number)),
            Some(_) => Err(self.expected(name, "a number")),
        }
    }

    pub(crate) fn count(&mut self, name: &str) -> Result<Option<u64>, Fault> {
        match self.take(name).map(|value| value.as_u64()) {
            None => Ok(None),
            Some(Some(count)) => Ok(Some(count)),
            Some(None) => Err(self.expected(name, "a whole number")),
        }
    }

    /// The object in a field.
    pub(crate) fn object<'b>(&'b mut self, name: &'b str) -> Result<Option<Fields<'b>>, Fault> {
        let value = self.take(name);
        value
            .map(|value| Fields::of(value, At::Field(&self.at, name)))
            .transpose()
    }

    pub(crate) fn need_object<'b>(&'b mut self, name: &'b str) -> Result<Fields<'b>, Fault> {
        let value = self.take(name).unwrap_or_default();
        Fields::of(value, At::Field(&self.at, name))
    }

    /// Whether its `type` is this one.
    pub(crate) fn is(&self, kind: &str) -> bool {
        self.map.get("type").is_some_and(|found| found == kind)
    }

    /// All that is left, as a block of the type that was taken out of it.
    pub(crate) fn into_block(mut self, kind: &str) -> Value {
        self.map.insert("type".to_owned(), kind.into());
        Value::Object(self.map)
    }

    pub(crate) fn expected(&self, name: &str, what: &str) -> Fault {
        Fault::expected(self.at.field(name), what)
    }

    /// What was not taken.
    pub(crate) fn rest(&self) -> impl Iterator<Item = (&str, &Value)> {
        let fields = self.map.iter().filter(|(_, value)| !value.is_null());
        fields.map(|(name, value)| (name.as_str(), value))
    }
}

/// An object in the making.
#[derive(Debug, Default)]
pub(crate) struct Object(Map<String, Value>);

impl Object {
    pub(crate) fn put(&mut self, name: &str, value: impl Into<Value>) {
        self.0.insert(name.to_owned(), value.into());
    }

    /// Nothing is written of what is not there.
    pub(crate) fn put_some(&mut self, name: &str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.put(name, value);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<Object> for Value {
    fn from(object: Object) -> Self {
        Self::Object(object.0)
    }
}

pub(crate) fn object<const N: usize>(fields: [(&str, Value); N]) -> Value {
    let fields = fields.into_iter();
    Value::Object(
        fields
            .map(|(name, value)| (name.to_owned(), value))
            .collect(),
    )
}

/// What both sides call a part, or block, of text.
pub(crate) fn text_part(text: String) -> Value {
    object([("type", "text".into()), ("text", text.into())])
}
