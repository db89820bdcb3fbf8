//! Tensors of the Open Inference Protocol, in JSON.

use serde_json::value::RawValue;

use crate::{
    array::{Array, RANK_MAX, Ragged},
    at::At,
    datatype::Datatype,
    fault::Fault,
    json::{Fields, Object, quoted, unquoted},
};

/// One input or output. Its elements fit its datatype, and are as many as its shape says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tensor<'t> {
    pub(crate) name: String,
    pub(crate) datatype: Datatype,
    pub(crate) shape: Vec<u64>,
    pub(crate) elements: Vec<&'t str>,
    pub(crate) parameters: Option<&'t str>,
}

impl<'t> Tensor<'t> {
    /// Reads one of `inputs` or `outputs`.
    pub(crate) fn read(text: &'t RawValue, at: At<'_>) -> Result<Self, Fault> {
        let mut fields = Fields::of(text, at)?;
        let name = fields.need_text("name")?;
        let datatype = fields.need_text("datatype")?;
        let datatype = Datatype::named(&datatype)
            .ok_or_else(|| fields.expected("datatype", "a datatype, such as `FP32` or `BYTES`"))?;
        let shape = shape(&mut fields)?;
        let parameters = fields.take("parameters").map(RawValue::get);
        let Some(data) = fields.take("data") else {
            return Err(fields.expected("data", "the elements as JSON"));
        };
        let data_at = fields.at.field("data");
        let array = array(data.get(), data_at)?;
        let is_nested = array.shape.len() > 1;
        if is_nested && array.shape != shape {
            return Err(fields.expected("data", "the elements in the tensor's shape, or flat"));
        }
        if size(&shape) != Some(array.elements.len()) {
            return Err(fields.expected("data", "as many elements as the shape says"));
        }
        check(datatype, &array.elements, data_at)?;
        Ok(Self {
            name,
            datatype,
            shape,
            elements: array.elements,
            parameters,
        })
    }

    /// The one of this name, or the only one.
    pub(crate) fn find(list: &[&'t RawValue], name: &str, at: At<'_>) -> Result<Self, Fault> {
        if let [only] = list {
            return Self::read(only, at.item(0));
        }
        let is_named = |text: &RawValue| {
            let mut fields = Fields::of(text, At::Root).ok()?;
            Some(fields.text("name").ok()?? == name)
        };
        match list.iter().position(|text| is_named(text) == Some(true)) {
            Some(place) => Self::read(list[place], at.item(place)),
            None => Err(Fault::expected(at, &format!("a tensor named `{name}`"))),
        }
    }

    pub(crate) fn written(&self) -> String {
        let mut out = Object::default();
        out.put("name", &self.name);
        out.put("shape", &self.shape);
        out.put("datatype", &self.datatype);
        if let Some(parameters) = self.parameters {
            out.raw("parameters", parameters);
        }
        out.with("data", |out| Array::write_flat(&self.elements, out));
        out.into_text()
    }
}

/// The array in a field, whatever its elements are.
pub(crate) fn array<'t>(text: &'t str, at: At<'_>) -> Result<Array<'t>, Fault> {
    Array::read(text).map_err(|ragged| match ragged {
        Ragged::NoArray => Fault::expected(at, "an array"),
        Ragged::TooDeep => Fault::expected(at, "32 dimensions at most"),
        Ragged::Object(place) => Fault::expected(
            at,
            &format!("numbers, strings or booleans; there is an object at `{place}`"),
        ),
        Ragged::Uneven(place) => Fault::expected(
            at,
            &format!("rows of one length and depth; `{place}` is of another"),
        ),
    })
}

/// How many elements a shape has; `None`: more than can be.
pub(crate) fn size(shape: &[u64]) -> Option<usize> {
    let mut size = 1_usize;
    for length in shape {
        size = size.checked_mul(usize::try_from(*length).ok()?)?;
    }
    Some(size)
}

pub(crate) fn check(datatype: Datatype, elements: &[&str], at: At<'_>) -> Result<(), Fault> {
    match elements.iter().all(|element| datatype.has(element)) {
        true => Ok(()),
        false => Err(Fault::expected(at, datatype.elements())),
    }
}

pub(crate) fn shape(fields: &mut Fields<'_, '_>) -> Result<Vec<u64>, Fault> {
    let wrong = |fields: &Fields| {
        fields.expected("shape", "whole numbers from 0 on, of 32 dimensions at most")
    };
    let Some(text) = fields.take("shape") else {
        return Err(wrong(fields));
    };
    match serde_json::from_str::<Vec<u64>>(text.get()) {
        Ok(shape) if shape.len() <= RANK_MAX => Ok(shape),
        Ok(_) | Err(_) => Err(wrong(fields)),
    }
}

/// One parameter that is a text, out of an object of them.
pub(crate) fn text_parameter(parameters: Option<&str>, name: &str) -> Option<String> {
    let parameters: &RawValue = serde_json::from_str(parameters?).ok()?;
    let mut fields = Fields::of(parameters, At::Root).ok()?;
    unquoted(fields.take(name)?.get())
}

/// `[{"name":…}]`, what an inference is asked for.
pub(crate) fn outputs<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    crate::json::list(
        names
            .into_iter()
            .map(|name| format!("{{\"name\":{}}}", quoted(name))),
    )
}
