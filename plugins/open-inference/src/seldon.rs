//! Seldon's V1 messages, and tensors of V2.

mod message;

use serde_json::value::RawValue;

use self::message::{Form, Message, Meta};
use crate::{
    at::At,
    fault::Fault,
    json::{Fields, Object},
    of_tensors::Named,
    settings::Seldon,
    tensor::{Tensor, outputs, text_parameter},
    terms::Terms,
};

/// The parameter of a tensor that says what it is made of.
const FORM: &str = "seldon";
/// The parameter of a tensor that has the names of its columns, as JSON.
const NAMES: &str = "seldon_names";
/// The parameter of a request or answer that has `meta`, as JSON.
const META: &str = "seldon_meta";

/// What a client of Seldon's asked V2, and is to be answered.
#[derive(Debug)]
pub(crate) struct Asked {
    seldon: &'static Seldon,
    form: Form,
    meta: Meta,
}

impl Asked {
    /// Translates a request.
    ///
    /// # Errors
    /// It cannot be translated.
    pub(crate) fn ask(
        body: &str,
        seldon: &'static Seldon,
        terms: &mut Terms,
    ) -> Result<(String, Self), Fault> {
        let (message, rest) = Message::read(body, seldon)?;
        terms.lose_rest(&rest)?;
        let mut out = Object::default();
        out.put_some("id", message.meta.puid.as_ref());
        if let Some(rest) = message.meta.rest.as_deref().filter(|_| seldon.carry) {
            let mut parameters = Object::default();
            parameters.put(META, rest);
            out.raw("parameters", &parameters.into_text());
        }
        let asked = Self {
            seldon,
            form: message.form,
            meta: message.meta.clone(),
        };
        out.one("inputs", &message.into_tensor(seldon.input(), seldon.carry));
        if !seldon.output.is_empty() {
            out.raw("outputs", &outputs([seldon.output()]));
        }
        Ok((out.into_text(), asked))
    }

    /// Translates an answer.
    ///
    /// # Errors
    /// It cannot be translated.
    pub(crate) fn answer(&self, body: &str) -> Result<String, Fault> {
        let mut said = Fields::of(body, At::Root)?;
        let outputs = said.need_list("outputs")?;
        let at = At::Root.field("outputs");
        let tensor = Tensor::find(&outputs, self.seldon.output(), at)?;
        let meta = Meta {
            puid: said.text("id")?.or_else(|| self.meta.puid.clone()),
            rest: meta_of(said.take("parameters")).or_else(|| self.meta.rest.clone()),
        };
        let form = form_of(&tensor).unwrap_or(self.form);
        message::written(&tensor, Some(form), names_of(&tensor).as_deref(), &meta, at)
    }
}

/// What a client of V2 asked Seldon, and is to be answered.
#[derive(Debug)]
pub(crate) struct Predict {
    seldon: &'static Seldon,
    named: Named,
}

impl Predict {
    /// Translates a request.
    ///
    /// # Errors
    /// It cannot be translated.
    pub(crate) fn ask(
        body: &str,
        seldon: &'static Seldon,
        mut named: Named,
        terms: &mut Terms,
    ) -> Result<(String, Self), Fault> {
        let mut asked = Fields::of(body, At::Root)?;
        named.id = asked.text("id")?;
        let inputs = asked.need_list("inputs")?;
        let at = At::Root.field("inputs");
        let tensor = Tensor::find(&inputs, seldon.input(), at)?;
        if inputs.len() > 1 {
            return Err(terms.unsupported(at.item(1)));
        }
        let mut meta = Meta {
            puid: named.id.clone(),
            rest: None,
        };
        if let Some(mut parameters) = asked.object("parameters")? {
            if let Some(text) = parameters.text(META)? {
                let rest = message::rest_of_meta(&text);
                meta.rest =
                    Some(rest.ok_or_else(|| parameters.expected(META, "an object as JSON"))?);
            }
            terms.lose_rest(&parameters)?;
        }
        lose_parameters(&tensor, at, terms)?;
        asked.take("outputs");
        asked.take("model");
        terms.lose_rest(&asked)?;
        let form = form_of(&tensor).or(Some(seldon.form.into()));
        let names = names_of(&tensor);
        let out = message::written(&tensor, form, names.as_deref(), &meta, at)?;
        Ok((out, Self { seldon, named }))
    }

    /// Translates an answer.
    ///
    /// # Errors
    /// It cannot be translated.
    pub(crate) fn answer(&self, body: &str) -> Result<String, Fault> {
        let (message, _) = Message::read(body, self.seldon)?;
        let named = Named {
            id: self.named.id.clone().or_else(|| message.meta.puid.clone()),
            ..self.named.clone()
        };
        let mut out = named.answer();
        if let Some(rest) = message.meta.rest.as_deref().filter(|_| self.seldon.carry) {
            let mut parameters = Object::default();
            parameters.put(META, rest);
            out.raw("parameters", &parameters.into_text());
        }
        let (name, carries) = (self.seldon.output(), self.seldon.carry);
        out.one("outputs", &message.into_tensor(name, carries));
        Ok(out.into_text())
    }
}

/// Whether an answer of Seldon's is a failure, whatever its status is; then the status that
/// it should have.
pub(crate) fn failure(body: &str) -> Option<u16> {
    let mut said = Fields::of(body, At::Root).ok()?;
    let mut status = said.object("status").ok()??;
    let is_failure = matches!(status.take("status")?.get(), "\"FAILURE\"" | "1");
    let code = status.take("code").and_then(|code| code.get().parse().ok());
    let code = code.filter(|code| (400..600).contains(code));
    is_failure.then_some(code.unwrap_or(500))
}

fn form_of(tensor: &Tensor) -> Option<Form> {
    Form::named(&text_parameter(tensor.parameters, FORM)?)
}

/// The names of columns, as JSON, if they are such.
fn names_of(tensor: &Tensor) -> Option<String> {
    let text = text_parameter(tensor.parameters, NAMES)?;
    let names: Vec<String> = serde_json::from_str(&text).ok()?;
    Some(serde_json::to_string(&names).unwrap_or_default())
}

fn meta_of(parameters: Option<&RawValue>) -> Option<String> {
    let text = text_parameter(parameters.map(RawValue::get), META)?;
    message::rest_of_meta(&text)
}

/// Those that a message of Seldon's does not have.
fn lose_parameters(tensor: &Tensor, at: At, terms: &mut Terms) -> Result<(), Fault> {
    let Some(parameters) = tensor.parameters else {
        return Ok(());
    };
    let item = at.item(0);
    let at = item.field("parameters");
    let parameters = serde_json::from_str(parameters);
    let parameters: &RawValue = parameters.map_err(|_| Fault::expected(at, "an object"))?;
    let mut parameters = Fields::of(parameters, at)?;
    parameters.take(FORM);
    parameters.take(NAMES);
    terms.lose_rest(&parameters)
}
