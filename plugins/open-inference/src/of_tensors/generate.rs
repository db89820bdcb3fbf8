//! Completions, asked for with a text or a tensor.

use super::{Named, put_usage};
use crate::{
    array::Array,
    at::At,
    completions::check_stream,
    datatype::Datatype,
    fault::Fault,
    input,
    json::{Fields, Object, count, quoted},
    said::Usage,
    settings::{Body, Completions},
    tensor::Tensor,
    terms::Terms,
};

/// What a client asked for, and is to be answered.
#[derive(Debug, Clone)]
pub(crate) struct Generate {
    pub(crate) mapping: &'static Completions,
    named: Named,
    count: usize,
}

impl Generate {
    /// Translates a request; `model` is what the upstream calls it.
    ///
    /// # Errors
    /// It cannot be translated.
    pub(crate) fn ask(
        body: &str,
        mapping: &'static Completions,
        (mut named, model, is_stream): (Named, &str, bool),
        terms: &mut Terms,
    ) -> Result<(String, Self), Fault> {
        let mut asked = Fields::of(body, At::Root)?;
        named.id = asked.text("id")?;
        // The gateway writes a model's name where it was chosen by one.
        asked.take("model");
        let mut out = Object::default();
        out.put("model", model);
        let count = match mapping.body {
            Body::Text => {
                out.put("prompt", &asked.need_text("text_input")?);
                for name in mapping.extra.keys() {
                    asked.take(name);
                }
                1
            }
            Body::Tensors => {
                let inputs = asked.need_list("inputs")?;
                let at = At::Root.field("inputs");
                let tensor = Tensor::find(&inputs, &mapping.input.name, at)?;
                let (prompts, count) = input::of_tensor(&tensor, &mapping.input, at)?;
                if inputs.len() > 1 {
                    return Err(terms.unsupported(at.item(1)));
                }
                check_stream(is_stream, count, at)?;
                out.raw("prompt", &prompts);
                asked.take("outputs");
                count
            }
        };
        if let Some(mut parameters) = asked.object("parameters")? {
            for name in mapping.fixed.keys() {
                parameters.take(name);
            }
            for (field, name) in &mapping.parameters {
                // Whether it is a stream is said by the path.
                let value = parameters.take(name).filter(|_| field != "stream");
                if let Some(value) = value {
                    out.raw(field, value.get());
                }
            }
            terms.lose_rest(&parameters)?;
        }
        if is_stream {
            out.put("stream", &true);
            // Without it an OpenAI stream says nothing of usage.
            out.raw("stream_options", r#"{"include_usage":true}"#);
        }
        terms.lose_rest(&asked)?;
        let asked = Self {
            mapping,
            named,
            count,
        };
        Ok((out.into_text(), asked))
    }

    /// Translates an answer.
    ///
    /// # Errors
    /// It cannot be translated.
    pub(crate) fn answer(&self, body: &str) -> Result<String, Fault> {
        let mut said = Fields::of(body, At::Root)?;
        let choices = said.need_list("choices")?;
        let at = At::Root.field("choices");
        let mut texts = vec![None; self.count];
        let mut reason = None;
        for (place, choice) in choices.into_iter().enumerate() {
            let at = at.item(place);
            let mut choice = Fields::of(choice, at)?;
            let index = choice.take("index").and_then(|index| count(index.get()));
            let index = index.and_then(|index| usize::try_from(index).ok());
            let Some(text @ None) = index.and_then(|index| texts.get_mut(index)) else {
                return Err(choice.expected("index", "the place of a prompt, once"));
            };
            *text = Some(quoted(&choice.need_text("text")?));
            reason = choice.text("finish_reason")?.or(reason);
        }
        let texts: Option<Vec<String>> = texts.into_iter().collect();
        let Some(texts) = texts else {
            let what = format!("{} choices", self.count);
            return Err(Fault::expected(at, &what));
        };
        let usage = Usage::of_openai(said.take("usage"));
        let mut out = self.said(&texts);
        self.put_end(&mut out, reason.as_deref(), usage);
        Ok(out.into_text())
    }

    /// An answer, or a piece of one; the texts are JSON.
    pub(super) fn said(&self, texts: &[String]) -> Object {
        let mut out = self.named.answer();
        match self.mapping.body {
            Body::Text => out.raw("text_output", texts.first().map_or("\"\"", String::as_str)),
            Body::Tensors => {
                let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
                let mut tensor = Object::default();
                tensor.put("name", &self.mapping.output);
                tensor.put("shape", &[texts.len()]);
                tensor.put("datatype", &Datatype::Bytes);
                tensor.with("data", |out| Array::write_flat(&texts, out));
                out.one("outputs", &tensor.into_text());
            }
        }
        out
    }

    /// Why it ended, and what it took; where V2 has `details`.
    pub(super) fn put_end(&self, out: &mut Object, reason: Option<&str>, usage: Usage) {
        if let Some(reason) = reason {
            let reason = match reason {
                "length" => "length",
                "stop" => "eos_token",
                other => other,
            };
            out.raw(
                "details",
                &format!("{{\"finish_reason\":{}}}", quoted(reason)),
            );
        }
        put_usage(out, usage, &self.mapping.usage);
    }

    pub(super) fn count(&self) -> usize {
        self.count
    }
}
