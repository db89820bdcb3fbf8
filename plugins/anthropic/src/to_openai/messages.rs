//! The turns of a conversation, as messages.

use serde_json::Value;

use super::{
    answer::tool_call,
    content::{part, text},
};
use crate::{
    at::At,
    fault::Fault,
    fields::{Fields, Object, object, text_part},
    terms::Terms,
};

pub(super) fn of(
    system: Option<Value>,
    list: Vec<Value>,
    terms: &mut Terms,
) -> Result<Vec<Value>, Fault> {
    let mut messages = Vec::with_capacity(list.len() + 1);
    if let Some(system) = system {
        let content = text(system, At::Root.field("system"), terms)?;
        messages.push(message("system", content));
    }
    let at = At::Root.field("messages");
    for (place, turn) in list.into_iter().enumerate() {
        let mut turn = Fields::of(turn, at.item(place))?;
        let role = turn.need_text("role")?;
        let said = turn.take("content").unwrap_or_default();
        let at = turn.at.field("content");
        match role.as_str() {
            "user" => user(said, at, &mut messages, terms)?,
            "assistant" => messages.push(assistant(said, at, terms)?),
            "system" => messages.push(message("system", text(said, at, terms)?)),
            _ => return Err(terms.unsupported(turn.at.field("role"))),
        }
        terms.lose_rest(&turn)?;
    }
    Ok(messages)
}

fn message(role: &str, content: Value) -> Value {
    object([("role", role.into()), ("content", content)])
}

fn blocks(content: Value, at: At) -> Result<Vec<Value>, Fault> {
    match content {
        Value::Array(blocks) => Ok(blocks),
        _ => Err(Fault::expected(at, "a string or an array of blocks")),
    }
}

/// A tool's result is a message of its own, and comes before what the user says: that is
/// where a chat completion has it.
fn user(content: Value, at: At, messages: &mut Vec<Value>, terms: &mut Terms) -> Result<(), Fault> {
    if content.is_string() {
        messages.push(message("user", content));
        return Ok(());
    }
    let blocks = blocks(content, at)?;
    let is_empty = blocks.is_empty();
    let (mut shown, mut said) = (Vec::new(), Vec::new());
    for (place, block) in blocks.into_iter().enumerate() {
        let block_at = at.item(place);
        let block = Fields::of(block, block_at)?;
        if block.is("tool_result") {
            messages.push(tool_result(block, &mut shown, terms)?);
        } else {
            said.push(part(block, terms)?);
        }
    }
    shown.append(&mut said);
    if is_empty || !shown.is_empty() {
        messages.push(message("user", shown.into()));
    }
    Ok(())
}

/// Only text can stand in a tool's message; images are `shown` by the user, after it.
fn tool_result(
    mut block: Fields,
    shown: &mut Vec<Value>,
    terms: &mut Terms,
) -> Result<Value, Fault> {
    block.take("type");
    let id = block.need_text("tool_use_id")?;
    let content = match block.take("content") {
        None => "".into(),
        Some(text @ Value::String(_)) => text,
        Some(held) => {
            let at = block.at.field("content");
            let mut texts = Vec::new();
            for (place, inner) in blocks(held, at)?.into_iter().enumerate() {
                let inner_at = at.item(place);
                let inner = Fields::of(inner, inner_at)?;
                let is_text = inner.is("text");
                let part = part(inner, terms)?;
                let to = if is_text { &mut texts } else { &mut *shown };
                to.push(part);
            }
            texts.into()
        }
    };
    terms.lose_rest(&block)?;
    Ok(object([
        ("role", "tool".into()),
        ("tool_call_id", id.into()),
        ("content", content),
    ]))
}

fn assistant(content: Value, at: At, terms: &mut Terms) -> Result<Value, Fault> {
    if content.is_string() {
        return Ok(message("assistant", content));
    }
    let (mut texts, mut calls, mut thoughts) = (Vec::new(), Vec::new(), Vec::new());
    for (place, block) in blocks(content, at)?.into_iter().enumerate() {
        let block_at = at.item(place);
        let mut block = Fields::of(block, block_at)?;
        match block.need_text("type")?.as_str() {
            "text" => {
                texts.push(block.need_text("text")?);
                terms.lose_rest(&block)?;
            }
            "tool_use" => {
                calls.push(tool_call(&mut block)?);
                terms.lose_rest(&block)?;
            }
            kind @ ("thinking" | "redacted_thinking") => {
                if terms.passes_thinking() {
                    thoughts.push(block.into_block(kind));
                }
            }
            _ => return Err(terms.unsupported(block_at)),
        }
    }
    let mut out = Object::default();
    out.put("role", "assistant");
    out.put("content", spoken(texts, !calls.is_empty()));
    if !thoughts.is_empty() {
        let texts = thoughts
            .iter()
            .filter_map(|block| block.get("thinking")?.as_str());
        out.put("reasoning_content", texts.collect::<String>());
        out.put("thinking_blocks", thoughts);
    }
    if !calls.is_empty() {
        out.put("tool_calls", calls);
    }
    Ok(out.into())
}

/// Beside calls one text is as good as a string, as clients write it.
fn spoken(mut texts: Vec<String>, has_calls: bool) -> Value {
    match (texts.len(), has_calls) {
        (0, _) => Value::Null,
        (1, true) => texts.pop().into(),
        _ => texts.into_iter().map(text_part).collect(),
    }
}
