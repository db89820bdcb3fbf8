//! Completions of an OpenAI client, asked of a text or of a tensor.

pub(crate) mod stream;

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use crate::{
    at::At,
    datatype::Kind,
    fault::Fault,
    input,
    json::{Fields, Object, list, quoted, unquoted},
    path::Operation,
    said::{self, Usage},
    settings::{Body, Completions},
    tensor::{Tensor, outputs},
    terms::Terms,
};

/// What a client asked for, and is to be answered.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) mapping: &'static Completions,
    pub(crate) is_stream: bool,
    wants_usage: bool,
    /// How many prompts there are, and so texts.
    count: usize,
}

/// What all that a client is told of one completion has in common.
#[derive(Debug, Clone)]
pub(crate) struct Frame {
    pub(crate) id: String,
    /// In seconds.
    pub(crate) created: u64,
    pub(crate) model: String,
}

/// Translates a request.
///
/// # Errors
/// It cannot be translated.
pub(crate) fn ask(
    body: &str,
    mapping: &'static Completions,
    terms: &mut Terms,
) -> Result<(String, Asked), Fault> {
    let mut asked = Fields::of(body, At::Root)?;
    asked.take("model");
    let Some(prompt) = asked.take("prompt") else {
        return Err(asked.expected("prompt", "a string or an array"));
    };
    let is_stream = asked.flag("stream")?.unwrap_or(false);
    let wants_usage = match asked.object("stream_options")? {
        Some(mut options) => options.flag("include_usage")?.unwrap_or(false),
        None => false,
    };
    let mut parameters = BTreeMap::new();
    for (field, name) in &mapping.parameters {
        let value = match field.as_str() {
            "stream" => Some(is_stream.to_string()),
            _ => asked.take(field).map(|value| value.get().to_owned()),
        };
        if let Some(value) = value {
            parameters.insert(name.as_str(), value);
        }
    }
    for (name, value) in &mapping.fixed {
        parameters.insert(name, value.to_string());
    }
    terms.lose_rest(&asked)?;
    let mut out = Object::default();
    let at = At::Root.field("prompt");
    let count = match mapping.body {
        Body::Text => {
            out.raw("text_input", &one(prompt, at, terms)?);
            for (name, value) in &mapping.extra {
                out.put(name, value);
            }
            1
        }
        Body::Tensors => {
            let (tensor, count) = input::tensor_of(prompt, &mapping.input, at)?;
            out.one("inputs", &tensor);
            let names = std::iter::once(mapping.output.as_str()).chain(mapping.usage.tensors());
            out.raw("outputs", &outputs(names));
            count
        }
    };
    check_stream(is_stream, count, at)?;
    if !parameters.is_empty() {
        let mut object = Object::default();
        for (name, value) in parameters {
            object.raw(name, &value);
        }
        out.raw("parameters", &object.into_text());
    }
    let asked = Asked {
        mapping,
        is_stream,
        wants_usage,
        count,
    };
    Ok((out.into_text(), asked))
}

/// Each prompt of a stream has events of its own, so there are not many.
///
/// # Errors
/// There are.
pub(crate) fn check_stream(is_stream: bool, count: usize, at: At) -> Result<(), Fault> {
    const PROMPTS_MAX: usize = 64;
    match is_stream && count > PROMPTS_MAX {
        true => Err(Fault::expected(
            at,
            "64 texts at most, where a stream is asked for",
        )),
        false => Ok(()),
    }
}

/// The only text; as JSON.
fn one(prompt: &RawValue, at: At, terms: &Terms) -> Result<String, Fault> {
    if unquoted(prompt.get()).is_some() {
        return Ok(prompt.get().to_owned());
    }
    let array = crate::tensor::array(prompt.get(), at)?;
    crate::tensor::check(crate::datatype::Datatype::Bytes, &array.elements, at)?;
    match (array.shape.len(), array.elements.as_slice()) {
        (1, [text]) => Ok((*text).to_owned()),
        (1, [_, _, ..]) => Err(terms.unsupported(at.item(1))),
        _ => Err(Fault::expected(at, "a string")),
    }
}

impl Asked {
    /// What it is asked with, unless it is a stream.
    pub(crate) fn operation(&self) -> Operation {
        match self.mapping.body {
            Body::Text => Operation::Generate,
            Body::Tensors => Operation::Infer,
        }
    }

    /// Translates an answer.
    ///
    /// # Errors
    /// It cannot be translated.
    pub(crate) fn answer(&self, body: &str, frame: &Frame) -> Result<String, Fault> {
        let mut said = Fields::of(body, At::Root)?;
        let reason = self.finish_reason(body).unwrap_or("stop");
        let texts = match self.mapping.body {
            Body::Text => vec![quoted(&said.need_text("text_output")?)],
            Body::Tensors => {
                let list = said.need_list("outputs")?;
                let at = At::Root.field("outputs");
                let tensor = Tensor::find(&list, &self.mapping.output, at)?;
                if tensor.datatype.kind() != Kind::Text || tensor.elements.len() != self.count {
                    let what = format!("{} texts (BYTES)", self.count);
                    return Err(Fault::expected(at, &what));
                }
                tensor.elements.into_iter().map(str::to_owned).collect()
            }
        };
        let choices = texts.iter().enumerate();
        let choices = choices.map(|(index, text)| choice(index, text, Some(reason)));
        let usage = Usage::read(&self.mapping.usage, body).of_completion();
        Ok(frame.written(&list(choices), usage.as_deref()))
    }

    /// Why it ended, if it says.
    fn finish_reason(&self, body: &str) -> Option<&'static str> {
        let reason = said::text(&self.mapping.finish_reason, body)?;
        Some(match reason.as_str() {
            "length" | "max_tokens" => "length",
            "content_filter" => "content_filter",
            // `eos_token`, `stop_sequence`, and what is yet to come.
            _ => "stop",
        })
    }
}

impl Frame {
    fn written(&self, choices: &str, usage: Option<&str>) -> String {
        let mut out = Object::default();
        out.put("id", &self.id);
        out.put("object", "text_completion");
        out.put("created", &self.created);
        out.put("model", &self.model);
        out.raw("choices", choices);
        if let Some(usage) = usage {
            out.raw("usage", usage);
        }
        out.into_text()
    }
}

/// One choice; `text` is JSON.
fn choice(index: usize, text: &str, reason: Option<&str>) -> String {
    let mut choice = Object::default();
    choice.raw("text", text);
    choice.put("index", &index);
    choice.raw("logprobs", "null");
    choice.put("finish_reason", &reason);
    choice.into_text()
}
