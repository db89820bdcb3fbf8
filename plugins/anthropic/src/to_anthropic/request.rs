//! A chat completion's request as one of Messages.

use serde_json::{Number, Value};

use super::{messages::Conversation, tools};
use crate::{
    at::At,
    fault::Fault,
    fields::{Fields, Object, object},
    terms::Terms,
};

/// The request, and whether the client wants to know the usage of its stream.
pub(crate) fn request(body: Value, terms: &mut Terms) -> Result<(Value, bool), Fault> {
    let mut asked = Fields::of(body, At::Root)?;
    let mut out = Object::default();
    out.put("model", asked.need_text("model")?);
    out.put("max_tokens", most_tokens(&mut asked, terms)?);
    let conversation = Conversation::of(
        asked.need_list("messages")?,
        At::Root.field("messages"),
        terms,
    )?;
    out.put_some("system", conversation.system());
    out.put("messages", conversation.messages);
    tools::put(&mut asked, &mut out, terms)?;
    out.put_some("temperature", temperature(&mut asked, terms)?);
    out.put_some("top_p", asked.number("top_p")?);
    out.put_some("top_k", asked.number("top_k")?);
    out.put_some("stop_sequences", stop(&mut asked)?);
    let user = asked.text("user")?;
    out.put_some(
        "metadata",
        user.map(|user| object([("user_id", user.into())])),
    );
    out.put_some("service_tier", service_tier(&mut asked, terms)?);
    let output = output_config(&mut asked, terms)?;
    if !output.is_empty() {
        out.put("output_config", output);
    }
    if terms.passes_thinking() {
        out.put_some("thinking", asked.take("thinking"));
    }
    out.put_some("stream", asked.flag("stream")?);
    let wants_usage = wants_usage(&mut asked, terms)?;
    terms.lose_rest(&asked)?;
    Ok((out.into(), wants_usage))
}

/// Anthropic has to be told.
fn most_tokens(asked: &mut Fields, terms: &Terms) -> Result<u64, Fault> {
    let (new, old) = (
        asked.count("max_completion_tokens")?,
        asked.count("max_tokens")?,
    );
    Ok(new.or(old).unwrap_or(terms.settings.max_tokens))
}

/// Anthropic's goes to 1, OpenAI's to 2.
fn temperature(asked: &mut Fields, terms: &mut Terms) -> Result<Option<Number>, Fault> {
    let Some(heat) = asked.number("temperature")? else {
        return Ok(None);
    };
    if heat.as_f64().is_some_and(|heat| heat > 1.0) {
        terms.lose(asked.at.field("temperature"))?;
        return Ok(Some(1.into()));
    }
    Ok(Some(heat))
}

fn stop(asked: &mut Fields) -> Result<Option<Value>, Fault> {
    match asked.take("stop") {
        None => Ok(None),
        Some(Value::String(one)) => Ok(Some(vec![one].into())),
        Some(list @ Value::Array(_)) => Ok(Some(list)),
        Some(_) => Err(asked.expected("stop", "a string or an array of strings")),
    }
}

fn service_tier(asked: &mut Fields, terms: &mut Terms) -> Result<Option<&'static str>, Fault> {
    match asked.text("service_tier")?.as_deref() {
        None => Ok(None),
        Some("auto") => Ok(Some("auto")),
        Some("default") => Ok(Some("standard_only")),
        Some(_) => {
            terms.lose(asked.at.field("service_tier"))?;
            Ok(None)
        }
    }
}

fn output_config(asked: &mut Fields, terms: &mut Terms) -> Result<Object, Fault> {
    let mut output = Object::default();
    match asked.text("reasoning_effort")? {
        None => {}
        Some(effort) if terms.passes_thinking() && is_effort(&effort) => {
            output.put("effort", effort);
        }
        Some(_) => terms.lose(asked.at.field("reasoning_effort"))?,
    }
    if let Some(mut format) = asked.object("response_format")? {
        match format.need_text("type")?.as_str() {
            "text" => {}
            "json_schema" => {
                let schema = format.need_object("json_schema")?.take("schema");
                let schema = schema.ok_or_else(|| format.expected("json_schema", "a `schema`"))?;
                let schema = [("type", "json_schema".into()), ("schema", schema)];
                output.put("format", object(schema));
            }
            _ => terms.lose(format.at)?,
        }
    }
    Ok(output)
}

/// What both sides have a word for.
pub(crate) fn is_effort(effort: &str) -> bool {
    matches!(effort, "low" | "medium" | "high" | "xhigh")
}

fn wants_usage(asked: &mut Fields, terms: &mut Terms) -> Result<bool, Fault> {
    let Some(mut options) = asked.object("stream_options")? else {
        return Ok(false);
    };
    let wants = options.flag("include_usage")?.unwrap_or(false);
    terms.lose_rest(&options)?;
    Ok(wants)
}
