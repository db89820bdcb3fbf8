//! Tools, and which of them the model may call.

use serde_json::Value;

use crate::{
    at::At,
    fault::Fault,
    fields::{Fields, Object, object},
    terms::Terms,
};

pub(super) fn put(asked: &mut Fields, out: &mut Object, terms: &mut Terms) -> Result<(), Fault> {
    let mut tools = Vec::new();
    let list = asked.list("tools")?.unwrap_or_default();
    let at = asked.at.field("tools");
    for (place, tool) in list.into_iter().enumerate() {
        tools.extend(read(tool, at.item(place), terms)?);
    }
    let choice = choice(asked, terms)?;
    // Without tools there is nothing to choose from, and Anthropic refuses a choice.
    if !tools.is_empty() {
        out.put("tools", tools);
        out.put_some("tool_choice", choice);
    }
    Ok(())
}

/// `None`: there is no such tool on the other side.
fn read(tool: Value, at: At, terms: &mut Terms) -> Result<Option<Value>, Fault> {
    let mut tool = Fields::of(tool, at)?;
    if tool.need_text("type")? != "function" {
        terms.lose(at)?;
        return Ok(None);
    }
    let mut function = tool.need_object("function")?;
    let mut out = Object::default();
    out.put("name", function.need_text("name")?);
    out.put_some("description", function.text("description")?);
    let schema = function.take("parameters").unwrap_or_else(no_parameters);
    out.put("input_schema", schema);
    out.put_some("strict", function.flag("strict")?);
    terms.lose_rest(&function)?;
    terms.lose_rest(&tool)?;
    Ok(Some(out.into()))
}

fn no_parameters() -> Value {
    object([("type", "object".into()), ("properties", object([]))])
}

fn choice(asked: &mut Fields, terms: &mut Terms) -> Result<Option<Value>, Fault> {
    let parallel = asked.flag("parallel_tool_calls")?;
    let mut out = Object::default();
    match asked.take("tool_choice") {
        None if parallel.is_none() => return Ok(None),
        None => out.put("type", "auto"),
        Some(Value::String(word)) => match word.as_str() {
            "none" => return Ok(Some(object([("type", "none".into())]))),
            "auto" => out.put("type", "auto"),
            "required" => out.put("type", "any"),
            _ => return Err(asked.expected("tool_choice", "`none`, `auto` or `required`")),
        },
        Some(named) => {
            let mut named = Fields::of(named, asked.at.field("tool_choice"))?;
            if named.need_text("type")? != "function" {
                terms.lose(named.at)?;
                return Ok(None);
            }
            out.put("type", "tool");
            out.put("name", named.need_object("function")?.need_text("name")?);
        }
    }
    out.put_some(
        "disable_parallel_tool_use",
        parallel.map(|parallel| !parallel),
    );
    Ok(Some(out.into()))
}
