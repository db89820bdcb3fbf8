//! Embeddings of an OpenAI client, asked of tensors.

use crate::{
    at::At,
    base64,
    datatype::Kind,
    fault::Fault,
    input,
    json::{Fields, Object, list},
    said::Usage,
    settings::{Dimensions, Embeddings},
    tensor::{Tensor, outputs},
    terms::Terms,
};

/// What a client asked for, and is to be answered.
#[derive(Debug)]
pub(crate) struct Asked {
    mapping: &'static Embeddings,
    count: usize,
    is_base64: bool,
    dimensions: Option<usize>,
}

/// Translates a request.
///
/// # Errors
/// It cannot be translated.
pub(crate) fn ask(
    body: &str,
    mapping: &'static Embeddings,
    terms: &mut Terms,
) -> Result<(String, Asked), Fault> {
    let mut asked = Fields::of(body, At::Root)?;
    asked.take("model");
    let Some(said) = asked.take("input") else {
        return Err(asked.expected("input", "a string or an array"));
    };
    let (tensor, count) = input::tensor_of(said, &mapping.input, At::Root.field("input"))?;
    let is_base64 = match asked.text("encoding_format")?.as_deref() {
        None | Some("float") => false,
        Some("base64") => true,
        Some(_) => return Err(asked.expected("encoding_format", "`float` or `base64`")),
    };
    let dimensions = asked.positive("dimensions")?;
    let mut parameters = Object::default();
    for (name, value) in &mapping.fixed {
        parameters.put(name, value);
    }
    match (dimensions, &mapping.dimensions) {
        (None, _) | (Some(_), Dimensions::Cut) => {}
        (Some(dimensions), Dimensions::Parameter(name)) => parameters.put(name, &dimensions),
        (Some(_), Dimensions::Refuse) => {
            return Err(terms.unsupported(asked.at.field("dimensions")));
        }
    }
    terms.lose_rest(&asked)?;
    let mut out = Object::default();
    if !parameters.is_empty() {
        out.raw("parameters", &parameters.into_text());
    }
    out.one("inputs", &tensor);
    let names = std::iter::once(mapping.output.as_str()).chain(mapping.usage.tensors());
    out.raw("outputs", &outputs(names));
    let dimensions = dimensions.map(|dimensions| usize::try_from(dimensions).unwrap_or(usize::MAX));
    let asked = Asked {
        mapping,
        count,
        is_base64,
        dimensions,
    };
    Ok((out.into_text(), asked))
}

impl Asked {
    /// Translates an answer.
    ///
    /// # Errors
    /// It cannot be translated.
    pub(crate) fn answer(&self, body: &str, model: &str) -> Result<String, Fault> {
        let mut said = Fields::of(body, At::Root)?;
        let list = said.need_list("outputs")?;
        let at = At::Root.field("outputs");
        let tensor = Tensor::find(&list, &self.mapping.output, at)?;
        let rows = self.rows(&tensor, at)?;
        let mut data = Vec::with_capacity(rows.len());
        for (index, row) in rows.into_iter().enumerate() {
            let mut item = Object::default();
            item.put("object", "embedding");
            item.put("index", &index);
            item.raw("embedding", &self.vector(row, at)?);
            data.push(item.into_text());
        }
        let mut out = Object::default();
        out.put("object", "list");
        out.raw("data", &crate::json::list(data));
        out.put("model", model);
        let usage = Usage::read(&self.mapping.usage, body);
        out.raw("usage", &usage.of_embeddings());
        Ok(out.into_text())
    }

    /// A row for each text; a single vector may come without a batch around it.
    fn rows<'e, 't>(&self, tensor: &'e Tensor<'t>, at: At) -> Result<Vec<&'e [&'t str]>, Fault> {
        let count = self.count as u64;
        let is_vector =
            |lengths: &[u64]| lengths.iter().filter(|length| **length != 1).count() <= 1;
        let is_right = match tensor.shape.as_slice() {
            [_] if count == 1 => true,
            [first, rest @ ..] => *first == count && !rest.is_empty() && is_vector(rest),
            [] => false,
        };
        if tensor.datatype.kind() != Kind::Float || !is_right {
            let what = format!("a vector of floats for each of {count} texts");
            return Err(Fault::expected(at, &what));
        }
        let Some(size) = tensor.elements.len().checked_div(self.count) else {
            return Ok(Vec::new());
        };
        if size == 0 {
            return Err(Fault::expected(at, "vectors that are not empty"));
        }
        self.check_size(size, at)?;
        Ok(tensor.elements.chunks(size).collect())
    }

    fn check_size(&self, size: usize, at: At) -> Result<(), Fault> {
        match (self.dimensions, &self.mapping.dimensions) {
            (Some(dimensions), Dimensions::Cut) if dimensions > size => Err(Fault {
                is_unsupported: true,
                message: format!("`dimensions`: expected {size} at most"),
            }),
            (Some(dimensions), Dimensions::Parameter(_)) if dimensions != size => {
                let what = format!("vectors of {dimensions} numbers");
                Err(Fault::expected(at, &what))
            }
            _ => Ok(()),
        }
    }

    /// One vector, as JSON.
    fn vector(&self, row: &[&str], at: At) -> Result<String, Fault> {
        let cut = self
            .dimensions
            .filter(|_| self.mapping.dimensions == Dimensions::Cut);
        if cut.is_none() && !self.is_base64 {
            return Ok(list(row));
        }
        let row = &row[..cut.unwrap_or(row.len())];
        let numbers = row.iter().map(|element| element.parse::<f64>());
        let mut numbers: Vec<f64> = numbers
            .collect::<Result<_, _>>()
            .map_err(|_| Fault::expected(at, "numbers"))?;
        if cut.is_some() {
            let length = numbers
                .iter()
                .map(|number| number * number)
                .sum::<f64>()
                .sqrt();
            if length > 0.0 && length.is_finite() {
                numbers.iter_mut().for_each(|number| *number /= length);
            }
        }
        let floats: Vec<f32> = numbers.iter().map(|number| *number as f32).collect();
        if floats.iter().any(|number| !number.is_finite()) {
            return Err(Fault::expected(at, "numbers that fit 32 bits"));
        }
        Ok(match self.is_base64 {
            true => format!("\"{}\"", base64::of_floats(&floats)),
            false => list(floats.iter().map(f32::to_string)),
        })
    }
}
