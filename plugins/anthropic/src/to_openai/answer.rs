//! An answer of Messages as a chat completion.

use serde_json::Value;

use crate::{
    arguments,
    at::At,
    fault::Fault,
    fields::{Fields, Object, object},
    reason,
    settings::Side,
    terms::Terms,
    usage::Usage,
};

/// `created` is in seconds: Anthropic does not say when it answered.
pub(crate) fn answer(body: Value, created: u64, terms: &mut Terms) -> Result<Value, Fault> {
    let mut said = Fields::of(body, At::Root)?;
    if said.need_text("type")? != "message" {
        return Err(said.expected("type", "`message`"));
    }
    let mut choice = Object::default();
    choice.put("index", 0);
    choice.put("message", message(said.need_list("content")?, terms)?);
    choice.put("logprobs", Value::Null);
    let reason = said.text("stop_reason")?;
    choice.put("finish_reason", finish_reason(reason.as_deref()));
    choice.put_some("stop_reason", said.text("stop_sequence")?);
    let mut usage = Usage::default();
    usage.see_anthropic(&said.take("usage").unwrap_or_default());
    Ok(object([
        ("id", said.text("id")?.unwrap_or_default().into()),
        ("object", "chat.completion".into()),
        ("created", created.into()),
        ("model", said.text("model")?.unwrap_or_default().into()),
        ("choices", vec![Value::from(choice)].into()),
        ("usage", usage.to_openai()),
    ]))
}

pub(super) fn finish_reason(reason: Option<&str>) -> Value {
    reason
        .map(|reason| reason::said_to(Side::OpenAi, reason))
        .into()
}

fn message(blocks: Vec<Value>, terms: &mut Terms) -> Result<Value, Fault> {
    let (mut texts, mut calls) = (Vec::new(), Vec::new());
    let (mut thoughts, mut thinking) = (Vec::new(), String::new());
    let at = At::Root.field("content");
    for (place, block) in blocks.into_iter().enumerate() {
        let kind = block.get("type").and_then(Value::as_str);
        match kind.unwrap_or_default() {
            "text" => texts.push(Fields::of(block, at.item(place))?.need_text("text")?),
            "tool_use" => calls.push(tool_call(&mut Fields::of(block, at.item(place))?)?),
            "thinking" | "redacted_thinking" if terms.passes_thinking() => {
                let text = block.get("thinking").and_then(Value::as_str);
                thinking.push_str(text.unwrap_or_default());
                thoughts.push(block);
            }
            "thinking" | "redacted_thinking" => {}
            _ => terms.note("content"),
        }
    }
    let mut message = Object::default();
    message.put("role", "assistant");
    message.put("content", (!texts.is_empty()).then(|| texts.concat()));
    message.put("refusal", Value::Null);
    if !thoughts.is_empty() {
        message.put("reasoning_content", thinking);
        message.put("thinking_blocks", thoughts);
    }
    if !calls.is_empty() {
        message.put("tool_calls", calls);
    }
    Ok(message.into())
}

/// A `tool_use` block, in an answer or in what was said before.
pub(super) fn tool_call(block: &mut Fields) -> Result<Value, Fault> {
    let id = block.need_text("id")?;
    let name = block.need_text("name")?;
    let arguments = arguments::of_input(&block.take("input").unwrap_or_else(|| object([])));
    let function = [("name", name.into()), ("arguments", arguments.into())];
    Ok(object([
        ("id", id.into()),
        ("type", "function".into()),
        ("function", object(function)),
    ]))
}
