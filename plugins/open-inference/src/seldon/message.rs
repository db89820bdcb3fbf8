//! A message: `meta`, and data in one of several forms.

use serde_json::value::RawValue;

use super::{FORM, NAMES};
use crate::{
    array::{Array, is_writable},
    at::At,
    datatype::{Datatype, Kind},
    fault::Fault,
    json::{self, Fields, Object, quoted, unquoted},
    settings::{Seldon, SeldonForm},
    tensor::{Tensor, array, check, shape, size},
};

/// What the data of a message is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Ndarray,
    Tensor,
    Text,
    Json,
    Binary,
}

impl Form {
    const ALL: [Self; 5] = [
        Self::Ndarray,
        Self::Tensor,
        Self::Text,
        Self::Json,
        Self::Binary,
    ];

    /// As messages have it.
    fn name(self) -> &'static str {
        match self {
            Self::Ndarray => "ndarray",
            Self::Tensor => "tensor",
            Self::Text => "strData",
            Self::Json => "jsonData",
            Self::Binary => "binData",
        }
    }

    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|form| form.name() == name)
    }
}

impl From<SeldonForm> for Form {
    fn from(form: SeldonForm) -> Self {
        match form {
            SeldonForm::Ndarray => Self::Ndarray,
            SeldonForm::Tensor => Self::Tensor,
        }
    }
}

/// What a message says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Meta {
    /// V2 has it as `id`.
    pub(super) puid: Option<String>,
    /// All else, as JSON, unless it is empty.
    pub(super) rest: Option<String>,
}

/// A message that was read.
#[derive(Debug)]
pub(super) struct Message<'t> {
    pub(super) form: Form,
    pub(super) meta: Meta,
    names: Option<String>,
    datatype: Datatype,
    shape: Vec<u64>,
    elements: Elements<'t>,
}

#[derive(Debug)]
enum Elements<'t> {
    Many(Vec<&'t str>),
    /// A JSON string that was made here.
    One(String),
}

impl<'t> Message<'t> {
    /// Reads a message; what it does not have in V2 is left in the fields.
    pub(super) fn read(
        body: &'t str,
        seldon: &Seldon,
    ) -> Result<(Self, Fields<'static, 't>), Fault> {
        let mut said = Fields::of(body, At::Root)?;
        let mut message = Self {
            form: Form::Ndarray,
            meta: meta(&mut said)?,
            names: None,
            datatype: Datatype::Bytes,
            shape: vec![1],
            elements: Elements::Many(Vec::new()),
        };
        // Of an answer; what it says of a failure is read elsewhere. The gateway writes a
        // model's name where it was chosen by one.
        said.take("status");
        said.take("model");
        if said.take("tftensor").is_some() || said.take("customData").is_some() {
            return Err(no_data());
        }
        if let Some(data) = said.take("data") {
            message.read_data(data, seldon)?;
        } else if let Some(text) = said.take("strData") {
            message.form = Form::Text;
            message.read_string(text, "strData")?;
        } else if let Some(text) = said.take("binData") {
            message.form = Form::Binary;
            message.read_string(text, "binData")?;
        } else if let Some(value) = said.take("jsonData") {
            message.form = Form::Json;
            message.elements = Elements::One(quoted(value.get()));
        } else {
            return Err(no_data());
        }
        Ok((message, said))
    }

    fn read_string(&mut self, text: &'t RawValue, name: &'static str) -> Result<(), Fault> {
        let at = At::Root;
        let at = at.field(name);
        check(Datatype::Bytes, &[text.get()], at).map_err(|_| Fault::expected(at, "a string"))?;
        self.elements = Elements::Many(vec![text.get()]);
        Ok(())
    }

    fn read_data(&mut self, data: &'t RawValue, seldon: &Seldon) -> Result<(), Fault> {
        let at = At::Root;
        let at = at.field("data");
        let mut data = Fields::of(data, at)?;
        if let Some(names) = data.take("names") {
            let names = serde_json::from_str::<Vec<String>>(names.get());
            let names = names.map_err(|_| data.expected("names", "an array of strings"))?;
            self.names = Some(serde_json::to_string(&names).unwrap_or_default());
        }
        if let Some(text) = data.take("ndarray") {
            let at = at.field("ndarray");
            let Array { shape, elements } = array(text.get(), at)?;
            if let Some(datatype) = seldon.datatype {
                check(datatype, &elements, at)?;
            }
            let datatype = seldon.datatype.or_else(|| Datatype::of(&elements));
            let what = "elements of one type: numbers, strings or booleans";
            self.datatype = datatype.ok_or_else(|| Fault::expected(at, what))?;
            (self.shape, self.elements) = (shape, Elements::Many(elements));
        } else if let Some(mut tensor) = data.object("tensor")? {
            self.form = Form::Tensor;
            self.shape = shape(&mut tensor)?;
            let Some(values) = tensor.take("values") else {
                return Err(tensor.expected("values", "an array of numbers"));
            };
            let at = tensor.at.field("values");
            let Array { shape, elements } = array(values.get(), at)?;
            check(Datatype::Fp64, &elements, at)?;
            if shape.len() != 1 || size(&self.shape) != Some(elements.len()) {
                return Err(Fault::expected(at, "as many numbers as the shape says"));
            }
            self.datatype = seldon.datatype.unwrap_or(Datatype::Fp64);
            if self.datatype != Datatype::Fp64 {
                check(self.datatype, &elements, at)?;
            }
            self.elements = Elements::Many(elements);
        } else {
            return Err(Fault::expected(at, "`ndarray` or `tensor`"));
        }
        Ok(())
    }

    /// The data as a tensor of V2.
    pub(super) fn into_tensor(self, name: &str, carries: bool) -> String {
        let mut parameters = Object::default();
        parameters.put(FORM, self.form.name());
        parameters.put_some(NAMES, self.names.as_ref());
        let parameters = carries.then(|| parameters.into_text());
        let (datatype, shape) = (self.datatype, self.shape);
        let write = |elements| {
            let tensor = Tensor {
                name: name.to_owned(),
                datatype,
                shape,
                elements,
                parameters: parameters.as_deref(),
            };
            tensor.written()
        };
        match self.elements {
            Elements::Many(elements) => write(elements),
            Elements::One(text) => write(vec![text.as_str()]),
        }
    }
}

fn no_data() -> Fault {
    Fault::expected(
        At::Root,
        "one of `data`, `strData`, `jsonData` and `binData`",
    )
}

fn meta(said: &mut Fields) -> Result<Meta, Fault> {
    let Some(mut meta) = said.object("meta")? else {
        return Ok(Meta::default());
    };
    let puid = meta.text("puid")?.filter(|puid| !puid.is_empty());
    let mut rest = Object::default();
    for (name, value) in meta.rest() {
        rest.raw(name, value.get());
    }
    let rest = (!rest.is_empty()).then(|| rest.into_text());
    Ok(Meta { puid, rest })
}

/// What was written as `meta` without its `puid`, if it is such.
pub(super) fn rest_of_meta(text: &str) -> Option<String> {
    let value = json::written(text)?;
    let mut fields = Fields::of(value, At::Root).ok()?;
    fields.take("puid");
    let mut rest = Object::default();
    for (name, value) in fields.rest() {
        rest.raw(name, value.get());
    }
    Some(rest.into_text())
}

/// A tensor as a message, in this form if it can have it.
pub(super) fn written(
    tensor: &Tensor,
    form: Option<Form>,
    names: Option<&str>,
    meta: &Meta,
    at: At,
) -> Result<String, Fault> {
    let mut out = Object::default();
    put_meta(&mut out, meta);
    let is_numeric = matches!(tensor.datatype.kind(), Kind::Integer | Kind::Float);
    match (form, tensor.elements.as_slice()) {
        (Some(Form::Text), [text]) if !is_numeric && tensor.datatype == Datatype::Bytes => {
            out.raw("strData", text);
            return Ok(out.into_text());
        }
        (Some(Form::Binary), [text]) if tensor.datatype == Datatype::Bytes => {
            out.raw("binData", text);
            return Ok(out.into_text());
        }
        (Some(Form::Json), [text]) if tensor.datatype == Datatype::Bytes => {
            let value = unquoted(text).unwrap_or_default();
            if let Some(value) = json::written(&value) {
                out.raw("jsonData", value.get());
                return Ok(out.into_text());
            }
        }
        _ => {}
    }
    let mut data = Object::default();
    if let Some(names) = names {
        data.raw("names", names);
    }
    if is_numeric && form != Some(Form::Ndarray) {
        let mut inner = Object::default();
        inner.put("shape", &tensor.shape);
        inner.with("values", |out| Array::write_flat(&tensor.elements, out));
        data.raw("tensor", &inner.into_text());
    } else if is_writable(&tensor.shape) && !tensor.shape.is_empty() {
        data.with("ndarray", |out| {
            Array::write_nested(&tensor.shape, &tensor.elements, out);
        });
    } else {
        return Err(Fault::expected(at, "a shape that arrays can have"));
    }
    out.raw("data", &data.into_text());
    Ok(out.into_text())
}

fn put_meta(out: &mut Object, meta: &Meta) {
    let puid = meta
        .puid
        .as_ref()
        .map(|puid| format!("\"puid\":{}", quoted(puid)));
    let rest = meta.rest.as_deref().map(|rest| {
        let rest = rest.trim_ascii();
        rest[1..rest.len() - 1].trim_ascii().to_owned()
    });
    let parts: Vec<String> = puid
        .into_iter()
        .chain(rest)
        .filter(|part| !part.is_empty())
        .collect();
    if !parts.is_empty() {
        out.raw("meta", &format!("{{{}}}", parts.join(",")));
    }
}
