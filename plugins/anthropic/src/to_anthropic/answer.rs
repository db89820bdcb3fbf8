//! A chat completion as an answer of Messages.

use serde_json::Value;

use crate::{
    arguments,
    at::At,
    fault::Fault,
    fields::{Fields, Object, object, text_part},
    reason,
    settings::Side,
    terms::Terms,
    usage::Usage,
};

/// The first choice; Anthropic has no others.
pub(crate) fn answer(body: Value, terms: &mut Terms) -> Result<Value, Fault> {
    let mut said = Fields::of(body, At::Root)?;
    let mut choices = said.need_list("choices")?.into_iter();
    let first = choices.next().unwrap_or_default();
    if choices.next().is_some() {
        terms.note("n");
    }
    let at = At::Root.field("choices");
    let mut choice = Fields::of(first, at.item(0))?;
    let reason = choice.text("finish_reason")?;
    let sequence = choice.take("stop_reason");
    let mut message = choice.need_object("message")?;
    let refusal = message.text("refusal")?;
    let (reason, sequence) = stop_reason(reason.as_deref(), sequence, refusal.is_some());
    let content = content(&mut message, refusal, terms)?;
    let usage = Usage::of_openai(&said.take("usage").unwrap_or_default());
    Ok(object([
        ("id", said.text("id")?.unwrap_or_default().into()),
        ("type", "message".into()),
        ("role", "assistant".into()),
        ("model", said.text("model")?.unwrap_or_default().into()),
        ("content", content),
        ("stop_reason", reason.into()),
        ("stop_sequence", sequence),
        ("usage", usage.to_anthropic()),
    ]))
}

/// Some servers say in a `stop_reason` of their own at which text they stopped.
pub(super) fn stop_reason(
    reason: Option<&str>,
    sequence: Option<Value>,
    is_refused: bool,
) -> (Option<&'static str>, Value) {
    match (reason, sequence) {
        (Some("stop"), _) if is_refused => (Some("refusal"), Value::Null),
        (Some("stop"), Some(sequence @ Value::String(_))) => (Some("stop_sequence"), sequence),
        (reason, _) => {
            let reason = reason.map(|reason| reason::said_to(Side::Anthropic, reason));
            (reason, Value::Null)
        }
    }
}

fn content(message: &mut Fields, refusal: Option<String>, terms: &Terms) -> Result<Value, Fault> {
    let mut blocks = thinking(message, terms)?;
    let texts = [message.text("content")?, refusal];
    let texts = texts.into_iter().flatten().filter(|text| !text.is_empty());
    blocks.extend(texts.map(text_part));
    let calls = message.list("tool_calls")?.unwrap_or_default();
    let at = message.at.field("tool_calls");
    for (place, call) in calls.into_iter().enumerate() {
        blocks.push(tool_use(Fields::of(call, at.item(place))?)?);
    }
    Ok(blocks.into())
}

/// The blocks as they were given out, since Anthropic signs them; or else the bare text.
pub(super) fn thinking(message: &mut Fields, terms: &Terms) -> Result<Vec<Value>, Fault> {
    let blocks = message.list("thinking_blocks")?;
    let (long, short) = (
        message.text("reasoning_content")?,
        message.text("reasoning")?,
    );
    if !terms.passes_thinking() {
        return Ok(Vec::new());
    }
    let bare = |text: String| {
        object([
            ("type", "thinking".into()),
            ("thinking", text.into()),
            ("signature", "".into()),
        ])
    };
    let text = long.or(short).filter(|text| !text.is_empty());
    Ok(blocks.unwrap_or_else(|| text.map(bare).into_iter().collect()))
}

/// A tool call, in an answer or in what was said before.
pub(super) fn tool_use(mut call: Fields) -> Result<Value, Fault> {
    let mut block = Object::default();
    block.put("type", "tool_use");
    block.put("id", call.need_text("id")?);
    let mut function = call.need_object("function")?;
    block.put("name", function.need_text("name")?);
    let arguments = function.text("arguments")?.unwrap_or_default();
    block.put("input", arguments::to_input(arguments));
    Ok(block.into())
}
