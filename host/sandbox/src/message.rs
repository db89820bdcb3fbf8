//! A request or response as the policies see it.
//!
//! The body is read as JSON at most once, at the first question about a field, and
//! written at most once, when it is taken. A decision's edits are applied whole or
//! not at all. Knows nothing of sockets, routes or wasm.

use std::{ops::ControlFlow, sync::Arc};

use bytes::Bytes;
use http::{HeaderMap, Method};

use crate::{
    Charge, Remembered,
    contract::{CachePlan, Destination, Edit, Endpoint, Value},
    edit::{self, BadEdit, BodyStep, HeadStep, Side, Steps},
    json::{DEPTH_MAX, Json, JsonError, PROMPT, Pointer, PromptPlaces},
};

/// Facts that the gateway itself establishes before any policy is asked, by name. No
/// policy can set one of these names: see [`is_given`].
pub type Given = Arc<[(&'static str, String)]>;

/// Whether facts of this name are the gateway's alone.
#[must_use]
pub fn is_given(name: &str) -> bool {
    name == "client_address" || name.starts_with("client_cert_")
}

/// Headers, body and facts of one message.
#[derive(Debug)]
pub struct Message {
    /// Of a request.
    pub method: Method,
    /// Path and query.
    pub path: String,
    /// Of a response.
    pub status: u16,
    /// Without those that frame the message or belong to a connection.
    pub headers: HeaderMap,
    /// As it was before the edits in `json`: read it through [`Message::body`],
    /// write it through [`Message::replace_body`]. `None`: not at hand.
    pub body: Option<Bytes>,
    /// The body taken apart, once a field was asked for.
    pub json: Option<Json>,
    /// Why the body could not be taken apart; it is not tried again.
    pub json_error: Option<JsonError>,
    /// How many brackets may be open at once in the body.
    pub json_depth: usize,
    /// Where the prompt stands in `body`, if somebody has looked.
    pub prompt: Option<PromptPlaces>,
    /// Set by policies, read by later ones; few.
    pub facts: Vec<(String, String)>,
    /// What the gateway knows; shared by all messages of a connection.
    pub given: Option<Given>,
    /// What the policy that was asked last has planned for the answer.
    pub plan: Option<Box<CachePlan>>,
    /// Where the policy that asked last wants a copy to go.
    pub shadow: Option<Box<Destination>>,
    /// Where the try may go, for policies that may score endpoints. Others need none.
    pub endpoints: Option<Vec<Endpoint>>,
    /// What the policy that was asked last thinks of each.
    pub scores: Option<Vec<f64>>,
    /// What policies hold for the exchange; whoever asked them takes it away.
    pub charges: Vec<Charge>,
}

impl Default for Message {
    fn default() -> Self {
        Self {
            method: Method::default(),
            path: String::new(),
            status: 0,
            headers: HeaderMap::new(),
            body: None,
            json: None,
            json_error: None,
            json_depth: DEPTH_MAX,
            prompt: None,
            facts: Vec::new(),
            given: None,
            plan: None,
            shadow: None,
            endpoints: None,
            scores: None,
            charges: Vec::new(),
        }
    }
}

impl Message {
    /// The first value of a header; the name in any case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers.get(name).map(http::HeaderValue::as_bytes)
    }

    /// The field at a JSON pointer; `None` if there is none or the body is not JSON.
    pub fn json(&mut self, pointer: &str) -> Option<Value> {
        self.read_json().ok()??.get(pointer)
    }

    /// The body taken apart; `None` if it is not at hand.
    ///
    /// # Errors
    /// The body is not JSON; found out once.
    pub fn read_json(&mut self) -> Result<Option<&mut Json>, &JsonError> {
        if let (None, None, Some(body)) = (&self.json, &self.json_error, &self.body) {
            match Json::parse(body.clone(), self.json_depth) {
                Ok(json) => self.json = Some(json),
                Err(error) => self.json_error = Some(error),
            }
        }
        match &self.json_error {
            Some(error) => Err(error),
            None => Ok(self.json.as_mut()),
        }
    }

    /// As [`Message::read_json`]; a body that is no JSON is as if nobody had looked.
    pub(crate) fn peek_json(&mut self) -> Option<&mut Json> {
        let was_looked_at = self.json_error.is_some();
        if self.read_json().is_err() && !was_looked_at {
            self.json_error = None;
        }
        self.json.as_mut()
    }

    /// The body as it is now, with the edits in it.
    pub fn body(&mut self) -> Option<&Bytes> {
        self.write_json();
        self.body.as_ref()
    }

    /// Takes the body as it is to be sent, with the edits in it.
    pub fn take_body(&mut self) -> Option<Bytes> {
        let edited = self.json.take().filter(Json::is_edited);
        let read = self.body.take();
        self.replace_body(None);
        match edited {
            Some(json) => Some(json.into_bytes()),
            None => read,
        }
    }

    /// Puts another body in place; what was read from the old one is forgotten.
    pub fn replace_body(&mut self, body: Option<Bytes>) {
        self.body = body;
        self.json = None;
        self.json_error = None;
        self.prompt = None;
    }

    /// Gives the fields of the body's prompt, as they are written, to `take` until it wants no
    /// more: those that are there of `instructions`, `system`, `prompt`, `messages` and `input`.
    pub fn prompt(&mut self, mut take: impl FnMut(&[u8]) -> ControlFlow<()>) {
        if let (None, Some(places), Some(body)) = (&self.json, &self.prompt, &self.body) {
            return places.each(body, take);
        }
        let Ok(Some(json)) = self.read_json() else {
            return;
        };
        for field in PROMPT {
            if let Some(text) = json.text(field)
                && take(&text).is_break()
            {
                return;
            }
        }
    }

    /// A fact that the gateway gives or an earlier policy set.
    // Not inlined: it is called from many places in a row, and code that is new has to be fetched.
    #[must_use]
    #[inline(never)]
    pub fn fact(&self, name: &str) -> Option<&str> {
        if let Some(given) = &self.given
            && let Some((_, value)) = given.iter().find(|(known, _)| *known == name)
        {
            return Some(value);
        }
        let set = self.facts.iter().find(|(known, _)| known == name);
        set.map(|(_, value)| value.as_str())
    }

    /// Sets a fact, in place of one of the same name. Not checked: for the host's own.
    pub fn set_fact(&mut self, name: &str, value: &str) {
        match self.facts.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => value.clone_into(old),
            None => self.facts.push((name.to_owned(), value.to_owned())),
        }
    }

    /// Checks all edits, then applies them in order.
    ///
    /// # Errors
    /// The first edit that does not hold; nothing is applied then.
    pub fn apply(&mut self, edits: Vec<Edit>, side: Side) -> Result<(), BadEdit> {
        if edits.is_empty() {
            return Ok(());
        }
        self.apply_steps(&edit::check_edits(edits, side)?)
    }

    /// Applies what a policy decided about such a request before.
    ///
    /// # Errors
    /// As [`Message::apply`].
    pub fn apply_again(&mut self, remembered: &Remembered) -> Result<(), BadEdit> {
        self.apply_steps(remembered.steps())
    }

    fn apply_steps(&mut self, Steps { head, body }: &Steps) -> Result<(), BadEdit> {
        self.check_room(head)?;
        self.edit_body(body)?;
        for step in head {
            self.edit_head(step);
        }
        Ok(())
    }

    fn check_room(&self, steps: &[HeadStep]) -> Result<(), BadEdit> {
        let (mut headers, mut facts) = (self.headers.len(), self.facts.len());
        for step in steps {
            match step {
                HeadStep::AppendHeader(..) => headers += 1,
                HeadStep::SetHeader(name, _) => {
                    headers += usize::from(!self.headers.contains_key(name))
                }
                HeadStep::SetFact(name, _) => facts += usize::from(self.fact(name).is_none()),
                _ => {}
            }
        }
        if headers > edit::HEADERS_MAX && steps.iter().any(HeadStep::adds_header) {
            return Err(BadEdit::TooManyHeaders { edit: "set-header" });
        }
        if facts > edit::FACTS_MAX && facts > self.facts.len() {
            return Err(BadEdit::TooManyFacts);
        }
        Ok(())
    }

    fn edit_head(&mut self, step: &HeadStep) {
        match step {
            HeadStep::SetHeader(name, value) => {
                drop(self.headers.insert(name.clone(), value.clone()));
            }
            HeadStep::AppendHeader(name, value) => {
                self.headers.append(name.clone(), value.clone());
            }
            HeadStep::RemoveHeader(name) => drop(self.headers.remove(name)),
            HeadStep::SetFact(name, value) => self.set_fact(name, value),
            HeadStep::SetMethod(method) => self.method = method.clone(),
            HeadStep::SetPath(path) => self.path.clone_from(path),
            HeadStep::SetStatus(status) => self.status = *status,
        }
    }

    /// A single step changes nothing when it fails; several are tried on a copy.
    fn edit_body(&mut self, steps: &[BodyStep]) -> Result<(), BadEdit> {
        if steps.len() <= 1 {
            return steps.iter().try_for_each(|step| self.edit_body_once(step));
        }
        let mut copy = Self {
            body: self.body.clone(),
            json: self.json.clone(),
            json_error: self.json_error.clone(),
            json_depth: self.json_depth,
            ..Self::default()
        };
        steps
            .iter()
            .try_for_each(|step| copy.edit_body_once(step))?;
        (self.body, self.json, self.json_error) = (copy.body, copy.json, copy.json_error);
        Ok(())
    }

    fn edit_body_once(&mut self, step: &BodyStep) -> Result<(), BadEdit> {
        match step {
            BodyStep::Replace(body) => {
                self.replace_body(Some(body.clone()));
                Ok(())
            }
            BodyStep::SetJson(pointer, value, member) => {
                let json = self.json_to_edit("set-json", pointer)?;
                let set = json.set_ready(pointer, value, member.as_ref());
                set.map_err(|error| BadEdit::Json {
                    edit: "set-json",
                    pointer: edit::shown(pointer.as_str()),
                    error,
                })
            }
            BodyStep::RemoveJson(pointer) => {
                let json = self.json_to_edit("remove-json", pointer)?;
                let removed = json.remove_at(pointer);
                removed.map(drop).map_err(|error| BadEdit::Json {
                    edit: "remove-json",
                    pointer: edit::shown(pointer.as_str()),
                    error,
                })
            }
        }
    }

    fn json_to_edit(
        &mut self,
        edit: &'static str,
        pointer: &Pointer,
    ) -> Result<&mut Json, BadEdit> {
        match self.read_json() {
            Ok(Some(json)) => Ok(json),
            Ok(None) => Err(BadEdit::BodyNotAtHand {
                edit,
                pointer: edit::shown(pointer.as_str()),
            }),
            Err(error) => Err(BadEdit::NotJson {
                edit,
                pointer: edit::shown(pointer.as_str()),
                error: error.clone(),
            }),
        }
    }

    fn write_json(&mut self) {
        if let Some(json) = &mut self.json
            && json.is_edited()
        {
            self.body = Some(json.bytes());
        }
    }
}
