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
    let choice = asked.object("tool_choice")?;
    if tools.is_empty() {
        return Ok(());
    }
    out.put("tools", tools);
    if let Some(choice) = choice {
        put_choice(choice, out, terms)?;
    }
    Ok(())
}

/// `None`: it is one that Anthropic runs itself.
fn read(tool: Value, at: At, terms: &mut Terms) -> Result<Option<Value>, Fault> {
    let mut tool = Fields::of(tool, at)?;
    if tool.text("type")?.is_some_and(|kind| kind != "custom") {
        terms.lose(at)?;
        return Ok(None);
    }
    let mut function = Object::default();
    function.put("name", tool.need_text("name")?);
    function.put_some("description", tool.text("description")?);
    let schema = tool.take("input_schema");
    let schema = schema.ok_or_else(|| tool.expected("input_schema", "a JSON schema"))?;
    function.put("parameters", schema);
    function.put_some("strict", tool.flag("strict")?);
    terms.lose_rest(&tool)?;
    let function = [("type", "function".into()), ("function", function.into())];
    Ok(Some(object(function)))
}

fn put_choice(mut choice: Fields, out: &mut Object, terms: &mut Terms) -> Result<(), Fault> {
    match choice.need_text("type")?.as_str() {
        word @ ("none" | "auto") => out.put("tool_choice", word),
        "any" => out.put("tool_choice", "required"),
        "tool" => {
            let function = object([("name", choice.need_text("name")?.into())]);
            let named = [("type", "function".into()), ("function", function)];
            out.put("tool_choice", object(named));
        }
        _ => return Err(terms.unsupported(choice.at)),
    }
    let alone = choice.flag("disable_parallel_tool_use")?;
    out.put_some("parallel_tool_calls", alone.map(|alone| !alone));
    terms.lose_rest(&choice)
}
