//! Texts, or tokens: a field of OpenAI's requests, and a tensor of V2's.

use serde_json::value::RawValue;

use crate::{
    array::{Array, is_writable},
    at::At,
    datatype::Kind,
    fault::Fault,
    json::{Object, list},
    settings::Input,
    tensor::{Tensor, array, check},
};

/// A tensor, and how many texts are in it.
pub(crate) fn tensor_of(
    said: &RawValue,
    input: &Input,
    at: At<'_>,
) -> Result<(String, usize), Fault> {
    let text = said.get();
    let (shape, elements) = match (text.starts_with('"'), input.takes_tokens()) {
        (true, false) => (input.shape_of(1), vec![text]),
        (false, false) => {
            let array = array(text, at)?;
            if array.shape.len() != 1 {
                return Err(Fault::expected(at, "a string or an array of strings"));
            }
            (input.shape_of(array.elements.len()), array.elements)
        }
        (true, true) => return Err(tokens_expected(at)),
        (false, true) => {
            let Array { shape, elements } = array(text, at)?;
            match shape.as_slice() {
                [0] => (vec![0, 0], elements),
                [length] => (vec![1, *length], elements),
                [_, _] => (shape, elements),
                _ => return Err(tokens_expected(at)),
            }
        }
    };
    check(input.datatype, &elements, at)?;
    let count = match input.takes_tokens() {
        true => usize::try_from(shape[0]).unwrap_or(usize::MAX),
        false => elements.len(),
    };
    let parameters = (!input.parameters.is_empty()).then(|| {
        let mut out = Object::default();
        for (name, value) in &input.parameters {
            out.put(name, value);
        }
        out.into_text()
    });
    let tensor = Tensor {
        name: input.name.clone(),
        datatype: input.datatype,
        shape,
        elements,
        parameters: parameters.as_deref(),
    };
    Ok((tensor.written(), count))
}

fn tokens_expected(at: At<'_>) -> Fault {
    Fault::expected(at, "tokens: an array of whole numbers, or of such arrays")
}

/// The list that a tensor holds, and how many texts are in it.
pub(crate) fn of_tensor(
    tensor: &Tensor,
    input: &Input,
    at: At<'_>,
) -> Result<(String, usize), Fault> {
    if !input.takes_tokens() {
        return match tensor.datatype.kind() {
            Kind::Text => Ok((list(&tensor.elements), tensor.elements.len())),
            _ => Err(Fault::expected(at, "a tensor of `BYTES`")),
        };
    }
    let rows = match (tensor.datatype.kind(), tensor.shape.as_slice()) {
        (Kind::Integer, [rows, _]) if is_writable(&tensor.shape) => *rows,
        _ => {
            return Err(Fault::expected(
                at,
                "a tensor of whole numbers, a row for each text",
            ));
        }
    };
    let mut out = String::new();
    Array::write_nested(&tensor.shape, &tensor.elements, &mut out);
    Ok((out, usize::try_from(rows).unwrap_or(usize::MAX)))
}
