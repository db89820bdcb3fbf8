//! What a rule does to a message, whatever holds it: the gateway, a case, an event.
//!
//! All that a rule must read is read at once. Every edit is made so that it fits the
//! document, since a client could otherwise make the gateway refuse a decision.

use std::fmt;

use tollgate_sdk::{Message, Value};

use crate::{
    settings::{Bounds, HeaderRule, RequestRule, ResponseRule},
    spelling::{Pointer, covers},
};

/// JSON that is read and edited by pointer, with the gateway's rules: setting creates
/// the objects that are missing, removing what is not there is no mistake.
pub(crate) trait Document {
    fn values(&self, pointers: &[&str]) -> Vec<Option<Value>>;
    fn set(&mut self, pointer: &str, value: Value);
    fn remove(&mut self, pointer: &str);

    fn value(&self, pointer: &str) -> Option<Value> {
        self.values(&[pointer]).pop().flatten()
    }
}

/// Headers that are edited; names in lower case.
pub(crate) trait Headers {
    fn set_header(&mut self, name: &str, value: &str);
    fn append_header(&mut self, name: &str, value: &str);
    fn remove_header(&mut self, name: &str);
}

impl Document for Message<'_> {
    fn values(&self, pointers: &[&str]) -> Vec<Option<Value>> {
        self.json_values(pointers)
    }

    fn set(&mut self, pointer: &str, value: Value) {
        self.set_json(pointer, value);
    }

    fn remove(&mut self, pointer: &str) {
        self.remove_json(pointer);
    }
}

impl Headers for Message<'_> {
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

/// A field that the client sent is of a kind that the rule cannot work on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Misfit {
    pointer: String,
    wanted: &'static str,
}

impl Misfit {
    pub(crate) const CODE: &str = "invalid_field";
}

impl fmt::Display for Misfit {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "The field `{}` has to be {}.",
            self.pointer, self.wanted
        )
    }
}

/// Edits a request.
///
/// # Errors
/// The client sent a field that does not fit; the request is to be refused.
pub(crate) fn request(
    rule: &RequestRule,
    message: &mut (impl Document + Headers),
) -> Result<(), Misfit> {
    headers(&rule.headers, message);
    if rule.leaves_body() {
        return Ok(());
    }
    let Some(mut edits) = Edits::of(message, "/model", &rule.reads()) else {
        return Ok(());
    };
    if let Some(alias) = &rule.alias {
        edits.put("/model", alias.as_str().into());
    }
    for (from, to) in rule.rename.iter() {
        edits.rename(from, to)?;
    }
    for pointer in &rule.remove {
        edits.remove(pointer.as_str());
    }
    for (pointer, literal) in rule.set.iter() {
        edits.set(pointer, literal.value())?;
    }
    for (pointer, literal) in rule.default.iter() {
        if matches!(edits.value(pointer.as_str()), None | Some(Value::Null)) {
            edits.set(pointer, literal.value())?;
        }
    }
    for (pointer, bounds) in rule.clamp.iter() {
        edits.clamp(pointer.as_str(), bounds)?;
    }
    if let Some(system) = &rule.prepend_system
        && let Some(Value::Json(messages)) = edits.take(MESSAGES)
        && let Some(messages) = system.in_front_of(&messages)
    {
        edits.put(MESSAGES, Value::Json(messages));
    }
    Ok(())
}

/// Edits a response. What does not fit is left as it is.
pub(crate) fn response(rule: &ResponseRule, status: u16, message: &mut (impl Document + Headers)) {
    headers(&rule.headers, message);
    if (rule.set.is_empty() && rule.remove.is_empty()) || !(200..300).contains(&status) {
        return;
    }
    if let Some(mut edits) = Edits::of(message, "/object", &[]) {
        for pointer in &rule.remove {
            edits.remove(pointer.as_str());
        }
        for (pointer, literal) in rule.set.iter() {
            edits.set_where_it_fits(pointer, literal.value());
        }
    }
}

fn headers(rule: &HeaderRule, message: &mut impl Headers) {
    for name in &rule.remove {
        message.remove_header(name.as_str());
    }
    for (name, value) in rule.set.iter() {
        message.set_header(name.as_str(), value.as_str());
    }
    for (name, value) in rule.append.iter() {
        message.append_header(name.as_str(), value.as_str());
    }
}

const MESSAGES: &str = "/messages";

impl RequestRule {
    fn leaves_body(&self) -> bool {
        self.alias.is_none()
            && self.rename.is_empty()
            && self.remove.is_empty()
            && self.set.is_empty()
            && self.default.is_empty()
            && self.clamp.is_empty()
            && self.prepend_system.is_none()
    }

    /// The fields whose values decide what is done.
    fn reads(&self) -> Vec<&str> {
        let mut pointers: Vec<&str> = Vec::new();
        let named = self
            .rename
            .keys()
            .chain(self.default.keys())
            .chain(self.clamp.keys());
        let messages = self.prepend_system.is_some().then_some(MESSAGES);
        for pointer in named.map(Pointer::as_str).chain(messages) {
            if !pointers.contains(&pointer) {
                pointers.push(pointer);
            }
        }
        pointers
    }
}

/// Edits of one document, which is an object, with the values that were read before.
pub(crate) struct Edits<'a, D> {
    document: &'a mut D,
    read: Vec<(&'a str, Option<Value>)>,
    touched: Vec<&'a str>,
}

impl<'a, D: Document> Edits<'a, D> {
    /// Reads the fields in one call; `None` if the document is no object. `likely` is a
    /// field that is nearly always there: only without it the whole document is read.
    fn of(document: &'a mut D, likely: &'a str, pointers: &[&'a str]) -> Option<Self> {
        let all: Vec<&str> = std::iter::once(likely)
            .chain(pointers.iter().copied())
            .collect();
        let mut values = document.values(&all);
        let is_object =
            values.first().is_some_and(Option::is_some) || is_object(&document.value(""));
        if !is_object {
            return None;
        }
        let read = all.into_iter().zip(values.drain(..)).skip(1).collect();
        Some(Self {
            document,
            read,
            touched: Vec::new(),
        })
    }

    /// For a document that is known to be an object and is cheap to read.
    pub(crate) fn of_object(document: &'a mut D) -> Self {
        Self {
            document,
            read: Vec::new(),
            touched: Vec::new(),
        }
    }

    /// The value as the edits so far leave it.
    fn value(&self, pointer: &str) -> Option<Value> {
        match self.fresh(pointer) {
            Some(at) => self.read[at].1.clone(),
            None => self.document.value(pointer),
        }
    }

    /// As [`value`](Self::value), for one that is not asked for again.
    fn take(&mut self, pointer: &str) -> Option<Value> {
        match self.fresh(pointer) {
            Some(at) => self.read.swap_remove(at).1,
            None => self.document.value(pointer),
        }
    }

    fn fresh(&self, pointer: &str) -> Option<usize> {
        let at = self.read.iter().position(|(other, _)| *other == pointer)?;
        let is_stale = self.touched.iter().any(|touched| {
            let reach = reach(touched);
            covers(reach, pointer) || covers(pointer, reach)
        });
        (!is_stale).then_some(at)
    }

    fn put(&mut self, pointer: &'a str, value: Value) {
        self.document.set(pointer, value);
        self.touched.push(pointer);
    }

    pub(crate) fn remove(&mut self, pointer: &'a str) {
        self.document.remove(pointer);
        self.touched.push(pointer);
    }

    fn set(&mut self, pointer: &'a Pointer, value: Value) -> Result<(), Misfit> {
        if self.make_room(pointer)? == Room::Free {
            self.put(pointer.as_str(), value);
        }
        Ok(())
    }

    pub(crate) fn set_where_it_fits(&mut self, pointer: &'a Pointer, value: Value) {
        if let Ok(Room::Free) = self.make_room(pointer) {
            self.put(pointer.as_str(), value);
        }
    }

    fn rename(&mut self, from: &'a Pointer, to: &'a Pointer) -> Result<(), Misfit> {
        let Some(value) = self.value(from.as_str()) else {
            return Ok(());
        };
        if self.make_room(to)? == Room::Free {
            self.remove(from.as_str());
            self.put(to.as_str(), value);
        }
        Ok(())
    }

    fn clamp(&mut self, pointer: &'a str, bounds: &Bounds) -> Result<(), Misfit> {
        let number = match self.value(pointer) {
            None | Some(Value::Null) => return Ok(()),
            Some(value) => number(&value).ok_or_else(|| misfit(pointer, "a number"))?,
        };
        let is_below = |bound: &&serde_json::Number| bound.as_f64().is_some_and(|min| number < min);
        let is_above = |bound: &&serde_json::Number| bound.as_f64().is_some_and(|max| number > max);
        let min = bounds.min.as_ref().filter(is_below);
        if let Some(bound) = min.or(bounds.max.as_ref().filter(is_above)) {
            self.put(pointer, serde_json::Value::Number(bound.clone()).into());
        }
        Ok(())
    }

    /// Whether the field can be set. A `null` that it would lie in becomes an object; an
    /// element that a list has not is not made.
    fn make_room(&mut self, pointer: &'a Pointer) -> Result<Room, Misfit> {
        if pointer.parents().next().is_none() || self.value(pointer.as_str()).is_some() {
            return Ok(Room::Free);
        }
        for parent in pointer.parents() {
            match self.value(parent) {
                None => {}
                Some(Value::Null) => {
                    self.put(parent, Value::Json("{}".to_owned()));
                    return Ok(Room::Free);
                }
                Some(Value::Json(text)) if text.trim_start().starts_with('[') => {
                    return Ok(Room::None);
                }
                Some(Value::Json(text)) if text.trim_start().starts_with('{') => {
                    return Ok(Room::Free);
                }
                Some(_) => return Err(misfit(parent, "an object")),
            }
        }
        Ok(Room::Free)
    }
}

#[derive(PartialEq, Eq)]
enum Room {
    Free,
    None,
}

/// What an edit may have moved: all of a list, if it was made to one of its elements.
fn reach(touched: &str) -> &str {
    match touched.rsplit_once('/') {
        Some((list, index))
            if !index.is_empty() && index.bytes().all(|byte| byte.is_ascii_digit()) =>
        {
            list
        }
        _ => touched,
    }
}

fn is_object(value: &Option<Value>) -> bool {
    matches!(value, Some(Value::Json(text)) if text.trim_start().starts_with('{'))
}

/// Numbers that no float holds exactly come as text; to compare them, the nearest does.
fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => Some(*number),
        Value::Json(text) => text.parse().ok(),
        _ => None,
    }
}

fn misfit(pointer: &str, wanted: &'static str) -> Misfit {
    Misfit {
        pointer: pointer.to_owned(),
        wanted,
    }
}
