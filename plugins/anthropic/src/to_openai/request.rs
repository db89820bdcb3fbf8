//! A request of Messages as a chat completion's.

use serde_json::Value;

use super::{messages, tools};
use crate::{
    at::At,
    fault::Fault,
    fields::{Fields, Object, object},
    terms::Terms,
    to_anthropic::request::is_effort,
};

pub(crate) fn request(body: Value, terms: &mut Terms) -> Result<Value, Fault> {
    let mut asked = Fields::of(body, At::Root)?;
    let mut out = Object::default();
    out.put("model", asked.need_text("model")?);
    let system = asked.take("system");
    let list = asked.need_list("messages")?;
    out.put("messages", messages::of(system, list, terms)?);
    out.put_some(
        terms.settings.max_tokens_as.field(),
        asked.count("max_tokens")?,
    );
    tools::put(&mut asked, &mut out, terms)?;
    out.put_some("temperature", asked.number("temperature")?);
    out.put_some("top_p", asked.number("top_p")?);
    out.put_some("top_k", asked.number("top_k")?);
    out.put_some("stop", asked.list("stop_sequences")?);
    if let Some(mut metadata) = asked.object("metadata")? {
        out.put_some("user", metadata.text("user_id")?);
        terms.lose_rest(&metadata)?;
    }
    out.put_some("service_tier", service_tier(&mut asked, terms)?);
    output_config(&mut asked, &mut out, terms)?;
    let is_stream = asked.flag("stream")?;
    out.put_some("stream", is_stream);
    if is_stream == Some(true) {
        // Without it an OpenAI stream says nothing of usage, and Anthropic's always does.
        out.put("stream_options", object([("include_usage", true.into())]));
    }
    thinking(&mut asked, terms)?;
    terms.lose_rest(&asked)?;
    Ok(out.into())
}

fn service_tier(asked: &mut Fields, terms: &mut Terms) -> Result<Option<&'static str>, Fault> {
    match asked.text("service_tier")?.as_deref() {
        None => Ok(None),
        Some("auto") => Ok(Some("auto")),
        Some("standard_only") => Ok(Some("default")),
        Some(_) => {
            terms.lose(asked.at.field("service_tier"))?;
            Ok(None)
        }
    }
}

fn output_config(asked: &mut Fields, out: &mut Object, terms: &mut Terms) -> Result<(), Fault> {
    let Some(mut output) = asked.object("output_config")? else {
        return Ok(());
    };
    match output.text("effort")? {
        None => {}
        Some(effort) if terms.passes_thinking() && is_effort(&effort) => {
            out.put("reasoning_effort", effort);
        }
        Some(_) => terms.lose(output.at.field("effort"))?,
    }
    if let Some(mut format) = output.object("format")? {
        if format.need_text("type")? == "json_schema" {
            let schema = format.take("schema");
            let schema = schema.ok_or_else(|| format.expected("schema", "a JSON schema"))?;
            // OpenAI wants a name, and has to be told to keep to it.
            let named = [
                ("name", "answer".into()),
                ("strict", true.into()),
                ("schema", schema),
            ];
            let format = [
                ("type", "json_schema".into()),
                ("json_schema", object(named)),
            ];
            out.put("response_format", object(format));
        } else {
            terms.lose(format.at)?;
        }
    }
    terms.lose_rest(&output)
}

/// A chat completion is asked for effort, not for thinking.
fn thinking(asked: &mut Fields, terms: &mut Terms) -> Result<(), Fault> {
    if let Some(mut thinking) = asked.object("thinking")?
        && thinking.need_text("type")? != "disabled"
    {
        terms.lose(thinking.at)?;
    }
    Ok(())
}
