//! The messages of a request, as turns of a conversation.

use serde_json::Value;

use super::{answer, content::content};
use crate::{
    at::At,
    fault::Fault,
    fields::{Fields, object, text_part},
    terms::Terms,
};

/// What was said, and what stands above it.
#[derive(Debug, Default)]
pub(super) struct Conversation {
    /// What each system message holds.
    system: Vec<Value>,
    pub(super) messages: Vec<Value>,
    /// Of tools, one after another: they make one turn.
    results: Vec<Value>,
}

impl Conversation {
    pub(super) fn of(list: Vec<Value>, at: At, terms: &mut Terms) -> Result<Self, Fault> {
        let mut conversation = Self::default();
        for (place, message) in list.into_iter().enumerate() {
            let mut message = Fields::of(message, at.item(place))?;
            conversation.take(&mut message, terms)?;
            terms.lose_rest(&message)?;
        }
        conversation.end_results();
        Ok(conversation)
    }

    fn take(&mut self, message: &mut Fields, terms: &mut Terms) -> Result<(), Fault> {
        let role = message.need_text("role")?;
        match role.as_str() {
            "system" | "developer" => self.system.push(held(message, terms)?),
            "tool" => {
                let id = message.need_text("tool_call_id")?;
                self.results.push(object([
                    ("type", "tool_result".into()),
                    ("tool_use_id", id.into()),
                    ("content", held(message, terms)?),
                ]));
            }
            "user" => {
                let content = held(message, terms)?;
                self.say("user", content);
            }
            "assistant" => {
                let content = assistant(message, terms)?;
                self.say("assistant", content);
            }
            _ => return Err(terms.unsupported(message.at.field("role"))),
        }
        Ok(())
    }

    fn say(&mut self, role: &str, content: Value) {
        self.end_results();
        self.messages
            .push(object([("role", role.into()), ("content", content)]));
    }

    fn end_results(&mut self) {
        if !self.results.is_empty() {
            let results = std::mem::take(&mut self.results);
            self.messages.push(object([
                ("role", "user".into()),
                ("content", results.into()),
            ]));
        }
    }

    /// One that stands alone is kept as it is; several are one after another.
    pub(super) fn system(&self) -> Option<Value> {
        match self.system.as_slice() {
            [] => None,
            [only] => Some(only.clone()),
            several => Some(Value::Array(several.iter().flat_map(blocks).collect())),
        }
    }
}

fn blocks(content: &Value) -> Vec<Value> {
    match content {
        Value::String(text) => vec![text_part(text.clone())],
        Value::Array(blocks) => blocks.clone(),
        _ => Vec::new(),
    }
}

fn held(message: &mut Fields, terms: &mut Terms) -> Result<Value, Fault> {
    let held = message.take("content");
    let held = held.ok_or_else(|| message.expected("content", "a string or an array of parts"))?;
    content(held, message.at.field("content"), terms)
}

/// Thinking, then text, then calls: the order that Anthropic answers in.
fn assistant(message: &mut Fields, terms: &mut Terms) -> Result<Value, Fault> {
    let mut blocks = answer::thinking(message, terms)?;
    let said = message
        .take("content")
        .unwrap_or_else(|| Value::Array(Vec::new()));
    let said = content(said, message.at.field("content"), terms)?;
    let refusal = message.text("refusal")?;
    let calls = message.list("tool_calls")?.unwrap_or_default();
    if blocks.is_empty() && refusal.is_none() && calls.is_empty() {
        return Ok(said);
    }
    match said {
        // Anthropic has no empty blocks.
        Value::String(text) if text.is_empty() => {}
        Value::String(text) => blocks.push(text_part(text)),
        Value::Array(more) => blocks.extend(more),
        _ => {}
    }
    blocks.extend(refusal.map(text_part));
    let at = message.at.field("tool_calls");
    for (place, call) in calls.into_iter().enumerate() {
        blocks.push(tool_use(call, at.item(place), terms)?);
    }
    Ok(blocks.into())
}

fn tool_use(call: Value, at: At, terms: &Terms) -> Result<Value, Fault> {
    let mut call = Fields::of(call, at)?;
    if call.text("type")?.is_some_and(|kind| kind != "function") {
        return Err(terms.unsupported(at));
    }
    answer::tool_use(call)
}
