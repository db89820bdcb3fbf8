//! Embeddings, asked for with a tensor.

use super::{Named, put_usage};
use crate::{
    array::Array,
    at::At,
    datatype::Datatype,
    fault::Fault,
    input,
    json::{Fields, Object, count},
    said::Usage,
    settings::{Dimensions, Embeddings},
    tensor::{Tensor, array, check},
    terms::Terms,
};

/// What a client asked for, and is to be answered.
#[derive(Debug)]
pub(crate) struct Embed {
    mapping: &'static Embeddings,
    named: Named,
    count: usize,
}

impl Embed {
    /// Translates a request; `model` is what the upstream calls it.
    ///
    /// # Errors
    /// It cannot be translated.
    pub(crate) fn ask(
        body: &str,
        mapping: &'static Embeddings,
        (mut named, model): (Named, &str),
        terms: &mut Terms,
    ) -> Result<(String, Self), Fault> {
        let mut asked = Fields::of(body, At::Root)?;
        named.id = asked.text("id")?;
        // The gateway writes a model's name where it was chosen by one.
        asked.take("model");
        let inputs = asked.need_list("inputs")?;
        let at = At::Root.field("inputs");
        let tensor = Tensor::find(&inputs, &mapping.input.name, at)?;
        let (texts, count) = input::of_tensor(&tensor, &mapping.input, at)?;
        if inputs.len() > 1 {
            return Err(terms.unsupported(at.item(1)));
        }
        let mut out = Object::default();
        out.put("model", model);
        out.raw("input", &texts);
        out.put("encoding_format", "float");
        if let Some(mut parameters) = asked.object("parameters")? {
            for name in mapping.fixed.keys() {
                parameters.take(name);
            }
            if let Dimensions::Parameter(name) = &mapping.dimensions {
                out.put_some("dimensions", parameters.positive(name)?.as_ref());
            }
            terms.lose_rest(&parameters)?;
        }
        asked.take("outputs");
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
        let data = said.need_list("data")?;
        let at = At::Root.field("data");
        if data.len() != self.count {
            return Err(Fault::expected(at, &format!("{} embeddings", self.count)));
        }
        let mut rows = vec![None; data.len()];
        for (place, item) in data.into_iter().enumerate() {
            let at = at.item(place);
            let mut item = Fields::of(item, at)?;
            let index = item.take("index").and_then(|index| count(index.get()));
            let index = index.and_then(|index| usize::try_from(index).ok());
            let row = index.and_then(|index| rows.get_mut(index));
            let Some(row @ None) = row else {
                return Err(item.expected("index", "the place of an input, once"));
            };
            let Some(vector) = item.take("embedding") else {
                return Err(item.expected("embedding", "an array of numbers"));
            };
            let vector_at = at.field("embedding");
            let vector = array(vector.get(), vector_at)?;
            check(Datatype::Fp64, &vector.elements, vector_at)?;
            *row = Some(vector.elements);
        }
        let rows: Vec<Vec<&str>> = rows.into_iter().flatten().collect();
        let size = rows.first().map_or(0, Vec::len);
        if rows.iter().any(|row| row.len() != size) {
            return Err(Fault::expected(at, "vectors of one length"));
        }
        let elements: Vec<&str> = rows.concat();
        let datatype = match elements.iter().all(|element| Datatype::Fp32.has(element)) {
            true => Datatype::Fp32,
            false => Datatype::Fp64,
        };
        let mut tensor = Object::default();
        tensor.put("name", &self.mapping.output);
        tensor.put("shape", &[self.count, size]);
        tensor.put("datatype", &datatype);
        tensor.with("data", |out| Array::write_flat(&elements, out));
        let mut out = self.named.answer();
        let usage = Usage::of_openai(said.take("usage"));
        put_usage(&mut out, usage, &self.mapping.usage);
        out.one("outputs", &tensor.into_text());
        Ok(out.into_text())
    }
}
