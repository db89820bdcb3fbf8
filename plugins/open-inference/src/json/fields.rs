//! An object whose fields are taken out one by one.
//!
//! A field that is `null` counts as missing, as all of these APIs have it.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::{Json, unquoted};
use crate::{at::At, fault::Fault};

/// See the module.
#[derive(Debug)]
pub(crate) struct Fields<'a, 't> {
    pub(crate) at: At<'a>,
    map: BTreeMap<String, &'t RawValue>,
}

impl<'a, 't> Fields<'a, 't> {
    pub(crate) fn of(json: impl Json<'t>, at: At<'a>) -> Result<Self, Fault> {
        match serde_json::from_str(json.text()) {
            Ok(map) => Ok(Self { at, map }),
            Err(_) => Err(Fault::expected(at, "an object")),
        }
    }

    pub(crate) fn take(&mut self, name: &str) -> Option<&'t RawValue> {
        let value = self.map.remove(name)?;
        (value.get() != "null").then_some(value)
    }

    pub(crate) fn text(&mut self, name: &str) -> Result<Option<String>, Fault> {
        match self.take(name).map(|value| unquoted(value.get())) {
            None => Ok(None),
            Some(Some(text)) => Ok(Some(text)),
            Some(None) => Err(self.expected(name, "a string")),
        }
    }

    pub(crate) fn need_text(&mut self, name: &str) -> Result<String, Fault> {
        self.text(name)?
            .ok_or_else(|| self.expected(name, "a string"))
    }

    pub(crate) fn flag(&mut self, name: &str) -> Result<Option<bool>, Fault> {
        match self.take(name).map(RawValue::get) {
            None => Ok(None),
            Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(_) => Err(self.expected(name, "a boolean")),
        }
    }

    /// A whole number above 0.
    pub(crate) fn positive(&mut self, name: &str) -> Result<Option<u64>, Fault> {
        match self.take(name).map(|value| value.get().parse()) {
            None => Ok(None),
            Some(Ok(count)) if count > 0 => Ok(Some(count)),
            Some(_) => Err(self.expected(name, "a whole number above 0")),
        }
    }

    pub(crate) fn list(&mut self, name: &str) -> Result<Option<Vec<&'t RawValue>>, Fault> {
        match self
            .take(name)
            .map(|value| serde_json::from_str(value.get()))
        {
            None => Ok(None),
            Some(Ok(list)) => Ok(Some(list)),
            Some(Err(_)) => Err(self.expected(name, "an array")),
        }
    }

    pub(crate) fn need_list(&mut self, name: &str) -> Result<Vec<&'t RawValue>, Fault> {
        self.list(name)?
            .ok_or_else(|| self.expected(name, "an array"))
    }

    /// The object in a field.
    pub(crate) fn object<'b>(&'b mut self, name: &'b str) -> Result<Option<Fields<'b, 't>>, Fault> {
        let value = self.take(name);
        value
            .map(|value| Fields::of(value, At::Field(&self.at, name)))
            .transpose()
    }

    pub(crate) fn expected(&self, name: &str, what: &str) -> Fault {
        Fault::expected(self.at.field(name), what)
    }

    /// What was not taken.
    pub(crate) fn rest(&self) -> impl Iterator<Item = (&str, &'t RawValue)> {
        let fields = self.map.iter().filter(|(_, value)| value.get() != "null");
        fields.map(|(name, value)| (name.as_str(), *value))
    }
}
