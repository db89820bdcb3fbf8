//! The variables of one request, each by its type.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, Visitor};
use serde_json::value::RawValue;
use tollgate_sdk::prelude::*;
use tollgate_settings::words;

use crate::{
    asked::Asked,
    refusal::Refused,
    templates::Known,
    value::{Given, Misfit},
    variable::{Fallback, Source, Variable},
};

/// One for each variable of the template, as a part of a JSON text.
///
/// # Errors
/// The first variable that is not known, not given or not of its type.
pub(crate) fn of(
    known: Known<'_>,
    asked: &Asked,
    request: &Request,
) -> Result<Vec<String>, Refused> {
    let given = given(known, asked)?;
    let variables = known.template.variables.iter();
    let slots = variables.zip(&known.form.fallbacks).zip(given);
    slots
        .map(|(((name, variable), fallback), given)| {
            let one = One {
                known,
                name,
                variable,
                fallback,
            };
            one.read(given, request)
        })
        .collect()
}

struct One<'a> {
    known: Known<'a>,
    name: &'a str,
    variable: &'a Variable,
    fallback: &'a Fallback,
}

impl One<'_> {
    fn read(&self, given: Option<&RawValue>, request: &Request) -> Result<String, Refused> {
        let given = given.filter(|given| given.get() != "null");
        let value = match (&self.variable.from, given) {
            (None, given) => given.map(|given| self.variable.shape().read(Given::Json(given))),
            (Some(Source::Fact(fact)), _) => request.fact(fact).map(|text| self.plain(&text)),
            (Some(Source::Header(header)), _) => {
                request.header(header.as_str()).map(|value| {
                    // What is no text is no value of any type, and none that is shown.
                    let text = String::from_utf8(value).unwrap_or_default();
                    self.plain(&text)
                })
            }
        };
        match (value, self.fallback) {
            (Some(Ok(value)), _) => Ok(value),
            (Some(Err(misfit)), _) => Err(self.refused(misfit)),
            (None, Fallback::Text(text)) => Ok(text.clone()),
            (None, Fallback::None) => {
                let expected = self.variable.shape().to_string();
                let found = "nothing".to_owned();
                Err(self.refused(Misfit { expected, found }))
            }
        }
    }

    fn plain(&self, text: &str) -> Result<String, Misfit> {
        self.variable.shape().read(Given::Plain(text))
    }

    fn refused(&self, misfit: Misfit) -> Refused {
        Refused::Variable {
            template: self.known.template.label(),
            name: self.name.to_owned(),
            source: self.variable.from.clone(),
            misfit: Box::new(misfit),
        }
    }
}

/// One for each variable of the template, in its order.
fn given<'a>(known: Known<'_>, asked: &'a Asked) -> Result<Vec<Option<&'a RawValue>>, Refused> {
    let slots = Slots { known };
    let Some(json) = asked
        .variables
        .as_deref()
        .filter(|json| json.get() != "null")
    else {
        return Ok(slots.none());
    };
    let mut reader = serde_json::Deserializer::from_str(json.get());
    match slots.deserialize(&mut reader) {
        Ok(Ok(given)) => Ok(given),
        Ok(Err(refused)) => Err(refused),
        Err(_) => Err(Refused::malformed(
            "variables",
            "an object with each variable once",
        )),
    }
}

/// Reads an object key by key, and stops at one that is not known: what a client sends
/// makes no list that is longer than the template's.
struct Slots<'a> {
    known: Known<'a>,
}

impl<'a> Slots<'a> {
    fn none<'j>(&self) -> Vec<Option<&'j RawValue>> {
        vec![None; self.known.template.variables.len()]
    }

    /// Of a variable that a request gives.
    fn place(&self, key: &str) -> Option<usize> {
        let mut variables = self.known.template.variables.iter();
        variables.position(|(name, variable)| name == key && variable.from.is_none())
    }

    fn unknown(&self, key: &str) -> Refused {
        let template = self.known.template;
        let names = template.variables.iter();
        let open = names.filter(|(_, variable)| variable.from.is_none());
        let names: Vec<_> = open.take(16).map(|(name, _)| format!("`{name}`")).collect();
        Refused::UnknownVariable {
            template: template.label(),
            name: words::shown(key),
            names: names.join(", "),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Slots<'_> {
    type Value = Result<Vec<Option<&'de RawValue>>, Refused>;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Self::Value, D::Error> {
        reader.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Slots<'_> {
    type Value = Result<Vec<Option<&'de RawValue>>, Refused>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut slots = self.none();
        let mut unknown = None;
        while let Some(key) = members.next_key::<String>()? {
            let value: &RawValue = members.next_value()?;
            match self.place(&key) {
                Some(place) if slots[place].is_some() => {
                    return Err(A::Error::custom("a variable is given twice"));
                }
                Some(place) => slots[place] = Some(value),
                None => {
                    unknown.get_or_insert_with(|| self.unknown(&key));
                }
            }
        }
        Ok(unknown.map_or(Ok(slots), Err))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::templates::Templates;

    /// The host refuses a body with a key twice; this is for what it might let through.
    #[test]
    fn a_variable_that_is_given_twice_is_refused() {
        let templates: Templates = serde_json::from_str(
            r#"[{ "name": "t", "prompt": "{{a}}", "variables": { "a": { "type": "string" } } }]"#,
        )
        .unwrap();
        let asked = |variables: &str| Asked {
            name: "t".to_owned(),
            version: None,
            variables: RawValue::from_string(variables.to_owned()).ok(),
        };
        let once = asked(r#"{"a":"x"}"#);
        let known = templates.find(&once).unwrap();
        assert_eq!(given(known, &once).unwrap()[0].unwrap().get(), "\"x\"");
        for variables in [r#"{"a":"x","a":"y"}"#, r#"{"a":1,"\u0061":2}"#] {
            let asked = asked(variables);
            let refused = given(known, &asked).unwrap_err();
            assert_eq!(refused.code(), "invalid_prompt_template", "{variables}");
        }
    }
}
